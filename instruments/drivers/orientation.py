"""How a vendor's stage axes lie in the image: measured, given to the driver, and dealt with there, once.

Beyond the driver, stage +x moves features to +column and +y to +row, by as many nm (``DESIGN`` signs).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator

from instruments.drivers.refusals import asked
from instruments.errors import NotCalibrated
from instruments.types import StagePosition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from instruments.limits import Range

Ratio: TypeAlias = float
_SLACK: Ratio = 0.2
"""A stage whose nanometre is further than this from the image's is not calibrated but broken."""


def _of_one_scale(matrix: tuple[tuple[Ratio, Ratio], tuple[Ratio, Ratio]]) -> Matrix:
    (a, b), (c, d) = matrix
    if not abs(abs(a * d - b * c) - 1.0) <= _SLACK:
        raise ValueError(
            f"stage_to_image has determinant {a * d - b * c:g}, expected +1 (turned) or −1 (turned and mirrored): its "
            "entries are nm in the image per nm of the stage, so measure it again, or the pixel size"
        )
    return matrix


Matrix: TypeAlias = tuple[tuple[Ratio, Ratio], tuple[Ratio, Ratio]]
StageToImage: TypeAlias = Annotated[Matrix, AfterValidator(_of_one_scale)]
"""((column per x, column per y), (row per x, row per y)): where a nm of the vendor's stage moves the features."""

METRES_RADIANS: Mapping[str, tuple[str, Ratio]] = {
    "x_nm": ("x", 1e9), "y_nm": ("y", 1e9), "z_nm": ("z", 1e9),
    "alpha_deg": ("a", math.degrees(1.0)), "beta_deg": ("b", math.degrees(1.0)),
}  # fmt: skip
"""Thermo Fisher's axes: ours, theirs, and how many of our unit make one of theirs."""

STRAIGHT: Matrix = ((1.0, 0.0), (0.0, 1.0))


def to_ours(x_nm: float, y_nm: float, matrix: Matrix | None) -> tuple[float, float]:
    """(x, y) nm of the vendor's stage in our axes; as it is where the matrix is not known."""
    (a, b), (c, d) = matrix or STRAIGHT
    return a * x_nm + b * y_nm, c * x_nm + d * y_nm


def their_target(
    target: StagePosition, ranges: Mapping[str, Range], now: StagePosition, matrix: Matrix | None
) -> dict[str, float]:
    """Where the vendor's stage is to go, by our names of its axes: those that were named, x and y always together.

    Args:
        target: in our axes.
        ranges: of the vendor's axes.
        now: the stage as read, in our axes.
        matrix: of the instrument, None where it was not measured.

    Raises:
        NotSupported: an axis that this stage lacks.
        LimitError: not a finite number, or out of the vendor's range.
        NotCalibrated: x or y was asked and the matrix is not known.
    """
    free = {name: (-math.inf, math.inf) if name in ("x_nm", "y_nm") else ends for name, ends in ranges.items()}
    return asked(StagePosition(**to_theirs(asked(target, free), now, matrix)), ranges)


def to_theirs(targets: Mapping[str, float], now: StagePosition, matrix: Matrix | None) -> dict[str, float]:
    """The named axes (our ``x_nm``, ``y_nm``, and others that pass through) in the vendor's axes.

    Where the axes are turned, moving along one of ours needs both of theirs, so ``now``, in our axes, gives the other.

    Raises:
        NotCalibrated: x or y was asked and the matrix is not known.

    >>> to_theirs({"x_nm": 5.0}, StagePosition(x_nm=0.0, y_nm=2.0), ((0.0, -1.0), (1.0, 0.0)))
    {'x_nm': 2.0, 'y_nm': -5.0}
    """
    theirs = dict(targets)
    if "x_nm" not in targets and "y_nm" not in targets:
        return theirs
    if matrix is None:
        raise NotCalibrated(
            "a move in x or y was asked, but where the stage moves the image is not known: measure it, and set "
            "instrument.stage_to_image (docs/drivers.md)"
        )
    x, y = targets.get("x_nm", now.x_nm), targets.get("y_nm", now.y_nm)
    if x is None or y is None:
        raise NotCalibrated("the stage does not read x and y, which a move needs: see to the stage")
    (a, b), (c, d) = matrix
    scale = a * d - b * c
    theirs["x_nm"], theirs["y_nm"] = (d * x - b * y) / scale, (a * y - c * x) / scale
    return theirs
