"""A plan and the library held against each other: what earlier experiments say of a technique, and what physics says.

The library knows which settings gave usable frames on like specimens, and not whether they would show the feature that
is asked for; the plan knows that, and not what happens at this instrument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from archive.library_recommend import INTERVAL, recommend
from surveys.design_proposal import Evidence

if TYPE_CHECKING:
    from archive.library import Library
    from archive.library_recommend import Advice
    from surveys.design import Plan, Row
    from surveys.design_question import Question

Ratio: TypeAlias = float

USABLE: Ratio = 0.5
"""Chance from which frames count as usable."""
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the plan says of settings that the library recommends."""

    probability: Ratio | None
    """Of seeing the feature at their fluence, with the plan's pixels; None where the plan has no answer."""
    needed_e_per_A2: float | None
    """For the chance that the question wants; infinite where no dose gives it."""
    agrees: bool | None
    """Whether both say yes, or both no; None where one of them does not know."""
    told: str


def question_elements(question: Question) -> tuple[str, ...]:
    """Of the specimen that a question is about."""
    return tuple(sorted(question.specimen.density_per_nm3()))


def with_prior(made: Plan, library: Library) -> Plan:
    """The plan with what earlier experiments on like specimens say beside each row. Raises ConfigError."""
    elements = question_elements(made.question)
    rows = []
    for row in made.rows:
        found = recommend(library, elements, row.proposal.technique, _MOST)
        told = _evidence(row, [each for each in found if each.like], library)
        rows.append(replace(row, proposal=replace(row.proposal, prior=told)))
    return replace(made, rows=tuple(rows))


def judged(made: Plan, advice: Advice) -> Judged:
    """What physics says of a recommendation of the library."""
    row = next((row for row in made.rows if row.proposal.technique == advice.technique), None)
    if row is None:
        why = next((each.why for each in made.refused if each.technique == advice.technique), "it was not asked for")
        return Judged(probability=None, needed_e_per_A2=None, agrees=None, told=f"no answer: {why}")
    needed, fluence = row.needed_e_per_A2, advice.settings.fluence_e_per_A2
    if fluence is None:
        told = "the experiments did not tell their dose"
        return Judged(probability=None, needed_e_per_A2=needed, agrees=None, told=f"{told}: {_needs(needed)}")
    chance, wanted = row.proposal.curve.probability(fluence), made.question.detection
    usable, shows = advice.usable.mean >= USABLE, chance >= wanted
    if fluence > made.most_e_per_A2:
        told = f"more than the {made.most_e_per_A2:.3g} e/Å² that are allowed"
    elif usable and not shows:
        told = f"usable frames, and they would not show it: {_needs(needed)}"
    elif shows and not usable:
        told = "it would show, and frames were seldom usable here"
    else:
        told = "agrees" if shows else f"neither: {_needs(needed)}"
    doubt = " (the plan is doubtful here)" if row.proposal.doubt else ""
    agrees = usable == shows and fluence <= made.most_e_per_A2
    return Judged(probability=chance, needed_e_per_A2=needed, agrees=agrees, told=told + doubt)


def _evidence(row: Row, found: list[Advice], library: Library) -> tuple[Evidence, ...]:
    """The bin of settings nearest to a row's, and how all of them went."""
    if not found:
        return ()
    nearest = min(found, key=lambda each: _away(row, each))
    low, high = nearest.usable.interval
    settings = ", ".join(
        f"{value:.3g} {unit}"
        for value, unit in (
            (nearest.settings.voltage_kV, "kV"),
            (nearest.settings.fluence_e_per_A2, "e/Å²"),
            (nearest.settings.pixel_size_nm, "nm pixels"),
        )
        if value is not None
    )
    few = f"; {nearest.fallback}" if nearest.fallback else ""
    what = (
        f"earlier experiments on like specimens, the nearest settings ({settings or 'not told'}): n = "
        f"{nearest.usable.experiments}, usable frames {nearest.usable.mean:.0%} ({low:.0%} to {high:.0%}, "
        f"{INTERVAL:.0%} interval){few}"
    )
    numbers = ", ".join(map(str, nearest.evidence))
    return (Evidence(what=what, source=f"{library.name.rsplit('/', 1)[-1]}, experiments {numbers}"),)


def _away(row: Row, advice: Advice) -> float:
    """Decades of fluence and pixel size between a row and a bin; what was not told is a decade off."""
    pairs = (
        (row.fluence_e_per_A2, advice.settings.fluence_e_per_A2),
        (row.proposal.pixel_nm, advice.settings.pixel_size_nm),
    )
    return sum(abs(math.log10(theirs / ours)) if theirs else 1.0 for ours, theirs in pairs)


def _needs(needed_e_per_A2: float) -> str:
    return f"it needs {needed_e_per_A2:.3g} e/Å²" if math.isfinite(needed_e_per_A2) else "no dose shows it"
