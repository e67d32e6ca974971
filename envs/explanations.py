"""Why a place is unusual, in numbers that a person can check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from envs.scorers import Scorer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Ratio: TypeAlias = float


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """One descriptor of an unusual place beside what is usual at the ordinary places most like it."""

    name: str
    words: str
    unit: str
    """Empty for a dimensionless one."""
    value: float
    usual: float
    """Median."""
    usual_low: float
    """One robust spread below the median."""
    usual_high: float
    spreads_off: Ratio
    """Signed distance from the median in robust spreads, on the scale on which the descriptor spreads evenly."""
    contribution: Ratio
    """Share of the whole squared distance."""

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        side = "above" if self.spreads_off > 0 else "below"
        return (
            f"{self.words} {_number(self.value)}{unit}, usually {_number(self.usual)} "
            f"({_number(self.usual_low)} to {_number(self.usual_high)}): {abs(self.spreads_off):.1f} spreads {side}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Every departure, the most telling first, and the nearest ordinary place."""

    departures: tuple[Departure, ...]
    nearest: tuple[float, ...]
    """Descriptors of the ordinary place most like it, as they were observed."""

    def led_by(self, name: str) -> Explanation:
        """The same with the departure of this name first: it speaks for the place."""
        return replace(self, departures=tuple(sorted(self.departures, key=lambda departure: departure.name != name)))


@runtime_checkable
class ExplainingScorer(Scorer, Protocol):
    """A scorer that can say why."""

    def completed(self) -> ExplainingScorer:
        """A copy whose backgrounds are fitted on everything observed so far."""
        ...

    def deviation(self, look: str, descriptors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(K,) like ``interest``, but below 0 where a place is more ordinary than most."""
        ...

    def fabric(self, look: str, descriptors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(K,) the same of what a place is made of, whatever single objects lie in it: what extended features share."""
        ...

    def akin(self, look: str, first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """(K,) whether the fabrics of K pairs (K, F) are more like each other than either is like what is usual."""
        ...

    def explain(self, look: str, descriptors: npt.NDArray[np.float64], *, fabric: bool = False) -> Explanation:
        """Of one place (F,), or of its fabric alone. Raises ValueError where the background is too young."""
        ...


@runtime_checkable
class ObjectScorer(Protocol):
    """A scorer that also tells of single objects, each of their properties by itself."""

    def extreme(self, look: str, descriptors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(K,) −log of the share of ordinary places that hold an object as extreme; NaN where too little is known."""
        ...

    def most_extreme(self, look: str, descriptors: npt.NDArray[np.float64]) -> str:
        """Of one place (F,), the descriptor that is the most extreme. Raises ValueError where too little is known."""
        ...


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
