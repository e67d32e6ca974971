"""Several surveys side by side: by which measures they agree, by which not, and what those that agree say together.

A measure is compared within one signal and pixel size, and only where the conditions that it depends on are alike. Its
pooled value is a random-effects estimate: the surveys need not have the same true value, only come from one population.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import stats

from surveys.quality import Measure, frames_of, survey_quality
from surveys.quality_terms import FRAME_TERMS, TERMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archive.reader import SurveyReader

Ratio: TypeAlias = float

ALIKE: Ratio = 0.1
"""Relative difference up to which conditions are alike."""
SURE: Ratio = 0.05
"""Chance, over all measures together, that like surveys are told to differ."""
_CONDITIONS = ("voltage_kV", "current_pA", "convergence_mrad", "dwell_us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One measure over several surveys."""

    name: str
    signal: str
    surveys: tuple[str, ...]
    values: tuple[float, ...]
    stds: tuple[float | None, ...]
    numbers: tuple[int, ...]
    comparable: bool
    why: str
    """Why it is not, or what pooling says."""
    pooled: float | None = None
    low: float | None = None
    """With ``high`` the 95 % interval of the pooled value."""
    high: float | None = None
    between: float | None = None
    """Standard deviation of the true values between surveys (τ)."""
    inconsistency: Ratio | None = None
    """Share of the scatter that is not chance (I²)."""
    p_value: float | None = None
    """Of Cochran's Q: that the surveys agree."""

    @property
    def unit(self) -> str:
        return TERMS[self.name].unit


@dataclass(frozen=True, slots=True)
class Pooled:
    """A random-effects estimate."""

    mean: float
    low: float
    high: float
    tau: float
    inconsistency: Ratio
    p_value: float


