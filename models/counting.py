"""Counting by density: what part of an object lies in each pixel, summed over the frame.

A threshold that fits areas parts and joins objects as it comes; a sum has none to be set wrong (Lempitsky & Zisserman,
NIPS 2010). Every labelled object is spread evenly over its pixels, and boosted trees (scikit-learn, Poisson's loss)
learn that density from scikit-image's features. An object that the frame's rim cuts is half an object: as many are seen
too often as would be missed, were they left out, so that the density is right on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats
from skimage.measure import label
from sklearn.ensemble import HistGradientBoostingRegressor

from models.agreement import LEAST_PX
from models.held_out import frame_pieces
from models.pixelwise import GROWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.description import Description

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.integer]
Ratio: TypeAlias = float

_PIXELS = 60_000
"""Drawn from all labelled frames to learn from, those of objects three times as often as others."""
_OFTEN = 3.0
_BAGS = 2
"""Draws whose trees are averaged."""
_BINS = 255
"""Of each feature's values: the most that scikit-learn's trees take."""
_SCALE = 100.0
"""Densities are learned in hundredths, so that the trees' limits on leaves bite where they should."""
_NOTHING = 0.1
RANGED_FROM = 2
"""Errors, from which a range follows: one says nothing of how they scatter, and of none nothing is known."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many objects a frame holds; those that its rim cuts are halves."""

    number: float
    sd: float
    """How far labelled frames were counted wrong by the others' labels, at least as counts scatter (Poisson)."""
    low: float
    """With ``high`` 95 %, wide where few frames were labelled (Student's t); both NaN where these do not tell."""
    high: float

    @property
    def ranged(self) -> bool:
        """Whether labelled frames tell how wrong it may be."""
        return math.isfinite(self.low)


class Counter:
    """Fitted to a few labelled frames."""

    def __init__(
        self, images: Sequence[Description], objects: Sequence[Labels], alike: bool = False, seed: int = 0
    ) -> None:
        """``objects`` (H, W) of each image, a number for each object, 0 outside.

        ``alike``: all frames are of one exposure and gain, so that contrast itself tells. Otherwise each is held
        against its own. Raises ValueError for frames that do not fit, and no object.
        """
        if not images or len(images) != len(objects):
            raise ValueError(f"{len(images)} images, {len(objects)} frames of objects: give one for each, one at least")
        if odd := [
            n for n, (i, o) in enumerate(zip(images, objects, strict=True), start=1) if i.pixels.shape != o.shape
        ]:
            raise ValueError(f"labelled image {odd[0]} and its objects are not of one size: label the image itself")
        masses = [mass(each) for each in objects]
        if not any(each.any() for each in masses):
            raise ValueError("no labelled frame shows an object: give one to count by")
        self.alike = alike
        self._contrast = float(np.mean([image.spread for image in images])) if alike else None
        columns = [self._columns(image) for image in images]
        self.errors = self._left_out(columns, masses, seed)
        """ln(counted ÷ labelled) of each labelled frame that shows any, or half of a single one, by the others."""
        self.off = rms(list(self.errors.values()))
        """Root mean square of the errors."""
        self._trees = _fitted(columns, masses, seed)

    def count(self, image: Description) -> Counted:
        """Objects of an image."""
        return within(self.number(image), self.off, len(self.errors))

    def number(self, image: Description) -> float:
        """How many, without a range."""
        return _total(self._trees, self._columns(image))

    def _columns(self, image: Description) -> Floats:
        return image.columns if self._contrast is None else image.columns * np.float32(image.spread / self._contrast)

    def _left_out(self, columns: Sequence[Floats], masses: Sequence[Doubles], seed: int) -> dict[int, float]:
        """Of each frame by the others; where a single one shows any, of each half by the other halves."""
        pieces, errors = frame_pieces(masses), {}
        for n, one in enumerate(pieces):
            shown, others = one.of(masses), [each for each in pieces if each is not one]
            learned = [each.of(masses) for each in others]
            if not shown.any() or not any(each.any() for each in learned):
                continue
            trees = _fitted([each.of(columns) for each in others], learned, seed)
            errors[n] = log_error(_total(trees, one.of(columns)), float(shown.sum()))
        return errors


