"""Eucentric height: wobble the stage, measure how the image swings, move the specimen into the axis of tilt.

A place h above the axis swings by 2 h sin δ between the tilts +δ and −δ, across the axis, which lies along x. Of two
pairs of images the first, wide, measures; the second, closer, checks the sign that the first assumed and corrects the
rest.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from envs.drift import shift_px
from envs.skills import SkillResult
from envs.step import Purpose
from instruments.errors import InstrumentError
from instruments.powers import HasTilt
from instruments.types import Exposure, Outcome, StagePosition

Ratio: TypeAlias = float

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.settings import HeightSettings
    from instruments.protocol import Microscope
    from instruments.types import Frame

    Expose: TypeAlias = Callable[[Exposure, Purpose], Frame]


_LEAST_DEG = 0.5
_LEAST_CYCLES: Ratio = 6.0
_HARDLY: Ratio = 4.0
"""A peak of the first correlation is believed so soon, for the second pair checks it,"""
_SURELY: Ratio = 12.0
"""and that so late: of frames that show nothing, the highest of smooth noise's peaks reaches 9."""


class EucentricHeight:
    """Brings the place under the beam to the eucentric height, or leaves it where it was and says why."""

    def __init__(self, settings: HeightSettings) -> None:
        self._settings = settings
        self._wide = Exposure(
            field_of_view_nm=settings.field_of_view_nm,
            shape=(settings.pixels, settings.pixels),
            dwell_us=settings.dwell_us,
        )
        self._close = replace(self._wide, field_of_view_nm=settings.field_of_view_nm / settings.closer)

    @property
    def name(self) -> str:
        return "eucentric_height"

    @property
    def cost_s(self) -> float:
        return sum(each.duration_s + self._settings.tilt_s for each in self.cost_exposures())

    def cost_exposures(self) -> tuple[Exposure, ...]:
        return (self._wide, self._wide, self._close, self._close)

    def run(self, guard: Microscope, expose: Expose) -> SkillResult:
        """Raises what the guard raises, with the stage back at its tilt unless that is what failed."""
        stage, power = guard.state().stage, guard.power(HasTilt)
        if power is None or stage.alpha_deg is None or stage.z_nm is None:
            return SkillResult(ok=False, message="this holder has no tilt or height that can be read: set it by hand")
        low, high = power.tilt_range_deg().get("alpha_deg", (0.0, 0.0))
        delta = min(self._settings.tilt_deg, (high - low) / 2)
        middle = min(max(stage.alpha_deg, low + delta), high - delta)
        if delta < _LEAST_DEG:
            return SkillResult(
                ok=False, message=f"the tilt may go from {low:g} to {high:g}°: too little to see a swing"
            )
        try:
            return self._search(guard, expose, stage.z_nm, middle, delta)
        except InstrumentError:
            guard.move(StagePosition(alpha_deg=stage.alpha_deg))  # first: how high it may stand depends on the tilt
            guard.move(StagePosition(z_nm=stage.z_nm))
            raise
        finally:
            guard.move(StagePosition(alpha_deg=stage.alpha_deg))

    def _search(
        self, guard: Microscope, expose: Expose, start_nm: float, middle_deg: float, delta_deg: float
    ) -> SkillResult:
        # half the tilt first: structure that repeats is then not taken for its neighbour; the check tells if it was
        half = delta_deg / 2
        found = _height_nm(guard, expose, self._wide, (middle_deg - half, middle_deg + half), sure=_HARDLY)
        if found is None:
            return self._given_up(guard, start_nm, "the two images show nothing that can be compared")
        first_nm = found
        guard.move(StagePosition(z_nm=start_nm - first_nm))
        found = _height_nm(guard, expose, self._close, (middle_deg - delta_deg, middle_deg + delta_deg))
        if found is None:
            return self._given_up(guard, start_nm, "after the correction the images show nothing to compare")
        if abs(found) > max(0.5 * abs(first_nm), self._settings.tolerance_nm):
            reason = f"moving z by {-first_nm:.0f} nm left {found:.0f} nm: the sign of z or of the image is not as set"
            return self._given_up(guard, start_nm, reason)
        asked = StagePosition(z_nm=start_nm - first_nm - found)
        reached = guard.move(asked)
        return SkillResult(
            ok=True,
            message=f"moved z by {-first_nm - found:.0f} nm; the check had found {found:.0f} nm left",
            stage=Outcome(asked, reached.achieved),
            data={"height_before_nm": first_nm + found, "height_at_check_nm": found},
        )

    def _given_up(self, guard: Microscope, start_nm: float, why: str) -> SkillResult:
        guard.move(StagePosition(z_nm=start_nm))
        return SkillResult(ok=False, message=f"{why}; the height is as it was")


def _height_nm(
    guard: Microscope,
    expose: Expose,
    exposure: Exposure,
    tilts_deg: tuple[float, float],
    *,
    sure: Ratio = _SURELY,
) -> float | None:
    """How far the place lies above the axis, from one exposure at each tilt; None where they cannot be compared."""
    frames = []
    for tilt in tilts_deg:
        guard.move(StagePosition(alpha_deg=tilt))
        frames.append(expose(exposure, Purpose.FOCUS))
    swings = (shift_px(*pair, sure=sure, least_cycles=_LEAST_CYCLES) for pair in _pairs(frames[0], frames[1]))
    swing = next((found for found in swings if found is not None), None)
    if swing is None:
        return None
    first, last = (
        asked if frame.stage.alpha_deg is None else frame.stage.alpha_deg
        for asked, frame in zip(tilts_deg, frames, strict=True)
    )
    delta = math.radians(last - first) / 2
    if delta == 0:
        return None
    return swing[0] * exposure.pixel_size_nm / (2 * math.sin(delta))


def _pairs(one: Frame, other: Frame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (H, W) of each detector that gives some, from both frames."""
    for name, signal in one.signals.items():
        if signal.data.ndim == 2 and name in other.signals:
            yield signal.data.astype(np.float32), other.signals[name].data.astype(np.float32)
