"""The labels of a survey, counted: what each reviewer found, what may have been missed, how far people agree."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Any

from envs.step import Stream
from review.judged import Judged, first_of_each_feature, judged_in
from review.recall import LEVEL, recall_bounds
from review.statistics import clopper_pearson, cohens_kappa, gwets_ac1

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archive.labels import LabelJournal
    from surveys.places import Place


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
        "level": LEVEL,
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
        "precision_interval": clopper_pearson(confirmed, len(flags), LEVEL),
        "controls": len(controls),
        "controls_interesting": sum(one.interesting for one in controls),
        "flags_by_control": bounds.by_control,
        "missed_at_most": bounds.missed,
        "recall_at_least": bounds.recall,
        "recall_at_least_corrected": bounds.corrected,
        "seeded": len(seeded),
        "noticed": noticed,
        "sensitivity_interval": clopper_pearson(noticed, len(seeded), LEVEL),
        "calibration": calibration(flags),
        "revised": len(moved),
        "revised_towards": towards,
        "revised_towards_ratio": towards / len(judged) if judged else None,
    }


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
