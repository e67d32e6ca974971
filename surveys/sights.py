"""What a survey's steps show of each place, gathered for judging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from envs.step import Kind, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from envs.scorers import Description
    from envs.step import Step


@dataclass(frozen=True, slots=True)
class Sight:
    """One target as one exposure showed it."""

    target: int
    look: str
    descriptors: tuple[float, ...]
    exposure_id: int
    own: bool
    """The exposure was made of this very target."""
    streams: frozenset[str]


def sights(steps: Sequence[Step]) -> list[Sight]:
    """Every target that a scored step showed, as its latest exposure by each look showed it.

    Blank frames show nothing. Control steps carry no score and are not here.
    """
    extra: dict[int, set[str]] = {}
    for step in steps:
        for exposure_id, tag in step.retagged:
            extra.setdefault(exposure_id, set()).add(tag.stream.value)
    latest: dict[tuple[int, str], Sight] = {}
    for step in steps:
        exposure = step.shown
        if step.score is None or step.look is None or exposure is None or step.score.quality.get("blank", 0.0) > 0:
            continue
        number = exposure.exposure.id or 0
        streams = frozenset(tag.stream.value for tag in exposure.tags) | extra.get(number, set())
        for cell, row in zip(step.score.cells, step.score.descriptors, strict=True):
            if np.isfinite(row).all():
                latest[cell, step.look] = Sight(cell, step.look, tuple(row), number, cell == step.target, streams)
    return list(latest.values())


def control_sights(steps: Sequence[Step], describe: Callable[[Step], Description | None]) -> list[Sight]:
    """The targets of control steps, described now: at the time the environment looked away."""
    found = []
    for step in steps:
        exposure = step.shown
        if step.kind is not Kind.CONTROL or step.target is None or step.look is None or exposure is None:
            continue
        description = describe(step)
        if description is None or description.quality.get("blank", 0.0) > 0:
            continue
        for row in description.descriptors[:1]:
            if np.isfinite(row).all():
                numbers = tuple(float(value) for value in row)
                streams = frozenset({Stream.CONTROL.value})
                found.append(Sight(step.target, step.look, numbers, exposure.exposure.id or 0, True, streams))
    return found


def by_look(found: Iterable[Sight]) -> dict[str, list[Sight]]:
    """The sights of each look."""
    groups: dict[str, list[Sight]] = {}
    for sight in found:
        groups.setdefault(sight.look, []).append(sight)
    return groups
