"""A policy against the planner and the raster, on held-out specimens that are rendered in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.learned import columns_of
from agent.settings import LearnedSettings, PlannerSettings, RasterSettings
from models.checkpoint import find_policy, load_policy
from training.evaluate import evaluate, found_at, interval
from training.settings import TEST_SEED

if TYPE_CHECKING:
    from agent.settings import AgentSettings
    from training.episode import EpisodeSettings, Trace
    from training.settings import TrainSettings

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

AT_DOSE: Ratio = 0.10
"""Of a full detail raster."""
KINDS_APART = 10_000


def episodes(settings: TrainSettings) -> dict[str, tuple[EpisodeSettings, int]]:
    """Kind of specimen → what all agents have in common there, and the first seed of its held-out specimens."""
    found = {}
    for place, (kind, specimen) in enumerate(settings.worlds.kinds.items()):
        instrument = settings.episode.instrument.model_copy(update={"specimen": specimen})
        shared = {"instrument": instrument, "dose_ratio": AT_DOSE * 1.05}
        found[kind] = settings.episode.model_copy(update=shared), TEST_SEED + KINDS_APART * place
    return found


def judged(settings: TrainSettings, weights: str, specimens: int, *, workers: int = 2) -> list[dict[str, Any]]:
    """One row a kind of specimen and agent, and all together. Raises ConfigError for a policy that does not fit."""
    path = find_policy(weights)
    episode = settings.episode
    from_task = episode.task().catalogue(())
    columns_of(load_policy(path).spec, from_task)
    entrants = {"learned": LearnedSettings(weights=str(path)), **baselines(settings), "raster": RasterSettings()}
    traces = {
        kind: evaluate(episode, entrants, range(first, first + specimens), workers=workers)
        for kind, (episode, first) in episodes(settings).items()
    }
    return table(traces)


def baselines(settings: TrainSettings) -> dict[str, AgentSettings]:
    """The planner, with the teacher's settings where that is one; a teacher of another kind is a row of its own."""
    if isinstance(settings.teacher, PlannerSettings):
        return {"planner": settings.teacher}
    return {"planner": PlannerSettings(), "teacher": settings.teacher}


def table(traces: dict[str, dict[str, list[Trace]]]) -> list[dict[str, Any]]:
    """Found, and found and named by flags, and what the learned policy has more of both, paired; 95 % intervals.

    Where the planner flew too, what each agent has more than it. All of it is of the ``n`` specimens that hold rare
    features; ``empty`` more hold none.
    """
    rows = []
    everything = {
        name: [trace for made in traces.values() for trace in made[name]] for name in next(iter(traces.values()))
    }
    for kind, made in {**traces, "all": everything}.items():
        time_s = half_time_s(made)
        dose = {name: at_dose(each) for name, each in made.items()}
        time = {name: found_at(each, "time_s", np.array([time_s]))[:, 0] for name, each in made.items()}
        named = {name: named_of(each) for name, each in made.items()}
        end = {name: at_end(each) for name, each in made.items()}
        for name, each in made.items():
            n = sum(trace.features > 0 for trace in each)
            rows.append(
                {"specimens": kind, "agent": name, "n": n, "empty": len(each) - n}
                | _between("found_dose", "", dose[name])
                | _between("learned_more", "more_", dose["learned"] - dose[name])
                | _between("found_time", "at_", time[name])
                | _between("learned_more_time", "time_", time["learned"] - time[name])
                | {"flagged": interval(np.array([trace.flagged for trace in each]))[0]}
                | _between("named", "named_", named[name])
                | _between("learned_more_named", "told_", named["learned"] - named[name])
                | _between("found", "found_", end[name])
                | _between("learned_more_found", "gain_", end["learned"] - end[name])
                | {"called": interval(np.array([trace.called for trace in each]))[0]}
            )
            if "planner" in made:
                rows[-1] |= _between("more_than_planner", "plan_", dose[name] - dose["planner"])
                rows[-1] |= _between("more_than_planner_time", "plan_time_", time[name] - time["planner"])
                rows[-1] |= _between("more_than_planner_named", "plan_named_", named[name] - named["planner"])
    return rows


def _between(name: str, of: str, values: Array) -> dict[str, float]:
    """The mean of (S,) specimens under its name, and its interval."""
    return dict(zip((name, f"{of}low", f"{of}high"), interval(values), strict=True))


def named_of(traces: list[Trace]) -> Array:
    """(S,) share of all features that were found and flagged, NaN where there is none."""
    found = [trace.found[-1] * np.nan_to_num(trace.flagged) if trace.features else np.nan for trace in traces]
    return np.array(found, dtype=np.float64)


def at_dose(traces: list[Trace]) -> Array:
    """(S,) found at ``AT_DOSE``."""
    return found_at(traces, "dose", np.array([AT_DOSE]))[:, 0]


def at_end(traces: list[Trace]) -> Array:
    """(S,) found in the end, which is what flags are given."""
    return np.array([trace.found[-1] if trace.features else np.nan for trace in traces])


def half_time_s(made: dict[str, list[Trace]]) -> float:
    """When the raster, or else the planner, has spent half of its dose: before any agent is out of dose."""
    clock = next(made[name] for name in ("raster", "planner", "learned") if name in made)
    return float(np.median([np.interp(0.5 * AT_DOSE, trace.dose, trace.time_s) for trace in clock]))
