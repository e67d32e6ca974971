"""Do answers about earlier specimens make probabilities right, on drawn p-values of drawn kinds of specimens?

    python -m benchmarks.flag_kinds            one minute on one core
    python -m benchmarks.flag_kinds --quick    10 kinds

A kind has a share of unusual places, about which those of its specimens scatter in their log-odds; an exponent of how
far these stand out among ordinary ones (1 = not at all); and a null that is right, too wide or too narrow, or that an
empirical null is fitted to whose scores are skewed or heavy-tailed. Seven specimens are earlier ones, each with 40
answers (half about the most unusual places, half drawn), and an eighth is new; three in ten have an exponent and a null
of their own, and in one of seven kinds the new one is of another. The numbers are those of ``benchmarks.flag_labels``,
with a bootstrap over kinds, 95 %. The constants of ``surveys.unusual`` are fixed on such kinds of other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from benchmarks.common import arguments
from benchmarks.flag_labels import SAID, Judged, error_after
from benchmarks.flags import tell
from surveys.significance import single_tail
from training.evaluate import interval

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

SEED, MANY, EARLIER, DRAWS = 41_000, 160, (0, 1, 3, 7), 1
EXPONENTS, THEIR_CHANCE = (0.2, 0.32, 0.5, 0.7, 1.0), (0.15, 0.4, 0.2, 0.1, 0.15)
MOST_SHARE, ODD, ANOTHER = 0.6, 0.3, 0.15


@dataclass(frozen=True, slots=True)
class Kind:
    """Of specimens."""

    share: Ratio
    """About which theirs lie."""
    scatter: float
    """Of their log-odds."""
    exponent: Ratio
    ordinary: Callable[[np.random.Generator, int], Array]
    """Draws p-values of so many ordinary places."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Self:
        share = float(np.clip(rng.exponential(rng.choice([1 / 30, 1 / 10])), 0.005, 0.4))
        return cls(share, float(rng.choice([0.2, 0.5, 1.0])), _exponent(rng), _null(rng))

    def specimen(self, rng: np.random.Generator, places: int) -> Judged:
        """(N,) p-values and (N,) truth. An unusual place lies among the ordinary by rank; beyond them, as far again."""
        share = min(float(special.expit(special.logit(self.share) + self.scatter * rng.standard_normal())), MOST_SHARE)
        unusual, ordinary = rng.random(places) < share, self.ordinary(rng, places)
        ranks = rng.uniform(size=places) ** (1 / self.exponent)
        p = np.where(unusual, np.quantile(ordinary, ranks), ordinary)
        beyond = unusual & (ranks < 1 / places)
        p[beyond] = ordinary.min() * (ranks[beyond] * places) ** (1 / self.exponent)
        return np.clip(p, 1e-6, 1.0), unusual.astype(np.float64)


def _exponent(rng: np.random.Generator) -> Ratio:
    return float(rng.choice(EXPONENTS, p=THEIR_CHANCE))


def _null(rng: np.random.Generator) -> Callable[[np.random.Generator, int], Array]:
    kind, gamma, freedom = rng.integers(4), float(rng.choice([2, 4, 8, 20])), float(rng.choice([4, 8, 30]))
    power = math.exp(0.25 * rng.standard_normal()) if kind == 1 else 1.0

    def scored(scores: Array) -> Array:
        return single_tail(scores).p_values(scores)

    if kind == 2:
        return lambda rng, places: scored(rng.gamma(gamma, size=places))
    if kind == 3:
        return lambda rng, places: scored(rng.standard_t(freedom, size=places))
    return lambda rng, places: np.asarray(rng.uniform(size=places) ** (1 / power))


def specimens(seed: int) -> list[Judged]:
    """Of one kind, the new one last."""
    rng = np.random.default_rng(seed)
    kind, places, found = Kind.drawn(rng), int(rng.choice([256, 1024])), []
    for number in range(max(EARLIER) + 1):
        if number == max(EARLIER) and rng.random() < ANOTHER:
            kind = Kind.drawn(rng)
        odd = replace(kind, exponent=_exponent(rng), ordinary=_null(rng))
        found.append((odd if rng.random() < ODD else kind).specimen(rng, places))
    return found


def main() -> int:
    options = arguments(__doc__).parse_args()
    kinds = [specimens(seed) for seed in range(SEED, SEED + (10 if options.quick else MANY))]
    rows = []
    for earlier in EARLIER:
        row: dict[str, Any] = {"earlier specimens": f"{earlier} ({len(kinds)} kinds)"}
        for count in SAID:
            errors = np.array([error_after(kind[-1], count, kind[:earlier], DRAWS) for kind in kinds])
            row[f"said {count}"], row[f"said {count}_low"], row[f"said {count}_high"] = interval(errors)
        rows.append(row)
    tell(
        rows, options, "expected calibration error after so many places of a new specimen were said to be what they are"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
