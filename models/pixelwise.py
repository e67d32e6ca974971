"""What tells pixels inside from those outside by what each and its surroundings look like: boosted trees, or a forest.

The forest is that of scikit-image's trainable segmentation (the example of its gallery): 50 trees, 10 levels deep, each
of some pixels, which are drawn as they come. Boosted trees learn from more of what is seldom, and by what they err in.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

Floats: TypeAlias = npt.NDArray[np.float32]
Bools: TypeAlias = npt.NDArray[np.bool_]

GROWN: dict[str, Any] = {
    "max_iter": 80,
    "learning_rate": 0.08,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 100,
    "l2_regularization": 1.0,
}
"""How boosted trees on pixels are grown, those that count too (scikit-learn's names)."""
_PIXELS = 40_000
"""Drawn from the labelled frames for boosted trees; at least a quarter of them inside, where there are so many."""
_INSIDE = 0.25
_A_TREE, _OF = 6_000, 100_000
"""Pixels that each tree of the forest draws, of so many drawn of all: scikit-learn weighs every pixel for every tree.
The gallery's draw 5 % of all, which takes longer the more is labelled."""


class Pixelwise(Protocol):
    """Fitted to some pixels."""

    def probabilities(self, rows: Floats) -> Floats:
        """(N, F) → (N,) of being inside."""


class Boosted:
    """Gradient-boosted trees (scikit-learn)."""

    def __init__(self, rows: Floats, said: Bools, seed: int) -> None:
        rng = np.random.default_rng(seed)
        inside, outside = np.flatnonzero(said), np.flatnonzero(~said)
        few = min(len(inside), round(_INSIDE * _PIXELS))
        many = min(len(outside), _PIXELS - few)
        chosen = np.concatenate([rng.choice(inside, few, False), rng.choice(outside, many, False)])
        self._trees = HistGradientBoostingClassifier(random_state=seed, **GROWN).fit(rows[chosen], said[chosen])
        # inside is drawn more often than it is found: odds are put right
        self._odds = math.log(len(inside) / few * many / len(outside))

    def probabilities(self, rows: Floats) -> Floats:
        told = self._trees.predict_proba(rows)[:, 1]
        odds = np.log(np.clip(told, 1e-6, 1 - 1e-6) / np.clip(1 - told, 1e-6, 1)) + self._odds
        return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float32)


class Forest:
    """Trees that each learn from pixels of their own."""

    def __init__(self, rows: Floats, said: Bools, seed: int) -> None:
        some = np.random.default_rng(seed).choice(len(said), min(_OF, len(said)), replace=False)
        chosen = np.concatenate([some, [np.argmax(said), np.argmin(said)]])  # of each kind one at least
        drawn = min(_A_TREE, len(chosen))
        self._trees = RandomForestClassifier(n_estimators=50, max_depth=10, max_samples=drawn, random_state=seed)
        self._trees.fit(rows[chosen], said[chosen])

    def probabilities(self, rows: Floats) -> Floats:
        return np.asarray(self._trees.predict_proba(rows)[:, 1], dtype=np.float32)
