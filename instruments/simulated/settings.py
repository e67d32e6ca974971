"""What a simulated world is made of: every number that shapes it, with its unit in the name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from configs.load import Settings
from configs.settings import unknown
from instruments.drivers.orientation import StageToImage
from instruments.simulated.cassette_settings import CassetteSettings
from instruments.simulated.detector_settings import (
    BrightDetectorSettings,
    CameraSettings,
    CtemSettings,
    DetectorSettings,
    EdsSettings,
    EelsSettings,
)
from instruments.simulated.holders import HOLDERS, HolderSettings
from instruments.simulated.numbers import NotNegative, Positive, Range, Ratio
from instruments.simulated.sample_settings import SampleSettings
from instruments.simulated.stage_settings import StageSettings

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
    coma_offset_nm: NotNegative = 0.0
    """Spread of the residual axial coma C21; this and what follows shows on specimens by recipe only."""
    threefold_offset_nm: NotNegative = 0.0
    """Spread of the residual three-fold astigmatism C23."""
    spherical_offset_nm: NotNegative = 0.0
    """Spread of the residual spherical aberration C30."""
    defocus_drift_nm: NotNegative = 0.0
    """The lens wanders so far, slowly."""
    stig_drift_nm: NotNegative = 0.0
    """Each component of the two-fold astigmatism wanders so far."""
    coma_drift_nm: NotNegative = 0.0
    """Each component of C21 wanders so far."""
    threefold_drift_nm: NotNegative = 0.0
    """Each component of C23 wanders so far."""
    spherical_drift_nm: NotNegative = 0.0
    """C30 wanders so far."""
    defocus_nm: Range = (-3000.0, 3000.0)
    stig_nm: Range = (-500.0, 500.0)
    coma_nm: Range | None = None
    """Each component of the corrector's C21; None: no such corrector."""
    threefold_nm: Range | None = None
    """Each component of the corrector's C23."""
    spherical_nm: Range | None = None
    """The corrector's C30."""
    max_current_pA: Positive = 500.0
    settle_s: NotNegative = 0.2
    """Time a change of the optics takes."""


class ScanSettings(Settings):
    """What the scan coils do to a frame."""

    line_jitter_nm: NotNegative = 0.0
    """Standard deviation of the start of a line."""
    flyback_nm: NotNegative = 0.0
    """How far behind the beam is when a line begins."""
    flyback_us: Positive = 30.0
    """Time constant with which it catches up."""


