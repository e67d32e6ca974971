"""Refocus by estimate: a few images under known changes tell defocus and astigmatism, and how sure that is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from envs.skills import SkillResult
from envs.step import Purpose
from instruments.errors import InstrumentError, NotSupported
from instruments.types import Optics, Outcome, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from agent.focus_reading import FocusReading, Reader
    from agent.settings import EstimateSettings
    from instruments.protocol import Microscope
    from instruments.types import Exposure, Frame

    Expose: TypeAlias = Callable[[Exposure, Purpose], Frame]
    Array: TypeAlias = npt.NDArray[np.float64]


class EstimateFocus:
    """Corrects what it is sure of, and otherwise leaves the lenses as they were and says why."""

    def __init__(self, settings: EstimateSettings, reader: Reader) -> None:
        self._settings, self._reader = settings, reader
        self._exposure = reader.exposure

    @property
    def name(self) -> str:
        return "refocus"

    @property
    def cost_s(self) -> float:
        return sum(each.duration_s + self._settings.settle_s for each in self.cost_exposures())

    def cost_exposures(self) -> tuple[Exposure, ...]:
        return (self._exposure,) * len(self._settings.defoci_nm)

    def run(self, guard: Microscope, expose: Expose) -> SkillResult:
        """Raises what the guard raises, with lenses and stage back where they were unless that is what failed."""
        state = guard.state()
        start, stage = state.optics, state.stage
        if start.defocus_nm is None:
            return SkillResult(ok=False, message="this instrument does not read back its defocus: focus by hand")
        before = Optics(defocus_nm=start.defocus_nm)
        try:
            images, changes_nm = self._beside(guard, expose, start.defocus_nm, stage.x_nm)
        except NotSupported as error:
            with suppress(NotSupported):  # it may be the focus that nobody can change
                guard.tune(before)
            return SkillResult(ok=False, message=f"no focus to change here: {error}")
        except InstrumentError:
            guard.tune(before)
            raise
        try:
            found = self._reader.read(images, changes_nm, start)
        except ValueError as error:
            guard.tune(before)
            return SkillResult(ok=False, message=f"{error}; the focus is as it was")
        if not found.settled:
            guard.tune(before)
            return SkillResult(ok=False, message=f"{found.reason}; the focus is as it was", data=_told(found))
        return self._corrected(guard, start, found)

    def _beside(self, guard: Microscope, expose: Expose, start_nm: float, x_nm: float | None) -> tuple[Array, Array]:
        """The series where the dose does no harm; the stage is back after it, whatever came of it."""
        if not self._settings.beside_nm or x_nm is None:
            return self._series(guard, expose, start_nm)
        try:
            guard.move(StagePosition(x_nm=x_nm + self._settings.beside_nm))
            return self._series(guard, expose, start_nm)
        finally:
            guard.move(StagePosition(x_nm=x_nm))

    def _series(self, guard: Microscope, expose: Expose, start_nm: float) -> tuple[Array, Array]:
        """(K, H, W) electrons of one image for each of the settings' defoci, and (K,) by how much it really changed."""
        images, changes_nm = [], []
        for by_nm in self._settings.defoci_nm:
            guard.tune(Optics(defocus_nm=start_nm + by_nm))
            frame = expose(self._exposure, Purpose.FOCUS)
            images.append(self._reader.image(frame))
            at_nm = frame.optics.defocus_nm
            changes_nm.append(by_nm if at_nm is None else at_nm - start_nm)
        return np.stack(images), np.array(changes_nm)

    def _corrected(self, guard: Microscope, start: Optics, found: FocusReading) -> SkillResult:
        c10, c12a, c12b = (float(value) for value in found.found_nm)
        stig = {}
        if self._settings.search_stig_nm and start.stig_a_nm is not None and start.stig_b_nm is not None:
            stig = {"stig_a_nm": start.stig_a_nm - c12a, "stig_b_nm": start.stig_b_nm - c12b}
        asked = Optics(defocus_nm=(start.defocus_nm or 0.0) - c10, **stig)
        try:
            reached = guard.tune(asked)
        except InstrumentError:
            guard.tune(Optics(defocus_nm=start.defocus_nm))
            raise
        told = f"defocus was off by {c10:.1f} ± {found.std_nm[0]:.1f} nm"
        if stig:
            told += f", astigmatism by {np.hypot(c12a, c12b):.1f} ± {np.hypot(*found.std_nm[1:3]):.1f} nm"
        return SkillResult(
            ok=True, message=f"{told}: corrected", optics=Outcome(asked, reached.achieved), data=_told(found)
        )


def _told(found: FocusReading) -> dict[str, float]:
    c10, c12a, c12b = (float(value) for value in found.found_nm)
    return {
        "defocus_error_nm": c10,
        "defocus_std_nm": float(found.std_nm[0]),
        "stig_a_error_nm": c12a,
        "stig_b_error_nm": c12b,
        "stig_std_nm": float(np.hypot(*found.std_nm[1:3])),
    }
