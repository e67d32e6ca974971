"""The one number that a spectrum is taken for: counts in a window, above its background, over those in another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, model_validator

from configs.load import Settings

if TYPE_CHECKING:
    from instruments.types import Frame, Signal

Array: TypeAlias = npt.NDArray[np.float64]

NAME = "property"
"""Of the property among a frame's quality figures."""


def _upwards(window: tuple[float, float]) -> tuple[float, float]:
    if not (math.isfinite(window[0]) and window[0] < window[1] < math.inf):
        raise ValueError(f"a window is [from, to] in eV with from below to, found {list(window)}")
    return window


Window = Annotated[tuple[float, float], AfterValidator(_upwards)]


class PropertySettings(Settings):
    """What is read from a spectrum."""

    signal: str
    """The detector whose spectra are read; looks.detail.signals must name it."""
    energy_eV: Window
    """Its counts are the property, per electron, or over those of ``over_eV``."""
    background_eV: Window | None = None
    """Before an edge: a power law through it is taken off under ``energy_eV``."""
    over_eV: Window | None = None
    """Counts that the property is a ratio to, for instance of another edge; its background is not taken off."""

    @model_validator(mode="after")
    def _background_lies_before(self) -> Self:
        before = self.background_eV
        if before is not None and not (0 < before[0] and before[1] <= self.energy_eV[0]):
            raise ValueError(
                f"background_eV {list(before)} must lie between 0 and the edge, before energy_eV {list(self.energy_eV)}"
            )
        return self


def property_of(frame: Frame, settings: PropertySettings) -> float | None:
    """Of the frame's mean spectrum; None where this signal was not read, or its counts are too few to tell.

    Raises ValueError for a signal that is no spectrum, or does not reach the windows.
    """
    signal = frame.signals.get(settings.signal)
    if signal is None:
        return None
    energies_eV, spectrum = mean_spectrum(signal)
    for window in (settings.energy_eV, settings.background_eV, settings.over_eV):
        if window is not None and not (energies_eV[0] <= window[0] and window[1] <= energies_eV[-1]):
            raise ValueError(
                f"{settings.signal} reaches from {energies_eV[0]:g} to {energies_eV[-1]:g} eV, and the property is "
                f"asked of {window[0]:g} to {window[1]:g} eV"
            )
    inside = _within(energies_eV, settings.energy_eV)
    counts = float(spectrum[inside].sum())
    if settings.background_eV is not None:
        counts -= float(power_law(energies_eV, spectrum, settings.background_eV)[inside].sum())
    reference = frame.electrons
    if settings.over_eV is not None:
        reference = float(spectrum[_within(energies_eV, settings.over_eV)].sum())
    return counts / reference if reference > 0 and math.isfinite(counts) else None


def mean_spectrum(signal: Signal) -> tuple[Array, Array]:
    """Energies (E,) in eV and the sum of all pixels' spectra (E,). Raises ValueError for a signal that has none."""
    axis = signal.axes[-1]
    if axis.name != "energy" or signal.data.ndim < 2:
        raise ValueError(
            f"{'×'.join(map(str, signal.data.shape))} over {axis.name}: no spectra, which end in an energy axis"
        )
    energies_eV = axis.offset + axis.scale * np.arange(signal.data.shape[-1], dtype=np.float64)
    return energies_eV, signal.data.reshape(-1, signal.data.shape[-1]).sum(axis=0, dtype=np.float64)


def power_law(energies_eV: Array, spectrum: Array, before_eV: tuple[float, float]) -> Array:
    """(E,) A·E⁻ʳ through the two halves of a window (Egerton, EELS in the Electron Microscope, 2011, eq. 4.51).

    NaN everywhere where a half holds no counts.
    """
    middle = (before_eV[0] + before_eV[1]) / 2
    first = _within(energies_eV, (before_eV[0], middle))
    second = _within(energies_eV, (middle, before_eV[1]))
    counts = (
        np.array([spectrum[first].mean(), spectrum[second].mean()]) if first.any() and second.any() else np.zeros(2)
    )
    if (counts <= 0).any():
        return np.full(len(energies_eV), np.nan)
    centres = np.log([energies_eV[first].mean(), energies_eV[second].mean()])
    steepness = np.log(counts[0] / counts[1]) / (centres[1] - centres[0])
    scale = np.log(counts[0]) + steepness * centres[0]
    return np.asarray(np.exp(scale - steepness * np.log(np.maximum(energies_eV, 1e-9))))


def _within(energies_eV: Array, window: tuple[float, float]) -> npt.NDArray[np.bool_]:
    return (energies_eV >= window[0]) & (energies_eV < window[1])
