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
    from collections.abc import Callable

    from agent.settings import AgentSettings
    from training.episode import EpisodeSettings, Trace
    from training.settings import TrainSettings

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

AT_DOSE: Ratio = 0.10
"""Of a full detail raster."""
KINDS_APART = 10_000


def played(
    settings: TrainSettings,
    entrants: dict[str, AgentSettings],
    numbers: range,
    *,
    workers: int,
    on_trace: Callable[[Trace], None] = lambda _: None,
) -> dict[str, dict[str, list[Trace]]]:
    """Kind of specimen → entrant → traces of the held-out specimens with these numbers."""
    found = {}
    for place, (kind, specimen) in enumerate(settings.worlds.kinds.items()):
        instrument = settings.episode.instrument.model_copy(update={"specimen": specimen})
        episode: EpisodeSettings = settings.episode.model_copy(
            update={"instrument": instrument, "dose_ratio": AT_DOSE * 1.05}
        )
        first = TEST_SEED + KINDS_APART * place
        found[kind] = evaluate(
            episode, entrants, [first + each for each in numbers], workers=workers, on_trace=on_trace
        )
    return found


def judged(settings: TrainSettings, weights: str, specimens: int, *, workers: int = 2) -> list[dict[str, Any]]:
    """One row a kind of specimen and agent, and all together. Raises ConfigError for a policy that does not fit."""
    path = find_policy(weights)
    episode = settings.episode
    from_task = episode.task().catalogue(())
    columns_of(load_policy(path).spec, from_task)
    entrants = {"learned": LearnedSettings(weights=str(path)), **baselines(settings), "raster": RasterSettings()}
    return table(played(settings, entrants, range(specimens), workers=workers))


def baselines(settings: TrainSettings) -> dict[str, AgentSettings]:
    """The planner, with the teacher's settings where that is one; a teacher of another kind is a row of its own."""
    if isinstance(settings.teacher, PlannerSettings):
        return {"planner": settings.teacher}
    return {"planner": PlannerSettings(), "teacher": settings.teacher}


def table(traces: dict[str, dict[str, list[Trace]]]) -> list[dict[str, Any]]:
    """Found, and found and named by flags, and what the learned policy has more of both, paired; 95 % intervals."""
    rows = []
    everything = {
        name: [trace for made in traces.values() for trace in made[name]] for name in next(iter(traces.values()))
    }
    for kind, made in {**traces, "all": everything}.items():
        time_s = half_time_s(made)
        at = {name: (at_dose(each), found_at(each, "time_s", np.array([time_s]))[:, 0]) for name, each in made.items()}
        for name, (dose, time) in at.items():
            mean, low, high = interval(dose)
            more, more_low, more_high = interval(at["learned"][0] - dose)
            later, later_low, later_high = interval(at["learned"][1] - time)
            both, both_low, both_high = interval(named_of(made[name]))
            told, told_low, told_high = interval(named_of(made["learned"]) - named_of(made[name]))
            end, end_low, end_high = interval(at_end(made[name]))
            gain, gain_low, gain_high = interval(at_end(made["learned"]) - at_end(made[name]))
            rows.append({
                "specimens": kind, "agent": name, "n": len(dose), "found_dose": mean, "low": low, "high": high,
                "learned_more": more, "more_low": more_low, "more_high": more_high,
                "found_time": interval(time)[0],
                "learned_more_time": later, "time_low": later_low, "time_high": later_high,
                "flagged": interval(np.array([trace.flagged for trace in made[name]]))[0],
                "named": both, "named_low": both_low, "named_high": both_high,
                "learned_more_named": told, "told_low": told_low, "told_high": told_high,
                "found": end, "found_low": end_low, "found_high": end_high,
                "learned_more_found": gain, "gain_low": gain_low, "gain_high": gain_high,
                "called": interval(np.array([trace.called for trace in made[name]]))[0],
            })  # fmt: skip
    return rows


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
