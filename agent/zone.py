"""Tilt to a zone axis: read the lean from a pattern, tilt it away, look again until two patterns in a row agree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from envs.skills import SkillResult
from envs.step import Purpose
from instruments.errors import InstrumentError
from instruments.physics import wavelength_nm
from instruments.powers import HasDiffraction, HasTilt
from instruments.types import Exposure, StagePosition
from models.zone import Lean, lean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.settings import ZoneSettings
    from instruments.protocol import Microscope
    from instruments.types import Frame, Outcome

    Expose: TypeAlias = Callable[[Exposure, Purpose], Frame]

_AGREE, _SHARE = 2.0, 0.15
"""A pattern agrees with what the tilt since the last should have made of it, within so many tolerances and so much of
the lean that is left: a larger one is read less well.
"""
_PROBE_MRAD, _TELLING_MRAD = 17.5, 12.0
"""So far the holder leans on purpose. After a smaller tilt two patterns agree whatever they show: those of a layer one
atom thick never change.
"""
_WIDEST_DISC_MRAD = 6.0
"""Discs of larger cones overlap, and no reflection can be told from the next."""


class ZoneAxis:
    """Brings the nearest zone axis onto the beam, as far as the holder tilts."""

    def __init__(self, settings: ZoneSettings) -> None:
        self._settings = settings
        self._exposure = Exposure(
            field_of_view_nm=settings.field_of_view_nm,
            shape=(4, 4),
            dwell_us=settings.dwell_us,
            signals=(settings.camera,),
        )

    @property
    def name(self) -> str:
        return "zone_axis"

    @property
    def cost_s(self) -> float:
        return sum(each.duration_s + self._settings.tilt_s for each in self.cost_exposures())

    def cost_exposures(self) -> tuple[Exposure, ...]:
        return (self._exposure,) * self._settings.patterns

    def run(self, guard: Microscope, expose: Expose) -> SkillResult:
        """Raises what the guard raises, with the stage back at its tilt unless that is what failed."""
        state, tilt, cameras = guard.state(), guard.power(HasTilt), guard.power(HasDiffraction)
        cone, voltage = state.optics.convergence_mrad, state.optics.voltage_kV
        if tilt is None or cameras is None or self._settings.camera not in cameras.patterns():
            return SkillResult(
                ok=False, message=f"this needs a holder that tilts and a camera {self._settings.camera!r}"
            )
        if cone is None or voltage is None or cone > _WIDEST_DISC_MRAD:
            told = "unknown" if cone is None else f"{cone:g} mrad"
            return SkillResult(
                ok=False, message=f"the cone is {told}: take one under {_WIDEST_DISC_MRAD:g} mrad, so that discs part"
            )
        start = StagePosition(alpha_deg=state.stage.alpha_deg, beta_deg=state.stage.beta_deg)
        try:
            return self._search(guard, expose, tilt.tilt_range_deg(), (cone, wavelength_nm(voltage)))
        except InstrumentError:
            guard.move(start)
            raise

    def _search(
        self,
        guard: Microscope,
        expose: Expose,
        ranges_deg: Mapping[str, tuple[float, float]],
        probe: tuple[float, float],
    ) -> SkillResult:
        before = guard.state().stage
        first: Lean | None = None
        expected: tuple[float, float] | None = None
        tested = False
        for number in range(1, self._settings.patterns + 1):
            try:
                found = self._read(expose(self._exposure, Purpose.FOCUS), probe)
            except ValueError as error:
                return self._given_up(guard, before, str(error))
            if not found.settled:
                return self._given_up(guard, before, f"pattern {number} shows no Laue circle")
            first = first or found
            agrees = expected is not None and math.dist(found.tilt_mrad, expected) <= (
                _AGREE * self._tolerance_mrad + _SHARE * math.hypot(*expected)
            )
            along, across = found.tilt_mrad
            tilt_mrad = (along, across)
            if not (agrees and tested) and math.hypot(along * ("beta_deg" in ranges_deg), across) <= _TELLING_MRAD:
                # nothing more to tilt away: lean on purpose, and believe it once the pattern leans as well
                tilt_mrad = (along, across - _PROBE_MRAD)
            moved, reached = self._tilted(guard, ranges_deg, tilt_mrad)
            left_mrad = tuple(a + math.radians(b) * 1e3 for a, b in zip(found.tilt_mrad, reached, strict=True))
            if agrees and tested:
                return self._done(first, left_mrad, moved)
            if reached == (0.0, 0.0):
                return self._given_up(guard, before, "the holder reaches no nearer")
            expected = (left_mrad[0], left_mrad[1])
            tested = math.hypot(*reached) >= math.degrees(_TELLING_MRAD * 1e-3)
        return self._given_up(guard, before, f"{self._settings.patterns} patterns did not agree")

    @property
    def _tolerance_mrad(self) -> float:
        return math.radians(self._settings.tolerance_deg) * 1e3

    def _tilted(
        self, guard: Microscope, ranges_deg: Mapping[str, tuple[float, float]], lean_mrad: tuple[float, float]
    ) -> tuple[Outcome[StagePosition], tuple[float, float]]:
        """Tilt a lean away as far as the holder goes; the second are the changes of beta and alpha in degrees."""
        stage, asked, changes = guard.state().stage, {}, []
        for axis, mrad in (("beta_deg", lean_mrad[0]), ("alpha_deg", lean_mrad[1])):
            at, allowed = getattr(stage, axis), ranges_deg.get(axis)
            if at is None or allowed is None:
                changes.append(0.0)
                continue
            asked[axis] = min(max(at - math.degrees(mrad * 1e-3), allowed[0]), allowed[1])
            changes.append(asked[axis] - at)
        moved = guard.move(StagePosition(**asked))
        if changes != [0.0, 0.0]:  # what was reached counts, not what was asked
            ends = ((getattr(stage, axis), getattr(moved.achieved, axis)) for axis in ("beta_deg", "alpha_deg"))
            changes = [
                change if start is None or end is None else end - start
                for change, (start, end) in zip(changes, ends, strict=True)
            ]
        return moved, (changes[0], changes[1])

    def _read(self, frame: Frame, probe: tuple[float, float]) -> Lean:
        """Raises ValueError for a frame without patterns, or one that says nothing."""
        signal = frame.signals.get(self._settings.camera)
        if signal is None or signal.data.ndim != 4:
            raise ValueError(f"the camera {self._settings.camera!r} gave no patterns")
        ky, kx = signal.axes[-2:]
        return lean(
            signal.data.sum((0, 1), dtype=float),
            (ky.scale, kx.scale),
            (-ky.offset / ky.scale, -kx.offset / kx.scale),
            convergence_mrad=probe[0],
            wavelength_nm=probe[1],
        )

    def _done(self, first: Lean, left_mrad: tuple[float, ...], moved: Outcome[StagePosition]) -> SkillResult:
        left_deg = math.degrees(math.hypot(*left_mrad) * 1e-3)
        near = left_deg <= self._settings.tolerance_deg
        rest = "" if near else ": the holder reaches no nearer"
        return SkillResult(
            ok=near,
            message=f"the zone axis leaned by {first.size_deg:.2f}°, now by {left_deg:.2f}°{rest}",
            stage=moved,
            data={"lean_before_deg": first.size_deg, "lean_after_deg": left_deg},
        )

    def _given_up(self, guard: Microscope, before: StagePosition, why: str) -> SkillResult:
        guard.move(StagePosition(alpha_deg=before.alpha_deg, beta_deg=before.beta_deg))
        return SkillResult(ok=False, message=f"{why}; the tilt is as it was")
