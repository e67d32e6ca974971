"""Patterns point by point, where a vendor has no call for them that works: park the beam, take an image, blank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from instruments.errors import InstrumentError, LimitError, NotCalibrated, NotSupported

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from instruments.drivers.exposing import BeamTime
    from instruments.types import Exposure


def camera_time_s(exposure: Exposure, names: tuple[str, ...], overhead_s: float | None) -> float:
    """How long the camera exposes at each point: the dwell time, less what its call keeps the beam on for beside.

    Raises:
        NotSupported: more than this one camera was asked.
        NotCalibrated: ``overhead_s`` was not measured.
        LimitError: nothing is left of the dwell time, or the points do not lie in the scan's square field.
    """
    if len(names) != 1:
        raise NotSupported(f"{names} were asked at once: patterns are taken alone, of one camera, point by point")
    if exposure.shape[0] > exposure.shape[1]:
        raise LimitError(f"{exposure.shape} points were asked; the scan's field is a square: ask for no more rows")
    if overhead_s is None:
        raise NotCalibrated("patterns were asked, and instrument.camera_overhead_s is not set: measure it")
    if (left_s := exposure.dwell_us * 1e-6 - overhead_s) <= 0:
        raise LimitError(
            f"dwell_us = {exposure.dwell_us:g} was asked; the camera's call alone keeps the beam on for "
            f"{overhead_s * 1e6:g} us: ask for more"
        )
    return left_s


def stepped(
    exposure: Exposure,
    beam: BeamTime,
    park: Callable[[float, float], None],
    image: Callable[[], npt.NDArray[Any]],
    size_px: int,
) -> npt.NDArray[Any]:
    """Patterns ``(H, W, Ky, Kx)``, blanked between the points.

    Args:
        exposure: its points, in a square field as wide as its field of view.
        beam: counts how long it is on.
        park: puts the beam at (x, y), parts of the field: 0, 0 is the first pixel's corner.
        image: one camera image, ``(Ky, Kx)``.
        size_px: of a pattern, on a side.

    Raises:
        InstrumentError: an image of another size; the dose is spent.
    """
    rows, columns = exposure.shape
    patterns = []
    for row in range(rows):
        for column in range(columns):
            park((column + 0.5) / columns, 0.5 + (row + 0.5 - rows / 2) / columns)
            try:
                beam.on()
                patterns.append(image())
            finally:
                beam.off()
            if patterns[-1].shape != (size_px, size_px):
                raise InstrumentError(f"{size_px} px a side were asked, {patterns[-1].shape} came: the dose is spent")
    return np.stack(patterns).reshape(rows, columns, size_px, size_px)
