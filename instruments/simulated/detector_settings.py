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
