"""How much of what is interesting was flagged at least, by the random controls that a reviewer judged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from envs.step import Stream
from review.statistics import corrected_missed, least_recall, most_missed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from review.judged import Judged
    from surveys.places import Place

Ratio: TypeAlias = float

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class RecallBounds:
    """What may have been missed at most, and the recall at least; None where nothing tells."""

    missed: int | None
    recall: Ratio | None
    corrected: Ratio | None
    """With the reviewer's sensitivity allowed for."""
    by_control: int
    """Judged flags that are none here: a random control alone found the place."""


def recall_bounds(
    judged: Sequence[Judged], places: Sequence[Place], sites: Mapping[str, int], noticed: int, seeded: int
) -> RecallBounds:
    """Of what is flagged without the controls' own frames. Flags that wait count as missed."""
    flagged, _ = flagged_sites(places)
    flags = [one for one in judged if one.place.flag is not None]
    counted = [one for one in flags if one.place.target in flagged[one.place.specimen]]
    confirmed = sum(one.interesting for one in counted)
    of_all = sum(place.flag is not None and place.target in flagged[place.specimen] for place in places)
    plain, corrected = missed(judged, places, sites, noticed, seeded)
    recall, allowed = (
        None if most is None else least_recall(confirmed, most + of_all - len(counted)) for most in (plain, corrected)
    )
    return RecallBounds(plain, recall, allowed, len(flags) - len(counted))


def missed(
    judged: Sequence[Judged], places: Sequence[Place], sites: Mapping[str, int], noticed: int, seeded: int
) -> tuple[int | None, int | None]:
    """How many unflagged sites may be interesting, by this reviewer's eyes and with their sensitivity allowed for.

    Specimen by specimen, because the controls were drawn so, the error shared among them (Bonferroni). Unflagged is
    what would have no flag without the controls' own frames: no other site is of the population, no control there of
    the sample. None without controls in it, or for the second without seeded positives.
    """
    flagged, by_control = flagged_sites(places)
    said: dict[str, dict[int, bool]] = defaultdict(dict)
    for one in judged:
        if one.is_control and one.place.target not in flagged[one.place.specimen]:
            said[one.place.specimen][one.place.target] = one.interesting
    if not said:
        return None, None
    level = 1 - (1 - LEVEL) / len(sites)
    plain = corrected = 0
    for specimen, count in sites.items():
        drawn = {place.target for place in places if place.specimen == specimen and Stream.CONTROL in place.streams}
        sample, found = _counted(said[specimen], drawn - flagged[specimen], by_control[specimen])
        rest = count - len(flagged[specimen])
        plain += most_missed(rest, sample, found, level)
        if seeded:
            corrected += corrected_missed(rest, sample, found, noticed, seeded, level)
    return plain, corrected if seeded else None


def _counted(said: Mapping[int, bool], drawn: set[int], by_control: set[int]) -> tuple[int, int]:
    """How many controls count as a random sample, and how many of them as interesting.

    All that were judged, once all of ``drawn`` are. Until then those with a flag are judged before others, not by
    chance: of them count the interesting ones and, as interesting, those that wait. Each makes both numbers one larger,
    which never makes the bound smaller; the others alone are a random sample.
    """
    found = sum(said.values())
    if drawn <= set(said):
        return len(said), found
    waiting = len(by_control & drawn - set(said))
    ordinary = sum(not said[target] for target in by_control & set(said))
    return len(said) - ordinary + waiting, found + waiting


def flagged_sites(places: Sequence[Place]) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """By specimen, the sites with a flag whatever had been drawn, and those that have it from their own control alone.

    The draw may not decide what it is to estimate: left out of the sample, the second would take from it what was
    missed. A record that does not tell the two apart has every drawn site with a flag among the second.
    """
    drawn = {(place.specimen, place.target) for place in places if Stream.CONTROL in place.streams}
    flagged: dict[str, set[int]] = defaultdict(set)
    by_control: dict[str, set[int]] = defaultdict(set)
    for place in places:
        for site in place.flag["sites"] if place.flag is not None else ():
            late = site.get("by_control", (place.specimen, site["target"]) in drawn)
            (by_control if late else flagged)[place.specimen].add(site["target"])
    return flagged, by_control
