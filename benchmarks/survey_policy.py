"""Trained policies against the tuned planner and the raster, on specimens that they were not trained on.

    python -m benchmarks.survey_policy             200 specimens of four kinds, an hour on two cores
    python -m benchmarks.survey_policy --quick     4 small specimens, an untrained policy

All agents have the same atlas, skills, scorer and control sites, pay for all of them, and meet the same specimens,
rendered in full. found dose: share of the rare features whose centre lies in a detail frame (navigation) when 10 % of
the dose of a full detail raster is spent; found time: when the raster (the planner, where that is left out) has spent
half of it. flagged: share of those found that the survey's flags name (perception); named: share of all features that
are found and flagged; called: share of all that flags name, looked at in detail or not. learned more: what the policy
finds more than the agent of the row; over the planner: what that agent finds more than the planner. Lows and highs are
95 % intervals over specimens, paired where two agents are compared. refocus every 60: the same policy, but its skill is
used by a clock. greedy atlas: details in order of the interest seen from above. oracle: alone is told the truth.

The last table keeps navigation and perception apart: agents down, and across what is named of what was looked at, by
the survey's flags and by an oracle that knows every feature it is shown.

The specimens' seeds begin at 3000000, those of the readings that policies are trained on at 100000.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agent.settings import LearnedSettings, RasterSettings
from benchmarks.common import arguments, print_table, write
from benchmarks.kept import Job, done
from configs.load import load
from models.checkpoint import find_policy, load_policy, make_policy, save_policy, weights_hash
from training.episode import ORACLE, EpisodeSettings, Trace, play
from training.judge import baselines, episodes, table
from training.kit import spec_of
from training.settings import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.settings import AgentSettings

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "train_survey.yaml"
LEARNED = "learned"
AGENTS = (LEARNED, "planner", "greedy atlas", "raster", ORACLE, "refocus every 60")


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the training run: kinds, looks, size")
    parser.add_argument("--policy", default="survey", help="FILE.safetensors, or the name of a shipped one")
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=FILE", help="another policy, a row more")
    parser.add_argument("--specimens", type=int, default=50, metavar="N", help="of each kind")
    parser.add_argument("--sites", type=int, default=24, metavar="N", help="of a side of the specimens")
    parser.add_argument("--kinds", metavar="FILE", type=Path, help="a config with other kinds of specimens: zero-shot")
    parser.add_argument("--agents", default=",".join(AGENTS), metavar="NAMES", help=f"among {', '.join(AGENTS)}")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keeps every flight; a later call goes on")
    parser.add_argument("--seconds", type=float, metavar="S", help="begin no flight later; tell what was flown by then")
    options = parser.parse_args()
    settings = load(options.config, TrainSettings)
    if options.kinds:
        settings = settings.model_copy(update={"worlds": load(options.kinds, TrainSettings).worlds})
    sites, count = (8, 1) if options.quick else (options.sites, options.specimens)
    settings = settings.model_copy(update={"episode": settings.episode.model_copy(update={"sites": sites})})
    with TemporaryDirectory() as place:
        weights = untrained(settings, Path(place)) if options.quick else find_policy(options.policy)
        asked = {LEARNED, *options.agents.split(",")}
        if unknown := asked - set(AGENTS):
            parser.error(f"--agents {', '.join(sorted(unknown))}: choose among {', '.join(AGENTS)}")
        if wrong := [each for each in options.beside if "=" not in each]:
            parser.error(f"--beside {wrong[0]}: give NAME=FILE.safetensors")
        everyone = entrants(settings, weights, dict(each.split("=", 1) for each in options.beside))
        chosen = {name: agent for name, agent in everyone.items() if name in asked or name not in AGENTS}
        jobs = flights(settings, chosen, range(count))
        results = done(jobs, options.workers, options.keep, options.seconds)
    if len(results) < len(jobs):
        count = len(results) // (len(chosen) * len(settings.worlds.kinds))
        print(f"stopped after {len(results)} of {len(jobs)} flights: told are {count} specimens of each kind")
    if not count:
        return 1
    rows = table(traces_of(settings, chosen, count, results))
    title = f"rare features found, {count} specimens of each kind, {sites} × {sites} sites"
    print_table(at_equal_means(rows), title=title + (" (quick: not a result)" if options.quick else ""))
    print_table(crossed(rows), title="share of the rare features that are looked at in detail and named")
    print(f"{np.mean([each['cpu_s'] for each in results]):.1f} s of a processor a flight")
    write(rows, options, title=title)
    others = [row for row in rows if row["specimens"] == "all" and row["agent"] != LEARNED]
    for row in others:
        told = f"{row['learned_more']:+.3f} ({row['more_low']:+.3f} to {row['more_high']:+.3f})"
        print(f"the policy finds {told} more than: {row['agent']}")
    planner = [row for row in others if row["agent"] == "planner"]
    return 0 if options.quick or all(row["more_low"] > 0 for row in planner) else 1


def entrants(settings: TrainSettings, weights: Path, beside: Mapping[str, str]) -> dict[str, AgentSettings | str]:
    """By name; ``beside``: other policies' files."""
    return {
        LEARNED: LearnedSettings(weights=str(weights)),
        **{name: LearnedSettings(weights=str(find_policy(file))) for name, file in beside.items()},
        "planner": baselines(settings)["planner"],
        "greedy atlas": RasterSettings(by_atlas=True),
        "raster": RasterSettings(),
        ORACLE: ORACLE,
        "refocus every 60": LearnedSettings(weights=str(weights), refocus_every=60),
    }


