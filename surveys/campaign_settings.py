"""A campaign in a YAML file: one question over a grid of specimens and conditions, shared by laboratories.

What is measured, and how, is the campaign's; instrument, limits, areas and everything that names a file are each
laboratory's own and come from its own survey config: what another laboratory sends can ask for a look, and no more.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from archive.campaign_rights import Rules
from archive.library_records import LibraryError
from configs.load import Settings
from configs.settings import unknown
from envs.descriptors import NAMES
from surveys.controls import ControlSettings
from surveys.settings import BudgetSettings, LooksSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from archive.campaign_entries import Entry

Ratio: TypeAlias = float
MOST_CELLS = 100
"""The posterior's memory grows with their square."""
FEWEST_CONTROLS = 5
"""Of an area, from which a mean and its uncertainty are told."""
Name = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=80)]
"""Letters, digits, dot, dash and underscore."""


class LaboratorySettings(Settings):
    """One that takes part."""

    name: Name
    specimens: tuple[Name, ...] | None = None
    """Of which it has a piece; left out, of all."""


class CampaignSpecimen(Settings):
    """One row of the grid."""

    name: Name
    simulated: dict[str, Any] = Field(default_factory=dict)
    """What ``instrument.specimen`` is there on a simulated instrument; no other instrument hears of it."""


class ConditionSettings(Settings):
    """One column of the grid."""

    name: Name
    looks: LooksSettings | None = None
    """In place of the campaign's own."""
    current_pA: PositiveFloat | None = None
    simulated: dict[str, Any] = Field(default_factory=dict)


class MeasureSettings(Settings):
    """The number that a cell gives: the mean of a descriptor over its control sites, which are drawn at random."""

    descriptor: str = "bright_area_ratio"
    """What is read out of every control's image; mean_counts is less the detector's offset."""
    signal: str = "HAADF"
    log: bool = True
    """Measure the natural logarithm of the mean: effects and calibrations that multiply then add."""
    noise: PositiveFloat = 0.1
    """Expected standard error of one cell within its areas, until some are measured."""
    between: PositiveFloat = 0.5
    """How far specimens and conditions may differ: scale of the priors."""
    laboratory: PositiveFloat = 0.05
    """How far laboratories may differ by their calibrations: scale of the prior."""
    area: PositiveFloat = 0.1
    """How far areas of one specimen may differ: scale of the prior, which is all that is known of it where cells have
    one area."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.descriptor not in NAMES:
            raise ValueError(f"descriptor {self.descriptor!r}: {unknown(self.descriptor, NAMES, 'descriptor')}")
        return self


class StopSettings(Settings):
    """When the question is answered. A campaign also ends when every cell is measured."""

    std: PositiveFloat | None = None
    """No cell of the grid is less sure than this."""
    hours: PositiveFloat | None = None
    """Of instruments, over all laboratories."""


class TermSettings(Settings):
    """How cells are shared out; ``archive.campaign_rights`` says what this guarantees."""

    term_hours: PositiveFloat = 72.0
    """After so long a cell that is not measured goes to the next laboratory: longer than a bundle ever takes."""
    lease_hours: PositiveFloat = 12.0
    """Of a claim: longer than a cell ever takes."""
    clock_error_s: PositiveFloat = 300.0
    """By which the laboratories' clocks may differ."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.lease_hours * 3600 + 2 * self.clock_error_s > self.term_hours * 3600:
            raise ValueError(
                f"a lease of {self.lease_hours:g} h does not fit into a term of {self.term_hours:g} h: no cell could "
                "ever be claimed; raise term_hours"
            )
        return self


