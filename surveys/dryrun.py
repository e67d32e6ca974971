"""What a survey would cost, reckoned from its config alone: nothing moves, nothing is opened."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias

from agent.factory import make_skills
from configs.load import ConfigError
from configs.settings import unknown
from surveys.controls import draw
from surveys.parts import parts_problems, tasks_of
from surveys.task import survey_looks

if TYPE_CHECKING:
    from configs.load import Settings
    from envs.actions import Look
    from envs.tasks import SurveyTask
    from instruments.types import Exposure
    from surveys.settings import SurveySettings

Ratio: TypeAlias = float

BYTES_PER_PIXEL = 8
"""Four detectors of 16 bits: more than most instruments give."""
_MAP_WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """What one look costs."""

    name: str
    field_of_view_nm: float
    pixel_size_nm: float
    dwell_us: float
    beam_on_s: float
    whole_s: float
    """With the move there and the decision."""
    electrons: float
    fluence_e_per_A2: float
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenPlan:
    """What is planned on one specimen."""

    name: str
    width_nm: float
    height_nm: float
    patches: int
    sites: int
    rows: int
    columns: int
    controls: int
    detail_looks: int
    """That the budget pays for, after every overview; controls included."""
    ends_by: str
    """What is spent first: time, electrons or area."""
    hours: float
    electrons: float
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole night."""

    name: str
    instrument: str
    current_pA: float
    looks: tuple[LookPlan, ...]
    specimens: tuple[SpecimenPlan, ...]

    @property
    def first_look_bytes(self) -> int:
        return max(look.bytes for look in self.looks)

    @property
    def bytes(self) -> int:
        return sum(specimen.bytes for specimen in self.specimens)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"bytes": self.bytes}

    def headline(self) -> str:
        """One line."""
        hours = sum(specimen.hours for specimen in self.specimens)
        details = sum(specimen.detail_looks for specimen in self.specimens)
        sites = sum(specimen.sites for specimen in self.specimens)
        electrons = sum(specimen.electrons for specimen in self.specimens)
        return (
            f"about {hours:.2g} h, {electrons:.2g} electrons, {details} of {sites} sites in detail, "
            f"{self.bytes / 1e6:.0f} MB"
        )

    def as_text(self) -> str:
        """Everything, for reading, with a map of the areas."""
        lines = [f"{self.name} on {self.instrument}, {self.current_pA:g} pA: {self.headline()}", ""]
        lines += [
            f"{look.name:>9}: {look.field_of_view_nm:g} nm wide, {look.pixel_size_nm:.3g} nm a pixel, "
            f"{look.beam_on_s:.2g} s of beam ({look.whole_s:.2g} s in all), {look.electrons:.2g} electrons, "
            f"{look.fluence_e_per_A2:.3g} e/Å², {look.bytes / 1e6:.2g} MB"
            for look in self.looks
        ]
        for specimen in self.specimens:
            lines += [
                "",
                f"{specimen.name}: {specimen.width_nm / 1000:g} × {specimen.height_nm / 1000:g} µm, {specimen.patches} "
                f"overviews, {specimen.rows} × {specimen.columns} sites, {specimen.controls} random controls",
                f"  {specimen.detail_looks} detail looks until the {specimen.ends_by} is spent: "
                f"{specimen.hours:.2g} h, {specimen.electrons:.2g} electrons, {specimen.bytes / 1e6:.0f} MB",
                *_map(specimen),
            ]
        return "\n".join(lines)


def plan(settings: SurveySettings) -> Plan:
    """Reckon the night. Raises ConfigError, all problems at once, for a plan that cannot be carried out."""
    tasks, problems = tasks_of(settings)
    problems += _overlaps(settings) + parts_problems(settings, tasks)
    looks = [_look_plan(look, settings) for look in survey_looks(settings)]
    problems += _problems(settings, looks) + _signal_problems(settings)
    if problems:
        raise ConfigError(*problems)
    return Plan(
        name=settings.name,
        instrument=str(getattr(settings.instrument, "kind", type(settings.instrument).__name__)),
        current_pA=_current_pA(settings),
        looks=tuple(looks),
        specimens=tuple(_specimen_plan(settings, number, task, looks) for number, task in enumerate(tasks)),
    )


