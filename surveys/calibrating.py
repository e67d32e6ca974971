"""Measure a stage by its moves: where it moves the image, how far it stays behind, how long a pixel is.

    two looks ─► short moves ─► longer ones, there and back, repeated ─► a move that was foretold ─► turning round

The instrument is opened as if its own axes were those of the image, so what is measured is the stage itself. Every move
ends in the same direction, so that the play of the drive is taken up; turning round then shows how much that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from surveys.calibrating_bench import Bench, CannotCalibrate, Floats, Image, NothingToCompare

if TYPE_CHECKING:
    from collections.abc import Callable

    from instruments.protocol import Microscope
    from instruments.types import Exposure

Ratio: TypeAlias = float
Say: TypeAlias = "Callable[[str], None]"

SHORT: Ratio = 1 / 12
"""Of the field of view: the first moves, which nobody knows the length of yet."""
LONG: Ratio = 1 / 4
"""How far the image is moved in the end."""
_LEAST_PX = 3.0
_UNLIKE: Ratio = 0.15
"""Longer moves that go another way than the short ones by more than this part are no moves of a stage."""
_SLACK: Ratio = 0.2
"""A nanometre of the stage and one of the image differ by less, or the size of the pixels is wrong."""
CHECK = (0.6, -0.8)
"""The move that is foretold, in long moves along x and y."""


@dataclass(frozen=True, slots=True)
class StageFound:
    """What the moves have shown. Matrices are ((column per x, column per y), (row per x, row per y))."""

    matrix: Floats
    """(2, 2) nm in the image per nm of the stage, with the pixels as long as the instrument says."""
    std: Ratio
    """Of each of its numbers: standard error of the mean."""
    move_nm: float
    """Of the stage, the longer of the two axes' moves."""
    check_nm: float
    """In the image, between where the check move was foretold to end and where it did."""
    backlash_nm: tuple[float, float]
    """Along the stage's x and y."""
    backlash_std_nm: float
    drift_nm_per_s: float
    frames: int
    moves_nm: Floats
    """(N, 2) along the stage's x and y, relative to the start."""
    shifts_nm: Floats
    """(N, 2) columns and rows that the image went by."""
    image: Image
    """(H, W) of the place."""

    @property
    def scale(self) -> Ratio:
        """Nanometres of the image in one of the stage: 1 where the pixels are as long as the instrument says."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix))))

    @property
    def turned_deg(self) -> float:
        """The stage's x in the image, clockwise from the columns."""
        return math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))

    @property
    def mirrored(self) -> bool:
        return float(np.linalg.det(self.matrix)) < 0


