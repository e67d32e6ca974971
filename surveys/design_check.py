"""Is a prediction true? The simulator images the posed feature, and frames without it, at the proposed settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal, stats

from surveys.design_bench import Bench, Place
from surveys.design_optics import lattice_of, sites_nm
from surveys.design_question import ConcentrationFeature, DopantFeature, MeasuredFeature
from surveys.design_statistics import Curve

if TYPE_CHECKING:
    from surveys.design import Plan, Row
    from surveys.design_proposal import Proposal
    from surveys.design_question import Question

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_LEVEL = 0.95
_PLACES = {"HAADF": 6, "CTEM": 3, "BF": 2, "ABF": 2, "4D-STEM": 2, "EELS": 3, "EDS": 3}
"""Fields of view that are rendered; each is counted many times."""
TRIALS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How often the simulated feature was found."""

    fluence_e_per_A2: float
    predicted: Ratio
    found: int
    trials: int
    false_frames: int
    clean_frames: int

    @property
    def rate(self) -> Ratio:
        """Of detection."""
        return self.found / self.trials

    @property
    def low(self) -> Ratio:
        """Of the 95 % interval (Clopper & Pearson, Biometrika 26 (1934) 404)."""
        return 0.0 if not self.found else float(stats.beta.ppf(0.025, self.found, self.trials - self.found + 1))

    @property
    def high(self) -> Ratio:
        """Of the 95 % interval."""
        missed = self.trials - self.found
        return 1.0 if not missed else float(stats.beta.ppf(0.975, self.found + 1, missed))

    def __str__(self) -> str:
        return f"{self.rate:.0%} ({100 * self.low:.0f}–{100 * self.high:.0f})"


def check(plan: Plan, row: Row, *, fluence_e_per_A2: float | None = None, trials: int = TRIALS) -> Checked | None:
    """Simulate one row; None where there is nothing to be found, only measured.

    ``fluence_e_per_A2``: None is the row's own. The threshold is the predicted one, so that the false frames check it.
    """
    question, proposal = plan.question, row.proposal
    fluence = row.fluence_e_per_A2 if fluence_e_per_A2 is None else fluence_e_per_A2
    if isinstance(question.feature, MeasuredFeature) or not isinstance(proposal.curve, Curve):
        return None  # ``design_precision`` checks those
    found, false, clean = simulate(question, proposal, proposal.curve, (fluence,), trials)[0]
    return Checked(
        fluence_e_per_A2=fluence,
        predicted=proposal.curve.probability(fluence),
        found=found,
        trials=trials,
        false_frames=false,
        clean_frames=clean,
    )


