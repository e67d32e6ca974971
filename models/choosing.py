"""Which way outlines and which counts, by the labelled frames alone: each by what was learned from the others.

Whether trees or a forest outline better differs by the kind of image, and a few labelled frames tell which by little
more than chance: the mean of both is as good as the better one, and is taken unless one alone is clearly better. A
density counts what touches and overlaps, and may be wrong by any factor where a few objects were labelled; the number
of outlines joins the one and is safe in the other. Which of these is less wrong, labelled frames do tell. The range of
a count is that of choosing so: of each labelled frame the error of what the other labelled frames would have chosen.
Where frames are alike, contrast is to count, which outlines do not heed: there the density does, unless set by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from skimage.measure import label

from models.agreement import tally
from models.counting import RANGED_FROM, Counted, Counter, large_parts, log_error, mass, rms, within
from models.held_out import frame_pieces
from models.segmentation import Both, Measured, Outliner, Segmenter, measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.description import Description
    from models.encoder import Encoder

Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.integer]
Mask: TypeAlias = npt.NDArray[np.bool_]
Ratio: TypeAlias = float

AUTO = "auto"
TREES, FOREST, BOTH = "trees", "forest", "both"
DENSITY, OUTLINES = "density", "outlines"
OUTLINE_BY, COUNT_BY = (AUTO, BOTH, TREES, FOREST), (AUTO, DENSITY, OUTLINES)
CHOSEN, BY_HAND, BY_CONTRAST = "chosen", "set by hand", "as contrast counts"
_NO_RANGE = (
    "; counts have no range: fewer than two labelled frames, or halves of a single one, show objects that others tell; "
    "label one more"
)
_BETTER, _BETTER_IN_ONE = 0.03, 0.1
"""By so much trees alone, or a forest, have to outline better than both (mean of Dice and F1); in the halves of a
single frame, which tell less, by more."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and what each candidate did on labelled frames that it had not learned from."""

    outlined_by: str
    dice: dict[str, Ratio]
    """Of pixels, mean over labelled frames that show any object, what is outlined in others shared among them; of what
    outlines, where labelled frames tell."""
    f1: dict[str, Ratio]
    """Of objects, likewise."""
    counted_by: str
    off: dict[str, float]
    """Of what counts, the root mean square of ln(counted ÷ labelled)."""
    how: tuple[str, str]
    """What outlines, and what counts, was ``CHOSEN``, ``BY_HAND`` or ``BY_CONTRAST``."""
    ranged: bool
    """Whether labelled frames tell how wrong a count may be."""

    def __str__(self) -> str:
        outlined = ", ".join(f"{name}: Dice {self.dice[name]:.2f}, F1 {self.f1[name]:.2f}" for name in self.dice)
        counted = ", ".join(f"{name}: off by a factor of {math.exp(off):.3g}" for name, off in self.off.items())
        return (
            f"outlined by {self.outlined_by}, {self.how[0]} ({outlined or 'too little is labelled to tell'}); "
            f"counted by {self.counted_by}, {self.how[1]} ({counted or 'too little is labelled to tell'}); "
            f"each on labelled frames by the others{'' if self.ranged else _NO_RANGE}"
        )


class Measurer:
    """Outlines and counts, taught by a few labelled frames."""

    def __init__(self, outliner: Outliner, counter: Counter | None, choice: Choice, off: float, errors: int) -> None:
        """``counter``: None where outlines are counted; ``off``, ``errors``: as ``models.counting.within`` has them."""
        self.choice = choice
        self._outliner = outliner
        self._counter, self._off, self._errors = counter, off, errors

    def measure(self, image: Description, pixel_size_nm: float) -> tuple[Mask, Measured, Counted]:
        """The mask (H, W), the objects, and how many there are."""
        probabilities, threshold = self._outliner.probabilities(image), self._outliner.threshold
        found = measure(probabilities, threshold, pixel_size_nm)
        number = found.count if self._counter is None else self._counter.number(image)
        return probabilities > threshold, found, within(number, self._off, self._errors)


def check_ways(outline: str, count: str) -> None:
    """Raises ValueError for ways to outline or count by that nothing knows."""
    for name, said, known in (("outline", outline, OUTLINE_BY), ("count", count, COUNT_BY)):
        if said not in known:
            raise ValueError(f"{name} by {said!r} was asked: give {', '.join(known[:-1])} or {known[-1]}")


def taught(
    images: Sequence[Description],
    objects: Sequence[Labels],
    encoder: Encoder,
    alike: bool = False,
    seed: int = 0,
    outline: str = AUTO,
    count: str = AUTO,
) -> Measurer:
    """Fit what may be chosen, and choose.

    ``objects`` (H, W) of each image, a number for each object, 0 outside; ``alike``: frames are of one exposure and
    gain, and by itself the density counts. ``outline``: of ``OUTLINE_BY``, ``count``: of ``COUNT_BY``, where outlines
    is their number.
    Raises ValueError for labels that teach nothing and unknown ways.
    """
    check_ways(outline, count)
    masks = [each > 0 for each in objects]
    alone = (TREES, FOREST) if outline in (AUTO, BOTH) else (outline,)
    outliners: dict[str, Outliner] = {}
    segmenters = [Segmenter(images, masks, encoder, seed, name) for name in alone]
    if outline in (AUTO, BOTH):
        outliners[BOTH] = Both(segmenters, masks)
    if outline != BOTH:
        outliners |= dict(zip(alone, segmenters, strict=True))
    return chosen(outliners, None if count == OUTLINES else Counter(images, objects, alike, seed), objects, count)


