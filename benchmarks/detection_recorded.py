"""Edges and lines of recorded spectra with few counts: how often they are seen, against what the full count says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, stats

from benchmarks.common import DATA
from configs.load import Settings
from instruments.recordings_apart import opened

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARES = (0.01, 0.03, 0.1, 0.3)
"""Of the counts that are kept."""
FALSE_ALARM, WANTED, FACTOR = 0.05, 0.9, 2.0
_TRIALS, _QUICK = 4000, 200
_SCAN = np.geomspace(1e-7, 1.0, 57)


class RecordedQuestion(Settings):
    """One edge or line."""

    file: str
    signal: str
    background_eV: tuple[float, float]
    window_eV: tuple[float, float]
    empty: bool = False
    """Whether nothing is to be seen there: then it tells how often that is said all the same."""


def areas(question: RecordedQuestion) -> tuple[np.ndarray, np.ndarray]:
    """(3,) counts of the full spectrum in both halves of the background and in the window, and the (3, 2) energies."""
    with opened(DATA / "spectra" / question.file) as recordings:
        found = next(each for each in recordings if each.kind == "spectrum")
        counts = np.asarray(found.block(), dtype=np.float64)
        axis = found.axes[-1]
    energies = axis.offset + axis.scale * np.arange(len(counts))
    first, last = question.background_eV
    limits = np.array([(first, (first + last) / 2), ((first + last) / 2, last), question.window_eV])
    return np.array([counts[(energies >= a) & (energies < b)].sum() for a, b in limits]), limits


def weight(counts: np.ndarray, limits: np.ndarray, signal: str) -> tuple[float, float]:
    """How much of both halves of the background lies under the window: of EDS their mean level; of EELS a power law.

    The exponent is that of the full spectrum, as a person takes it from a place that is well known.
    """
    wide = limits[2, 1] - limits[2, 0]
    if signal == "EDS":
        each = wide / (limits[1, 1] - limits[0, 0])
        return each, each

    def area(r: float, a: float, b: float) -> float:
        return (b ** (1 - r) - a ** (1 - r)) / (1 - r)

    r = optimize.brentq(lambda r: area(r, *limits[0]) / area(r, *limits[1]) - counts[0] / counts[1], 1.001, 12.0)
    each = area(r, *limits[2]) / area(r, limits[0, 0], limits[1, 1])
    return each, each


def predicted(counts: np.ndarray, k: float, share: float) -> float:
    """Chance that window − k · background exceeds 1.64 standard deviations of what chance gives without the edge."""
    before, window = (counts[0] + counts[1]) * share, counts[2] * share
    under = k * before
    without, there = under + k**2 * before, window + k**2 * before
    level = stats.norm.isf(FALSE_ALARM) * math.sqrt(without)
    return float(stats.norm.sf((level - (window - under)) / math.sqrt(there)))


def observed(counts: np.ndarray, k: float, share: float, trials: int, rng: np.random.Generator) -> float:
    """How often thinned counts show it; the standard deviation is that of the thinned background itself."""
    thinned = rng.binomial(np.round(counts).astype(np.int64), share, size=(trials, 3))
    before = thinned[:, 0] + thinned[:, 1]
    excess = thinned[:, 2] - k * before
    level = stats.norm.isf(FALSE_ALARM) * np.sqrt(np.maximum((k + k**2) * before, k))
    return float(np.mean(excess > level))


def recorded_rows(questions: Mapping[str, RecordedQuestion], *, quick: bool) -> list[dict[str, Any]]:
    """A row a question; none where the data are not there."""
    if not (DATA / "spectra").exists():
        print(f"real data not found: {DATA / 'spectra'} (set ADAPTEM_DATA)")
        return []
    rng, trials, rows = np.random.default_rng(11), _QUICK if quick else _TRIALS, []
    for name, question in questions.items():
        counts, limits = areas(question)
        k, _ = weight(counts, limits, question.signal)
        row: dict[str, Any] = {
            "spectrum": name,
            "counts": int(counts[2]),
            "excess": float(counts[2] - k * counts[:2].sum()),
        }
        for share in SHARES:
            seen = observed(counts, k, share, trials, rng)
            row[f"at_{share:.0%}"] = f"{predicted(counts, k, share):.2f} {seen:.2f}"
        if not question.empty:
            foretold = least([predicted(counts, k, share) for share in _SCAN])
            found = least([observed(counts, k, share, trials, rng) for share in _SCAN])
            row |= {"predicted_share": foretold, "observed_share": found, "ratio": found / foretold}
            row["within"] = "yes" if 1 / FACTOR <= found / foretold <= FACTOR else "NO"
        else:
            row |= {"predicted_share": "-", "observed_share": "-", "ratio": "-", "within": "-"}
        rows.append(row)
    return rows


def least(rates: list[float]) -> float:
    """The share from which on the rate stays above what is wanted, between two that were tried."""
    below = [n for n, rate in enumerate(rates) if rate < WANTED]
    n = below[-1] if below else 0
    if n + 1 >= len(rates):
        return math.inf
    part = (WANTED - rates[n]) / (rates[n + 1] - rates[n])
    return float(_SCAN[n] * (_SCAN[n + 1] / _SCAN[n]) ** part)
