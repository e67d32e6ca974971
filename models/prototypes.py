"""Classes from a handful of examples: the nearest of their prototypes, or none of these.

Prototypes (Snell et al. 2017) in a space whitened by what was seen without labels, so that no direction counts for
more than another only because the specimen varies much along it. An example's own likeness to its class, left out of
its own prototype, tells how unlike a chip may be and still belong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

NONE = "none of these"
CLOSENESS = 10.0
"""How sharply likeness (cosine) decides between classes."""
_MISSED = 0.005
"""Share of a class's own that its examples say lies beyond its reach: they are picked for being typical, in truth it
is more."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the space is made in which prototypes are compared."""

    directions: int = 16
    """Principal directions that are kept at most."""
    ridge: Ratio = 1.0
    """Share of the mean variance added to each direction's before whitening."""
    unlabelled: bool = True
    """Whether the directions are those of all that was seen, or of the examples alone."""


USUAL = Settings()


@dataclass(frozen=True, slots=True)
class Prototypes:
    """C classes in a space of D directions."""

    classes: tuple[str, ...]
    prototypes: Array
    """(C, D) of length 1."""
    reach: Array
    """(C,) least likeness to its prototype at which a chip still belongs to a class."""
    centre: Array
    """(F,)"""
    directions: Array
    """(F, D)"""
    core: Array
    """(C,) likeness at which a chip is as much of a class as its examples are of each other: more than its reach."""

    @classmethod
    def fitted(
        cls, examples: Array, said: Sequence[str], unlabelled: Array | None = None, settings: Settings = USUAL
    ) -> Prototypes:
        """From (N, F) embeddings of examples and their classes.

        ``unlabelled`` (M, F): other chips of the same survey, which tell in which directions it varies.
        Raises ValueError for what cannot be told apart.
        """
        check_examples(examples, said)
        alone = unlabelled is None or not settings.unlabelled
        centre, directions = _whitening(examples if alone else np.concatenate([examples, unlabelled]), settings)
        points = _unit((examples - centre) @ directions)
        classes = tuple(sorted(set(said)))
        labels = np.array([classes.index(each) for each in said])
        prototypes = _unit(np.array([points[labels == c].mean(axis=0) for c in range(len(classes))]))
        like = _alike(points, labels, len(classes))
        reach = _reach(like, labels, len(classes))
        return cls(classes, prototypes, reach, centre, directions, _core(like, labels, len(classes)))

    def likeness(self, chips: Array) -> Array:
        """(K, F) → (K, C) cosines to the prototypes."""
        return np.asarray(_unit((chips - self.centre) @ self.directions) @ self.prototypes.T)

    def scores(self, chips: Array) -> Array:
        """(K, F) → (K, C) probabilities, were each chip of one of the classes."""
        told = CLOSENESS * self.likeness(chips)
        told = np.exp(told - told.max(axis=1, keepdims=True))
        return np.asarray(told / told.sum(axis=1, keepdims=True))

    def belonging(self, chips: Array) -> Array:
        """(K,) how far each is within reach of the class it is most like: below 0, none of these."""
        like = self.likeness(chips)
        best = like.argmax(axis=1)
        return np.asarray((like - self.reach)[np.arange(len(like)), best])

    def told(self, chips: Array, *, open_set: bool = True) -> list[str]:
        """The class of each of K chips, or ``NONE``."""
        best = self.likeness(chips).argmax(axis=1)
        within = self.belonging(chips) >= 0
        return [self.classes[c] if near or not open_set else NONE for c, near in zip(best, within, strict=True)]


def check_examples(examples: Array, said: Sequence[str]) -> None:
    """Raises ValueError: numbers that do not fit, a single class, the same chip given two classes."""
    if examples.ndim != 2 or len(examples) != len(said) or not np.isfinite(examples).all():
        raise ValueError(f"embeddings {examples.shape} and {len(said)} classes: give one finite row and one class each")
    classes = sorted(set(said))
    if len(classes) < 2:
        raise ValueError(f"examples of {classes or 'nothing'} only: give examples of what it is to be told from, too")
    if NONE in classes:
        raise ValueError(f"a class is called {NONE!r}: give examples of it another name, such as 'other'")
    if twice := contradictions(examples, said):
        first, second = twice[0]
        raise ValueError(
            f"examples {first + 1} and {second + 1} are the same and said to be {said[first]!r} and {said[second]!r}: "
            "leave one out"
        )


def contradictions(examples: Array, said: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs that are the same but for rounding, and of different classes."""
    scale = max(float(np.abs(examples).max()), 1e-12)
    return [
        (a, b)
        for a in range(len(said))
        for b in range(a + 1, len(said))
        if said[a] != said[b] and np.abs(examples[a] - examples[b]).max() < 1e-5 * scale
    ]


def _whitening(rows: Array, settings: Settings) -> tuple[Array, Array]:
    centre = rows.mean(axis=0)
    _, values, directions = np.linalg.svd((rows - centre) / np.sqrt(len(rows)), full_matrices=False)
    kept = min(settings.directions, int((values > 1e-9 * max(float(values[0]), 1e-12)).sum()))
    variance = values[:kept] ** 2
    return centre, np.asarray(directions[:kept].T / np.sqrt(variance + settings.ridge * variance.mean()))


def _alike(points: Array, labels: npt.NDArray[np.int_], classes: int) -> Array:
    """(N,) likeness of each example to the mean of the others of its class; NaN where there are none."""
    like = np.full(len(points), np.nan)
    for c in range(classes):
        mine = points[labels == c]
        if len(mine) > 1:
            others = _unit((mine.sum(axis=0) - mine) / (len(mine) - 1))
            like[labels == c] = (mine * others).sum(axis=1)
    return like


def _reach(like: Array, labels: npt.NDArray[np.int_], classes: int) -> Array:
    """Of each class, the likeness to its prototype below which one in 200 of its own would be: a prediction's bound.

    All classes scatter alike: three to five examples say too little of their own scatter. A class of one example gets
    the others' mean.
    """
    sizes = np.bincount(labels, minlength=classes)
    several = sizes > 1
    if not several.any():
        return np.zeros(classes)
    means = np.array([like[labels == c].mean() if several[c] else np.nan for c in range(classes)])
    freedom = int(sizes[several].sum() - several.sum())
    scatter = np.sqrt(np.nansum((like - means[labels]) ** 2) / freedom)
    beyond = stats.t.ppf(1 - _MISSED, freedom) * scatter * np.sqrt(1 + 1 / sizes)
    return np.asarray(np.where(several, means, np.nanmean(means)) - beyond)


def _core(like: Array, labels: npt.NDArray[np.int_], classes: int) -> Array:
    """Of each class the least likeness among its examples, less their spread; of a single one, the others' least."""
    core = np.full(classes, np.nan)
    for c in range(classes):
        mine = like[labels == c]
        if len(mine) > 1:
            core[c] = mine.min() - mine.std()
    return np.where(np.isnan(core), np.nanmin(core) if np.isfinite(core).any() else 0.0, core)


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12))
