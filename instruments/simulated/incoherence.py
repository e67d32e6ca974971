"""How far an annular dark field is from adding up the probe's intensity on atoms: what is left of fine detail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import fft

from instruments.physics import wavelength_nm
from instruments.simulated.numbers import Ratio
from instruments.simulated.scattering import Array, amplitude_nm

_RADIUS_PX, _SIZE_PX = 16, 96
"""Of the probe's cone, and of the grid of angles, which holds the cone's autocorrelation."""
_RINGS = 32
_LIMIT = 0.85
"""Of the widest frequency 2 α / λ: beyond, next to nothing is left of either image."""


CHANNELLING_NM = 0.0055
"""Blur, as a standard deviation, by 1 nm of a crystal on a zone axis, whose columns draw in what passes beside them.

Its square grows with thickness. Multiple scattering is not in this model: the number is fitted to multislice, one for
all crystals, on SrTiO3 and Au of 1 to 6 nm, 200 kV, 21.4 mrad, in focus (``benchmarks.fidelity --fit``). The chance of
phonons moves it by 0.001.
"""
_FITTED_NM = 6.0


def channelling_blur_nm(thickness_nm: float, by_one_nm: float = CHANNELLING_NM) -> float:
    """Of a crystal; thicker than those it was fitted on, it stays.

    >>> [round(channelling_blur_nm(thick), 4) for thick in (0.0, 1.0, 4.0, 60.0)]
    [0.0, 0.0055, 0.011, 0.0135]
    """
    return by_one_nm * math.sqrt(min(thickness_nm, _FITTED_NM))


@dataclass(frozen=True, slots=True)
class Detail:
    """What is left of the spatial frequencies of a probe's intensity."""

    step_per_nm: float
    left: tuple[Ratio, ...]
    """At 0 (there it is 1) and the multiples of a step; beyond the last it stays."""

    def at(self, per_nm: Array) -> Array:
        """(…) share at frequencies of any direction."""
        return np.asarray(np.interp(per_nm, self.step_per_nm * np.arange(len(self.left)), self.left))


WHOLE = Detail(1.0, (1.0,))


@lru_cache(maxsize=256)
def detail(element: str, ring_mrad: tuple[float, float], voltage_kV: float, convergence_mrad: float) -> Detail:
    """An atom's image on a ring against the intensity of the probe that scans it.

    The image is I(r) = ∫ |∫ A(k) f(K − k) exp(2π i k·r) d²k|² d²K over the detector. Were all that is scattered
    collected, or f constant across the cone, it would be the probe's intensity; a hole not much wider than the cone
    keeps waves apart that should interfere (Jesson & Pennycook, Proc. R. Soc. A 441 (1993) 261). The element matters
    little. A ring that the cone itself reaches is taken as incoherent: 1.

    >>> detail("Sr", (60.0, 130.0), 200.0, 21.4).at(np.array([0.0, 7.0, 14.0])).round(2).tolist()
    [1.0, 0.94, 0.89]
    """
    wavelength = wavelength_nm(voltage_kV)
    bins = np.arange(math.floor(2 * _RADIUS_PX * _LIMIT) + 1)
    step_mrad = convergence_mrad / _RADIUS_PX
    inner, outer = ring_mrad
    if inner < convergence_mrad:
        return WHOLE
    along = fft.fftfreq(_SIZE_PX, 1 / _SIZE_PX)
    x, y = np.meshgrid(along, along)
    cone = np.hypot(x, y) <= _RADIUS_PX
    edges = np.geomspace(inner, outer, _RINGS + 1)
    seen = np.zeros((_SIZE_PX, _SIZE_PX))
    for near, far in pairwise(edges):
        angle_mrad = np.hypot((near + far) / 2 - x[cone] * step_mrad, y[cone] * step_mrad)
        waves = np.zeros(cone.shape, dtype=np.complex128)
        waves[cone] = amplitude_nm(element, angle_mrad * 1e-3 / wavelength, voltage_kV)
        seen += np.abs(fft.ifft2(waves)) ** 2 * (far**2 - near**2)
    # the mean over directions stands for the ring's other azimuths
    where = np.rint(np.hypot(x, y)).astype(int).ravel()
    atom, probe = (
        np.bincount(where, fft.fft2(image).real.ravel())[bins] for image in (seen, np.abs(fft.ifft2(cone)) ** 2)
    )
    left = (atom / atom[0]) / (probe / probe[0])
    return Detail(step_mrad * 1e-3 / wavelength, tuple(left.tolist()))


def at_frequencies(details: tuple[Detail, ...], per_nm: Array) -> Array:
    """(S, …) of S signals at frequencies (…) of any direction; (1, …) for all where they are alike."""
    alike = details[:1] if len(set(details)) == 1 else details
    return np.stack([each.at(per_nm) for each in alike])
