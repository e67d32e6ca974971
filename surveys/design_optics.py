"""What a probe shows of an atom, in closed form: by integrals over the aperture, without rendering a frame.

Nothing here is drawn on a canvas or transformed by an FFT of a specimen, so that a simulated frame checks it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from instruments.physics import wavelength_nm
from instruments.simulated.crystals import CRYSTALS, Columns, columns
from instruments.simulated.incoherence import channelling_blur_nm, detail

if TYPE_CHECKING:
    from surveys.design_question import InstrumentQuestion, SpecimenQuestion

Array: TypeAlias = npt.NDArray[np.float64]
Ring: TypeAlias = tuple[float, float]

_STEPS = 400
"""Of frequencies, and of the way across the aperture."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The probe in a film, focused on its middle, as its transfer function averaged over the film's depth."""

    voltage_kV: float
    convergence_mrad: float
    depth_nm: float
    """Thickness of the film."""
    blur_nm: float
    """Standard deviation of source, thermal motion and channelling together."""
    focus_nm: float = 0.0
    """Defocus against the middle of the film."""

    @property
    def limit_per_nm(self) -> float:
        """Highest frequency, 2 α / λ."""
        return 2e-3 * self.convergence_mrad / wavelength_nm(self.voltage_kV)

    def transfer(self, per_nm: Array) -> Array:
        """(…) at frequencies k: H(k) = (1/πa²) ∫ chord(x) sinc(λ t k x) dx · exp(−2π² s² k²).

        The common part of two discs of radius a = α/λ, k apart, cut into chords across k: defocus z turns the phase on
        a chord by 2π λ z k x, and the mean over −t/2 < z < t/2 of its cosine is sinc(λ t k x), with sin(πu)/(πu); with
        the film's middle out of focus by f, times cos(2π λ f k x).
        """
        k = np.atleast_1d(np.abs(per_nm))[:, None]
        a, wavelength = self.limit_per_nm / 2, wavelength_nm(self.voltage_kV)
        reach = np.maximum(a - k / 2, 0.0)
        # x = reach · sin u: the square roots at the chord's end vanish with the step
        angle = (np.arange(_STEPS) + 0.5) / _STEPS * (math.pi / 2)
        x = reach * np.sin(angle)
        chord = 2 * np.sqrt(np.maximum(a**2 - (x + k / 2) ** 2, 0.0))
        turned = np.sinc(wavelength * self.depth_nm * k * x) * np.cos(2 * math.pi * wavelength * self.focus_nm * k * x)
        area = 2 * np.sum(chord * turned * reach * np.cos(angle), axis=1) * (math.pi / 2 / _STEPS)
        seen = area / (math.pi * a**2) * np.exp(-2 * (math.pi * self.blur_nm * k[:, 0]) ** 2)
        return np.asarray(seen.reshape(np.shape(per_nm)))


def probe_in(film: SpecimenQuestion, made: InstrumentQuestion, *, atoms_show: bool = True) -> Probe:
    """The probe in this film; where atoms do not show, only the source blurs it."""
    parts = [made.source_size_nm]
    if atoms_show:
        parts += [film.debye_waller_nm, channelling_blur_nm(film.thickness_nm if film.crystal is not None else 0.0)]
    return Probe(made.voltage_kV, made.convergence_mrad, film.thickness_nm, math.hypot(*parts))


def spread(probe: Probe, radii_nm: Array, *, left: Ring | None = None, element: str = "C") -> Array:
    """(…) share per nm² of what an atom at 0 scatters, with the probe so far away; its integral over the plane is 1.

    ``left``: the annulus, whose hole keeps some waves from interfering (``incoherence.detail``, of ``element``).
    """
    k, transfer = _sampled(probe, left, element)
    waves = special.j0(2 * math.pi * np.asarray(radii_nm)[..., None] * k)
    return np.asarray(2 * math.pi * np.sum(transfer * k * waves, axis=-1) * (k[1] - k[0]))


@lru_cache(maxsize=64)
def _sampled(probe: Probe, left: Ring | None, element: str) -> tuple[Array, Array]:
    k = (np.arange(_STEPS) + 0.5) / _STEPS * probe.limit_per_nm
    transfer = probe.transfer(k)
    if left is not None:
        transfer = transfer * detail(element, left, probe.voltage_kV, probe.convergence_mrad).at(k)
    return k, transfer


def lattice_of(film: SpecimenQuestion) -> Columns:
    """The columns of atoms of a crystalline film. The film must be one."""
    return columns(CRYSTALS[str(film.crystal)], film.zone)


def lattice_image(
    film: SpecimenQuestion, sections_nm2: dict[str, float], probe: Probe, places_nm: Array, *, left: Ring, element: str
) -> Array:
    """(…) atoms' cross-sections per nm² as the probe averages them, at places (…, 2) from the first cell's corner.

    A Fourier series over the plane lattice: b(r) = Σ_G F_G H(|G|) exp(2πi G·r), with F_G = Σ_s σ_s exp(−2πi G·r_s) / A.
    """
    seen = lattice_of(film)
    cell = np.array(seen.cell_nm)
    reciprocal = np.linalg.inv(cell).T  # rows: G of (1, 0) and (0, 1)
    most = [math.ceil(probe.limit_per_nm * np.linalg.norm(row)) for row in cell]
    h, k = np.meshgrid(np.arange(-most[0], most[0] + 1), np.arange(-most[1], most[1] + 1))
    vectors = np.column_stack([h.ravel(), k.ravel()]) @ reciprocal
    length = np.hypot(*vectors.T)
    kept = length < probe.limit_per_nm
    indices, vectors, length = np.column_stack([h.ravel(), k.ravel()])[kept], vectors[kept], length[kept]
    weights = np.array([sections_nm2[name] for name in seen.elements]) * np.array(seen.atoms)
    weights *= film.thickness_nm / seen.repeat_nm
    factors = np.exp(-2j * math.pi * indices @ np.array(seen.places).T) @ weights / seen.area_nm2
    kept_detail = detail(element, left, probe.voltage_kV, probe.convergence_mrad).at(length)
    factors = factors * probe.transfer(length) * kept_detail
    turns = 2 * math.pi * np.tensordot(places_nm, vectors, axes=([-1], [-1]))
    return np.asarray(np.cos(turns) @ factors.real - np.sin(turns) @ factors.imag)


def sites_nm(film: SpecimenQuestion, element: str) -> Array:
    """(N, 2) places in the first cell of the columns that hold an element."""
    seen = lattice_of(film)
    places = [place for name, place in zip(seen.elements, seen.places, strict=True) if name == element]
    return np.asarray(np.array(places) @ np.array(seen.cell_nm))
