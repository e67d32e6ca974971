"""What an exposure would cost: electrons, fluence, and the place that may be hit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from instruments.errors import BusyError, LimitError
from instruments.types import ELECTRONS_PER_PA_S, Footprint, StagePosition

if TYPE_CHECKING:
    from instruments.limits import Limits
    from instruments.types import Exposure, Frame, State


@dataclass(frozen=True, slots=True)
class Price:
    """What an exposure costs, before it is made."""

    place: Footprint
    electrons: float
    """Of the exposure itself."""
    most_electrons: float
    """And of all the time that the beam may stay on beyond it: so much is booked before it is on."""


def price_of(exposure: Exposure, stage: StagePosition, state: State, limits: Limits, overhead_s: float) -> Price:
    """The price of an exposure with the stage there; ``overhead_s``: for how much longer the beam may be on."""
    current_pA = current_of(state, limits)
    electrons = exposure.electrons(current_pA)
    place = place_of(exposure, stage, margin_nm(stage, limits), state.lit_nm)
    # Whoever blanks an exposure that hangs does so once all its time is over, and its waits are part of that.
    longest_s = exposure.duration_s + overhead_s if overhead_s > 0 else exposure.beam_on_s
    return Price(place, electrons, current_pA * ELECTRONS_PER_PA_S * longest_s)


def current_of(state: State, limits: Limits) -> float:
    """The probe current in pA to reckon with: as read, or the declared maximum where there is no usable reading.

    Zero is not usable: many columns can measure the probe only while it is not blanked.
    """
    current_pA = state.optics.current_pA
    if current_pA is None or not 0 < current_pA < math.inf:
        return limits.max_current_pA
    if current_pA > limits.max_current_pA:
        raise LimitError(
            f"the probe current reads {current_pA:g} pA, allowed is {limits.max_current_pA:g} pA: lower it"
        )
    return current_pA


def lit(exposure: Exposure, state: State) -> Exposure:
    """The exposure by what it lights, as the ledger books it: the frame, or a square of the lit disc's area.

    Electrons are reckoned with the exposure itself: this one has a single pixel.

    >>> from types import SimpleNamespace
    >>> from instruments.types import Exposure
    >>> look = Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=1.0)
    >>> round(lit(look, SimpleNamespace(lit_nm=2000.0)).field_of_view_nm)
    1772
    >>> lit(look, SimpleNamespace(lit_nm=None)) is look
    True
    """
    diameter_nm = state.lit_nm
    if diameter_nm is None:
        return exposure
    if not 0 < diameter_nm < math.inf:
        raise BusyError(f"the beam reads {diameter_nm} nm wide: what it would hit is not known; read it again")
    return replace(exposure, field_of_view_nm=diameter_nm * math.sqrt(math.pi) / 2, shape=(1, 1))


def place_of(exposure: Exposure, stage: StagePosition, margin_nm: float, lit_nm: float | None = None) -> Footprint:
    """The rectangle the exposure may hit with the stage there, ``margin_nm`` larger on every side.

    A beam that is wider than the frame hits what is around it; one that is narrower may lie anywhere in it.
    """
    x_nm, y_nm = stage.x_nm, stage.y_nm
    if x_nm is None or y_nm is None or not math.isfinite(x_nm + y_nm):
        raise BusyError(f"the stage reads ({x_nm}, {y_nm}): an exposure without a place is not made; read it again")
    sides_nm = (max(side_nm, lit_nm or 0.0) for side_nm in (exposure.field_of_view_nm, exposure.height_nm))
    size = dict(zip(("width_nm", "height_nm"), sides_nm, strict=True))
    return Footprint(x_nm=x_nm, y_nm=y_nm, **size, rotation_deg=exposure.rotation_deg).dilated(margin_nm)


def margin_nm(stage: StagePosition, limits: Limits) -> float:
    """How far from where the stage reads an exposure may hit: its uncertainty, and the swing of what lies off the axis.

    >>> from types import SimpleNamespace
    >>> limits = SimpleNamespace(stage_uncertainty_nm=20.0, off_axis_nm=1000.0)
    >>> margin_nm(StagePosition(alpha_deg=30.0), limits)
    597.350269
    """
    tilts = (math.radians(tilt) for tilt in (stage.alpha_deg, stage.beta_deg) if tilt is not None)
    return limits.stage_uncertainty_nm + round(
        (limits.off_axis_nm or 0.0) * sum(abs(math.tan(tilt)) for tilt in tilts), 6
    )


def swept(booked: Footprint, end: StagePosition) -> Footprint:
    """What a stage that slipped from the booked place to ``end`` may have dragged under the beam.

    >>> from instruments.types import Footprint, StagePosition
    >>> at = Footprint(x_nm=0.0, y_nm=0.0, width_nm=10.0, height_nm=10.0)
    >>> swept(at, StagePosition(x_nm=3.0, y_nm=4.0)).width_nm
    20.0
    """
    x_nm, y_nm = end.x_nm, end.y_nm
    if x_nm is None or y_nm is None or not math.isfinite(x_nm + y_nm):
        return booked
    return booked.dilated(math.dist((booked.x_nm, booked.y_nm), (x_nm, y_nm)))


def told(frame: Frame, price: Price) -> Frame:
    """The frame; where its driver cannot tell the electrons, with those of all the time that it took: never 0."""
    if 0 < frame.electrons < math.inf:
        return frame
    longer = (frame.end_s - frame.start_s) / frame.exposure.beam_on_s
    electrons = price.electrons * longer if longer > 1 else price.electrons
    return replace(frame, electrons=min(electrons, price.most_electrons))


def fluence_of(exposure: Exposure, place: Footprint, electrons: float) -> float:
    """Mean fluence (e/Å²) of an exposure on a place, all its numbers checked: LimitError where one is not usable."""
    numbers = (place.x_nm, place.y_nm, place.width_nm, place.height_nm, place.rotation_deg, electrons)
    if not all(map(math.isfinite, numbers)) or min(place.width_nm, place.height_nm) <= 0 or electrons < 0:
        raise LimitError(f"cannot book {electrons} electrons on {place}: every number must be finite, sizes above 0")
    return electrons / (exposure.field_of_view_nm * exposure.height_nm * 100.0)