def log_error(counted: float, labelled: float) -> float:
    """ln(counted ÷ labelled); of nothing counted as of a tenth of an object."""
    return math.log(max(counted, _NOTHING) / labelled)


def rms(errors: Sequence[float]) -> float:
    """Root mean square; 1, a factor of e, where nothing is known of how well this counts."""
    return math.sqrt(sum(each**2 for each in errors) / len(errors)) if errors else 1.0


def within(number: float, off: float, errors: int) -> Counted:
    """A number and its range, as ``off`` says, the root mean square of so many ``errors`` of its logarithm.

    Without a range where they are fewer than two.
    """
    sd = max(off, 1 / math.sqrt(max(number, 1.0)))
    if errors < RANGED_FROM:
        return Counted(number, sd * number, math.nan, math.nan)
    reach = math.exp(float(stats.t.ppf(0.975, errors)) * sd)
    return Counted(number, sd * number, number / reach, max(number, 1.0) * reach)


def mass(objects: Labels) -> Doubles:
    """(H, W) objects a pixel: each is one, spread evenly over its pixels, or a half where the frame's rim cuts it.

    >>> frame = np.zeros((8, 8), dtype=int)
    >>> frame[2:4, 2:4], frame[0, 5:7] = 1, 2
    >>> float(mass(frame).sum()), float(mass(frame)[2, 2])
    (1.5, 0.25)
    """
    sizes = np.bincount(objects.ravel()).astype(float)
    each = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    for rim in (objects[0], objects[-1], objects[:, 0], objects[:, -1]):
        for cut in np.unique(rim):
            each[cut] = 0.5 / sizes[cut]
    each[0] = 0.0
    return np.asarray(each[objects])


def parts(mask: npt.NDArray[np.bool_]) -> Labels:
    """(H, W) a number for each connected part of a mask."""
    return np.asarray(label(mask))


def large_parts(mask: npt.NDArray[np.bool_]) -> Labels:
    """(H, W) a number for each connected part of a mask that is no noise."""
    found = parts(mask)
    return np.where((np.bincount(found.ravel()) >= LEAST_PX)[found], found, 0)


class _Trees:
    """Boosted trees on values that are binned beforehand.

    Of weighted rows scikit-learn sorts every feature anew for each of its 254 bins, which takes ten times as long as
    growing the trees does.
    """

    def __init__(self, rows: Floats, said: Doubles, weights: Doubles, seed: int) -> None:
        levels = np.linspace(0, 1, _BINS + 1)[1:-1]
        self._edges = np.quantile(rows, levels, axis=0, weights=weights, method="inverted_cdf")
        model = HistGradientBoostingRegressor(loss="poisson", random_state=seed, **GROWN)
        self._model = model.fit(self._binned(rows), _SCALE * said, sample_weight=weights)

    def total(self, rows: Floats) -> float:
        return float(self._model.predict(self._binned(rows)).sum()) / _SCALE

    def _binned(self, rows: Floats) -> npt.NDArray[np.uint8]:
        found = np.empty(rows.shape, dtype=np.uint8)
        for n, edges in enumerate(self._edges.T):
            found[:, n] = np.searchsorted(edges, rows[:, n])
        return found


def _fitted(columns: Sequence[Floats], masses: Sequence[Doubles], seed: int) -> list[_Trees]:
    rows = np.concatenate([each.reshape(-1, each.shape[-1]) for each in columns])
    said = np.concatenate([each.ravel() for each in masses])
    often = np.where(said > 0, _OFTEN, 1.0)
    chance = np.minimum(often / often.sum() * _PIXELS, 1.0)
    drawn = [np.random.default_rng((seed, bag)).random(len(said)) < chance for bag in range(_BAGS)]
    return [_Trees(rows[chosen], said[chosen], 1 / chance[chosen], seed) for chosen in drawn]


def _total(trees: Sequence[_Trees], columns: Floats) -> float:
    rows = columns.reshape(-1, columns.shape[-1])
    return float(np.mean([each.total(rows) for each in trees]))
