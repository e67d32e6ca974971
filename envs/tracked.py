"""Looks at a specimen that changes, what each is expected to tell, and what an exposure has told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from envs.particles import (
    AS_IS,
    MOST_MERGED,
    SURE_OF_MERGING,
    Array,
    Contrast,
    Measured,
    Response,
    describe_particles,
    image_sds,
    smallest_radius_nm,
    volume_floor_nm,
)
from envs.unmixing import References, amounts_nm, covariance_per_electron, radial
from instruments.errors import NotSupported
from instruments.types import Exposure

if TYPE_CHECKING:
    from instruments.types import Frame, Signal

Ratio: TypeAlias = float

NUMBER, RADIUS, SPREAD, VOLUME, FRACTION = range(5)
_LEAST_nm = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackLook:
    """One way of looking at a place: field of view, pixels, dwell, and the signal that is read."""

    name: str
    signal: str
    field_of_view_nm: float
    pixels: int
    dwell_us: float
    frames: int = 1
    """More than one: a stream, which is read as the sum of its frames."""

    @property
    def exposure(self) -> Exposure:
        return Exposure(
            field_of_view_nm=self.field_of_view_nm,
            shape=(self.pixels, self.pixels),
            dwell_us=self.dwell_us,
            frames=self.frames,
            signals=(self.signal,),
        )

    def as_one(self) -> TrackLook:
        """In one frame of the same electrons."""
        return replace(self, frames=1, dwell_us=self.dwell_us * self.frames)


@dataclass(frozen=True, slots=True)
class Sight:
    """What limits a look, before it is taken."""

    smallest_nm: float
    volume_floor_nm: float
    new_contrast: Ratio
    channel: str
    """image or spectra."""


class Sensor(Protocol):
    """What a signal tells of particles."""

    def measure(self, frame: Frame, look: TrackLook) -> Measured: ...

    def sight(self, look: TrackLook, electrons: float) -> Sight:
        """``electrons``: of the whole exposure."""
        ...

    def sds(self, look: TrackLook, electrons: float, shown: Array) -> Array:
        """Standard deviations (…, descriptors) that are expected where ``shown`` is; nan: nothing told."""
        ...


@dataclass(frozen=True, slots=True)
class ImageSensor:
    """An image in which particles stand out of an even support."""

    contrast: Contrast
    background: Ratio
    """Share of the electrons that arrive beside the particles."""
    new_contrast: Ratio = 1.0
    """Of the new phase over the old one."""
    responses: Mapping[str, Response] = field(default_factory=dict)
    """By look."""

    def _response(self, look: TrackLook) -> Response:
        return self.responses.get(look.name, AS_IS)

    def measure(self, frame: Frame, look: TrackLook) -> Measured:
        sent = frame.electrons / look.pixels**2
        shares = _shares(_named(frame, look), sent)
        return describe_particles(shares, sent, self._pixel_nm(look), self.contrast, self._response(look))

    def sight(self, look: TrackLook, electrons: float) -> Sight:
        smallest = smallest_radius_nm(
            self._pixel_nm(look), electrons / look.pixels**2, self.contrast, self.background, self._response(look)
        )
        return Sight(smallest, volume_floor_nm(electrons, self.contrast, self.background), self.new_contrast, "image")

    def sds(self, look: TrackLook, electrons: float, shown: Array) -> Array:
        area_um2 = look.field_of_view_nm**2 * 1e-6
        count = np.maximum(np.exp(shown[..., NUMBER]) * area_um2 - 0.5, 0.0)
        floor_nm = volume_floor_nm(electrons, self.contrast, self.background)
        radius_nm = np.exp(shown[..., RADIUS])
        inside = np.maximum(1 - 2 * radius_nm / look.field_of_view_nm, 0.0) ** 2
        volume_nm = np.maximum(np.exp(shown[..., VOLUME]) - floor_nm, 0.0)
        smallest_nm = self.sight(look, electrons).smallest_nm
        sds = image_sds(count, count * inside, radius_nm, volume_nm, self._pixel_nm(look), floor_nm, smallest_nm)
        merging_nm = self._response(look).merging_nm
        merged = count * math.pi * (2 * radius_nm + merging_nm) ** 2 / 2 / look.field_of_view_nm**2
        sds[..., NUMBER] = np.hypot(sds[..., NUMBER], SURE_OF_MERGING * np.minimum(merged, MOST_MERGED))
        return sds

    def _pixel_nm(self, look: TrackLook) -> float:
        return look.field_of_view_nm / look.pixels


@dataclass(frozen=True, slots=True)
class SpectrumSensor:
    """Spectra or patterns in which materials add up; the old phase is the first, the new one, if any, the second."""

    references: References
    per_electron: Array = field(init=False)
    """(M, M) covariance of the amounts times the electrons."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "per_electron", covariance_per_electron(self.references))

    def measure(self, frame: Frame, look: TrackLook) -> Measured:
        data = _named(frame, look).data
        summed = data.sum(axis=(0, 1), dtype=np.float64)
        counts = summed if data.ndim == 3 else radial(summed)
        amounts, covariance = amounts_nm(counts, frame.electrons, self.references)
        total, fraction, sds = _total(amounts, covariance)
        values = np.full(len(sds), np.nan)
        floor_nm = self._floor_nm(frame.electrons)
        values[VOLUME] = math.log(max(float(total), 0.0) + floor_nm)
        if np.isfinite(sds[FRACTION]):
            values[FRACTION] = fraction
        return Measured(values, sds, 0, math.inf, floor_nm)

    def sight(self, look: TrackLook, electrons: float) -> Sight:
        return Sight(0.0, self._floor_nm(electrons), 1.0, "spectra")

    def sds(self, look: TrackLook, electrons: float, shown: Array) -> Array:
        floor_nm = self._floor_nm(electrons)
        total = np.maximum(np.exp(shown[..., VOLUME]) - floor_nm, _LEAST_nm)
        part = np.clip(shown[..., FRACTION], 0.0, 1.0)
        amounts = [total] if len(self.per_electron) == 1 else [total * (1 - part), total * part]
        return _total(np.stack(amounts, axis=-1), self.per_electron / electrons)[2]

    def _floor_nm(self, electrons: float) -> float:
        return math.sqrt(float(self.per_electron.sum()) / electrons)


