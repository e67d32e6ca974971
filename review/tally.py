"""The labels of a survey, counted: what each reviewer found, what may have been missed, how far people agree."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

from archive.standing import locked, standing
from envs.step import Stream
from review.statistics import (
    clopper_pearson,
    cohens_kappa,
    corrected_missed,
    gwets_ac1,
    least_recall,
    most_missed,
)
from surveys.places import PLACE, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archive.labels import LabelJournal

Ratio: TypeAlias = float

INTERESTING = 4
"""This verdict and above."""
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Judged:
    """One place as one person judged it, in a batch that is locked."""

    reviewer: str
    place: Place
    blind: int
    revised: int | None
    swept: bool = False
    """Said of the rest of a screen at once: "all others here are ordinary"."""

    @property
    def interesting(self) -> bool:
        return self.blind >= INTERESTING

    @property
    def is_control(self) -> bool:
        return Stream.CONTROL in self.place.streams


def judged_in(journal: LabelJournal) -> Iterator[Judged]:
    """Every blind verdict of every locked batch that was given of a picture, in the order of the batches."""
    for batch in journal.batches():
        events = journal.events(batch.id)
        if not locked(events):
            continue
        said = standing(events)
        for item in batch.items:
            verdicts = said.get(item.id)
            if verdicts is not None and verdicts.counts is not None:
                place = PLACE.validate_python(dict(item.data))
                yield Judged(batch.reviewer, place, verdicts.counts, verdicts.revised, verdicts.swept)


def tally(places: Sequence[Place], sites: Mapping[str, int], journal: LabelJournal) -> dict[str, Any]:
    """Figures by reviewer, and of each two reviewers who share places. ``sites``: how many a specimen has, by name."""
    by_reviewer: dict[str, list[Judged]] = defaultdict(list)
    for one in judged_in(journal):
        by_reviewer[one.reviewer].append(one)
    had: dict[str, set[str]] = defaultdict(set)
    for batch in journal.batches():
        if journal.is_locked(batch.id):
            had[batch.reviewer] |= {item.place for item in batch.items}
    drawn = {place.key for place in places if Stream.CONTROL in place.streams}
    return {
        "level": _LEVEL,
        "reviewers": [
            _of_one(name, found, places, sites) | _seconded(name, by_reviewer) for name, found in by_reviewer.items()
        ],
        "pairs": [
            _of_two(one, other, by_reviewer[one], by_reviewer[other], len(drawn - (had[one] & had[other])))
            for one, other in combinations(by_reviewer, 2)
        ],
    }


def _of_one(
    reviewer: str, judged: Sequence[Judged], places: Sequence[Place], sites: Mapping[str, int]
) -> dict[str, Any]:
    flags = [one for one in judged if one.place.flag is not None]
    controls = [one for one in judged if one.is_control]
    seeded = first_of_each_feature(judged)
    confirmed = sum(one.interesting for one in flags)
    noticed = sum(one.interesting for one in seeded)
    waiting = sum(place.flag is not None for place in places) - len(flags)
    bounds = recall_bounds(judged, places, sites, noticed, len(seeded))
    moved = [one for one in judged if one.revised is not None and one.revised != one.blind]
    opined = [one for one in moved if one.place.injected is None]  # the machine has no opinion of what was put there
    towards = sum((one.revised or 0) > one.blind if one.place.flag is not None else (one.revised or 0) < one.blind
                  for one in opined)  # fmt: skip
    return {
        "reviewer": reviewer,
        "judged": len(judged),
        "swept": sum(one.swept for one in judged),
        "flags_swept": sum(one.swept for one in flags),
        "controls_swept": sum(one.swept for one in controls),
        "flags": len(flags),
        "flags_waiting": waiting,
        "confirmed": confirmed,
        "precision": confirmed / len(flags) if flags else None,
        "precision_interval": clopper_pearson(confirmed, len(flags), _LEVEL),
        "controls": len(controls),
        "controls_interesting": sum(one.interesting for one in controls),
        "flags_by_control": bounds.by_control,
        "missed_at_most": bounds.missed,
        "recall_at_least": bounds.recall,
        "recall_at_least_corrected": bounds.corrected,
        "seeded": len(seeded),
        "noticed": noticed,
        "sensitivity_interval": clopper_pearson(noticed, len(seeded), _LEVEL),
        "calibration": calibration(flags),
        "revised": len(moved),
        "revised_towards": towards,
        "revised_towards_ratio": towards / len(judged) if judged else None,
    }


def first_of_each_feature(judged: Sequence[Judged]) -> list[Judged]:
    """Seeded positives, of each known feature the place judged first.

    Earlier versions put one feature into several places; what is said of those is no independent trial.
    """
    found: dict[tuple[object, ...], Judged] = {}
    for one in judged:
        if Stream.SEEDED in one.place.streams:
            told = one.place.injected
            found.setdefault((one.place.key,) if told is None else tuple(sorted(told.items())), one)
    return list(found.values())


def _seconded(reviewer: str, by_reviewer: Mapping[str, Sequence[Judged]]) -> dict[str, int]:
    """Of the controls that a reviewer called interesting, how many somebody else judged, how many of them so too."""
    others: dict[str, bool] = {}
    for name, judged in by_reviewer.items():
        if name != reviewer:
            for one in judged:
                others[one.place.key] = others.get(one.place.key, False) or one.interesting
    mine = [one.place.key for one in by_reviewer[reviewer] if one.is_control and one.interesting]
    return {
        "controls_seconded": sum(key in others for key in mine),
        "controls_confirmed": sum(others.get(key, False) for key in mine),
    }


def to_second(journal: LabelJournal, reviewer: str) -> set[str]:
    """Controls that somebody called interesting and nobody else has judged yet, without this reviewer's own.

    Ordinary places are many: a few of them called interesting by mistake outweigh what was missed. So a second person
    judges these.
    """
    judged: dict[str, list[Judged]] = defaultdict(list)
    for one in judged_in(journal):
        if one.is_control:
            judged[one.place.key].append(one)
    return {
        key
        for key, found in judged.items()
        if len({one.reviewer for one in found}) == 1 and found[0].reviewer != reviewer and found[-1].interesting
    }


def calibration(flags: Sequence[Judged]) -> list[dict[str, Any]]:
    """Of flags that came with an expected verdict: by the verdict expected, how many, and what was said in the mean."""
    found: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for one in flags:
        expected = (one.place.flag or {}).get("expected_verdict")
        if expected is not None:
            found[round(expected)].append((expected, one.blind))
    return [
        {"places": len(each), "expected": fmean(e for e, _ in each), "said": fmean(s for _, s in each)}
        for _, each in sorted(found.items())
    ]


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
    level = 1 - (1 - _LEVEL) / len(sites)
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
    drawn = {place.key for place in places if Stream.CONTROL in place.streams}
    flagged: dict[str, set[int]] = defaultdict(set)
    by_control: dict[str, set[int]] = defaultdict(set)
    for place in places:
        for site in place.flag["sites"] if place.flag is not None else ():
            late = site.get("by_control", f"{place.specimen}/{site['target']}" in drawn)
            (by_control if late else flagged)[place.specimen].add(site["target"])
    return flagged, by_control


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


def _of_two(one: str, other: str, of_one: Sequence[Judged], of_other: Sequence[Judged], waiting: int) -> dict[str, Any]:
    """``waiting``: random controls that both have not had yet.

    While there are any, which of them both have judged hangs on what the first said (``to_second``), and agreement
    over these is not that over a random sample: it is not told.
    """
    theirs = {judged.place.key: judged.interesting for judged in of_other}
    both = [(judged.interesting, theirs[judged.place.key]) for judged in of_one if judged.place.key in theirs]
    first, second = [pair[0] for pair in both], [pair[1] for pair in both]
    return {
        "reviewers": (one, other),
        "both": sum(a and b for a, b in both),
        "first_only": sum(a and not b for a, b in both),
        "second_only": sum(b and not a for a, b in both),
        "neither": sum(not a and not b for a, b in both),
        "controls_waiting": waiting,
        "kappa": None if waiting else cohens_kappa(first, second),
        "ac1": None if waiting else gwets_ac1(first, second),
    }