class Fault(Settings):
    """One scripted fault."""

    kind: Literal[
        "stage_stuck",
        "blank_frames",
        "drift_burst",
        "dewar_refill",
        "valve_closed",
        "emission_off",
        "transfer_stuck",
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

    @model_validator(mode="after")
    def _lasts(self) -> Fault:
        if self.kind == "drift_burst" and self.duration_s == 0:
            raise ValueError("a drift_burst of duration_s 0 moves nothing: give it the seconds that it lasts")
        return self


def _specimen(value: Any) -> Any:
    """By what it says: a recipe (or its name alone), or the numbers of a specimen without one."""
    if isinstance(value, str):
        return SampleSettings.model_validate({"recipe": value})
    if not isinstance(value, dict):
        return value
    return (SampleSettings if "recipe" in value else SpecimenSettings).model_validate(value)


AnySpecimen: TypeAlias = Annotated[SpecimenSettings | SampleSettings, BeforeValidator(_specimen)]
"""By recipe or by numbers."""


def _holder(value: Any) -> Any:
    """One of the usual ones by its name, or one that is written out."""
    if not isinstance(value, str):
        return value
    if value not in HOLDERS:
        raise ValueError(f"holder {value!r}: {unknown(value, HOLDERS, 'holder')}")
    return HOLDERS[value]


class SimulatedSettings(Settings):
    """A simulated microscope."""

    kind: Literal["simulated"] = "simulated"
    specimen: AnySpecimen = SpecimenSettings()
    """`recipe: au_on_carbon` (or that name alone) is one of the library, `own.py:gold` your own; other keys shape one
    without a recipe."""
    column: ColumnSettings = ColumnSettings()
    haadf: DetectorSettings = DetectorSettings()
    bf: DetectorSettings | None = DetectorSettings(gain_counts_per_electron=8.0)
    """None: out. Where atoms show, a bright field takes long to compute: a second a frame and more."""
    adf: DetectorSettings | None = None
    """None: out."""
    abf: BrightDetectorSettings | None = None
    camera: CameraSettings | None = None
    """Patterns at every pixel. It is read only where an exposure names it, for it is large; so are the next two."""
    ctem: CtemSettings | None = None
    """Given, the beam is wide and the camera under the image is the only detector, "CTEM"; None: it is a probe."""
    eels: EelsSettings | None = None
    eds: EdsSettings | None = None
    scan: ScanSettings = ScanSettings()
    holder: Annotated[HolderSettings | None, BeforeValidator(_holder)] = None
    """heating_chip, furnace, biasing_chip, liquid_cell, or one written here; None: it only holds."""
    stage: StageSettings = StageSettings()
    cassette: CassetteSettings | None = None
    """Of an autoloader; None: one specimen, put in by hand."""
    stage_to_image: StageToImage | None = None
    """As measured, where the stage is turned or mirrored; None: not known yet, and it does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""
    field_of_view_nm: Range = (1.0, 20000.0)
    dwell_us: Range = (0.05, 1000.0)
    max_pixels: Annotated[int, Field(gt=0)] = 4096 * 4096
    max_values: Annotated[int, Field(gt=0)] = 1 << 27
    """Numbers that one exposure of a detector may give: patterns and spectra are large."""
    overhead_s: NotNegative = 0.1
    """Time an exposure costs beside its pixels."""
    faults: tuple[Fault, ...] = ()
    exposure_overhead_s: ClassVar[float] = 60.0
    """In real time it renders while the beam waits to be blanked; nothing is hit meanwhile."""
    real_time: bool = False
    """Whether the world runs on the computer's clock (demonstrations, tests of signals)."""

    @model_validator(mode="after")
    def _recipe_for_more(self) -> SimulatedSettings:
        asked = [name for name in ("adf", "abf", "camera", "eels", "eds") if getattr(self, name) is not None]
        scanned: list[str] = [
            name for name in ("haadf", "bf") if name in self.model_fields_set and getattr(self, name) is not None
        ]
        scanned += asked + (["scan"] if self.scan != ScanSettings() else [])
        if self.ctem is not None and scanned:
            raise ValueError(f"{', '.join(scanned)} needs a probe that scans; leave it out, or ctem")
        asked += ["ctem"] if self.ctem is not None else []
        own = {f"{name}.angles_mrad": d.angles_mrad for name, d in (("haadf", self.haadf), ("bf", self.bf)) if d}
        asked += [name for name, angles_mrad in own.items() if angles_mrad is not None]
        asked += ["scan"] if self.scan != ScanSettings() else []
        asked += [
            f"column.{name}"
            for name in ("coma_nm", "threefold_nm", "spherical_nm")
            if getattr(self.column, name) is not None
        ]
        higher = [f"{name}_{how}_nm" for name in ("coma", "threefold", "spherical") for how in ("offset", "drift")]
        asked += [f"column.{name}" for name in higher if getattr(self.column, name) > 0]
        if asked and not isinstance(self.specimen, SampleSettings):
            raise ValueError(f"{', '.join(asked)} needs a specimen by recipe, such as `specimen: au_on_carbon`")
        if self.bf is None and not isinstance(self.specimen, SampleSettings):
            raise ValueError("bf: null needs a specimen by recipe, such as `specimen: au_on_carbon`")
        return self

    @model_validator(mode="after")
    def _holder_for_what_evolves(self) -> SimulatedSettings:
        if isinstance(self.specimen, SampleSettings) and self.specimen.evolves is not None and self.holder is None:
            raise ValueError("what evolves follows a holder's conditions: give one, such as `holder: heating_chip`")
        return self

    def needs(self) -> tuple[str, ...]:
        """What has to be measured of it: nothing where its stage moves the image along its own axes."""
        return () if self.stage.straight else ("stage_to_image",)

    def detectors(self) -> dict[str, DetectorSettings]:
        """Every detector that is in and gives one number a pixel, by name."""
        if self.ctem is not None:
            return {"CTEM": self.ctem}
        found = {"HAADF": self.haadf, "ADF": self.adf, "ABF": self.abf, "BF": self.bf}
        return {name: detector for name, detector in found.items() if detector is not None}

    def slow_detectors(self) -> dict[str, int]:
        """Those that are read only where an exposure names them, and how many numbers each gives a pixel."""
        cameras = {} if self.camera is None else {"camera": self.camera.pixels**2}
        spectrometers = {"EELS": self.eels, "EDS": self.eds}
        return cameras | {name: made.channels for name, made in spectrometers.items() if made is not None}

    @property
    def specimen_by_recipe(self) -> SampleSettings | None:
        return self.specimen if isinstance(self.specimen, SampleSettings) else None
