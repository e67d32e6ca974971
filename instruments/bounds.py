"""What the limits say of a request: pure functions that raise, and change nothing.

LimitError for what is never allowed, BusyError where the start of a move is not known.
"""

from __future__ import annotations

import math
from contextlib import suppress
from numbers import Integral, Real
from typing import TYPE_CHECKING

from instruments.errors import BusyError, LimitError, NotSupported
from instruments.limits import inside
from instruments.types import Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from instruments.limits import Limits, Range

LENGTHS = ("x_nm", "y_nm", "z_nm")
TILTS = ("alpha_deg", "beta_deg")
_LARGEST_ID = 2**63 - 1
"""What a database takes for a whole number."""


def number(name: str, value: object) -> float:
    """A finite number, as a float. A bool is not a number."""
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):  # an int beyond any float
            if math.isfinite(asked := float(value)):
                return asked
    raise LimitError(f"{name} = {value!r} is not a finite number: nothing was done; ask for one")


def within(name: str, value: object, allowed: Range | None) -> float:
    """A number in the range; a range of None allows none."""
    asked = number(name, value)
    if allowed is None:
        raise LimitError(f"{name} = {asked:g} was asked, but the limits do not allow {name} to be changed")
    if not allowed[0] <= asked <= allowed[1]:
        raise LimitError(f"{name} = {asked:g} was asked, allowed is {allowed[0]:g} to {allowed[1]:g}: stay inside")
    return asked


def merged(target: StagePosition, start: StagePosition) -> StagePosition:
    """Where every axis will be: the target's where it names one, else the start's."""
    places = {axis: getattr(target, axis) for axis in (*LENGTHS, *TILTS)}
    return StagePosition(**{axis: getattr(start, axis) if at is None else at for axis, at in places.items()})


def check_move(target: StagePosition, start: StagePosition, limits: Limits) -> None:
    """The whole way, not only its end: with the overshoot below the target, and z and tilt in any order."""
    if not isinstance(target, StagePosition):
        raise LimitError(f"asked to move to {target!r}: give a StagePosition")
    ways = {}
    for axis in (*LENGTHS, *TILTS):
        asked, found = getattr(target, axis), getattr(start, axis)
        if asked is None:
            ways[axis] = (found, found)
            continue
        asked = lowest = within(axis, asked, getattr(limits, axis))
        below, unit = (limits.backlash_nm, "nm") if axis in LENGTHS else (limits.backlash_deg, "°")
        if below:
            lowest -= below
            name = f"{axis} on the way to {asked:g} (less {below:g} {unit} of backlash)"
            within(name, lowest, getattr(limits, axis))
        if found is None and axis in TILTS:
            raise NotSupported(f"{axis} = {asked:g} was asked, but this holder reads no {axis}: leave it out")
        if found is None or not math.isfinite(found):
            raise BusyError(f"{axis} reads {found}, and where a move starts must be known: read the stage again")
        ways[axis] = (min(found, lowest), max(found, asked))
    if limits.z_tilt is not None:
        _check_coupling(ways["z_nm"], ways["alpha_deg"], limits.z_tilt)


def legs(target: StagePosition, limits: Limits) -> tuple[StagePosition, ...]:
    """The motions that a move is made of: below the target on x and y first, where the play is to be taken up there.

    Height and tilt are of the last one only, so that what is refused on the way has not changed them.
    """
    if not limits.approach_nm or (target.x_nm, target.y_nm) == (None, None):
        return (target,)
    x_nm, y_nm = (at if at is None else at - limits.approach_nm for at in (target.x_nm, target.y_nm))
    return StagePosition(x_nm=x_nm, y_nm=y_nm), target


