"""The nouns that cross the instrument's border: where, how, what was seen.

Units are in the names. ``None`` means "unchanged" in a request and "unknown" in a read-back, never zero.
Defocus < 0 is underfocus (= C10 < 0); z > 0 is towards the source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

ELECTRONS_PER_PA_S = 1e-12 / 1.602176634e-19
"""Electrons per second in a current of 1 pA (CODATA 2018 elementary charge, exact)."""

Pixels: TypeAlias = npt.NDArray[np.generic]
"""(H, W) of one frame."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePosition:
    """A stage position: requested (None = leave alone) or read back (None = unknown)."""

    x_nm: float | None = None
    y_nm: float | None = None
    z_nm: float | None = None
    alpha_deg: float | None = None
    beta_deg: float | None = None
    """None on a single-tilt holder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optics:
    """The column's controls: requested (None = leave alone) or read back (None = unknown)."""

    defocus_nm: float | None = None
    """C10; < 0 is underfocus."""
    stig_a_nm: float | None = None
    """Two-fold astigmatism C12 along the column axis."""
    stig_b_nm: float | None = None
    """Two-fold astigmatism C12 at 45 degrees."""
    coma_a_nm: float | None = None
    """Axial coma C21 along the column axis; this and what follows only where there is a corrector."""
    coma_b_nm: float | None = None
    """Axial coma C21 along the row axis."""
    threefold_a_nm: float | None = None
    """Three-fold astigmatism C23 along the column axis."""
    threefold_b_nm: float | None = None
    """Three-fold astigmatism C23 at 30 degrees."""
    spherical_nm: float | None = None
    """Spherical aberration C30."""
    current_pA: float | None = None
    convergence_mrad: float | None = None
    voltage_kV: float | None = None
    """Read only on every instrument: the agent never changes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of a sensor or holder, with what is needed to trust it."""

    value: float | None
    """None = the sensor gave nothing."""
    unit: str
    age_s: float
    """Seconds since it was measured; negative is invalid."""
    valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the instrument reads back, never the cached set-point."""

    time_s: float
    """The instrument clock."""
    stage: StagePosition
    optics: Optics
    blanked: bool | None
    """None = unknown, and unknown means unsafe."""
    valve_open: bool | None = None
    """Column valve; None on an instrument without one (see ``HasValves``)."""
    vacuum: Reading | None = None
    emission: Reading | None = None
    """Of the gun, in µA, or 1 and 0 in the unit "on"; None on an instrument that has no such reading."""
    lit_nm: float | None = None
    """Diameter of what the beam lights on the specimen, where that is not the frame: a wide beam above a camera, or a
    narrow one in it. None: the frame is what is lit, as by a scan, or it is not known."""
    busy_until_s: float | None = None
    """Instrument-clock time until which it asks to be left alone (dewar refill); None = not busy."""
    holder: Mapping[str, Reading] = field(default_factory=lambda: _NOTHING)
    """Read-backs of the holder, by name: temperature_K, bias_V, pressure_Pa, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One time the beam is on: a frame, or a burst of ``frames`` frames. Pixels are square."""

    field_of_view_nm: float
    """Width of the frame (columns × pixel size)."""
    shape: tuple[int, int]
    """(rows, columns)."""
    dwell_us: float
    """Time per pixel and frame; of a camera that exposes all pixels at once, its exposure time over their number."""
    frames: int = 1
    interval_s: float = 0.0
    """Blanked wait between the frames of a burst."""
    rotation_deg: float = 0.0
    """Scan rotation, counter-clockwise."""
    signals: tuple[str, ...] | None = None
    """Detectors to read; None = every detector that is in."""
    id: int | None = None
    """Given by the recorder's intent; the ledger and the journal carry the same one."""

    @property
    def pixel_size_nm(self) -> float:
        return self.field_of_view_nm / self.shape[1]

    @property
    def height_nm(self) -> float:
        return self.pixel_size_nm * self.shape[0]

    @property
    def beam_on_s(self) -> float:
        """Seconds the beam hits the specimen."""
        return self.shape[0] * self.shape[1] * self.dwell_us * 1e-6 * self.frames

    @property
    def duration_s(self) -> float:
        """Seconds from the first pixel to the last, waits included."""
        return self.beam_on_s + self.interval_s * (self.frames - 1)

    def electrons(self, current_pA: float) -> float:
        """Electrons sent onto the specimen at this probe current."""
        return current_pA * ELECTRONS_PER_PA_S * self.beam_on_s

    def fluence_e_per_A2(self, current_pA: float) -> float:
        """Mean fluence over the field of view (1 nm² = 100 Å²)."""
        return self.electrons(current_pA) / (self.field_of_view_nm * self.height_nm * 100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The rectangle of specimen an exposure covers, in stage coordinates of places.

    A place is the stage position that brings it to the frame's centre.
    """

    x_nm: float
    y_nm: float
    width_nm: float
    height_nm: float
    rotation_deg: float = 0.0
    """Counter-clockwise in (x, y)."""

    @property
    def area_nm2(self) -> float:
        return self.width_nm * self.height_nm

    def dilated(self, margin_nm: float) -> Footprint:
        """The same rectangle, larger by ``margin_nm`` on every side."""
        return Footprint(
            x_nm=self.x_nm,
            y_nm=self.y_nm,
            width_nm=self.width_nm + 2 * margin_nm,
            height_nm=self.height_nm + 2 * margin_nm,
            rotation_deg=self.rotation_deg,
        )

    def contains(self, x_nm: float, y_nm: float) -> bool:
        """Whether the place (x, y) lies inside or on the edge."""
        angle = math.radians(self.rotation_deg)
        dx, dy = x_nm - self.x_nm, y_nm - self.y_nm
        along = dx * math.cos(angle) + dy * math.sin(angle)
        across = -dx * math.sin(angle) + dy * math.cos(angle)
        return abs(along) <= self.width_nm / 2 and abs(across) <= self.height_nm / 2


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a signal's array: coordinate = offset + scale × index, in ``unit``."""

    name: str
    """frame, row, column, energy, ky, kx."""
    scale: float
    unit: str
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Signal:
    """What one detector gave: image (H, W), burst (T, H, W), spectra (H, W, E) or patterns (H, W, Ky, Kx)."""

    data: npt.NDArray[np.generic]
    axes: tuple[Axis, ...]
    unit: str = "counts"
    calibration: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    """Detector constants by name with the unit in the name (gain_counts_per_electron, offset_counts, …)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one exposure gave, with the state it was taken in."""

    exposure: Exposure
    signals: Mapping[str, Signal]
    """By detector name, every detector that is in."""
    stage: StagePosition
    optics: Optics
    start_s: float
    end_s: float
    electrons: float
    """Sent onto the specimen, by the best knowledge of the instrument (declared maximum if unknown)."""
    holder: Mapping[str, Reading] = field(default_factory=lambda: _NOTHING)
    doubts: tuple[str, ...] = ()
    """What the instrument itself says against it: a simulated one where its model is not known to hold."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What was asked and what was reached travel together."""

    requested: T
    achieved: T