def random_effects(values: Sequence[float], stds: Sequence[float], level: Ratio = 0.95) -> Pooled:
    """Of K ≥ 2 estimates with their standard errors, all above 0.

    Variance between by DerSimonian & Laird (Control. Clin. Trials 7 (1986) 177); interval by Knapp & Hartung (Stat.
    Med. 22 (2003) 2693), never narrower than without their factor. Raises ValueError.
    """
    y, s = np.asarray(values, np.float64), np.asarray(stds, np.float64)
    if len(y) < 2 or y.shape != s.shape or not (np.isfinite(y).all() and np.isfinite(s).all() and (s > 0).all()):
        raise ValueError(f"two or more finite estimates with errors above 0 are pooled, got {values} and {stds}")
    weight = 1 / s**2
    fixed = float((weight * y).sum() / weight.sum())
    q, free = float((weight * (y - fixed) ** 2).sum()), len(y) - 1
    tau2 = max((q - free) / float(weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    weight = 1 / (s**2 + tau2)
    mean = float((weight * y).sum() / weight.sum())
    factor = max(float((weight * (y - mean) ** 2).sum()) / free, 1.0)
    reach = float(stats.t.ppf((1 + level) / 2, free)) * math.sqrt(factor / float(weight.sum()))
    share = max((q - free) / q, 0.0) if q > 0 else 0.0
    return Pooled(mean, mean - reach, mean + reach, math.sqrt(tau2), share, float(stats.chi2.sf(q, free)))


def compare(readers: Sequence[SurveyReader], most_frames: int = 200) -> list[Compared]:
    """Every measure that two or more of the surveys have, the ones that differ first. Raises ArchiveError."""
    names = _names(readers)
    measures = [survey_quality(reader, frames_of(reader, most_frames)) for reader in readers]
    settings = [_conditions(reader) for reader in readers]
    found: dict[tuple[str, str], list[tuple[int, Measure]]] = defaultdict(list)
    for number, told in enumerate(measures):
        for measure in told:
            found[measure.name, measure.signal].append((number, measure))
    compared = [
        _compared(name, signal, members, names, settings)
        for (name, signal), members in found.items()
        if len(members) > 1
    ]
    order = {name: place for place, name in enumerate(TERMS)}
    return sorted(_judged(compared), key=lambda each: (each.comparable, each.signal, order[each.name]))


def _compared(
    name: str,
    signal: str,
    members: Sequence[tuple[int, Measure]],
    names: Sequence[str],
    settings: Sequence[Mapping[tuple[str, str], float]],
) -> Compared:
    values, stds = tuple(m.value for _, m in members), tuple(m.std for _, m in members)
    unlike = _unlike(signal, [settings[number] for number, _ in members]) if name in FRAME_TERMS else ""
    told = Compared(
        name=name, signal=signal, surveys=tuple(names[number] for number, _ in members), values=values, stds=stds,
        numbers=tuple(m.n for _, m in members), comparable=False, why=unlike,
    )  # fmt: skip
    if unlike and name != "fluence_e_per_A2":
        return told
    known = [std for std in stds if std is not None and std > 0]
    if len(known) < len(stds):
        same = max(values) - min(values) <= ALIKE * max(abs(value) for value in values)
        why = "without an uncertainty; within 10 %" if same else "differs by more than 10 %"
        return replace(told, comparable=same, why=why)
    pooled = random_effects(values, known)
    return replace(
        told, comparable=True, why="", pooled=pooled.mean, low=pooled.low, high=pooled.high, between=pooled.tau,
        inconsistency=pooled.inconsistency, p_value=pooled.p_value,
    )  # fmt: skip


def _judged(compared: Sequence[Compared]) -> list[Compared]:
    """Holm's step-down over all measures that were tested: which differ by more than chance."""
    tested = sorted((each for each in compared if each.p_value is not None), key=lambda each: each.p_value or 0.0)
    differ: set[tuple[str, str]] = set()
    for place, each in enumerate(tested):
        if (each.p_value or 0.0) > SURE / (len(tested) - place):
            break
        differ.add((each.name, each.signal))
    return [_verdict(each, differs=(each.name, each.signal) in differ) for each in compared]


def _verdict(each: Compared, *, differs: bool) -> Compared:
    if each.p_value is None:
        return each
    if differs:  # what does not agree has no value in common
        why = f"differs by more than chance (p = {each.p_value:.2g})"
        return replace(each, comparable=False, why=why, pooled=None, low=None, high=None)
    return replace(each, why="agrees")


def _conditions(reader: SurveyReader) -> dict[tuple[str, str], float]:
    """(signal and pixel size, condition) → median over the exposures."""
    gathered: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in reader.exposures():
        if row.frame is None or str(row.purpose) not in ("survey", "detail", "control"):
            continue
        told = {
            "dwell_us": row.exposure.dwell_us,
            "fluence_e_per_A2": row.frame.electrons / row.footprint.area_nm2 / 100,
        }
        told |= {n: v for n in _CONDITIONS[:3] if (v := getattr(row.frame.optics, n)) is not None}
        for stored in row.signals:
            for name, value in told.items():
                gathered[f"{stored.signal} {row.exposure.pixel_size_nm:.3g} nm", name].append(value)
    return {key: float(np.median(values)) for key, values in gathered.items()}


def _unlike(signal: str, settings: Sequence[Mapping[tuple[str, str], float]]) -> str:
    """The conditions that differ, in words; empty where all are alike."""
    told = []
    for name in (*_CONDITIONS, "fluence_e_per_A2"):
        values = [each[signal, name] for each in settings if (signal, name) in each]
        if len(values) > 1 and max(values) - min(values) > ALIKE * max(abs(value) for value in values):
            told.append(f"{name} {' and '.join(f'{value:.3g}' for value in values)}")
    return f"taken unlike: {'; '.join(told)}" if told else ""


def _names(readers: Sequence[SurveyReader]) -> list[str]:
    """The folders' names; of equal ones the path."""
    short = [reader.folder.resolve().name for reader in readers]
    return [name if short.count(name) == 1 else str(reader.folder) for name, reader in zip(short, readers, strict=True)]