def simulate(
    question: Question, proposal: Proposal, curve: Curve, fluences_e_per_A2: tuple[float, ...], trials: int
) -> list[tuple[int, int, int]]:
    """(found, false frames, clean frames) at each fluence, of as many trials with the feature as without.

    What is expected of each field of view is rendered once, and counted anew for every trial.
    """
    fields = _PLACES[proposal.technique]
    bench = Bench(question, proposal, fields)
    found = [[0, 0, 0] for _ in fluences_e_per_A2]
    share = [trials // len(bench.places) + (n < trials % len(bench.places)) for n in range(len(bench.places))]
    for place, turns in zip(bench.places, share, strict=True):
        shown, plain = bench.look(place, with_feature=True), bench.look(place, with_feature=False)
        reader = _Reader(question, proposal, place)
        for n, fluence in enumerate(fluences_e_per_A2):
            threshold = curve.threshold(fluence)
            for turn in range(turns):
                outputs = reader.outputs(bench.counted(shown, fluence, 2 * turn))
                found[n][0] += reader.at_feature(outputs) > threshold
                found[n][1] += float(reader.outputs(bench.counted(plain, fluence, 2 * turn + 1)).max()) > threshold
                found[n][2] += 1
    return [(int(a), int(b), int(c)) for a, b, c in found]


class _Reader:
    """The filter's output all over a frame of one place."""

    def __init__(self, question: Question, proposal: Proposal, place: Place) -> None:
        self._proposal, self._place = proposal, place
        self._self_levelled = proposal.channels is None  # a spectrum's filter is blind to the background already
        self._patches: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array] | None = None
        self._feature: npt.NDArray[np.bool_]
        if isinstance(question.feature, DopantFeature):
            self._patches, self._feature = at_sites(question, proposal, place)
        else:
            self._feature = self._near(question)

    def outputs(self, electrons: Array) -> Array:
        """Of every place of a frame (H, W) or (H, W, E), less their median where the background's height is unknown."""
        proposal = self._proposal
        image = electrons if proposal.channels is None else electrons @ proposal.channels
        if self._patches is not None:
            rows, columns, weights = self._patches
            found = np.einsum("nij,nij->n", image[rows, columns], weights)
        elif proposal.weights.size == 1:
            found = image * proposal.weights
        else:
            found = signal.correlate(image, proposal.weights, mode="valid", method="fft")
        return np.asarray(found - np.median(found) if self._self_levelled else found)

    def at_feature(self, outputs: Array) -> float:
        """The largest output where the feature is."""
        return float(outputs[self._feature].max())

    def _near(self, question: Question) -> npt.NDArray[np.bool_]:
        """Which outputs are the feature's: the pixel that it lies on, and its neighbours."""
        half = self._proposal.weights.shape[0] // 2
        size = self._proposal.frame_px - 2 * half
        near = np.zeros((size, size), dtype=bool)
        if isinstance(question.feature, ConcentrationFeature):
            near[size // 2, size // 2] = True  # the element is everywhere: one pixel of the map is asked
            return near
        row, column = (round(at) - half for at in self._place.feature_px)
        near[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
        return near


def at_sites(
    question: Question, proposal: Proposal, place: Place, moved_px: float = 0.0
) -> tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array], npt.NDArray[np.bool_]]:
    """Rows, columns (N, h, w) and weights of the filter at every column of the element, and which is the feature.

    ``moved_px``: the filter stands so far right of each column.
    """
    film, pixel_nm, size = question.specimen, proposal.pixel_nm, proposal.frame_px
    half = proposal.weights.shape[0] // 2
    cell = np.array(lattice_of(film).cell_nm)
    reach = size * pixel_nm
    most = math.ceil(2 * reach / float(np.min(np.linalg.norm(cell, axis=1))))
    middle = np.round(np.array(place.centre_nm) @ np.linalg.inv(cell))
    i, j = np.meshgrid(np.arange(-most, most + 1) + middle[0], np.arange(-most, most + 1) + middle[1])
    cells = np.column_stack([i.ravel(), j.ravel()]) @ cell
    sites = np.concatenate([cells + site for site in sites_nm(film, str(proposal.site))])
    at_px = (np.array(place.centre_nm) - sites) / pixel_nm + (size - 1) / 2  # columns, rows: images are point-reflected
    whole = np.round(at_px)
    inside = ((whole >= half) & (whole < size - half)).all(axis=1)
    at_px, whole = at_px[inside], whole[inside].astype(np.int64)
    around = np.arange(-half, half + 1)
    rows = whole[:, 1, None, None] + around[None, :, None]
    columns = whole[:, 0, None, None] + around[None, None, :]
    rest = at_px - whole + (moved_px, 0.0)
    weights = np.empty((len(whole), len(around), len(around)))
    for n, (right, down) in enumerate(rest):
        weights[n] = ndimage.shift(proposal.weights, (down, right), order=3, mode="constant")
    truth = np.array([place.feature_px[1], place.feature_px[0]])
    feature = np.hypot(*(at_px - truth).T) < 0.5
    return (*np.broadcast_arrays(rows, columns), weights), feature  # type: ignore[return-value]
