"""The lenses as they are: what was set, on top of errors that nobody knows and that wander."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from instruments.simulated.column import Probe
from instruments.simulated.hashing import uniform
from instruments.simulated.wander import WAVES, Wander
from instruments.types import Optics

if TYPE_CHECKING:
    from instruments.simulated.settings import ColumnSettings

_OFFSETS, _HIGHER, _WANDER, _HIGHER_WANDER = 400, 401, 402, 403
"""Streams of randomness."""


class Lenses:
    """Residual aberrations of one column."""

    def __init__(self, settings: ColumnSettings, seed: int) -> None:
        self._settings = settings
        first = 2 * uniform(seed, _OFFSETS, np.arange(3)).astype(np.float64) - 1
        self._offsets_nm = first * [settings.focus_offset_nm, settings.stig_offset_nm, settings.stig_offset_nm]
        coma, threefold = settings.coma_offset_nm, settings.threefold_offset_nm
        higher = 2 * uniform(seed, _HIGHER, np.arange(5)).astype(np.float64) - 1
        self._higher_nm = higher * [coma, coma, threefold, threefold, settings.spherical_offset_nm]
        self._wander, self._higher_wander = Wander(seed, _WANDER, 3), Wander(seed, _HIGHER_WANDER, 5)

    def probe(self, optics: Optics, height_nm: float, at_s: float) -> Probe:
        """The probe that really scans a specimen that lies ``height_nm`` nearer to the lens than its plane."""
        settings = self._settings
        drifts = [settings.defocus_drift_nm, settings.stig_drift_nm, settings.stig_drift_nm]
        c10, c12a, c12b = self._offsets_nm + self._wander.at(at_s) * drifts / WAVES
        coma, threefold = settings.coma_drift_nm, settings.threefold_drift_nm
        wandered = self._higher_wander.at(at_s) * [coma, coma, threefold, threefold, settings.spherical_drift_nm]
        higher = self._higher_nm + wandered / WAVES
        asked = (optics.coma_a_nm, optics.coma_b_nm, optics.threefold_a_nm, optics.threefold_b_nm, optics.spherical_nm)
        return Probe(
            defocus_nm=(optics.defocus_nm or 0.0) + float(c10) - height_nm,
            stig_a_nm=(optics.stig_a_nm or 0.0) + float(c12a),
            stig_b_nm=(optics.stig_b_nm or 0.0) + float(c12b),
            convergence_mrad=optics.convergence_mrad or settings.convergence_mrad,
            source_size_nm=settings.source_size_nm,
            higher_nm=tuple((a or 0.0) + float(b) for a, b in zip(asked, higher, strict=True)),
        )


def at_rest(settings: ColumnSettings) -> Optics:
    """The read-back when the world begins: every control that there is at 0."""
    coma, threefold = (None if allowed is None else 0.0 for allowed in (settings.coma_nm, settings.threefold_nm))
    return Optics(
        defocus_nm=0.0,
        stig_a_nm=0.0,
        stig_b_nm=0.0,
        coma_a_nm=coma,
        coma_b_nm=coma,
        threefold_a_nm=threefold,
        threefold_b_nm=threefold,
        spherical_nm=None if settings.spherical_nm is None else 0.0,
        current_pA=settings.current_pA,
        convergence_mrad=settings.convergence_mrad,
        voltage_kV=settings.voltage_kV,
    )