def _laboratory(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class CampaignSettings(Settings):
    """The whole of it."""

    name: Name
    question: str = Field(min_length=1)
    laboratories: Annotated[
        tuple[Annotated[LaboratorySettings, BeforeValidator(_laboratory)], ...], Field(min_length=1)
    ]
    specimens: Annotated[tuple[CampaignSpecimen, ...], Field(min_length=1)]
    conditions: Annotated[tuple[ConditionSettings, ...], Field(min_length=1)]
    looks: LooksSettings
    areas: PositiveInt = 1
    """Of every cell, apart from each other, which share its controls and its budget. With one, nothing is measured of
    how far pieces of one specimen differ; three tell."""
    controls: ControlSettings = ControlSettings(count=24)
    budget: BudgetSettings
    current_pA: PositiveFloat | None = None
    measure: MeasureSettings = MeasureSettings()
    stop: StopSettings = StopSettings()
    terms: TermSettings = TermSettings()
    opened_utc: AwareDatetime | None = None
    """Written by `adaptem campaign start`: terms count from here."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for what in ("laboratories", "specimens", "conditions"):
            names = [each.name for each in getattr(self, what)]
            if len(set(names)) < len(names):
                raise ValueError(f"{what} must have names of their own, got {', '.join(names)}")
        if len(self.specimens) * len(self.conditions) > MOST_CELLS:
            raise ValueError(f"a grid of {len(self.specimens)} × {len(self.conditions)}: at most {MOST_CELLS} cells")
        known = {each.name for each in self.specimens}
        for laboratory in self.laboratories:
            for name in laboratory.specimens or ():
                if name not in known:
                    raise ValueError(f"{laboratory.name} has a piece of {name!r}: {unknown(name, known, 'specimen')}")
        for specimen in known:
            if not any(each.specimens is None or specimen in each.specimens for each in self.laboratories):
                raise ValueError(f"no laboratory has a piece of {specimen}: nobody could measure it")
        if self.controls.count is not None and self.controls.count < FEWEST_CONTROLS * self.areas:
            raise ValueError(
                f"controls.count {self.controls.count} for {self.areas} area{'s' if self.areas > 1 else ''} a cell: "
                f"give at least {FEWEST_CONTROLS} to each"
            )
        if self.budget.hours > self.terms.lease_hours:
            raise ValueError(
                f"a cell may take {self.budget.hours:g} h and its lease ends after {self.terms.lease_hours:g} h: "
                "raise terms.lease_hours"
            )
        return self

    @property
    def text(self) -> str:
        """As every laboratory keeps it."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), sort_keys=True, ensure_ascii=False)

    @property
    def id(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def grid(self) -> dict[str, tuple[int, int]]:
        """Cell → (specimen, condition), by their places in the lists."""
        return {
            f"{specimen.name}/{condition.name}": (row, column)
            for row, specimen in enumerate(self.specimens)
            for column, condition in enumerate(self.conditions)
        }

    def able(self, cell: str) -> tuple[str, ...]:
        """The laboratories that can measure a cell, its home first.

        Homes go like the squares of a chessboard, so that every specimen and condition is seen by as many laboratories
        as can be, and their offsets show.
        """
        row, column = self.grid[cell]
        specimen = self.specimens[row].name
        names = [each.name for each in self.laboratories if each.specimens is None or specimen in each.specimens]
        first = (row + column) % len(names)
        return (*names[first:], *names[:first])

    def opened(self, now: datetime) -> CampaignSettings:
        """As it is told to the others: with the moment from which its terms count, so that nobody can shift them."""
        return self.model_copy(update={"opened_utc": now})

    def rules(self) -> Rules:
        """Raises LibraryError where nobody opened the campaign."""
        if self.opened_utc is None:
            raise LibraryError(f"campaign {self.name} does not say when it was opened: `adaptem campaign start` does")
        return Rules(
            opened=self.opened_utc,
            cells={cell: self.able(cell) for cell in self.grid},
            term_s=self.terms.term_hours * 3600,
            lease_s=self.terms.lease_hours * 3600,
            clock_error_s=self.terms.clock_error_s,
        )


_TEXT: TypeAdapter[Mapping[str, Any]] = TypeAdapter(dict[str, Any])


def campaign_of(entries: Sequence[Entry]) -> CampaignSettings:
    """The campaign that these entries are of, checked as a file is. Raises LibraryError."""
    for entry in entries:
        if entry.kind == "opened" and entry.text is not None:
            try:
                return CampaignSettings.model_validate(_TEXT.validate_json(entry.text))
            except ValidationError as error:
                said = error.errors()[0]
                where = ".".join(map(str, said["loc"]))
                raise LibraryError(f"the campaign that {entry.laboratory} opened: {where}: {said['msg']}") from error
    raise LibraryError("a campaign that nobody opened: import a bundle of the laboratory that did")
