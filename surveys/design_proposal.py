"""What one technique proposes for a question: how it would look, what it would see, and on what grounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_WHOLE: Ratio = 0.4
"""Of its reach, a filter is as it is up to here."""


class Detectability(Protocol):
    """How well something is seen, or measured, as the fluence grows."""

    def snr(self, fluence_e_per_A2: float) -> Ratio:
        """Signal over noise, d′."""
        ...

    def probability(self, fluence_e_per_A2: float) -> Ratio:
        """Chance of success."""
        ...

    def dose_e_per_A2(self, detection: Ratio) -> float:
        """Fluence for a chance of success; infinite where none gives it."""
        ...

    def rose_e_per_A2(self) -> float:
        """Fluence for a signal five times its noise."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """One ground for a number: a formula, a cross-section, or what was seen in earlier experiments."""

    what: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """How one technique looks for the feature."""

    technique: str
    detector: str
    """The signal's name in a survey: HAADF, CTEM, camera, EELS, …"""
    pixel_nm: float
    frame_px: int
    """Rows and columns of a frame."""
    curve: Detectability
    least_us: float
    """Shortest dwell that the technique has."""
    settings: dict[str, float | str] = field(default_factory=dict)
    """What else is set: defocus_nm, ring_mrad, edge, …"""
    weights: Array
    """Filter over the pixels round a place, (h, w), odd; of spectra times ``channels``."""
    margin_px: int = 0
    """Along each edge of a frame, where the filter does not fit and nothing is sought."""
    channels: Array | None = None
    """(E,) filter over the channels of a spectrum."""
    offset_eV: float = 0.0
    """Of the first channel."""
    step_eV: float = 1.0
    ring_mrad: tuple[float, float] | None = None
    """Of the detector, virtual or real."""
    defocus_nm: float = 0.0
    """Of the lens against focus on the middle of the film."""
    site: str | None = None
    """Element whose columns are looked at one by one; None: every pixel is."""
    bytes_per_px: int = 2
    share: Ratio = 0.0
    """Of the electrons that the detector gets from the film."""
    evidence: tuple[Evidence, ...] = ()
    prior: tuple[Evidence, ...] = ()
    """What earlier experiments say (``surveys.design_prior``); empty until a library is asked."""
    factor: Ratio = 1.5
    """The dose may be this factor larger or smaller: uncertainty of cross-sections and model."""
    doubt: str | None = None
    """Why the model is not to be trusted here, where that is known."""

    @property
    def field_nm(self) -> float:
        """Width of a frame."""
        return self.pixel_nm * self.frame_px

    @property
    def searched_nm(self) -> float:
        """Width of what is searched of a frame."""
        return self.pixel_nm * (self.frame_px - 2 * self.margin_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A technique that gives no answer, and why."""

    technique: str
    why: str


def filter_weights(signal: Array, background: Array) -> Array:
    """Weights Δ / (b + Δ/2) of a matched filter in Poisson noise, as good without the feature as with it."""
    return np.asarray(signal / np.maximum(background + signal / 2, 1e-12))


def tapered(weights: Array, offsets: Array, reach_nm: float) -> Array:
    """Weights (h, w) that fall to 0 by the filter's end, for ``offsets`` (h, w, 2).

    The sum over a frame's pixels then depends as little as an integral on where between them a column lies.
    """
    away = np.hypot(offsets[..., 0], offsets[..., 1]) / reach_nm
    window = np.cos(np.clip((away - _WHOLE) / (1 - _WHOLE), 0.0, 1.0) * (math.pi / 2)) ** 2
    return np.asarray(weights * window)


def patch_px(reach_nm: float, pixel_nm: float, most: int = 24) -> int:
    """Half width of a filter in pixels."""
    return min(max(1, math.ceil(reach_nm / pixel_nm)), most)


def offsets_nm(half_px: int, pixel_nm: float) -> Array:
    """(h, w, 2) x, y on the specimen of the pixels round a place, less that place: images are point-reflected."""
    along = -np.arange(-half_px, half_px + 1) * pixel_nm
    x, y = np.meshgrid(along, along)
    return np.stack([x, y], axis=-1)
