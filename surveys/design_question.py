"""A question to ask before a session: what is to be seen, in what, with which instrument, at what cost at most."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from configs.settings import Settings, unknown
from instruments.simulated.crystals import CRYSTALS, columns
from instruments.simulated.recipe import ELEMENTS
from instruments.simulated.scattering import WIDEST_MRAD

Ratio: TypeAlias = float
Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
TECHNIQUES = ("HAADF", "BF", "ABF", "CTEM", "4D-STEM", "EELS", "EDS")


def _element(value: Any) -> Any:
    if isinstance(value, str) and value not in ELEMENTS:
        raise ValueError(f"element {value!r}: {unknown(value, ELEMENTS, 'element') if len(value) < 4 else _by_name()}")
    return value


def _by_name() -> str:
    return "give the symbol of an element up to U, such as Ge"


def _technique(value: Any) -> Any:
    if isinstance(value, str) and value not in TECHNIQUES:
        raise ValueError(f"technique {value!r}: {unknown(value, TECHNIQUES, 'technique')}")
    return value


def _crystal(value: Any) -> Any:
    if isinstance(value, str) and value not in CRYSTALS:
        raise ValueError(f"crystal {value!r}: {unknown(value, CRYSTALS, 'crystal')}")
    return value


Element: TypeAlias = Annotated[str, BeforeValidator(_element)]
Technique: TypeAlias = Annotated[str, BeforeValidator(_technique)]


class MatterSettings(Settings):
    """A crystal along a zone axis, or a composition without order."""

    crystal: Annotated[str | None, BeforeValidator(_crystal)] = None
    zone: tuple[int, int, int] = (0, 0, 1)
    atoms_per_nm3: dict[Element, PositiveFloat] = Field(default_factory=dict)
    """Of matter without order."""
    debye_waller_nm: Annotated[float, Field(ge=0)] = 0.008
    """Root mean square displacement of its atoms along one axis."""

    @model_validator(mode="after")
    def _one_of_them(self) -> MatterSettings:
        if (self.crystal is None) == (not self.atoms_per_nm3):
            raise ValueError(
                f"give either the name of a crystal ({', '.join(CRYSTALS)}) or atoms_per_nm3 of what has no order"
            )
        return self

    def density_per_nm3(self) -> dict[str, float]:
        """Atoms per volume by element."""
        if self.crystal is None:
            return dict(self.atoms_per_nm3)
        return columns(CRYSTALS[self.crystal], self.zone).density_per_nm3()


class SpecimenQuestion(MatterSettings):
    """The film that holds what is sought."""

    thickness_nm: Annotated[float, Field(gt=0, le=1000)]
    critical_fluence_e_per_A2: PositiveFloat | None = None
    """Its structure fades as exp(−fluence ÷ this); None: as the table of critical fluences has it."""
    displacement_eV: PositiveFloat | None = None
    """Energy that knocks an atom out of it; None: not known, and knock-on is not reckoned with."""


class DopantFeature(Settings):
    """Foreign atoms in one column of a crystal."""

    kind: Literal["dopant"] = "dopant"
    element: Element
    replaces: Element
    atoms: PositiveInt = 1
    """In that column."""


class ParticleFeature(Settings):
    """A ball: a precipitate, a void, a particle on a support."""

    kind: Literal["particle"] = "particle"
    material: MatterSettings | None = None
    """None: a void."""
    diameter_nm: Annotated[float, Field(ge=0.5)]
    embedded: bool = True
    """Whether it takes the film's place, or lies on it."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> ParticleFeature:
        if self.material is None and not self.embedded:
            raise ValueError("a void lies in the film: leave `embedded: false` out, or name its material")
        return self


class ConcentrationFeature(Settings):
    """An element all through one pixel of a map, against none of it."""

    kind: Literal["concentration"] = "concentration"
    element: Element
    at_percent: Annotated[float, Field(gt=0, lt=100)]
    replaces: Element | None = None
    """None: it takes the place of every other element alike."""
    pixel_nm: Annotated[float, Field(ge=0.2)]
    """Narrower ones show columns of atoms: ask for a dopant."""


class MeasuredFeature(Settings):
    """A quantity to be measured: how finely, by the Cramér–Rao bound."""

    kind: Literal["measured"] = "measured"
    quantity: Literal["column_position", "strain", "defocus"]
    precision: PositiveFloat
    """Standard deviation that is wanted: nm of a position or a defocus, a ratio of a strain."""
    gauge_nm: PositiveFloat = 3.0
    """Width of the square that is measured at once."""


Feature: TypeAlias = Annotated[
    DopantFeature | ParticleFeature | ConcentrationFeature | MeasuredFeature,
    Field(discriminator="kind"),
]


def _ring(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1] <= WIDEST_MRAD:
        raise ValueError(f"{list(value)} is no ring: give inner < outer, {WIDEST_MRAD:g} mrad at most")
    return value


def _range(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] <= value[1]:
        raise ValueError(f"{list(value)} is no range: give the least first")
    return value