def chosen(
    outliners: Mapping[str, Outliner], counter: Counter | None, objects: Sequence[Labels], count: str = AUTO
) -> Measurer:
    """Of what was fitted to the same labelled frames: one alone is taken, of several the one that these speak for.

    A counter of frames that are alike is taken unless ``count`` says otherwise.
    """
    by_contrast = count == AUTO and counter is not None and counter.alike
    scored = {name: agreements(each.held_out, objects) for name, each in outliners.items() if each.held_out}
    outlined_by = next(iter(outliners)) if len(outliners) == 1 else better_outlines(scored)
    errors = {} if counter is None else {DENSITY: counter.errors}
    if count != DENSITY and not by_contrast:
        errors[OUTLINES] = _count_errors(outliners[outlined_by].held_out, objects)
    counted_by = better_counts(errors) if len(errors) == 2 else next(iter(errors))
    choice = Choice(
        outlined_by=outlined_by,
        dice={name: float(each[:, 0].mean()) for name, each in scored.items()},
        f1={name: float(each[:, 1].mean()) for name, each in scored.items()},
        counted_by=counted_by,
        off={name: rms(list(each.values())) for name, each in errors.items() if each},
        how=(
            CHOSEN if len(outliners) > 1 else BY_HAND,
            BY_CONTRAST if by_contrast else CHOSEN if len(errors) > 1 else BY_HAND,
        ),
        ranged=len(errors[counted_by]) >= RANGED_FROM,
    )
    used, off = counter if counted_by == DENSITY else None, honest_off(errors, counted_by)
    return Measurer(outliners[outlined_by], used, choice, off, len(errors[counted_by]))


def better_outlines(scored: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """Of Dice and F1 (N, 2) of each labelled frame: both together, unless one alone is clearly better in the mean."""
    means = {name: float(each.mean()) for name, each in scored.items()}
    best = max(means, key=lambda name: means[name], default=BOTH)
    better = _BETTER if best != BOTH and len(scored[best]) > 1 else _BETTER_IN_ONE
    return best if best != BOTH and means[best] > means.get(BOTH, 0.0) + better else BOTH


def better_counts(errors: Mapping[str, Mapping[int, float]]) -> str:
    """Of ln(counted ÷ labelled) by piece: density, unless outlines are less wrong where both are known.

    Of two ways never the one of which nothing is known.
    """
    if not errors[DENSITY] or not errors[OUTLINES]:
        return OUTLINES if errors[OUTLINES] else DENSITY
    both = errors[DENSITY].keys() & errors[OUTLINES].keys()
    density, outlines = (rms([errors[name][n] for n in both]) for name in (DENSITY, OUTLINES))
    return OUTLINES if outlines < density else DENSITY


def honest_off(errors: Mapping[str, Mapping[int, float]], counted_by: str) -> float:
    """How wrong counts are: as those of what was chosen, at least as those of each piece by what the others choose.

    Of two ways the one that labelled frames speak for is less wrong on these than elsewhere.
    """
    own = errors[counted_by]
    if len(errors) < 2 or len(own) < 2:
        return rms(list(own.values()))
    left_out = []
    for n in own:
        others = {name: {k: e for k, e in each.items() if k != n} for name, each in errors.items()}
        left_out.append(errors[better_counts(others)].get(n, own[n]))
    return max(rms(list(own.values())), rms(left_out))


def agreements(outlined: Sequence[Mask], objects: Sequence[Labels]) -> npt.NDArray[np.float64]:
    """(N, 2) Dice and F1 of each labelled frame that shows any object.

    What is outlined in frames that show none is wrong, and counted to the others in equal shares.
    """
    found = np.array([tally(np.asarray(label(mask)), known) for mask, known in zip(outlined, objects, strict=True)])
    shown = np.array([bool(known.any()) for known in objects])
    common, covered, right, every = (found[shown] + found[~shown].sum(axis=0) / max(int(shown.sum()), 1)).T
    return np.stack([2 * common / np.maximum(covered, 1.0), 2 * right / np.maximum(every, 1.0)], axis=1)


def _count_errors(outlined: Sequence[Mask], objects: Sequence[Labels]) -> dict[int, float]:
    """ln(outlined ÷ labelled) by piece, what crosses a piece's rim by its parts, what the frame's rim cuts a half."""
    if not outlined:
        return {}
    ours, theirs = [mass(large_parts(mask)) for mask in outlined], [mass(each) for each in objects]
    pairs = [(float(p.of(ours).sum()), float(p.of(theirs).sum())) for p in frame_pieces(objects)]
    return {n: log_error(mine, said) for n, (mine, said) in enumerate(pairs) if said > 0}
