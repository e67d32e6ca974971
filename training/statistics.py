"""Intervals that hold for few samples."""

from __future__ import annotations

from typing import TypeAlias

from scipy.stats import beta

Ratio: TypeAlias = float


def clopper_pearson(hits: int, trials: int, level: Ratio = 0.95) -> tuple[Ratio, Ratio]:
    """Exact interval of a share (Clopper & Pearson, Biometrika 26, 404 (1934)).

    Raises ValueError unless 0 ≤ hits ≤ trials and trials > 0.

    >>> [round(bound, 3) for bound in clopper_pearson(18, 20)]
    [0.683, 0.988]
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} of {trials} is no share: it takes 0 ≤ hits ≤ trials and at least one trial")
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high
