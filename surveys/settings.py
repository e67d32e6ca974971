"""Everything that can be said about one survey, in a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

from agent.settings import AgentSettings, BayesianSettings, PlannerSettings, SkillSettings
from configs.load import Settings
from configs.who import Who
from envs.novelty import NoveltySettings
from envs.scoring import ScorerSettings
from instruments.drivers import registry
from instruments.limits import Limits
from surveys.controls import ControlSettings
from surveys.expectation import ExpectationSettings
from surveys.flagging import FlaggingSettings
from surveys.geometry import FEWEST_SITE_PX, completed
from surveys.recovery import RecoverySettings

if TYPE_CHECKING:
    from collections.abc import Mapping

Ratio: TypeAlias = float
Autonomy: TypeAlias = Literal["advise", "confirm", "auto"]


class AreaSettings(Settings):
    """The rectangle of specimen to survey, in stage coordinates."""

    x_nm: float = 0.0
    """Of its centre."""
    y_nm: float = 0.0
    width_nm: PositiveFloat
    height_nm: PositiveFloat


class SpecimenSettings(Settings):
    """One specimen of the night."""

    name: str = Field("specimen", pattern=r"^[\w.-]+$")
    """Letters, digits, dot, dash and underscore."""
    area: AreaSettings
    """On a recorded image it may be left out: the whole image."""
    position: str | None = None
    """Its place in the loader; None = already in the column."""


class DetailSettings(Settings):
    """The close look, one site at a time."""

    field_of_view_nm: PositiveFloat
    """Width of a site; on a recorded image it may be left out."""
    sites_across: PositiveInt | None = None
    """On a recorded image without ``field_of_view_nm``: so many sites across its shorter side, in whole pixels, each at
    least 64 of them wide; left out, 32."""
    overlap_ratio: Ratio = Field(default=0.0, ge=0.0, le=0.9)
    """Share of a site's width that it has in common with its neighbour, where what is sought is not seen at a frame's
    edge. Four sites meet in a corner: `limits.max_fluence_e_per_A2` must allow as much."""
    shape: tuple[PositiveInt, PositiveInt] = (256, 256)
    """(rows, columns)."""
    dwell_us: PositiveFloat = 4.0
    frames: PositiveInt = 1
    signals: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Detectors to read; left out, every one that is in. A camera or a spectrometer is read only where it is named."""
    tilts_deg: tuple[float, ...] = ()
    """One: tilted so. Several: a tilt series, one exposure each; the least tilted is judged. `limits.alpha_deg` must
    allow them. Left out, the tilt stays as it is."""


class OverviewSettings(Settings):
    """The coarse look that says where a close one pays."""

    sites: PositiveInt = 4
    """The field of view is so many sites wide."""
    shape: tuple[PositiveInt, PositiveInt] = (256, 256)
    dwell_us: PositiveFloat = 2.0
    frames: PositiveInt = 1
    signals: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


class LooksSettings(Settings):
    """The two ways of looking; every frame is square on the specimen where its shape is square."""

    overview: OverviewSettings = OverviewSettings()
    detail: DetailSettings

    @model_validator(mode="after")
    def _sites_show(self) -> Self:
        """A stage that is a little off must not leave too few pixels of a site to say anything."""
        overview_px, detail_px = min(self.overview.shape) / self.overview.sites, min(self.detail.shape)
        if overview_px < FEWEST_SITE_PX:
            raise ValueError(
                f"the overview shows a site {overview_px:.3g} pixels wide and needs {FEWEST_SITE_PX}; "
                "raise overview.shape or lower overview.sites"
            )
        if detail_px < FEWEST_SITE_PX:
            raise ValueError(
                f"the detail look is {detail_px} pixels wide and needs {FEWEST_SITE_PX}; raise detail.shape"
            )
        return self


class MotionSettings(Settings):
    """What a move is expected to cost, for planning."""

    stage_speed_nm_per_s: PositiveFloat = 1000.0
    settle_s: NonNegativeFloat = 1.5
    """Of any move, besides its distance."""
    tilt_s: NonNegativeFloat = 3.0
    """Per change of tilt in a series."""


class LibrarySettings(Settings):
    """The library of prior experiments: a survey may begin with what it knows, and is added when it has ended."""

    warm: bool = False
    """Whether an agent of kind planner is given what earlier surveys of like specimens saw and found; it weighs that
    against what it sees itself (``agent.warm``). It pays where what is rare is of the kinds that were found before, and
    costs where only the film is alike (docs/library.md): for a person to say."""
    keep: bool = True
    """Whether the survey is added."""
    file: Path | None = None
    """Left out: library.sqlite beside the survey's folder, one for all surveys there."""
    server: str | None = Field(None, pattern=r"^postgres(ql)?://[^:@]*(@|/|$)")
    """postgresql://USER@HOST/DATABASE instead of a file. Without a password, for the config is kept with the record:
    PGPASSWORD and ~/.pgpass give it."""


