"""What a driver refuses before its instrument sees it: most instruments clamp in silence, or take nonsense."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from instruments.bounds import TILTS, number, within
from instruments.errors import LimitError, NotSupported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from instruments.limits import Range
    from instruments.types import Exposure, Optics, StagePosition

_MOST_PIXELS = 2**26


def asked(target: StagePosition | Optics, ranges: Mapping[str, Range]) -> dict[str, float]:
    """The values that were given, by name, each in its range.

    Raises:
        NotSupported: an axis or control that is not in ``ranges``: this instrument lacks it.
        LimitError: outside its range, or not a finite number.
    """
    given = {field.name: value for field in fields(target) if (value := getattr(target, field.name)) is not None}
    for name, value in given.items():
        if name not in ranges:
            known = ", ".join(ranges) or "nothing"
            raise NotSupported(f"{name} = {value} was asked; this instrument sets {known} only: leave it None")
    return {name: within(name, value, ranges[name]) for name, value in given.items()}


def tilts(ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Of all that can be set, the axes of tilt."""
    return {name: ranges[name] for name in TILTS if name in ranges}


def exposed(
    exposure: Exposure, *, field_of_view_nm: Range, dwell_us: Range, detectors: tuple[str, ...], rotates: bool = False
) -> tuple[str, ...]:
    """The detectors to read.

    Raises:
        LimitError: a number outside its range, or not finite.
        NotSupported: a detector that is not there, or a rotation where there is none.
    """
    counts = (*exposure.shape, exposure.frames)
    if len(counts) != 3 or not all(isinstance(count, int) and count >= 1 for count in counts):
        raise LimitError(f"{exposure.frames} frame(s) of {exposure.shape} pixels were asked: give whole numbers")
    if math.prod(counts) > _MOST_PIXELS:
        raise LimitError(f"{math.prod(counts)} pixels were asked in one exposure, {_MOST_PIXELS} fit: ask for fewer")
    within("field_of_view_nm", exposure.field_of_view_nm, field_of_view_nm)
    within("dwell_us", exposure.dwell_us, dwell_us)
    within("interval_s", exposure.interval_s, (0.0, 86400.0))
    number("rotation_deg", exposure.rotation_deg)
    if exposure.rotation_deg and not rotates:
        raise NotSupported(f"rotation_deg = {exposure.rotation_deg} was asked; nothing turns the frame: ask for 0")
    for name in exposure.signals or ():
        if name not in detectors:
            raise NotSupported(f"signal {name!r} was asked; the detectors that are in are {', '.join(detectors)}")
    return detectors if exposure.signals is None else exposure.signals


def short(frame_s: float, longest_s: float, way_out: str = "") -> None:
    """Of an instrument that does one thing at a time: a blank waits for a frame that is under way. Raises LimitError.

    ``way_out``: what else can be done than to ask for less.
    """
    if not frame_s <= longest_s:
        raise LimitError(
            f"a frame of {frame_s:g} s was asked, and a blank would wait for it: {way_out}ask for {longest_s:g} s, or "
            "let a blank wait for longer (instrument.longest_frame_s)"
        )


def binning(exposure: Exposure, pixel_size_nm: float, sensor_px: tuple[int, int], most: int = 8) -> int:
    """How many of a camera's pixels make one of the frame's, on a side.

    A camera's frame is not resampled: its pixels are those of the sensor, or whole squares of them.

    Args:
        exposure: what was asked.
        pixel_size_nm: of the unbinned sensor, on the specimen.
        sensor_px: rows and columns.
        most: largest binning of this camera.

    Raises:
        LimitError: no whole number gives the pixels asked for, or the sensor is too small; nothing is exposed.

    >>> from instruments.types import Exposure
    >>> binning(Exposure(field_of_view_nm=256, shape=(128, 128), dwell_us=1), 1.0, (1024, 1024))
    2
    """
    wanted_nm = number("field_of_view_nm", exposure.field_of_view_nm) / exposure.shape[1]
    factor = max(round(wanted_nm / pixel_size_nm), 1)
    if factor > most or not math.isclose(wanted_nm, factor * pixel_size_nm, rel_tol=1e-3):
        known = ", ".join(f"{n * pixel_size_nm:g}" for n in range(1, most + 1))
        raise LimitError(
            f"pixels of {wanted_nm:g} nm were asked; this camera, at this magnification, has pixels of {known} nm: "
            "set field_of_view_nm to one of these times the number of columns, or another magnification"
        )
    for name, count, there in zip(("rows", "columns"), exposure.shape, sensor_px, strict=True):
        if count * factor > there:
            raise LimitError(f"{count} {name} of {factor} pixels were asked; the camera has {there}: ask for fewer")
    return factor
