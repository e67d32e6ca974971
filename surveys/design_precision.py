"""Is a bound reached? Columns of atoms of a simulated frame, measured by the plan's filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from surveys.design_bench import Bench
from surveys.design_check import at_sites
from surveys.design_measured import Bound
from surveys.design_question import MeasuredFeature

if TYPE_CHECKING:
    from surveys.design import Plan, Row

Ratio: TypeAlias = float

_FRAMES = 8
_STEP_PX = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How finely the columns of simulated frames were measured."""

    fluence_e_per_A2: float
    predicted: float
    """Standard deviation that the bound allows, in the unit of the quantity."""
    found: float
    columns: int

    @property
    def ratio(self) -> Ratio:
        """Found over predicted: an unbiased estimate has 1 or more."""
        return self.found / self.predicted

    def __str__(self) -> str:
        return f"{self.ratio:.2f} × bound"


def measure(plan: Plan, row: Row) -> Measured | None:
    """Scatter of the columns' positions over their image's slope, against the bound; None where focus is measured.

    Positions are estimated by one step of Fisher's scoring, the plan's filter; its slope is that of the simulated frame
    without noise, so that a wrong image of the plan's would show.
    """
    question, proposal, feature = plan.question, row.proposal, plan.question.feature
    if not isinstance(feature, MeasuredFeature) or feature.quantity == "defocus":
        return None
    if not isinstance(proposal.curve, Bound):
        return None
    fluence = row.fluence_e_per_A2
    bench = Bench(question, proposal, 1)
    place = bench.places[0]
    shown = bench.look(place, with_feature=False)
    expected = np.asarray(shown[proposal.detector], dtype=np.float64) * fluence * 100.0 * proposal.pixel_nm**2
    apart = [at_sites(question, proposal, place, moved_px=moved)[0] for moved in (-_STEP_PX, 0.0, _STEP_PX)]
    left, right = (float(np.einsum("nij,nij->n", expected[r, c], w).mean()) for r, c, w in (apart[0], apart[2]))
    slope_per_nm = abs(right - left) / (2 * _STEP_PX * proposal.pixel_nm)
    rows, columns, weights = apart[1]
    found = []
    for frame in range(_FRAMES):
        outputs = np.einsum("nij,nij->n", bench.counted(shown, fluence, frame)[rows, columns], weights)
        found.append((outputs - np.median(outputs)) / slope_per_nm)
    deviation_nm = float(np.std(found))
    bound = proposal.curve.deviation(fluence)
    each_nm = proposal.curve.column_nm(fluence)
    return Measured(fluence_e_per_A2=fluence, predicted=bound, found=bound * deviation_nm / each_nm, columns=len(rows))