def measure_stage(
    scope: Microscope, exposure: Exposure, *, approach_nm: float, repeats: int = 3, say: Say = lambda _: None
) -> StageFound:
    """Move and look; the stage is back where it was in the end, whatever came of it.

    Args:
        scope: a guard over the instrument, opened with a straight ``stage_to_image``.
        exposure: how to look; the moves are an eighth to a third of its field of view.
        approach_nm: more than the play of the drive: every move ends with so much in the same direction.
        repeats: of the moves there and back; their spread is the uncertainty.
        say: told what is being done.

    Raises:
        CannotCalibrate: nothing to compare, too much drift, a stage that stays behind, or moves that contradict.
        InstrumentError: what the guard raises.
    """
    bench = Bench(scope, exposure, approach_nm)
    try:
        say("looking twice at the place")
        first, _, begun_s = bench.look(0.0, 0.0)
        again, _, ended_s = bench.look(0.0, 0.0)
        drift_nm = _still(bench, first, again)
        short_nm = exposure.field_of_view_nm * SHORT
        say(f"moving by {short_nm:.4g} nm along each axis")
        rough = np.column_stack([_short(bench, again, axis, short_nm, drift_nm) for axis in (0, 1)])
        long_nm = exposure.field_of_view_nm * LONG / np.linalg.norm(rough, axis=0)
        moves, shifts, columns = [], [], []
        base = bench.look(0.0, 0.0)[0]
        for number in range(repeats):
            lengths = f"{long_nm[0]:.4g} nm along x, {long_nm[1]:.4g} nm along y"
            say(f"moving by {lengths}, there and back: {number + 1} of {repeats}")
            pair = []
            for axis in (0, 1):
                there, at_nm, _ = bench.look(*np.where(np.arange(2) == axis, long_nm, 0.0))
                after = bench.look(0.0, 0.0)[0]
                moved = _there_and_back(bench, base, there, after, rough[:, axis] * long_nm[axis])
                moves.append(at_nm)
                shifts.append(moved)
                pair.append(moved / at_nm[axis])
                base = after
            columns.append(np.column_stack(pair))
        matrix = np.mean(columns, axis=0)
        std = float(np.std(columns, axis=0, ddof=1).max() / math.sqrt(repeats)) if repeats > 1 else math.inf
        say("a move that is foretold")
        there, at_nm, _ = bench.look(CHECK[0] * long_nm[0], CHECK[1] * long_nm[1])
        moved = _foretold(bench, base, there, matrix @ at_nm)
        moves.append(at_nm)
        shifts.append(moved)
        say("turning round, to see how far the stage stays behind")
        backlash, spread_nm = _turn_round(bench, matrix)
    finally:
        bench.back()
    return StageFound(
        matrix=matrix,
        std=std,
        move_nm=float(long_nm.max()),
        check_nm=float(np.linalg.norm(moved - matrix @ at_nm)),
        backlash_nm=backlash,
        backlash_std_nm=spread_nm,
        drift_nm_per_s=drift_nm / max(ended_s - begun_s, 1e-9),
        frames=bench.frames,
        moves_nm=np.array(moves),
        shifts_nm=np.array(shifts),
        image=first,
    )


def foretold(scope: Microscope, exposure: Exposure, approach_nm: float) -> float:
    """How far off a calibrated instrument's image stands, in nm, after one move. Raises CannotCalibrate."""
    bench = Bench(scope, exposure, approach_nm)
    try:
        before = bench.look(0.0, 0.0)[0]
        long_nm = exposure.field_of_view_nm * LONG
        there, at_nm, _ = bench.look(CHECK[0] * long_nm, CHECK[1] * long_nm)
        return float(np.linalg.norm(_foretold(bench, before, there, at_nm) - at_nm))
    finally:
        bench.back()


def _still(bench: Bench, first: Image, again: Image) -> float:
    """How far the image went by itself between two looks."""
    found = bench.shift_nm(first, again)
    width_nm = bench.exposure.field_of_view_nm
    if found is None:
        raise CannotCalibrate(
            f"two looks at one place ({width_nm:g} nm wide) show nothing that can be compared: go to a place with "
            "particles, edges or holes in view, focus, or give a longer dwell_us"
        )
    moved_nm = float(np.linalg.norm(found))
    if moved_nm > width_nm * SHORT / 2:
        raise CannotCalibrate(
            f"between two looks at one place the image went {moved_nm:.3g} nm by itself, and the first moves are of "
            f"{width_nm * SHORT:.3g} nm: wait for the drift to die down, or take a wider field of view"
        )
    return moved_nm


def _short(bench: Bench, before: Image, axis: int, short_nm: float, drift_nm: float) -> Floats:
    """(column, row) per nm along an axis, from a short move."""
    there, at_nm, _ = bench.look(*np.where(np.arange(2) == axis, short_nm, 0.0))
    moved = bench.shift_nm(before, there)
    name = "xy"[axis]
    if moved is None:
        raise CannotCalibrate(
            f"after a move of {short_nm:.3g} nm along {name} the image shows nothing of what it showed: the stage goes "
            "much further than it says, or pixels are much smaller than they are said to be; take a wider field of view"
        )
    went_nm = float(np.linalg.norm(moved))
    least_nm = max(_LEAST_PX * bench.exposure.pixel_size_nm, 2 * drift_nm)
    if went_nm < least_nm or not abs(at_nm[axis]) > 0:
        raise CannotCalibrate(
            f"a move of {short_nm:.3g} nm along {name} (the stage reads {at_nm[axis]:.3g} nm) moved the image by "
            f"{went_nm:.3g} nm, too little to tell: it is smaller than the play of the drive, so give an approach_nm "
            "that takes it up, or a wider field of view"
        )
    rate: Floats = moved / at_nm[axis]
    return rate


