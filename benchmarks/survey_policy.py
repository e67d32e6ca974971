"""A trained policy against the tuned planner and the raster, on specimens that it was not trained on.

    python -m benchmarks.survey_policy             200 specimens of four kinds, an hour on two cores
    python -m benchmarks.survey_policy --quick     4 small specimens, an untrained policy

All agents have the same atlas, skills, scorer and control sites, pay for all of them, and meet the same specimens,
rendered in full. found dose: share of the rare features whose centre lies in a detail frame (navigation) when 10 % of
the dose of a full detail raster is spent; found time: when the raster (the planner, where that is left out) has spent
half of it. flagged: share of those found that the survey's flags name (perception); named: share of all features that
are found and flagged; called: share of all that flags name, looked at in detail or not. learned more: what the policy
finds more than the agent of the row. Lows and highs are 95 % intervals over specimens, paired where two agents are
compared. refocus every 60: the same policy, but its skill is used by a clock.

The last table keeps navigation and perception apart: agents down, and across what is named of what was looked at, by
the survey's flags and by an oracle that knows every feature it is shown.

The specimens' seeds begin at 3000000, those of the readings that policies are trained on at 100000. The shipped policy
was selected on the specimens that it was trained on; since then a quarter of them is kept for selecting.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from agent.settings import LearnedSettings, RasterSettings
from benchmarks.common import arguments, print_table, write
from configs.load import load
from models.checkpoint import find_policy, make_policy, save_policy
from training.judge import baselines, played, table
from training.settings import TrainSettings
from training.train import spec_of

if TYPE_CHECKING:
    from agent.settings import AgentSettings
    from training.episode import Trace

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "train_survey.yaml"
AT_ONCE = 5
AGENTS = ("learned", "planner", "raster", "refocus every 60")


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the training run: kinds, looks, size")
    parser.add_argument("--policy", default="survey", help="FILE.safetensors, or the name of a shipped one")
    parser.add_argument("--specimens", type=int, default=50, metavar="N", help="of each kind")
    parser.add_argument("--sites", type=int, default=24, metavar="N", help="of a side of the specimens")
    parser.add_argument("--kinds", metavar="FILE", type=Path, help="a config with other kinds of specimens: zero-shot")
    parser.add_argument("--agents", default=",".join(AGENTS), metavar="NAMES", help=f"among {', '.join(AGENTS)}")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    options = parser.parse_args()
    settings = load(options.config, TrainSettings)
    if options.kinds:
        settings = settings.model_copy(update={"worlds": load(options.kinds, TrainSettings).worlds})
    sites, count = (8, 1) if options.quick else (options.sites, options.specimens)
    settings = settings.model_copy(update={"episode": settings.episode.model_copy(update={"sites": sites})})
    with TemporaryDirectory() as place:
        weights = untrained(settings, Path(place)) if options.quick else find_policy(options.policy)
        everyone: dict[str, AgentSettings] = {
            "learned": LearnedSettings(weights=str(weights)),
            "planner": baselines(settings)["planner"],
            "raster": RasterSettings(),
            "refocus every 60": LearnedSettings(weights=str(weights), refocus_every=60),
        }
        asked = {"learned", *options.agents.split(",")}
        if unknown := asked - set(everyone):
            parser.error(f"--agents {', '.join(sorted(unknown))}: choose among {', '.join(AGENTS)}")
        entrants = {name: everyone[name] for name in AGENTS if name in asked}
        rows = measured(settings, entrants, count, options)
    title = f"rare features found, {count} specimens of each kind, {sites} × {sites} sites"
    print_table(at_equal_means(rows), title=title + (" (quick: not a result)" if options.quick else ""))
    print_table(crossed(rows), title="share of the rare features that are looked at in detail and named")
    write(rows, options, title=title)
    others = [row for row in rows if row["specimens"] == "all" and row["agent"] != "learned"]
    for row in others:
        told = f"{row['learned_more']:+.3f} ({row['more_low']:+.3f} to {row['more_high']:+.3f})"
        print(f"the policy finds {told} more than: {row['agent']}")
    planner = [row for row in others if row["agent"] == "planner"]
    return 0 if options.quick or all(row["more_low"] > 0 for row in planner) else 1


def measured(
    settings: TrainSettings, entrants: dict[str, AgentSettings], count: int, options: Any
) -> list[dict[str, Any]]:
    """In rounds over all kinds, so that what was measured when it is stopped is of all of them."""
    began_s = time.monotonic()
    kept: dict[str, dict[str, list[Trace]]] = {kind: {name: [] for name in entrants} for kind in settings.worlds.kinds}
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        for kind, made in played(settings, entrants, numbers, workers=options.workers).items():
            for name, traces in made.items():
                kept[kind][name] += traces
        if options.json:
            options.json.write_text(json.dumps({"rows": table(kept)}, indent=2))
        print(f"{numbers.stop} of {count} specimens of each kind, {time.monotonic() - began_s:.0f} s", file=sys.stderr)
    return table(kept)


def at_equal_means(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Kind of specimen by agent: at equal dose and in equal time."""
    return [
        {
            "specimens": f"{row['specimens']} ({row['n']})",
            "agent": row["agent"],
            "found": between(row, "found_dose", ""),
            "learned more": between(row, "learned_more", "more_"),
            "found in time": f"{row['found_time']:.3f}",
            "more in time": between(row, "learned_more_time", "time_"),
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