def _total(amounts: Array, covariance: Array) -> tuple[Array, Array, Array]:
    """Of M materials (…, M): volume of all, the share of the new one, and standard deviations (…, descriptors)."""
    total, off = amounts.sum(axis=-1), math.sqrt(float(covariance.sum()))
    sds = np.full((*total.shape, 5), np.nan)
    sds[..., VOLUME] = np.hypot(off / (np.maximum(total, 0.0) + off), _SURE_OF_VOLUME)
    if amounts.shape[-1] == 1:
        return total, np.full(total.shape, np.nan), sds
    told = total >= 2 * off
    share = np.where(told, amounts[..., 1], np.nan) / np.where(told, total, 1.0)
    slope = np.stack([-share, 1 - share], axis=-1) / np.where(told, total, 1.0)[..., None]
    sds[..., FRACTION] = np.hypot(np.sqrt(((slope @ covariance) * slope).sum(axis=-1)), _SURE_OF_FRACTION)
    return total, share, sds


_SURE_OF_VOLUME: Ratio = 0.03
_SURE_OF_FRACTION: Ratio = 0.015


def _named(frame: Frame, look: TrackLook) -> Signal:
    if look.signal not in frame.signals:
        raise NotSupported(f"{look.name} reads {look.signal!r}; the frame holds {', '.join(frame.signals)}")
    return frame.signals[look.signal]


def _shares(signal: Signal, sent: float) -> np.ndarray:
    gain = signal.calibration.get("gain_counts_per_electron", 1.0)
    counts = signal.data.astype(np.float32) - np.float32(signal.calibration.get("offset_counts", 0.0))
    return np.asarray(counts / np.float32(gain * sent))
