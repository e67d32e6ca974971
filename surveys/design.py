"""What can be detected, by which technique, at what dose and cost: a question's answer before the session.

question ─► a proposal of each technique ─► dose for the wanted detection ─► beam, time, data, damage ─► ranked rows
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from instruments.types import ELECTRONS_PER_PA_S
from surveys.design_damage import Bearing, bearing
from surveys.design_images import image_proposal
from surveys.design_measured import bound
from surveys.design_proposal import Proposal, Refused
from surveys.design_question import MeasuredFeature, Question
from surveys.design_spectra import spectral_proposal

if TYPE_CHECKING:
    from surveys.design_proposal import Evidence

Ratio: TypeAlias = float

SPECTRA = ("EELS", "EDS")
_MOST_FRAMES = 64
"""Of one place that may be summed."""
_US_PER_H, _PER_MB = 3.6e9, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One technique's answer."""

    proposal: Proposal
    fluence_e_per_A2: float
    """Proposed: what the wanted detection needs, or more where the technique cannot give so little."""
    needed_e_per_A2: float
    """For the wanted chance of detection; infinite where no dose gives it."""
    rose_e_per_A2: float
    """For a signal five times its noise."""
    probability: Ratio
    """Of detection, at the proposed fluence."""
    current_pA: float
    dwell_us: float
    """Of one pixel and frame."""
    frames: int
    """Of one place, summed."""
    fields: int
    """Frames that the field to search takes: they overlap by their edges, where the filter does not fit."""
    hours: float
    data_MB: float
    lost: Ratio
    """Share of the structure that the beam destroys."""
    per_electron: Ratio
    """Information, d′², per electron sent on the same area, in units of the best technique's."""
    per_hour: Ratio
    """Likewise, per hour."""
    exceeds: tuple[str, ...]
    """Limits that it breaks, in words."""

    @property
    def possible(self) -> bool:
        """Whether it keeps to every limit."""
        return not self.exceeds


@dataclass(frozen=True, slots=True)
class Plan:
    """A question's answer."""

    question: Question
    rows: tuple[Row, ...]
    """The best first: within the limits, then by trust, then by information per electron."""
    refused: tuple[Refused, ...]
    bears: Bearing
    most_e_per_A2: float
    """The limit of the fluence."""

    @property
    def best(self) -> Row | None:
        """What is proposed; None where every technique breaks a limit."""
        return self.rows[0] if self.rows and self.rows[0].possible else None

    def verdict(self) -> str:
        """In words: what to do, or what would be needed."""
        if (best := self.best) is not None:
            doubt = " The model is doubtful here: see the row." if best.proposal.doubt else ""
            return (
                f"{best.proposal.technique} at {best.fluence_e_per_A2:.3g} e/Å² finds it with "
                f"{best.probability:.0%} in {best.hours:.2g} h.{doubt}"
            )
        if not self.rows:
            return "no technique that was named can answer this: name others"
        able = [row for row in self.rows if math.isfinite(row.needed_e_per_A2)]
        if not able:
            return (
                "impossible at any dose: the specimen's own irregularity hides it from every technique named. "
                "A thinner film, a larger feature, or another technique would be needed"
            )
        nearest = min(able, key=lambda row: row.needed_e_per_A2 / self.most_e_per_A2)
        return (
            f"impossible within the limits. The nearest is {nearest.proposal.technique}, which "
            f"{'; '.join(nearest.exceeds)}"
        )


def make_plan(question: Question) -> Plan:
    """Every technique's answer, ranked. Raises ConfigError where tables do not know an element."""
    bears = bearing(question.specimen, question.instrument.voltage_kV)
    most = question.limits.fluence_e_per_A2 or bears.borne_e_per_A2(question.limits.harm)
    rows: list[Row] = []
    refused: list[Refused] = []
    for technique in dict.fromkeys(question.techniques):
        found = _proposal(question, technique)
        if isinstance(found, Refused):
            refused.append(found)
        else:
            rows.append(_row(question, found, bears, most))
    rows = _relative(rows)
    rows.sort(key=lambda row: (not row.possible, row.proposal.doubt is not None, -row.per_electron))
    return Plan(question, tuple(rows), tuple(refused), bears, most)


