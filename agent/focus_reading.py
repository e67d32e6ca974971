"""What a series of images under known changes of the defocus tells, by the kind of signal that there is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.aberrations import NAMES, Aperture
from instruments.errors import NotSupported
from instruments.types import Exposure
from models.focus import Search, estimate
from models.focus_optics import depth_of_focus_nm, is_wide
from models.focus_rings import phase_contrast, ring_fit
from models.focus_ronchigram import shadow_fit

if TYPE_CHECKING:
    from agent.settings import EstimateSettings
    from instruments.types import Frame, Optics

Array: TypeAlias = npt.NDArray[np.float64]

_NODES = 3
"""Planes that stand for the specimen's depth, at least: one depth of focus apart at most."""
_DEPTH_ERROR = 0.2
"""How wrong the thickness may be."""
_TURN_ERROR_rad = 0.05
"""How wrong the amplitude contrast may be, as a phase."""
_SCAN_PX = 4
"""Rows and columns of the smallest scan, over which the patterns of one nearly still probe are added up."""


class FocusReading(NamedTuple):
    """C10, C12a and C12b before any of the changes, and how sure they are."""

    found_nm: Array
    """(3,)"""
    std_nm: Array
    """(3,)"""
    settled: bool
    """False: do not act on it; ``reason`` says why."""
    reason: str


class Reader(Protocol):
    """One way to read focus."""

    @property
    def exposure(self) -> Exposure:
        """That it asks for at each defocus."""

    def image(self, frame: Frame) -> Array:
        """(H, W) of one exposure, in electrons. Raises NotSupported where it holds no such signal."""

    def read(self, images: Array, changes_nm: Array, optics: Optics) -> FocusReading:
        """Of images (K, H, W) with changes (K,) of the defocus. Raises ValueError for images that say nothing."""


def scanned(settings: EstimateSettings) -> Exposure:
    """A square frame as the settings say."""
    return Exposure(
        field_of_view_nm=settings.field_of_view_nm,
        shape=(settings.pixels, settings.pixels),
        dwell_us=settings.dwell_us,
    )


class ByLikelihood:
    """Of scanned images: the probe that explains all of them as images of one unknown place."""

    def __init__(self, settings: EstimateSettings) -> None:
        self._settings, self.exposure = settings, scanned(settings)

    def image(self, frame: Frame) -> Array:
        return electrons(frame)

    def read(self, images: Array, changes_nm: Array, optics: Optics) -> FocusReading:
        settings = self._settings
        aperture, count = aperture_of(self.exposure, optics), _NODES
        if not is_wide(aperture):
            count = max(_NODES, math.ceil(settings.thickness_nm / depth_of_focus_nm(aperture)))
        nodes = np.arange(count) + 0.5 - count / 2  # about the middle of the thickness
        found = estimate(
            images,
            changes_of(changes_nm),
            aperture,
            search=Search(c10_nm=settings.search_nm, c12_nm=settings.search_stig_nm),
            source_size_nm=settings.source_size_nm,
            depths_nm=tuple(settings.thickness_nm * nodes / count),
            depth_error=_DEPTH_ERROR,
        )
        return FocusReading(found.coefficients_nm[:3], found.std_nm[:3], found.settled, found.reason)


class ByRings:
    """Of a wide beam's images: the rings in their power spectra (Thon's)."""

    def __init__(self, settings: EstimateSettings) -> None:
        self._settings, self.exposure = settings, scanned(settings)

    def image(self, frame: Frame) -> Array:
        return electrons(frame)

    def read(self, images: Array, changes_nm: Array, optics: Optics) -> FocusReading:
        settings = self._settings
        lens = phase_contrast(
            optics.voltage_kV or 0.0,
            illumination_mrad=settings.illumination_mrad,
            amplitude_contrast=settings.amplitude_contrast,
            c30_nm=optics.spherical_nm or 0.0,
        )
        found = ring_fit(
            images,
            changes_of(changes_nm),
            lens,
            self.exposure.pixel_size_nm,
            c10_nm=settings.search_nm,
            c12_nm=settings.search_stig_nm,
            step_nm=settings.ring_step_nm,
            highest_per_nm=settings.ring_highest_per_nm,
            tile_px=min(settings.pixels, settings.ring_tile_px),
            turn_std_rad=_TURN_ERROR_rad,
        )
        return FocusReading(found.found_nm, found.std_nm, found.settled, found.reason)


class ByRonchigram:
    """Of a camera's patterns under a nearly still probe: the shadows in them."""

    def __init__(self, settings: EstimateSettings) -> None:
        self._settings = settings
        self.exposure = Exposure(
            field_of_view_nm=settings.field_of_view_nm,
            shape=(_SCAN_PX, _SCAN_PX),
            dwell_us=settings.dwell_us,
            signals=(settings.camera,),
        )
        self._mrad_per_px, self._zero_px = 0.0, (0.0, 0.0)

    def image(self, frame: Frame) -> Array:
        signal = frame.signals.get(self._settings.camera)
        if signal is None or signal.data.ndim != 4:
            raise NotSupported(f"the camera {self._settings.camera!r} gave no patterns: name one that does")
        ky, kx = signal.axes[-2:]
        self._mrad_per_px, self._zero_px = ky.scale, (-ky.offset / ky.scale, -kx.offset / kx.scale)
        return np.asarray(signal.data.sum((0, 1), dtype=np.float64))

    def read(self, images: Array, changes_nm: Array, optics: Optics) -> FocusReading:
        found = shadow_fit(
            images,
            changes_nm,
            mrad_per_px=self._mrad_per_px,
            aperture_mrad=optics.convergence_mrad or 0.0,
            c10_nm=self._settings.search_nm,
            c12_nm=self._settings.search_stig_nm,
            centre_px=self._zero_px,
        )
        return FocusReading(found.found_nm, found.std_nm, found.settled, found.reason)


def changes_of(changes_nm: Array) -> Array:
    """(K, 8) of changes (K,) of the defocus."""
    changes = np.zeros((len(changes_nm), len(NAMES)))
    changes[:, NAMES.index("C10")] = changes_nm
    return changes


def aperture_of(exposure: Exposure, optics: Optics) -> Aperture:
    """The probe that scanned such an exposure. Raises ValueError where its cone or voltage is not read back."""
    if optics.convergence_mrad is None or optics.voltage_kV is None:
        raise ValueError("this instrument does not read back its cone and voltage")
    return Aperture(exposure.shape, exposure.pixel_size_nm, optics.voltage_kV, optics.convergence_mrad)


def electrons(frame: Frame) -> Array:
    """(H, W) electrons of the first detector that gives an image. Raises NotSupported where none does.

    The variance of the read-out's noise is added to every pixel: variance and mean are then equal, as in counting.
    """
    for signal in frame.signals.values():
        if signal.data.ndim == 2:
            gain = signal.calibration.get("gain_counts_per_electron", 1.0)
            counts = signal.data.astype(np.float64) - signal.calibration.get("offset_counts", 0.0)
            return np.asarray(counts / gain + (signal.calibration.get("read_noise_counts", 0.0) / gain) ** 2)
    raise NotSupported("focusing compares images; no detector gave one")