def _there_and_back(bench: Bench, before: Image, there: Image, after: Image, expected_nm: Floats) -> Floats:
    """How far a move took the image, with what it drifts by itself taken out."""
    out, home = bench.shift_nm(before, there), bench.shift_nm(after, there)
    drifted = bench.shift_nm(before, after)
    if out is None or home is None or drifted is None:
        raise CannotCalibrate("after a longer move the images show nothing in common: go to a place with more in view")
    length_nm = float(np.linalg.norm(expected_nm))
    if (off_nm := float(np.linalg.norm(drifted))) > length_nm / 3:
        raise CannotCalibrate(
            f"there and back left the image {off_nm:.3g} nm from where it was, after a move of {length_nm:.3g} nm: the "
            "specimen drifts, or approach_nm does not take up the play of the drive"
        )
    moved: Floats = (out + home) / 2
    if float(np.linalg.norm(moved - expected_nm)) > _UNLIKE * length_nm + _LEAST_PX * bench.exposure.pixel_size_nm:
        raise CannotCalibrate(
            f"short moves foretold that the image goes by {_pair(expected_nm)} nm (columns, rows), it went by "
            f"{_pair(moved)} nm: approach_nm does not take up the play of the drive, or the structure repeats; give a "
            "larger approach_nm, or another place"
        )
    return moved


def _foretold(bench: Bench, before: Image, there: Image, expected_nm: Floats) -> Floats:
    """How far the image went after a move that the matrix was not made from, near to what that says."""
    moved = bench.shift_nm(before, there)
    if moved is None:
        raise NothingToCompare(
            "after the check move the images show nothing in common: go to a place with more in view"
        )
    off_nm = float(np.linalg.norm(moved - expected_nm))
    if off_nm > _UNLIKE * float(np.linalg.norm(expected_nm)) + _LEAST_PX * bench.exposure.pixel_size_nm:
        raise CannotCalibrate(
            f"the matrix foretold {_pair(expected_nm)} nm (columns, rows) of a move that it was not made from, the "
            f"image went {_pair(moved)} nm: measure again, at a place without structure that repeats"
        )
    return moved


def _turn_round(bench: Bench, matrix: Floats, times: int = 2) -> tuple[tuple[float, float], float]:
    """How far the specimen stays behind along the stage's x and y when it comes from above, and the spread."""
    inverse, found = np.linalg.inv(matrix), []
    for _ in range(times):
        pair = []
        for axis in (0, 1):
            below, below_nm, _ = bench.look(0.0, 0.0)
            above, above_nm, _ = bench.look(0.0, 0.0, above=(axis == 0, axis == 1))
            moved = bench.shift_nm(below, above)
            if moved is None:
                raise CannotCalibrate(
                    "coming from above, the image shows nothing of what it shows from below: the stage stays behind by "
                    "more than is in view; take a wider field of view"
                )
            pair.append(float((inverse @ moved - (above_nm - below_nm))[axis]))
        found.append(pair)
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1).max() / math.sqrt(times)
    return (float(mean[0]), float(mean[1])), float(spread)


def judged(found: StageFound, *, pixels_known: bool) -> None:
    """Whether it can be a stage at all. Raises CannotCalibrate.

    ``pixels_known``: the field of view is the instrument's own, or was measured; then a nanometre is a nanometre.
    """
    long, short = np.linalg.svd(found.matrix, compute_uv=False)
    if not short > (1 - _SLACK) * long:
        raise CannotCalibrate(
            f"along one direction the stage moves the image {long / short:.3g} times as far as along another: one axis "
            "stays behind (approach_nm), or pixels are not square"
        )
    if pixels_known and abs(found.scale**2 - 1) > _SLACK:
        raise CannotCalibrate(
            f"the determinant is {np.linalg.det(found.matrix):.3g}, expected +1 or −1: the image moves "
            f"{found.scale:.3g} times as far as the stage; measure the field of view (--period-nm), then the stage"
        )


def _pair(values: Floats) -> str:
    return f"({values[0]:.3g}, {values[1]:.3g})"
