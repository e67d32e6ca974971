"""How it stands with a campaign, and what is known of its grid, as far as one library knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from archive.campaign_entries import Entry
from archive.campaign_rights import Cell, standing
from archive.library_campaigns import Askable, entries_of
from archive.library_records import LibraryError
from surveys.campaign_posterior import Observation, Posterior, Prior
from surveys.campaign_settings import CampaignSettings, campaign_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archive.library_engine import Engine


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a campaign, as far as this library knows."""

    campaign: CampaignSettings
    entries: tuple[Entry, ...]
    cells: dict[str, Cell]
    now: datetime

    @property
    def results(self) -> dict[str, tuple[Entry, ...]]:
        """By cell that is measured; a second result of one cell is a cell done twice."""
        return {name: cell.results for name, cell in self.cells.items() if cell.results}

    def posterior(self) -> Posterior:
        """Of all laboratories' results together."""
        return posterior_of(self.campaign, [entry for each in self.results.values() for entry in each])

    def hours(self) -> float:
        """Of instruments, spent so far over all laboratories."""
        return sum(entry.hours or 0.0 for each in self.results.values() for entry in each)

    def ended(self) -> str | None:
        """Why nothing more is to be measured; None while something is."""
        stop = self.campaign.stop
        if len(self.results) == len(self.cells):
            return f"all {len(self.cells)} cells are measured"
        if stop.hours is not None and self.hours() >= stop.hours:
            return f"{self.hours():.3g} h are spent of {stop.hours:g}"
        if stop.std is not None and self.results and (widest := float(self.posterior().stds.max())) <= stop.std:
            return f"no cell is less sure than ±{widest:.2g}, and ±{stop.std:g} was asked"
        return None


def known(database: Askable) -> tuple[dict[str, CampaignSettings], dict[str, str]]:
    """(campaigns, why others cannot be read) in a library, by checksum."""
    found: dict[str, list[Entry]] = {}
    for entry, _ in entries_of(database):
        found.setdefault(entry.campaign, []).append(entry)
    campaigns, wrong = dict[str, CampaignSettings](), dict[str, str]()
    for campaign, entries in found.items():
        try:
            campaigns[campaign] = campaign_of(entries)
        except LibraryError as error:
            wrong[campaign] = str(error)
    return campaigns, wrong


def posterior_of(campaign: CampaignSettings, results: Sequence[Entry]) -> Posterior:
    """Of these results."""
    place, names = list(campaign.grid), [each.name for each in campaign.laboratories]
    observations = [
        Observation(
            cell=place.index(str(e.cell)),
            laboratory=names.index(e.laboratory),
            areas=tuple((area.value, area.std) for area in e.areas) if e.areas else ((e.value, e.std),),
        )
        for e in results
        if e.value is not None and e.std is not None and e.laboratory in names
    ]
    measure = campaign.measure
    prior = Prior(measure.between, measure.laboratory, measure.area, measure.noise, campaign.areas)
    return Posterior(list(campaign.grid.values()), len(names), observations, prior)


def standing_of(database: Engine, campaign: str, now: datetime) -> Standing:
    """Raises LibraryError where the library does not know the campaign."""
    entries = tuple(entry for entry, _ in entries_of(database, campaign))
    if not entries:
        raise LibraryError("asked for a campaign that this library does not know: start it, or import a bundle with it")
    settings = campaign_of(entries)
    return Standing(settings, entries, standing(settings.rules(), entries, now), now)