def _overlaps(settings: SurveySettings) -> list[str]:
    """Specimens of one holder that share a place: its dose would be that of both."""
    held = [specimen for specimen in settings.specimens if specimen.position is None]
    return [
        f"specimens: the areas of {one.name} and {other.name} overlap; move one, or survey them one after the other"
        for one, other in combinations(held, 2)
        if abs(one.area.x_nm - other.area.x_nm) < (one.area.width_nm + other.area.width_nm) / 2
        and abs(one.area.y_nm - other.area.y_nm) < (one.area.height_nm + other.area.height_nm) / 2
    ]


def _look_plan(look: Look, settings: SurveySettings) -> LookPlan:
    exposure, current_pA = look.exposure, _current_pA(settings)
    travel_s = settings.motion.settle_s + exposure.field_of_view_nm / settings.motion.stage_speed_nm_per_s
    return LookPlan(
        name=look.name,
        field_of_view_nm=exposure.field_of_view_nm,
        pixel_size_nm=exposure.pixel_size_nm,
        dwell_us=exposure.dwell_us,
        beam_on_s=look.beam_on_s,
        whole_s=look.duration_s + travel_s + settings.decision_time_s,
        electrons=look.electrons(current_pA),
        fluence_e_per_A2=look.fluence_e_per_A2(current_pA),
        bytes=look.count
        * math.prod(exposure.shape)
        * exposure.frames
        * _bytes_per_pixel(exposure, settings.instrument),
    )


def _bytes_per_pixel(exposure: Exposure, instrument: Settings) -> int:
    """Of what the exposure reads; a driver's settings may tell how many numbers its slow detectors give at a pixel."""
    slow: dict[str, int] = getattr(instrument, "slow_detectors", dict)()
    return BYTES_PER_PIXEL + sum(2 * slow.get(name, 0) for name in exposure.signals or ())


def _signal_problems(settings: SurveySettings) -> list[str]:
    """Detectors that are asked for by a name that limits or instrument do not know, and looks without an image."""
    listed = (getattr(settings.instrument, kind, dict) for kind in ("detectors", "slow_detectors"))
    there: tuple[str, ...] = tuple(name for names in listed for name in names())
    asked = [(f"looks.{look.name}.signals", look.exposure) for look in survey_looks(settings)]
    asked += [(f"skills.{each.name}", one) for each in make_skills(settings.skills) for one in each.cost_exposures()]
    found = [
        f"{where}: {name!r}: {unknown(name, known, 'detector')}"
        for known in (there, settings.limits.detectors)
        if known
        for where, exposure in asked
        for name in exposure.signals or ()
        if name not in known
    ]
    slow: dict[str, int] = getattr(settings.instrument, "slow_detectors", dict)()
    judged_by = settings.scorer.signal
    found += [
        f"looks.{look.name}.signals: {', '.join(names)} give no image{f' of {judged_by}' if judged_by else ''}, and a "
        f"look is judged by one: name {judged_by or 'a detector of images'} as well"
        for look in survey_looks(settings)
        if (names := look.exposure.signals) and (set(names) <= set(slow) or judged_by not in (None, *names))
    ]
    return list(dict.fromkeys(found))


