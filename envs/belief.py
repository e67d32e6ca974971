"""What is known of every target and what has been spent: a fold over Steps that never opens a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.step import Kind, Purpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.scorers import Scorer
    from envs.step import ExposureRecord, Fault, Score, Step
    from envs.targets import Floats
    from envs.tasks import SurveyTask
    from instruments.types import Footprint

Ratio: TypeAlias = float

ABOVE, SEEN = 0, 1
"""What a target's interest was read from: its parent's frame, or its own."""

MASKED = "masked: "
"""Begins the message of a fault that says nothing about the place: the action was not allowed in the first place."""

MOST_INTEREST: Ratio = 1e6
"""A robust distance beyond this says no more."""

HALF_REWARD: Ratio = 6.0
"""Interest, in robust spreads, that earns half of the highest reward."""

_A2_PER_NM2 = 100.0

_NOT_THE_PLACE = frozenset({"BusyError", "Disconnected", "HardwareFault", "Held", "NoRoom"})
"""Faults of the instrument: the same look may be tried again for ever."""

_REFRESH_GROWTH: Ratio = 1.1
"""All interests of a look are judged anew each time its background has grown by this factor: often while it is young,
rarely when it is settled, so that a step costs the same at any length of a survey."""

_REFERENCE_FRAMES = 5
"""Detail frames after a focus whose median sharpness is what "sharp" means until the next."""


class Belief:
    """N targets, L looks. Equal Steps (and ``block`` and ``book`` calls) give equal beliefs."""

    def __init__(self, task: SurveyTask, scorer: Scorer) -> None:
        n = len(task.tree)
        self._task = task
        self._scorer = scorer
        self.looks_done: npt.NDArray[np.int32] = np.zeros((n, len(task.looks)), dtype=np.int32)
        self.failed: npt.NDArray[np.int32] = np.zeros(n, dtype=np.int32)
        self.blocked: npt.NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self.fluence_e_per_A2: Floats = np.zeros(n)
        """(N,) mean over the target's rectangle."""
        self.interest: Floats = np.full((2, n), np.nan)
        """(2, N): ``ABOVE``, ``SEEN``; NaN = unknown."""
        self.detail_exposure: dict[int, int] = {}
        """Target → id of its last committed detail or control exposure."""
        self.step_number = 0
        self.time_used_s = 0.0
        self.electrons_used = 0.0
        self.steps_since_focus = 0
        self._sharpness: list[float] = []
        """Of the detail frames since the last focus: the reference frames, then the last one."""
        self._descriptors: Floats = np.full((2, n, len(scorer.names)), np.nan)
        self._look: npt.NDArray[np.int32] = np.full((2, n), -1, dtype=np.int32)
        """(2, N) number of the look that the interest was read from."""
        self._by_x = np.argsort(task.tree.x_nm, kind="stable")
        self._x_nm = task.tree.x_nm[self._by_x]
        self._half_nm = float(task.tree.width_nm.max()) / 2
        self._observed = [0] * len(task.looks)
        self._refresh_at = [1.0] * len(task.looks)

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """(N,) whether any look of its own has succeeded."""
        return np.asarray(self.looks_done.any(axis=1))

    @property
    def sharpness_ratio(self) -> Ratio:
        """The last detail frame's sharpness over the median of the first since the last focus; 1 = not known."""
        if len(self._sharpness) < 2:
            return 1.0
        reference = float(np.median(self._sharpness[:_REFERENCE_FRAMES]))
        return self._sharpness[-1] / reference if reference > 0 else 1.0

    @property
    def finished(self) -> bool:
        """Whether every site has been seen, or given up."""
        leaves = self._task.tree.leaves
        given_up = self.blocked | (self.failed >= self._task.tries)
        return bool((self.seen | given_up)[leaves].all())

    def reward(self, target: int | None, score: Score | None) -> Ratio:
        """Of a look, before it is absorbed, in 0 … 1: interest / (interest + ``HALF_REWARD``) of a target's own frame.

        0 for the second look at a target, and for a frame of coarser targets, which only shows where to look.
        """
        if target is None or score is None or self.seen[target] or target not in score.cells:
            return 0.0
        interest = float(np.nan_to_num(judged(np.array(score.interest[score.cells.index(target)]))))
        return interest / (interest + HALF_REWARD)

    def fold(self, steps: Sequence[Step]) -> None:
        """The same as absorbing each, but judging all anew only where it still shows in the end.

        Raises ValueError where a step is missing.
        """
        last: dict[int, int] = {}
        observed, refresh_at = list(self._observed), list(self._refresh_at)
        for step in steps:
            if step.kind is Kind.LOOK and step.look is not None and step.score is not None:
                look = self._task.look_number(step.look)
                if _grown(observed, refresh_at, look, len(step.score.cells)):
                    last[look] = step.number
        for step in steps:
            self.absorb(step, anew=step.number in last.values())

    def absorb(self, step: Step, *, anew: bool = True) -> None:
        """Take in one step. ``anew``: judge all interests again when it is time to.

        Raises ValueError where a step is missing before it.
        """
        if step.number != self.step_number:
            raise ValueError(
                f"step {step.number} follows step {self.step_number - 1}: steps are missing from the journal"
            )
        self.step_number += 1
        self.time_used_s += step.end_s - step.start_s
        self.steps_since_focus += 1
        for record in step.exposures:
            self.book(record)
        shown = step.shown
        if shown is not None and shown.purpose in (Purpose.DETAIL, Purpose.CONTROL) and step.target is not None:
            if shown.exposure.id is not None:
                self.detail_exposure[step.target] = shown.exposure.id
        if step.kind is Kind.SKILL and step.fault is None and step.optics is not None:
            self.steps_since_focus = 0
            self._sharpness = []
        if step.kind is not Kind.LOOK or step.target is None or step.look is None:
            return
        look = self._task.look_number(step.look)
        if step.fault is None:
            self.looks_done[step.target, look] += 1
        elif _blames_the_place(step.fault):
            self.failed[step.target] += 1
        if step.score is not None and step.score.cells:
            self._learn(step, step.score, look, anew)

    def book(self, record: ExposureRecord) -> None:
        """Count the dose of an exposure: of a step, or cut off from its step by a crash."""
        self.electrons_used += record.electrons
        if record.electrons > 0:
            near, overlap_nm2 = self._overlap_nm2(record.footprint)
            target_nm2 = self._task.tree.width_nm[near] * self._task.tree.height_nm[near]
            self.fluence_e_per_A2[near] += (
                record.electrons * overlap_nm2 / (record.footprint.area_nm2 * target_nm2 * _A2_PER_NM2)
            )

    def _overlap_nm2(self, place: Footprint) -> tuple[npt.NDArray[np.intp], Floats]:
        """(K,) ids of the targets that may share area with a footprint, its rotation left aside, and (K,) that area."""
        reach_nm = self._half_nm + place.width_nm / 2
        first, last = np.searchsorted(self._x_nm, (place.x_nm - reach_nm, place.x_nm + reach_nm))
        near, tree = self._by_x[first:last], self._task.tree
        width_nm, height_nm = tree.width_nm[near], tree.height_nm[near]
        across_nm = (width_nm + place.width_nm) / 2 - np.abs(tree.x_nm[near] - place.x_nm)
        down_nm = (height_nm + place.height_nm) / 2 - np.abs(tree.y_nm[near] - place.y_nm)
        across_nm = np.minimum(across_nm, np.minimum(width_nm, place.width_nm))
        down_nm = np.minimum(down_nm, np.minimum(height_nm, place.height_nm))
        return near, np.asarray(np.maximum(across_nm, 0.0) * np.maximum(down_nm, 0.0))

    def _learn(self, step: Step, score: Score, look: int, anew: bool) -> None:
        """Keep what the scorer read, let it learn the background, and judge again when that has changed enough."""
        sharpness = score.quality.get("sharpness")
        if self._task.looks[look].purpose is Purpose.DETAIL and sharpness is not None and np.isfinite(sharpness):
            self._sharpness = [*self._sharpness[:_REFERENCE_FRAMES], sharpness]
        cells = np.array(score.cells)
        source = np.where(cells == step.target, SEEN, ABOVE)
        descriptors = np.array(score.descriptors, dtype=np.float64)
        self._descriptors[source, cells] = descriptors
        self._look[source, cells] = look
        self.interest[source, cells] = judged(np.array(score.interest))
        name = self._task.looks[look].name
        self._scorer.observe(name, descriptors)
        if _grown(self._observed, self._refresh_at, look, len(cells)) and anew:
            known = self._look == look
            self.interest[known] = judged(self._scorer.interest(name, self._descriptors[known]))


def _grown(observed: list[int], refresh_at: list[float], look: int, cells: int) -> bool:
    """Count ``cells`` more of a look; whether its background has grown enough to judge all of them anew."""
    observed[look] += cells
    if not cells or observed[look] < refresh_at[look]:
        return False
    refresh_at[look] = observed[look] * _REFRESH_GROWTH
    return True


def judged(interest: Floats) -> Floats:
    """(K,) interest within 0 … ``MOST_INTEREST``; what is unknown stays NaN."""
    return np.clip(interest, 0.0, MOST_INTEREST)


def _blames_the_place(fault: Fault) -> bool:
    return fault.error not in _NOT_THE_PLACE and not fault.message.startswith(MASKED)
