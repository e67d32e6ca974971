"""The energy axis of a spectrum, and how a density per eV becomes what each channel holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

Array: TypeAlias = npt.NDArray[np.float64]

SIGMAS_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))
MOST_CHANNELS = 1 << 16
_MOST_VALUES = 1 << 31
"""8 GB."""


@dataclass(frozen=True, slots=True)
class EnergyAxis:
    """Channels of equal width. Raises ConfigError where they are none.

    >>> axis = EnergyAxis(offset_eV=-20.0, step_eV=0.5, channels=2048)
    >>> axis.end_eV, axis.channel_of(284.2)
    (1003.5, 608)
    """

    offset_eV: float
    """Energy at the middle of channel 0."""
    step_eV: float
    channels: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step_eV) and self.step_eV > 0):
            raise ConfigError(f"step_eV = {self.step_eV} was asked; give a width of the channels above 0")
        if not 2 <= self.channels <= MOST_CHANNELS:
            raise ConfigError(f"{self.channels} channels were asked; give from 2 to {MOST_CHANNELS}")
        if not math.isfinite(self.offset_eV):
            raise ConfigError(f"offset_eV = {self.offset_eV} was asked; give the energy of the first channel")

    @property
    def end_eV(self) -> float:
        """Energy at the middle of the last channel."""
        return self.offset_eV + self.step_eV * (self.channels - 1)

    def energies_eV(self) -> Array:
        """(C,) at the middles of the channels."""
        return np.asarray(self.offset_eV + self.step_eV * np.arange(self.channels), dtype=np.float64)

    def borders_eV(self) -> Array:
        """(C + 1,) between the channels."""
        return np.asarray(self.offset_eV + self.step_eV * (np.arange(self.channels + 1) - 0.5), dtype=np.float64)

    def channel_of(self, energy_eV: float) -> int:
        """The channel that an energy falls in; it may lie beyond the axis."""
        return math.floor((energy_eV - self.offset_eV) / self.step_eV + 0.5)


def check_ranges(ranges: Mapping[str, tuple[float, float, float]]) -> None:
    """Raise ConfigError for a value, by its name with its unit, that is not between its least and its most."""
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:  # also NaN
            raise ConfigError(f"{name} = {value} was asked; give from {least:g} to {most:g}")


def check_size(pixels: int, axis: EnergyAxis) -> None:
    """Raise ConfigError where so many spectra are more than one array may hold."""
    if pixels * axis.channels > _MOST_VALUES:
        raise ConfigError(
            f"{pixels} spectra of {axis.channels} channels were asked at once, {_MOST_VALUES} numbers at most: "
            "take fewer pixels or wider channels"
        )


def binned(per_eV: Array, nodes_eV: Array, borders_eV: Array) -> Array:
    """(C,) integrals of a density over the channels between (C + 1,) borders.

    ``per_eV``: (N,) the density at rising energies ``nodes_eV`` (N,); it is straight between them and 0 outside.
    """
    areas = np.concatenate([[0.0], np.cumsum((per_eV[1:] + per_eV[:-1]) / 2 * np.diff(nodes_eV))])
    # inside a step the integral of a straight line is a parabola: channels may be narrower than the steps
    at = np.clip(borders_eV, nodes_eV[0], nodes_eV[-1])
    left = np.clip(np.searchsorted(nodes_eV, at, side="right") - 1, 0, len(nodes_eV) - 2)
    along, width = at - nodes_eV[left], np.diff(nodes_eV)[left]
    slope = (per_eV[left + 1] - per_eV[left]) / width
    return np.diff(areas[left] + along * (per_eV[left] + slope * along / 2))