def flights(settings: TrainSettings, chosen: Mapping[str, AgentSettings | str], numbers: Iterable[int]) -> list[Job]:
    """Of every agent on every specimen: one of each kind in turn, so that what is flown is of all kinds."""
    who = {name: asked_of(agent) for name, agent in chosen.items()}
    return [
        Job(
            {"episode": episode.model_dump(mode="json"), "agent": who[name], "seed": first + number},
            partial(flown, episode, agent, first + number, name),
        )
        for number in numbers
        for episode, first in episodes(settings).values()
        for name, agent in chosen.items()
    ]


def asked_of(agent: AgentSettings | str) -> dict[str, Any]:
    """An agent's settings, a policy by its weights and not by its file's name."""
    if isinstance(agent, str):
        return {"kind": agent}
    told = agent.model_dump(mode="json")
    if isinstance(agent, LearnedSettings):
        told["weights"] = weights_hash(load_policy(find_policy(agent.weights)).state_dict())
    return told


def flown(episode: EpisodeSettings, agent: AgentSettings | str, seed: int, name: str) -> dict[str, Any]:
    """A trace, its arrays as lists."""
    trace = asdict(play(episode, agent, seed, name))
    return {key: each.tolist() if isinstance(each, np.ndarray) else each for key, each in trace.items()}


def traces_of(
    settings: TrainSettings, chosen: Mapping[str, AgentSettings | str], count: int, results: list[dict[str, Any]]
) -> dict[str, dict[str, list[Trace]]]:
    """Kind of specimen → agent → ``count`` traces, of results in the order of ``flights``."""
    kept: dict[str, dict[str, list[Trace]]] = {kind: {name: [] for name in chosen} for kind in settings.worlds.kinds}
    names = [each.name for each in fields(Trace)]
    places = [(kind, name) for _ in range(count) for kind in settings.worlds.kinds for name in chosen]
    for (kind, name), result in zip(places, results, strict=False):
        told = {key: np.array(result[key]) if isinstance(result[key], list) else result[key] for key in names}
        kept[kind][name].append(Trace(**told | {"agent": name}))
    return kept


def at_equal_means(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Kind of specimen by agent: at equal dose and in equal time."""
    return [
        {
            "specimens": f"{row['specimens']} ({row['n']})",
            "agent": row["agent"],
            "found": between(row, "found_dose", ""),
            "learned more": between(row, "learned_more", "more_"),
            **({"over the planner": between(row, "more_than_planner", "plan_")} if "plan_low" in row else {}),
            "in time": f"{row['found_time']:.3f}",
            "learned more in time": between(row, "learned_more_time", "time_"),
            "flagged": f"{row['flagged']:.3f}",
        }
        for row in rows
    ]


def crossed(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Navigation by perception, over all specimens."""
    return [
        {
            "agent": row["agent"],
            "the same perception": between(row, "named", "named_"),
            "policy more": between(row, "learned_more_named", "told_"),
            "oracle perception": between(row, "found", "found_"),
            "policy more of it": between(row, "learned_more_found", "gain_"),
            "any navigation, the same": f"{row['called']:.3f}",
        }
        for row in rows
        if row["specimens"] == "all"
    ]


def between(row: dict[str, Any], name: str, of: str) -> str:
    """A mean with its interval; differences with their sign."""
    sign = "+" if "more" in name else ""
    return f"{row[name]:{sign}.3f} ({row[of + 'low']:{sign}.3f} to {row[of + 'high']:{sign}.3f})"


def untrained(settings: TrainSettings, place: Path) -> Path:
    """First weights: to see that it runs."""
    torch.manual_seed(0)
    path = place / "untrained.safetensors"
    save_policy(make_policy(spec_of(settings)), path, {})
    return path


if __name__ == "__main__":
    sys.exit(main())