class BudgetSettings(Settings):
    """What the night may spend, on each specimen. Whatever is spent first ends the survey of that specimen."""

    hours: PositiveFloat
    """Of the instrument's clock, waiting and deciding included."""
    electrons: PositiveFloat
    """Sent onto the specimen; 1 nA for one second is 6.2e9."""
    detail_fraction: Annotated[Ratio, Field(gt=0, le=1)] = 1.0
    """Share of the sites that may be seen in a detail look, controls included."""


class SurveySettings(Settings):
    """One survey: an unattended run over one or several specimens."""

    name: str = Field("survey", pattern=r"^[\w.-]+$")
    """Names the folder: letters, digits, dot, dash and underscore."""
    seed: NonNegativeInt = 0
    """Of everything random: the simulated world, the agent, the control sites."""
    who: Who = Who()
    out: Path = Path("surveys_data")
    """Where the survey's folder is made, NAME-001 and so on."""
    instrument: Annotated[SerializeAsAny[Settings], BeforeValidator(registry.block)]
    """``kind`` names the driver; the rest is the driver's own."""
    truth: Path | None = None
    """Simulated worlds keep their truth here, outside the survey's folder; None = beside it, FOLDER.truth.jsonl."""
    guard: Literal["auto", "inside", "process"] = "auto"
    """process: the guard has a process of its own, and a watchdog that blanks when it or the survey stops; inside: it
    lives in the survey's, where there is no instrument: worlds that are simulated or recorded. auto is inside for
    those, process for every instrument."""
    limits: Limits
    """What the guard never lets through. x_nm, y_nm, max_electrons and max_time_s may be left out: then the stage stays
    within the specimens' areas, and the budget is the limit."""
    specimens: Annotated[tuple[SpecimenSettings, ...], Field(min_length=1)]
    looks: LooksSettings
    task: str | None = None
    """FILE.py:NAME, or an entry point of ``adaptem.tasks``: ``(task) -> SurveyTask``, handed the task that this config
    describes, to give back one with other targets or tries. Its budget may be smaller, not larger; looks stay."""
    current_pA: PositiveFloat | None = None
    """Probe current to plan with; the survey does not begin where the instrument reads another. None = planned with the
    largest that the limits allow."""
    motion: MotionSettings = MotionSettings()
    budget: BudgetSettings
    agent: AgentSettings = PlannerSettings()
    skills: SkillSettings = SkillSettings()
    scorer: ScorerSettings = NoveltySettings()
    controls: ControlSettings = ControlSettings()
    flagging: FlaggingSettings = FlaggingSettings()
    taught_share: Annotated[Ratio, Field(ge=0, le=1)] = 0.0
    """Of the close looks, the share that goes where labels of earlier surveys promise most, where ``flagging.learned``
    names what they taught; 0 = the agent alone decides, which was measured to find no less (docs/review.md)."""
    recovery: RecoverySettings = RecoverySettings()
    expectation: ExpectationSettings | None = None
    """What the detail looks should show, as `adaptem plan` wrote it; a departure is recorded. None: nothing."""
    autonomy: Autonomy = "auto"
    """advise: moves nothing, writes down what it would do beside what the operator does; confirm: asks before every
    action; auto: runs alone, inside the limits."""
    library: LibrarySettings = LibrarySettings()
    confirm_deadline_s: PositiveFloat = 300.0
    """Without an answer for so long, park with the beam blanked until one comes."""
    decision_time_s: NonNegativeFloat = 0.1
    """Deciding costs so much of a simulated clock."""
    decision_deadline_s: PositiveFloat = 30.0
    """An agent that takes longer is replaced for this step by the next target in serpentine order."""

    @model_validator(mode="before")
    @classmethod
    def _what_follows(cls, data: Any) -> Any:
        return completed(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [specimen.name for specimen in self.specimens]
        if len(set(names)) < len(names):
            raise ValueError(f"specimens must have names of their own, got {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _guarded_apart(self) -> Self:
        if self.guard == "inside" and not registry.simulated(self.instrument):
            raise ValueError(
                f"guard: inside was asked, and kind {getattr(self.instrument, 'kind', '')!r} drives an instrument: its "
                "guard lives in a process of its own, so that the beam goes off when the survey dies; leave guard out"
            )
        return self

    @model_validator(mode="after")
    def _property_is_read(self) -> Self:
        wanted, signals = self.scorer.property, self.looks.detail.signals
        if isinstance(self.agent, BayesianSettings) and wanted is None:
            raise ValueError(
                "agent.kind bayesian seeks a property and none is named: set scorer.property, for instance "
                "{signal: EELS, energy_eV: [456, 480]}"
            )
        if wanted is not None and (signals is None or wanted.signal not in signals):
            raise ValueError(
                f"scorer.property is read from {wanted.signal}, which looks.detail.signals does not name "
                f"({list(signals or ())}): spectra are read only where they are named"
            )
        return self


def recorded(config: Mapping[str, Any]) -> SurveySettings:
    """The settings that a survey's record keeps; what was not asked when it was begun stays as it was taken then.

    Raises pydantic.ValidationError.
    """
    limits = dict(config.get("limits") or {})
    if limits.get("off_axis_nm") is None and (limits.get("alpha_deg") or limits.get("beta_deg")):
        limits["off_axis_nm"] = 0.0
    return SurveySettings.model_validate({**config, "limits": limits})