def _problems(settings: SurveySettings, looks: list[LookPlan]) -> list[str]:
    """Why this budget and these limits let nothing happen."""
    budget, limits, found = settings.budget, settings.limits, []
    for look in looks:
        if look.electrons > budget.electrons:
            found.append(
                f"budget.electrons: {budget.electrons:.3g} cannot pay for one {look.name} look of "
                f"{look.electrons:.3g}; raise it, or lower looks.{look.name}.dwell_us"
            )
        if look.whole_s > budget.hours * 3600.0:
            found.append(
                f"budget.hours: {budget.hours:g} h cannot pay for one {look.name} look of {look.whole_s:.3g} s; "
                f"raise it, or lower looks.{look.name}.dwell_us"
            )
        for name, value in (("field_of_view_nm", look.field_of_view_nm), ("dwell_us", look.dwell_us)):
            low, high = getattr(limits, name)
            if not low <= value <= high:
                found.append(f"looks.{look.name}: {name} {value:g} is outside limits.{name}, {low:g} to {high:g}")
        if look.fluence_e_per_A2 > limits.max_fluence_e_per_A2:
            found.append(
                f"looks.{look.name}: {look.fluence_e_per_A2:.3g} e/Å² is over limits.max_fluence_e_per_A2, "
                f"{limits.max_fluence_e_per_A2:g}; lower its dwell_us"
            )
    outside = [tilt for tilt in settings.looks.detail.tilts_deg if not _allows(limits.alpha_deg, tilt)]
    if outside:
        low_high = limits.alpha_deg
        told = (
            "which is not set: this holder is not to tilt"
            if low_high is None
            else f"{low_high[0]:g} to {low_high[1]:g}"
        )
        found.append(f"looks.detail.tilts_deg: {outside} outside limits.alpha_deg, {told}")
    many = len(settings.specimens)
    if budget.electrons * many > limits.max_electrons:
        found.append(
            f"budget.electrons: more than limits.max_electrons, {limits.max_electrons:.3g}, for {many} specimen(s)"
        )
    if budget.hours * 3600.0 * many > limits.max_time_s:
        found.append(f"budget.hours: more than limits.max_time_s, {limits.max_time_s:g} s, for {many} specimen(s)")
    if _current_pA(settings) > limits.max_current_pA:
        found.append(f"current_pA: {settings.current_pA:g} is over limits.max_current_pA, {limits.max_current_pA:g}")
    return found


def _allows(range_deg: tuple[float, float] | None, tilt_deg: float) -> bool:
    return range_deg is not None and range_deg[0] <= tilt_deg <= range_deg[1]


def _specimen_plan(settings: SurveySettings, number: int, task: SurveyTask, looks: list[LookPlan]) -> SpecimenPlan:
    overview, detail = looks
    tree, budget, specimen = task.tree, settings.budget, settings.specimens[number]
    sites, patches = len(tree.leaves), len(tree) - len(tree.leaves)
    payable = {
        "time": (budget.hours * 3600.0 - patches * overview.whole_s) / (detail.whole_s + _focus_s(settings)),
        "electrons": (budget.electrons - patches * overview.electrons) / detail.electrons,
        "area": budget.detail_fraction * sites + 1e-6,
    }
    ends_by = min(payable, key=lambda what: payable[what])
    details = max(int(payable[ends_by]), 0)
    return SpecimenPlan(
        name=specimen.name,
        width_nm=specimen.area.width_nm,
        height_nm=specimen.area.height_nm,
        patches=patches,
        sites=sites,
        rows=tree.shape[0],
        columns=tree.shape[1],
        controls=len(draw(tree.leaves.tolist(), settings.controls, settings.seed, number).sites),
        detail_looks=details,
        ends_by=ends_by,
        hours=min((patches * overview.whole_s + details * detail.whole_s) / 3600.0, budget.hours),
        electrons=min(patches * overview.electrons + details * detail.electrons, budget.electrons),
        bytes=patches * overview.bytes + details * detail.bytes,
    )


def _focus_s(settings: SurveySettings) -> float:
    """Seconds of focusing a detail look, one refocus in forty."""
    return sum(skill.cost_s for skill in make_skills(settings.skills)) / 40.0


def _current_pA(settings: SurveySettings) -> float:
    return settings.limits.max_current_pA if settings.current_pA is None else settings.current_pA


def _map(specimen: SpecimenPlan) -> list[str]:
    """The area to scale, a dot for one site or several."""
    columns = min(specimen.columns, _MAP_WIDTH)
    rows = max(round(columns * specimen.height_nm / specimen.width_nm / 2), 1)  # a character is about twice as high
    frame = "─" * columns
    return [f"  ┌{frame}┐", *(f"  │{'·' * columns}│" for _ in range(rows)), f"  └{frame}┘"]