def _proposal(question: Question, technique: str) -> Proposal | Refused:
    if isinstance(question.feature, MeasuredFeature):
        return bound(question, question.feature, technique)
    return (spectral_proposal if technique in SPECTRA else image_proposal)(question, technique)


def _row(question: Question, found: Proposal, bears: Bearing, most: float) -> Row:
    made, limits = question.instrument, question.limits
    needed = found.curve.dose_e_per_A2(question.detection)
    aimed = needed if math.isfinite(needed) else most
    fluence, current_pA, dwell_us, frames = _beam(question, found, aimed)
    fields = fields_across(limits.field_nm, found) ** 2
    pixels = found.frame_px**2
    hours = fields * frames * (pixels * dwell_us / _US_PER_H + made.overhead_s / 3600)
    data_MB = fields * frames * pixels * found.bytes_per_px * _PER_MB
    exceeds = []
    if not math.isfinite(needed):
        exceeds.append("sees it at no dose: the specimen's irregularity hides it")
    elif needed > most:
        exceeds.append(f"needs {needed:.3g} e/Å² where {most:.3g} are allowed")
    elif fluence > most:
        exceeds.append(f"gives {fluence:.3g} e/Å² at least, its shortest dwell and least current, of {most:.3g}")
    if hours > limits.hours:
        exceeds.append(f"takes {hours:.3g} h of {limits.hours:g}")
    if data_MB > limits.data_MB:
        exceeds.append(f"gives {data_MB:.3g} MB of {limits.data_MB:g}")
    information = found.curve.snr(fluence) ** 2
    return Row(
        proposal=found,
        fluence_e_per_A2=fluence,
        needed_e_per_A2=needed,
        rose_e_per_A2=found.curve.rose_e_per_A2(),
        probability=found.curve.probability(fluence),
        current_pA=current_pA,
        dwell_us=dwell_us,
        frames=frames,
        fields=fields,
        hours=hours,
        data_MB=data_MB,
        lost=bears.lost(fluence),
        per_electron=information / fluence,
        per_hour=information / hours,
        exceeds=tuple(exceeds),
    )


def fields_across(field_nm: float, found: Proposal) -> int:
    """Frames along each side of a field, so that every place of it is searched in one."""
    return max(1, math.ceil(field_nm / found.searched_nm - 1e-9))


def _beam(question: Question, found: Proposal, fluence_e_per_A2: float) -> tuple[float, float, float, int]:
    """Fluence, current, dwell and frames: the largest current whose dwell is not too short, more frames if too long.

    The fluence comes out larger than asked where the least current and the shortest dwell give more.
    """
    least_pA, most_pA = question.instrument.currents_pA
    longest_us = question.instrument.dwell_us[1]
    per_px = fluence_e_per_A2 * 100.0 * found.pixel_nm**2  # electrons on a pixel
    per_us_pA = ELECTRONS_PER_PA_S * 1e-6
    shortest_us = max(found.least_us, 1e-6)
    current_pA = min(max(per_px / (per_us_pA * shortest_us), least_pA), most_pA)
    dwell_us = max(per_px / (per_us_pA * current_pA), shortest_us)
    frames = max(1, math.ceil(dwell_us / longest_us)) if found.technique != "CTEM" else 1
    return per_us_pA * current_pA * dwell_us / (100.0 * found.pixel_nm**2), current_pA, dwell_us / frames, frames


def _relative(rows: list[Row]) -> list[Row]:
    """Information in units of the best technique's."""
    electrons = max((row.per_electron for row in rows), default=1.0) or 1.0
    hours = max((row.per_hour for row in rows), default=1.0) or 1.0
    return [replace(row, per_electron=row.per_electron / electrons, per_hour=row.per_hour / hours) for row in rows]


def evidence_of(plan: Plan, row: Row) -> tuple[Evidence, ...]:
    """Every ground of a row's numbers, that of the damage included."""
    return (*row.proposal.evidence, *row.proposal.prior, *plan.bears.evidence)