def _check_coupling(
    z_way: tuple[float | None, float | None],
    alpha_way: tuple[float | None, float | None],
    allowed: tuple[tuple[float, float], ...],
) -> None:
    """The axes move in an order we do not know: the box that holds every way must lie in the convex region."""
    for z_nm in z_way:
        for alpha_deg in alpha_way:
            if z_nm is None or alpha_deg is None:
                raise BusyError(f"z reads {z_nm} nm, alpha {alpha_deg} deg, and each limits the other: read them again")
            if not inside(allowed, z_nm, alpha_deg):
                raise LimitError(
                    f"the way may pass z = {z_nm:g} nm with alpha = {alpha_deg:g} deg, outside what this holder "
                    "allows (z_tilt): go in smaller steps, or reduce the tilt first"
                )


def check_optics(target: Optics, limits: Limits) -> None:
    """Every control that is asked for lies in its range."""
    if not isinstance(target, Optics):
        raise LimitError(f"asked to tune to {target!r}: give an Optics")
    if target.voltage_kV is not None:
        raise LimitError(f"voltage_kV = {target.voltage_kV} was asked: the high tension is never changed from here")
    for name, allowed in (
        ("defocus_nm", limits.defocus_nm),
        ("stig_a_nm", limits.stig_nm),
        ("stig_b_nm", limits.stig_nm),
        ("coma_a_nm", limits.coma_nm),
        ("coma_b_nm", limits.coma_nm),
        ("threefold_a_nm", limits.threefold_nm),
        ("threefold_b_nm", limits.threefold_nm),
        ("spherical_nm", limits.spherical_nm),
        ("convergence_mrad", limits.convergence_mrad),
        ("current_pA", (0.0, limits.max_current_pA)),
    ):
        if getattr(target, name) is not None:
            within(name, getattr(target, name), allowed)


def check_exposure(exposure: Exposure, limits: Limits) -> None:
    """Every number of the exposure is one, and in its range."""
    if not isinstance(exposure, Exposure):
        raise LimitError(f"asked to acquire {exposure!r}: give an Exposure")
    within("field_of_view_nm", exposure.field_of_view_nm, limits.field_of_view_nm)
    within("dwell_us", exposure.dwell_us, limits.dwell_us)
    number("rotation_deg", exposure.rotation_deg)
    if number("interval_s", exposure.interval_s) < 0:
        raise LimitError(f"interval_s = {exposure.interval_s} was asked: a wait is 0 or more")
    if not isinstance(exposure.shape, tuple) or len(exposure.shape) != 2:
        raise LimitError(f"shape = {exposure.shape!r} was asked: give (rows, columns)")
    pixels = 1
    for name, count in (("rows", exposure.shape[0]), ("columns", exposure.shape[1]), ("frames", exposure.frames)):
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise LimitError(f"{name} = {count!r} was asked: give a whole number, 1 or more")
        pixels *= int(count)
    if pixels > limits.max_pixels:
        raise LimitError(f"{pixels} pixels in one exposure were asked, allowed are {limits.max_pixels}: use fewer")
    waits_s = exposure.interval_s * (exposure.frames - 1)
    if not waits_s <= limits.max_reading_age_s:
        raise LimitError(
            f"waits of {waits_s:g} s in one exposure were asked, and what is read before it counts for "
            f"{limits.max_reading_age_s:g} s (max_reading_age_s): use fewer frames, or several exposures"
        )
    if exposure.id is not None and not (type(exposure.id) is int and 0 <= exposure.id <= _LARGEST_ID):
        raise LimitError(f"exposure id = {exposure.id!r}: give the recorder's whole number")
    _check_signals(exposure.signals, limits.detectors)


def _check_signals(signals: object, detectors: tuple[str, ...] | None) -> None:
    """Detectors are asked for by names that exist; None asks for all."""
    if signals is None:
        return
    if not isinstance(signals, tuple) or not signals or not all(isinstance(name, str) for name in signals):
        raise LimitError(f"signals = {signals!r} was asked: give a tuple of detectors' names, or None for all")
    if detectors is not None and not set(signals) <= set(detectors):
        raise LimitError(f"detectors {signals} were asked, known are {detectors}: ask for those")
