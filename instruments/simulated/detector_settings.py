"""What stands around a specimen: detectors of one number a pixel, a camera, spectrometers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.load import Settings
from instruments.simulated.numbers import NotNegative, Positive, Ratio

USUAL_MRAD = {"HAADF": (70.0, 200.0), "ADF": (35.0, 70.0), "ABF": (11.0, 22.0), "BF": (0.0, 10.0)}
"""Angles of a detector by its name."""


class DetectorSettings(Settings):
    """A counting detector: counts = offset + gain × electrons + read noise, whole numbers up to saturation."""

    gain_counts_per_electron: Positive = 20.0
    offset_counts: NotNegative = 100.0
    read_noise_counts: NotNegative = 5.0
    saturation_counts: Annotated[int, Field(gt=0, le=65535)] = 65535
    angles_mrad: tuple[NotNegative, Positive] | None = None
    """From, to. None: the usual ones of its name. A specimen without a recipe knows HAADF and BF of its own."""

    @model_validator(mode="after")
    def _is_a_ring(self) -> DetectorSettings:
        if self.angles_mrad is not None and not self.angles_mrad[0] < self.angles_mrad[1] <= 1500:
            raise ValueError(f"angles_mrad {self.angles_mrad} is no ring: give inner < outer, 1500 at most")
        return self


class BrightDetectorSettings(DetectorSettings):
    """A detector within the probe's cone, which most electrons meet."""

    gain_counts_per_electron: Positive = 2.0


class CtemSettings(DetectorSettings):
    """A wide parallel beam instead of a probe, and a camera that counts under the image: CTEM.

    All pixels are exposed at once: the exposure time is ``dwell_us`` times the number of pixels, the current that of
    the field of view.
    """

    gain_counts_per_electron: Positive = 1.0
    offset_counts: NotNegative = 0.0
    read_noise_counts: NotNegative = 0.0
    objective_mrad: Positive | None = 30.0
    """Semi-angle of the objective aperture; None: it is out."""
    focal_spread_nm: NotNegative = 4.0
    """Standard deviation of the defocus, from energy spread and unsteady lenses."""
    illumination_mrad: NotNegative = 0.05
    """Semi-angle at which the beam's directions, a Gaussian, fall to 1/e."""
    dead_fraction: Annotated[Ratio, Field(ge=0, le=0.1)] = 0.0
    """Pixels that never count."""

    @model_validator(mode="after")
    def _has_no_ring(self) -> CtemSettings:
        if self.angles_mrad is not None:
            raise ValueError(f"angles_mrad {self.angles_mrad}: a wide beam's camera has none; give objective_mrad")
        return self


class CameraSettings(Settings):
    """A pixelated detector under the specimen, which counts electrons."""

    pixels: Annotated[int, Field(ge=16, le=256, multiple_of=2)] = 64
    """Rows and columns of a pattern."""
    reach_mrad: Positive = 64.0
    """Widest angle on it."""
    dead_fraction: Annotated[Ratio, Field(ge=0, le=0.1)] = 0.0
    """Pixels that never count."""


class EnergySettings(Settings):
    """Channels of a spectrum."""

    offset_eV: float
    """Energy of the first."""
    step_eV: Positive
    channels: Annotated[int, Field(ge=16, le=8192)] = 2048


class EelsSettings(EnergySettings):
    """An energy-loss spectrometer under the specimen, which counts electrons."""

    offset_eV: float = -20.0
    step_eV: Positive = 0.5
    collection_mrad: Positive = 30.0
    """Half angle of what enters."""
    resolution_eV: Positive = 1.0
    """Full width at half maximum of the zero loss."""


class EdsSettings(EnergySettings):
    """X-ray detectors above the specimen."""

    offset_eV: float = 0.0
    step_eV: Positive = 10.0
    solid_angle_sr: Positive = 0.7
    takeoff_deg: Positive = 18.0
    noise_eV: Positive = 45.0
    """Full width at half maximum of a line of energy 0."""
