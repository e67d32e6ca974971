"""What the simulated instrument refuses on its own, before anything moves."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from instruments.errors import LimitError, NotSupported

if TYPE_CHECKING:
    from instruments.simulated.settings import SimulatedSettings
    from instruments.simulated.stage_settings import StageSettings
    from instruments.types import Exposure, Optics, StagePosition


def named(target: StagePosition | Optics) -> dict[str, float]:
    """The values that were given, by name."""
    values = ((field.name, getattr(target, field.name)) for field in fields(target))
    return {name: value for name, value in values if value is not None}


def within(name: str, value: float, allowed: tuple[float, float]) -> None:
    """Refuse what is not a number inside a range.

    Raises:
        LimitError: it is not.
    """
    if not (math.isfinite(value) and allowed[0] <= value <= allowed[1]):
        raise LimitError(
            f"{name} = {value} was asked; this instrument allows {allowed[0]} to {allowed[1]}: ask for less"
        )


def check_move(target: StagePosition, settings: StageSettings) -> None:
    """Refuse a target outside the stage's range; the approach to it counts.

    Raises:
        LimitError: outside, or not a finite number.
        NotSupported: an axis this holder does not have.
    """
    ranges = {"x_nm": settings.x_nm, "y_nm": settings.y_nm, "z_nm": settings.z_nm}
    if settings.alpha_deg is not None:
        ranges["alpha_deg"] = settings.alpha_deg
    if settings.beta_deg is not None:
        ranges["beta_deg"] = settings.beta_deg
    before_nm = settings.backlash_nm if settings.approach else 0.0
    for name, value in named(target).items():
        if name not in ranges:
            raise NotSupported(f"{name} = {value} was asked; this holder moves {', '.join(ranges)} only: leave it None")
        low, high = ranges[name]
        within(name, value, (low + before_nm, high) if name in ("x_nm", "y_nm") else (low, high))


def check_optics(target: Optics, settings: SimulatedSettings) -> dict[str, float]:
    """The controls to set, by name.

    Raises:
        LimitError: outside the control's range, or not a finite number.
        NotSupported: not a control of this column.
    """
    column = settings.column
    known = {
        "defocus_nm": column.defocus_nm,
        "stig_a_nm": column.stig_nm,
        "stig_b_nm": column.stig_nm,
        "coma_a_nm": column.coma_nm,
        "coma_b_nm": column.coma_nm,
        "threefold_a_nm": column.threefold_nm,
        "threefold_b_nm": column.threefold_nm,
        "spherical_nm": column.spherical_nm,
        "current_pA": (0.0, column.max_current_pA),
    }
    ranges = {name: allowed for name, allowed in known.items() if allowed is not None}
    changes = named(target)
    for name, value in changes.items():
        if name not in ranges:
            raise NotSupported(f"{name} = {value} was asked; this column sets {', '.join(ranges)} only: leave it None")
        within(name, value, ranges[name])
    return changes


def check_exposure(exposure: Exposure, settings: SimulatedSettings) -> tuple[str, ...]:
    """The detectors to read.

    Raises:
        LimitError: a number outside the scan's range, or not finite.
        NotSupported: a detector that is not there.
    """
    rows, columns = exposure.shape
    if rows < 1 or columns < 1 or exposure.frames < 1 or rows * columns * exposure.frames > settings.max_pixels:
        raise LimitError(
            f"{exposure.frames} frame(s) of {rows} × {columns} pixels were asked; "
            f"at least one pixel and at most {settings.max_pixels} in all are possible"
        )
    within("field_of_view_nm", exposure.field_of_view_nm, settings.field_of_view_nm)
    within("height_nm", exposure.height_nm, (0.0, settings.field_of_view_nm[1]))
    within("dwell_us", exposure.dwell_us, settings.dwell_us)
    within("interval_s", exposure.interval_s, (0.0, 86400.0))
    within("rotation_deg", exposure.rotation_deg, (-360.0, 360.0))
    point, slow = settings.detectors(), settings.slow_detectors()
    names = tuple(point) if exposure.signals is None else exposure.signals
    for name in names:
        if name not in point and name not in slow:
            raise NotSupported(f"signal {name!r} was asked; the detectors that are in are {', '.join((*point, *slow))}")
        if (values := math.prod((exposure.frames, rows, columns, slow.get(name, 1)))) > settings.max_values:
            raise LimitError(
                f"{name} of {exposure.frames} frame(s) of {rows} × {columns} pixels makes {values} numbers, "
                f"at most {settings.max_values} are possible: scan fewer pixels"
            )
    if settings.specimen_by_recipe is not None and min(exposure.shape) < 4:
        raise LimitError(f"frames of {rows} × {columns} pixels were asked; 4 × 4 at least are possible")
    return tuple(names)
