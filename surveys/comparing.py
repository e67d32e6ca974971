"""Several surveys side by side: by which measures they agree, by which not, and what those that agree say together.

A measure is compared within one signal and like pixel sizes, and only where the conditions that it depends on are
alike. Its pooled value is a random-effects estimate: the surveys need not have the same true value, only come from one
population. What only one of the surveys has is told too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from surveys.quality import Measure, frames_of, survey_quality
from surveys.quality_terms import TERMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archive.reader import SurveyReader

Ratio: TypeAlias = float
Array: TypeAlias = npt.NDArray[np.float64]

ALIKE: Ratio = 0.1
"""Relative difference up to which conditions are alike."""
SURE: Ratio = 0.05
"""Chance, over all measures together, that like surveys are told to differ."""
FEWEST = 3
"""Frames, or places, of each survey that a test needs: of fewer the scatter is not known."""
_WHOLE_YIELDS = ("usable_per_hour", "usable_per_1e9_electrons")
"""Of all signals together, and of how they were taken."""
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
    """Of Welch's test: that the surveys agree."""

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


def random_effects(
    values: Sequence[float], stds: Sequence[float], numbers: Sequence[int] | None = None, level: Ratio = 0.95
) -> Pooled:
    """Of K ≥ 2 estimates with their standard errors, all above 0, which come of ``numbers`` ≥ 2 of each.

    The p-value is Welch's (Biometrika 38 (1951) 330), which knows that errors are estimated; without ``numbers`` that
    of Cochran's Q, whose errors are known. Variance between by DerSimonian & Laird (Control. Clin. Trials 7 (1986)
    177); interval by Knapp & Hartung (Stat. Med. 22 (2003) 2693), never narrower than without their factor. Raises
    ValueError.
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
    p_value = float(stats.chi2.sf(q, free)) if numbers is None else _welch(q, 1 / s**2, np.asarray(numbers))
    return Pooled(mean, mean - reach, mean + reach, math.sqrt(tau2), share, p_value)


def _welch(q: float, weight: Array, numbers: npt.NDArray[np.int64]) -> Ratio:
    """Chance of at least this Q of K means that agree, with errors from so few each; of two it is Welch's t-test."""
    count = len(weight)
    unsure = float(((1 - weight / weight.sum()) ** 2 / (numbers - 1)).sum())
    ratio = q / (count - 1) / (1 + 2 * (count - 2) / (count**2 - 1) * unsure)
    return float(stats.f.sf(ratio, count - 1, (count**2 - 1) / (3 * unsure)))


def compare(readers: Sequence[SurveyReader], most_frames: int = 200) -> list[Compared]:
    """Every measure of any of the surveys, the ones that differ or are of one alone first. Raises ArchiveError."""
    names = _names(readers)
    measures = [survey_quality(reader, frames_of(reader, most_frames)) for reader in readers]
    shared = _shared(measures)
    settings = [
        {(shared[number].get(signal, signal), name): value for (signal, name), value in _conditions(reader).items()}
        for number, reader in enumerate(readers)
    ]
    found: dict[tuple[str, str], list[tuple[int, Measure]]] = defaultdict(list)
    for number, told in enumerate(measures):
        for measure in told:
            found[measure.name, shared[number].get(measure.signal, "")].append((number, measure))
    signals = [frozenset(each.values()) for each in shared]
    compared = [
        _compared(name, signal, members, names, settings, signals)
        if len(members) > 1
        else _alone(name, signal, *members[0], names, signals)
        for (name, signal), members in found.items()
    ]
    order = {name: place for place, name in enumerate(TERMS)}
    return sorted(_judged(compared), key=lambda each: (each.comparable, each.signal, order[each.name]))