Ring: TypeAlias = Annotated[tuple[Annotated[float, Field(ge=0)], PositiveFloat], AfterValidator(_ring)]
Range: TypeAlias = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_range)]


class InstrumentQuestion(Settings):
    """What the instrument can do."""

    voltage_kV: Annotated[float, Field(ge=20, le=1200)] = 200.0
    convergence_mrad: Annotated[float, Field(ge=1, le=80)] = 21.4
    source_size_nm: Annotated[float, Field(ge=0)] = 0.035
    """Standard deviation of the source's image."""
    currents_pA: Range = (10.0, 500.0)
    """Least and most."""
    dwell_us: Range = (0.5, 1000.0)
    """Least and most of a scan without a camera."""
    overhead_s: Annotated[float, Field(ge=0)] = 2.0
    """Moving, settling and flyback, for one frame."""
    haadf_mrad: Ring = (70.0, 200.0)
    abf_mrad: Ring = (11.0, 22.0)
    bf_mrad: Ring = (0.0, 10.0)
    camera_pixels: Annotated[int, Field(ge=16, le=256, multiple_of=2)] = 32
    camera_reach_mrad: PositiveFloat = 64.0
    camera_least_us: PositiveFloat = 100.0
    """Shortest time for one pattern."""
    objective_mrad: PositiveFloat = 30.0
    focal_spread_nm: Annotated[float, Field(ge=0)] = 4.0
    eels_collection_mrad: PositiveFloat = 30.0
    eels_resolution_eV: PositiveFloat = 1.0
    eels_least_us: PositiveFloat = 500.0
    eds_solid_angle_sr: PositiveFloat = 0.7
    channels_eV: tuple[PositiveFloat, PositiveFloat] = (1.0, 10.0)
    """Width of a channel of EELS and of EDS."""


class CostLimits(Settings):
    """What it may cost."""

    fluence_e_per_A2: PositiveFloat | None = None
    """On any place; None: what the specimen bears."""
    harm: Share = 0.2
    """Share of the structure that may be lost where the fluence is not given."""
    hours: PositiveFloat = 8.0
    data_MB: PositiveFloat = 100000.0
    field_nm: PositiveFloat = 100.0
    """Side of the square that is to be searched."""


class Question(Settings):
    """A question, as a person writes it."""

    name: str = Field("question", pattern=r"^[\w.-]+$")
    """Letters, digits, dot, dash and underscore: files are named by it."""
    text: str = ""
    """In words."""
    specimen: SpecimenQuestion
    feature: Feature
    instrument: InstrumentQuestion = InstrumentQuestion()
    limits: CostLimits = CostLimits()
    techniques: tuple[Technique, ...] = TECHNIQUES
    false_alarm: Share = 0.05
    """Chance that a frame without the feature says it is there."""
    detection: Share = 0.9
    """Chance that is wanted of seeing one that is there."""
    seed: int = 1
    """Of what is simulated."""

    @model_validator(mode="after")
    def _fits_its_specimen(self) -> Question:
        feature, film = self.feature, self.specimen
        if not self.techniques:
            raise ValueError(f"techniques is empty: name some of {', '.join(TECHNIQUES)}, or leave it out")
        held = film.density_per_nm3()
        replaced = getattr(feature, "replaces", None)
        if replaced is not None and replaced not in held:
            raise ValueError(f"feature.replaces {replaced}: the specimen holds {', '.join(held)}")
        if isinstance(feature, DopantFeature) and film.crystal is None:
            raise ValueError("a dopant takes a place in a crystal, and this film has no order: name its crystal")
        if isinstance(feature, DopantFeature) and replaced in held:
            self._fits_a_column(feature)
        if isinstance(feature, DopantFeature | ConcentrationFeature) and feature.element in held:
            raise ValueError(f"feature.element {feature.element}: the specimen itself holds it; ask for another")
        if isinstance(feature, ParticleFeature) and feature.embedded and feature.diameter_nm > film.thickness_nm:
            raise ValueError(
                f"a ball of {feature.diameter_nm:g} nm does not fit into {film.thickness_nm:g} nm: make it smaller, "
                "or `embedded: false`"
            )
        if isinstance(feature, MeasuredFeature) and feature.quantity != "defocus" and film.crystal is None:
            raise ValueError(f"{feature.quantity} is measured of columns of atoms: name a crystal")
        return self

    def _fits_a_column(self, feature: DopantFeature) -> None:
        """Raise ValueError where a column holds fewer atoms than are to be exchanged."""
        seen = columns(CRYSTALS[str(self.specimen.crystal)], self.specimen.zone)
        least = min(n for name, n in zip(seen.elements, seen.atoms, strict=True) if name == feature.replaces)
        holds = least * self.specimen.thickness_nm / seen.repeat_nm
        if feature.atoms > holds + 1e-3:
            raise ValueError(
                f"feature.atoms {feature.atoms}: a column of {feature.replaces} of this film holds {holds:.3g}; "
                "ask for fewer, or a thicker film"
            )
