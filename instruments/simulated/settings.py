"""What a simulated world is made of: every number that shapes it, with its unit in the name."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from configs.load import Settings

Ratio: TypeAlias = float
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError(f"from {value[0]} to {value[1]} is no range: give the smaller number first")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]

RareKind: TypeAlias = Literal["void", "rod", "cluster", "lattice", "crack"]
RARE_KINDS: tuple[RareKind, ...] = ("void", "rod", "cluster", "lattice", "crack")


class HoleSettings(Settings):
    """Round holes in the support film, on a square grid."""

    pitch_nm: Positive = 600.0
    diameter_nm: Positive = 250.0

    @model_validator(mode="after")
    def _fits(self) -> HoleSettings:
        if self.diameter_nm >= self.pitch_nm:
            raise ValueError(
                f"diameter_nm {self.diameter_nm} must be below pitch_nm {self.pitch_nm}: holes would merge"
            )
        return self


class SpecimenSettings(Settings):
    """A support film with two classes of ordinary particles, and rare features."""

    film_nm: Positive = 15.0
    """Mean thickness of the amorphous film."""
    film_variation: Annotated[Ratio, Field(ge=0, le=0.5)] = 0.15
    """Slow thickness variation, relative."""
    film_grain: Annotated[Ratio, Field(ge=0, le=0.5)] = 0.08
    """Texture of the film, relative."""
    holes: HoleSettings | None = None
    heavy_per_um2: NotNegative = 700.0
    """Metal particles, the small bright class."""
    heavy_radius_nm: Positive = 3.6
    """Median; sizes are log-normal, as of most grown particles."""
    light_per_um2: NotNegative = 220.0
    """Oxide particles, the larger faint class."""
    light_radius_nm: Positive = 8.0
    size_spread: Annotated[Ratio, Field(ge=0, le=0.6)] = 0.28
    """Standard deviation of the logarithm of the radius."""
    rare_fraction: Annotated[Ratio, Field(ge=0, lt=0.02)] = 0.005
    """Area covered by rare features over the whole area."""
    rare_layout: Literal["uniform", "clustered", "none"] = "clustered"
    rare_kinds: Annotated[tuple[RareKind, ...], Field(min_length=1)] = RARE_KINDS
    cluster_pitch_nm: Positive = 1600.0
    """Clustered: one patch of rare features in each square of this width."""
    slope_nm_per_um: NotNegative = 25.0
    """Tilt of the specimen plane, in a direction that the seed draws."""
    waviness_nm: NotNegative = 15.0
    """Amplitude of the film's waves, a few µm long."""
    critical_fluence_e_per_A2: Positive = 1500.0
    """Structure fades as exp(−fluence ÷ this)."""
    contamination_nm: NotNegative = 1.5
    """Carbon that long exposure deposits."""


class ColumnSettings(Settings):
    """Probe and lenses."""

    voltage_kV: Positive = 200.0
    current_pA: Positive = 50.0
    convergence_mrad: Positive = 20.0
    source_size_nm: NotNegative = 0.12
    """Standard deviation of the probe in focus."""
    focus_offset_nm: NotNegative = 60.0
    """Spread of the true focus against the read-back when the world begins."""
    stig_offset_nm: NotNegative = 4.0
    """Spread of the residual two-fold astigmatism."""
    defocus_nm: Range = (-3000.0, 3000.0)
    stig_nm: Range = (-500.0, 500.0)
    max_current_pA: Positive = 500.0
    settle_s: NotNegative = 0.2
    """Time a change of the optics takes."""


class DetectorSettings(Settings):
    """A counting detector: counts = offset + gain × electrons + read noise, whole numbers up to saturation."""

    gain_counts_per_electron: Positive = 20.0
    offset_counts: NotNegative = 100.0
    read_noise_counts: NotNegative = 5.0
    saturation_counts: Annotated[int, Field(gt=0, le=65535)] = 65535


class StageSettings(Settings):
    """A side-entry goniometer with one tilt."""

    x_nm: Range = (-1e6, 1e6)
    y_nm: Range = (-1e6, 1e6)
    z_nm: Range = (-2e5, 2e5)
    alpha_deg: Range | None = (-30.0, 30.0)
    """None: no tilt at all."""
    speed_nm_per_s: Positive = 1000.0
    overhead_s: NotNegative = 0.3
    backlash_nm: NotNegative = 60.0
    """Play of the drive."""
    approach: bool = True
    """Whether the driver takes up the play: every move ends in +x and +y."""
    reach_nm: NotNegative = 3.0
    """Reached position against target, at most, per axis."""
    readback_nm: NotNegative = 0.5
    """Read-back against position, at most, per axis."""
    creep_nm: NotNegative = 4.0
    """What remains to be crept at the end of a move, at most."""
    creep_s: Positive = 0.4
    """Time constant of the creep."""
    settle_s: NotNegative = 1.0
    """Wait after a move, before it returns."""
    drift_nm: NotNegative = 6.0
    """Amplitude of the slow thermal drift, per axis."""


class Fault(Settings):
    """One scripted fault."""

    kind: Literal[
        "stage_stuck",
        "blank_frames",
        "drift_burst",
        "dewar_refill",
        "valve_closed",
        "camera_timeout",
        "pole_touch",
        "disconnect",
        "spurious_ready",
    ]
    at_s: NotNegative
    duration_s: NotNegative = 0.0
    """0: it happens once, at the first call it concerns."""
    drift_nm_per_s: NotNegative = 3.0
    """Of a drift burst."""


class SimulatedSettings(Settings):
    """A simulated microscope."""

    kind: Literal["simulated"] = "simulated"
    specimen: SpecimenSettings = SpecimenSettings()
    column: ColumnSettings = ColumnSettings()
    haadf: DetectorSettings = DetectorSettings()
    bf: DetectorSettings = DetectorSettings(gain_counts_per_electron=8.0)
    stage: StageSettings = StageSettings()
    field_of_view_nm: Range = (10.0, 20000.0)
    dwell_us: Range = (0.05, 1000.0)
    max_pixels: Annotated[int, Field(gt=0)] = 4096 * 4096
    overhead_s: NotNegative = 0.1
    """Time an exposure costs beside its pixels."""
    faults: tuple[Fault, ...] = ()
    real_time: bool = False
    """Whether the world runs on the computer's clock (demonstrations, tests of signals)."""