def _shared(measures: Sequence[Sequence[Measure]]) -> list[dict[str, str]]:
    """Of each survey, its own signals and the names under which they are compared: one detector, pixels ``ALIKE``."""
    by_detector: dict[str, set[tuple[float, int, str]]] = defaultdict(set)
    for number, told in enumerate(measures):
        for measure in told:
            if measure.pixel_size_nm is not None:
                by_detector[measure.detector].add((measure.pixel_size_nm, number, measure.signal))
    shared: list[dict[str, str]] = [{} for _ in measures]
    for detector, members in by_detector.items():
        group: list[tuple[float, int, str]] = []
        for each in [*sorted(members), None]:
            ends = each is None or (
                bool(group) and (each[0] > group[0][0] * (1 + ALIKE) or each[1] in {number for _, number, _ in group})
            )
            if ends and group:
                low, high = f"{group[0][0]:.3g}", f"{group[-1][0]:.3g}"
                name = f"{detector} {low} nm" if low == high else f"{detector} {low} to {high} nm"
                for _, number, signal in group:
                    shared[number][signal] = name
                group = []
            if each is not None:
                group.append(each)
    return shared


def _alone(
    name: str, signal: str, number: int, measure: Measure, names: Sequence[str], signals: Sequence[frozenset[str]]
) -> Compared:
    """What no other survey has, and why."""
    others = [told for place, told in enumerate(signals) if place != number]
    lacks = signal and not any(signal in told for told in others)
    why = f"only in {names[number]}" + (f": no other has {signal}, pixels within {ALIKE:.0%}" if lacks else "")
    return Compared(
        name=name, signal=signal, surveys=(names[number],), values=(measure.value,), stds=(measure.std,),
        numbers=(measure.n,), comparable=False, why=why,
    )  # fmt: skip


def _compared(
    name: str,
    signal: str,
    members: Sequence[tuple[int, Measure]],
    names: Sequence[str],
    settings: Sequence[Mapping[tuple[str, str], float]],
    signals: Sequence[frozenset[str]],
) -> Compared:
    values, stds = tuple(m.value for _, m in members), tuple(m.std for _, m in members)
    numbers = tuple(m.n for _, m in members)
    unlike = _why_not(name, signal, [settings[number] for number, _ in members], [signals[n] for n, _ in members])
    told = Compared(
        name=name, signal=signal, surveys=tuple(names[number] for number, _ in members), values=values, stds=stds,
        numbers=numbers, comparable=False, why=unlike,
    )  # fmt: skip
    if unlike and name != "fluence_e_per_A2":
        return told
    if min(numbers) < FEWEST:
        return replace(told, why=f"of {min(numbers)} in one of them: {FEWEST} are needed to say whether they differ")
    known = [std for std in stds if std is not None and std > 0]
    if len(known) < len(stds):
        same = max(values) - min(values) <= ALIKE * max(abs(value) for value in values)
        why = "without an uncertainty; within 10 %" if same else "differs by more than 10 %"
        return replace(told, comparable=same, why=why)
    pooled = random_effects(values, known, numbers)
    return replace(
        told, comparable=True, why="", pooled=pooled.mean, low=pooled.low, high=pooled.high, between=pooled.tau,
        inconsistency=pooled.inconsistency, p_value=pooled.p_value,
    )  # fmt: skip


def _why_not(
    name: str,
    signal: str,
    settings: Sequence[Mapping[tuple[str, str], float]],
    signals: Sequence[frozenset[str]],
) -> str:
    """Why conditions make a measure another one, in words; empty where they do not."""
    if signal:
        return _unlike(signal, settings)
    if name not in _WHOLE_YIELDS:
        return ""
    if len(set(signals)) > 1:
        return f"taken unlike: {' and '.join(', '.join(sorted(told)) or 'no image' for told in signals)}"
    return next((why for each in sorted(signals[0]) if (why := _unlike(each, settings))), "")


def differing(p_values: Sequence[float]) -> set[int]:
    """Which differ by more than chance, by Holm's step-down (Scand. J. Stat. 6 (1979) 65) over all that were tested.

    >>> sorted(differing([0.01, 0.4, 0.02]))
    [0, 2]
    """
    differ: set[int] = set()
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    for place, number in enumerate(order):
        if p_values[number] > SURE / (len(order) - place):
            break
        differ.add(number)
    return differ


def _judged(compared: Sequence[Compared]) -> list[Compared]:
    tested = [number for number, each in enumerate(compared) if each.p_value is not None]
    differ = {tested[n] for n in differing([compared[number].p_value or 0.0 for number in tested])}
    return [_verdict(each, differs=number in differ) for number, each in enumerate(compared)]


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
