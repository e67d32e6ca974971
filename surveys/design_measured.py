"""How finely a quantity can be measured: the Cramér–Rao bound of what counted electrons tell of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from instruments.physics import wavelength_nm
from instruments.simulated.scattering import cross_section_nm2
from surveys.design_optics import lattice_image, lattice_of, probe_in, sites_nm
from surveys.design_proposal import Evidence, Proposal, Refused, offsets_nm
from surveys.design_statistics import PER_A2, ROSE

if TYPE_CHECKING:
    from surveys.design_question import MeasuredFeature, Question

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_FRAME_PX = 256
_REACH = 0.5
"""Of the way to the next column of the lattice: as far as a column's own pixels go."""
_STEP_NM = 1.0
_BOUND = Evidence(
    "Cramér–Rao bound, J = Σ (∂b/∂q)² / b over the pixels, times the electrons on each",
    "den Dekker et al., Ultramicroscopy 104 (2005) 83; van den Bos, Parameter Estimation (2007)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What an unbiased estimate reaches at best; as a ``Detectability`` of its being as fine as is wanted."""

    information: float
    """Fisher information of the quantity, per e/Å²."""
    precision: float
    """Wanted standard deviation; in the quantity's unit, nm or a ratio."""
    per_column: float = 0.0
    """Fisher information of one column's position, per nm² and e/Å²."""

    def column_nm(self, fluence_e_per_A2: float) -> float:
        """Least standard deviation of one column's position along one axis."""
        return 1 / math.sqrt(self.per_column * fluence_e_per_A2)

    def deviation(self, fluence_e_per_A2: float) -> float:
        """Least standard deviation of an unbiased estimate, in the quantity's unit."""
        return 1 / math.sqrt(self.information * fluence_e_per_A2)

    def snr(self, fluence_e_per_A2: float) -> Ratio:
        """The wanted standard deviation over the reached."""
        return self.precision / self.deviation(fluence_e_per_A2)

    def probability(self, fluence_e_per_A2: float) -> Ratio:
        """Chance that an estimate is off by no more than twice what is wanted."""
        return float(special.erf(math.sqrt(2) * self.snr(fluence_e_per_A2)))

    def dose_e_per_A2(self, detection: Ratio) -> float:
        """Fluence that brings the standard deviation down to what is wanted, whatever chance is asked."""
        return 1 / (self.information * self.precision**2)

    def rose_e_per_A2(self) -> float:
        """Fluence at which it is five times finer than wanted."""
        return ROSE**2 * self.dose_e_per_A2(0.0)


def bound(question: Question, feature: MeasuredFeature, technique: str) -> Proposal | Refused:
    """The bound in an annular dark field image of a crystal's columns; other techniques are refused."""
    if technique != "HAADF":
        return Refused(technique=technique, why="bounds are built for columns in an annular dark field")
    if question.specimen.crystal is None:
        return Refused(technique=technique, why="bounds are built for columns of atoms: name a crystal")
    made, film, ring = question.instrument, question.specimen, question.instrument.haadf_mrad
    sections = {e: cross_section_nm2(e, *ring, made.voltage_kV, made.convergence_mrad) for e in film.density_per_nm3()}
    heaviest = max(sections, key=lambda e: sections[e])
    site = sites_nm(film, heaviest)[0]
    pixel_nm = wavelength_nm(made.voltage_kV) / (4e-3 * made.convergence_mrad)
    seen = lattice_of(film)
    apart_nm = min(float(np.hypot(*vector)) for vector in seen.cell_nm)
    offsets = offsets_nm(max(2, round(_REACH * apart_nm / pixel_nm)), pixel_nm)
    probe = probe_in(film, made)

    def image(focus_nm: float, moved_nm: float) -> Array:
        places = site + offsets - np.array([moved_nm, 0.0])
        at_focus = replace(probe, focus_nm=focus_nm)
        return lattice_image(film, sections, at_focus, places, left=ring, element=heaviest)

    focus_nm = 0.0
    if feature.quantity == "defocus":  # in focus an image does not tell which way: it is measured beside
        focus_nm = wavelength_nm(made.voltage_kV) / (made.convergence_mrad * 1e-3) ** 2
        slope = (image(focus_nm + _STEP_NM, 0.0) - image(focus_nm - _STEP_NM, 0.0)) / (2 * _STEP_NM)
    else:
        h = 1e-3
        slope = (image(0.0, h) - image(0.0, -h)) / (2 * h)
    background = image(focus_nm, 0.0)
    one = float(np.sum(slope**2 / background)) * pixel_nm**2 * PER_A2  # per column and e/Å²
    columns = max(1.0, feature.gauge_nm**2 / seen.area_nm2)
    if feature.quantity == "column_position":
        information = one
    elif feature.quantity == "strain":  # x = x₀ + (1 + ε) X: J = Σ X² / σ², X even over the gauge
        information = one * columns * feature.gauge_nm**2 / 12
    else:
        information = one * columns
    return Proposal(
        technique=technique,
        detector=technique,
        pixel_nm=pixel_nm,
        frame_px=_FRAME_PX,
        curve=Bound(information=information, precision=feature.precision, per_column=one),
        least_us=made.dwell_us[0],
        settings={"ring_mrad": f"{ring[0]:g}-{ring[1]:g}", "defocus_nm": round(focus_nm, 2)},
        weights=slope / background / max(one / PER_A2, 1e-30),
        ring_mrad=ring,
        defocus_nm=focus_nm,
        site=heaviest,
        share=float(background.mean()),
        evidence=(_BOUND,),
        factor=1.5,
    )
