"""One cell of a campaign as an ordinary survey, and the number that its record gives.

The campaign says which looks, controls and budget; instrument, limits, areas and everything else are of the
laboratory's own config, and a campaign that asks more than that config allows is refused.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from archive.campaign_entries import AreaValue
from archive.library_filling import add_survey
from archive.library_records import LibraryError
from archive.reader import SurveyReader
from configs.errors import ConfigError
from configs.settings import unknown
from envs.descriptors import NAMES, describe_windows
from envs.scorers import Window
from envs.step import Kind, Stream
from instruments.drivers import registry
from surveys.campaign_member import Measured
from surveys.campaign_settings import FEWEST_CONTROLS
from surveys.night import default_folder, open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archive.campaign_entries import Entry
    from envs.step import Step
    from surveys.campaign_member import Member
    from surveys.campaign_settings import CampaignSettings, MeasureSettings
    from surveys.session import Progress

Array: TypeAlias = npt.NDArray[np.float64]


def cell_settings(campaign: CampaignSettings, cell: str, laboratory: str, own: SurveySettings) -> SurveySettings:
    """The survey that measures a cell. Raises ConfigError where the laboratory's own config does not allow it."""
    row, column = campaign.grid[cell]
    specimen, condition = campaign.specimens[row], campaign.conditions[column]
    if campaign.budget.hours > own.budget.hours or campaign.budget.electrons > own.budget.electrons:
        raise ConfigError(
            f"a cell of {campaign.name} asks {campaign.budget.hours:g} h and {campaign.budget.electrons:.3g} e, "
            f"your config allows {own.budget.hours:g} h and {own.budget.electrons:.3g} e: raise its budget, or leave it"
        )
    data: dict[str, Any] = own.model_dump(mode="json")
    mine = _areas(campaign, specimen.name, data["specimens"])
    controls, budget = campaign.controls, campaign.budget
    if campaign.areas > 1:
        share = {"hours": budget.hours / campaign.areas, "electrons": budget.electrons / campaign.areas}
        budget = budget.model_copy(update=share)
        if controls.count is not None:
            controls = controls.model_copy(update={"count": math.ceil(controls.count / campaign.areas)})
    looks = condition.looks or campaign.looks
    data |= {
        "name": f"{campaign.name}-{specimen.name}-{condition.name}",
        "seed": _seed(campaign, cell, laboratory, own.seed),
        "specimens": mine,
        "looks": looks.model_dump(mode="json"),
        "controls": controls.model_dump(mode="json"),
        "budget": budget.model_dump(mode="json"),
    }
    current_pA = condition.current_pA or campaign.current_pA
    if current_pA is not None:
        data["current_pA"] = current_pA
    shaped = specimen.simulated | condition.simulated
    if shaped and registry.simulated(own.instrument) and data["instrument"].get("kind") == "simulated":
        known = data["instrument"]["specimen"]
        for name in shaped:
            if name not in known:
                raise ConfigError(f"campaign {campaign.name}: simulated.{name}: {unknown(name, known)}")
        data["instrument"] = data["instrument"] | {"specimen": known | shaped}
    try:
        return SurveySettings.model_validate(data)
    except ValidationError as error:
        lines = (f"campaign {campaign.name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(*lines) from error


def _areas(campaign: CampaignSettings, specimen: str, own: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a specimen, in a laboratory's config: those of its name, or its name with a number. Raises ConfigError."""
    others = {each.name for each in campaign.specimens} - {specimen}
    named = re.compile(rf"{re.escape(specimen)}(\.\d+)?")
    mine = [each for each in own if named.fullmatch(each["name"]) and each["name"] not in others]
    if len(mine) < campaign.areas:
        names = ", ".join(each["name"] for each in own)
        raise ConfigError(
            f"{campaign.areas} area{'s' if campaign.areas > 1 else ''} of specimen {specimen!r} asked, your config has "
            f"{len(mine)} among {names}: add areas apart from each other, named {specimen}, {specimen}.2 and so on"
        )
    return mine[: campaign.areas]


def _seed(campaign: CampaignSettings, cell: str, laboratory: str, own: int) -> int:
    """Of a cell and a laboratory: no two surveys of a campaign see the same places."""
    return int.from_bytes(
        hashlib.sha256(f"{campaign.name} {campaign.opened_utc} {cell} {laboratory} {own}".encode()).digest()[:4]
    )


def run_cell(
    member: Member, claim: Entry, own: SurveySettings, watch: Callable[[Step, Progress], None] | None = None
) -> Measured:
    """Survey a claimed cell, tell its result and keep the survey in the library.

    What does not come to a result gives the cell back, with the reason, and raises: ConfigError, ArchiveError,
    InstrumentError, LibraryError.
    """
    cell = str(claim.cell)
    try:
        found = survey_cell(member, cell, own, watch)
    except BaseException as error:
        if member.holds(cell):
            member.release(cell, str(error) or type(error).__name__)
        raise
    member.measured(cell, found)
    return found


def survey_cell(
    member: Member, cell: str, own: SurveySettings, watch: Callable[[Step, Progress], None] | None = None
) -> Measured:
    """The survey alone, in the first folder that is free; nothing is told. Raises as ``run_cell``."""
    campaign = member.standing().campaign
    settings = cell_settings(campaign, cell, member.laboratory, own)
    night = open_night(settings, default_folder(settings))
    summary = run_survey(night) if watch is None else run_survey(night, on_step=watch)
    if summary.exit_code:
        raise LibraryError(f"the survey of {cell} did not complete: {summary.message}; its record is {night.folder}")
    with SurveyReader(night.folder) as reader:
        found = measure(reader, campaign.measure)
        add_survey(member.library, reader)
    return found


def measure(reader: SurveyReader, asked: MeasureSettings) -> Measured:
    """Mean of a descriptor over the control sites of a survey, area by area, with its standard error.

    Controls are drawn at random: their mean is that of the area, whatever the agent preferred. Raises LibraryError.
    """
    told: dict[str, list[float]] = {each["name"]: [] for each in reader.meta.config["specimens"]}
    start_s, end_s, electrons = math.inf, -math.inf, 0.0
    controls = _controls(reader)
    column = NAMES.index(asked.descriptor)
    for row in reader.exposures():
        if row.frame is None:
            continue
        start_s, end_s = min(start_s, row.frame.start_s), max(end_s, row.frame.end_s)
        electrons += row.frame.electrons
        if row.id not in controls:
            continue
        frame = reader.recorded(row.id)
        if asked.signal not in frame.signals:
            raise LibraryError(
                f"the campaign measures {asked.signal}: {unknown(asked.signal, frame.signals, 'signal')}"
            )
        signal = frame.signals[asked.signal]
        image = np.asarray(signal.data, np.float64)
        image = image.mean(axis=0) if image.ndim == 3 else image
        offset = signal.calibration.get("offset_counts", 0.0) if asked.descriptor == "mean_counts" else 0.0
        whole = Window((0, image.shape[0]), (0, image.shape[1]))
        value = float(describe_windows(image, [whole], row.exposure.pixel_size_nm)[0, column]) - offset
        if np.isfinite(value):
            told[row.specimen].append(value)
    areas = tuple(_area(name, np.array(values), asked) for name, values in told.items())
    value, std = together(areas)
    return Measured(
        value=value, std=std, n=sum(each.n for each in areas), areas=areas if len(areas) > 1 else None,
        hours=(end_s - start_s) / 3600.0, electrons=electrons, survey=reader.folder.resolve().name,
    )  # fmt: skip


def _area(name: str, told: Array, asked: MeasureSettings) -> AreaValue:
    """Of one area's controls (n,). Raises LibraryError."""
    if len(told) < FEWEST_CONTROLS:
        raise LibraryError(
            f"{len(told)} controls of {name} show {asked.descriptor}, {FEWEST_CONTROLS} needed: raise controls.count"
        )
    mean, std = float(told.mean()), float(told.std(ddof=1)) / math.sqrt(len(told))
    if asked.log:
        if mean <= 0:
            raise LibraryError(
                f"the mean of {asked.descriptor} is {mean:.3g} and has no logarithm: set measure.log: false"
            )
        mean, std = math.log(mean), std / mean
    return AreaValue(value=mean, std=std, n=len(told))


def together(areas: Sequence[AreaValue]) -> tuple[float, float]:
    """Mean over areas, and its standard error by their scatter or by their own errors, whichever is larger.

    >>> one, other = AreaValue(value=1.0, std=0.1, n=8), AreaValue(value=2.0, std=0.1, n=8)
    >>> together([one]), together([one, other])
    ((1.0, 0.1), (1.5, 0.5))
    """
    values, stds = np.array([(each.value, each.std) for each in areas]).T
    scatter = float(values.std(ddof=1)) if len(areas) > 1 else 0.0
    return float(values.mean()), max(float(np.sqrt((stds**2).mean())), scatter) / math.sqrt(len(areas))


def _controls(reader: SurveyReader) -> set[int]:
    """The exposures that show control sites, also those that the agent had chosen before.

    Without them the mean would be that of the places which the agent did not like.
    """
    found: set[int] = set()
    for step in reader.steps():
        if step.kind is Kind.CONTROL:
            found |= {number for number, tag in step.retagged if tag.stream is Stream.CONTROL}
            if step.shown is not None and step.shown.exposure.id is not None:
                found.add(step.shown.exposure.id)
    return found
