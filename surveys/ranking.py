"""The order in which flags are shown: unusual first, but not ten pictures of the same thing."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_NEIGHBOURHOOD = 3.0
"""Distance, in sizes of a flagged place, over which two flags are likely to show one thing."""


def diverse_order(surprise: Array, why: Array, places_nm: Array, *, near_nm: float, diversity: Ratio) -> list[int]:
    """Order by maximal marginal relevance (Carbonell & Goldstein 1998).

    ``surprise``: (N,), larger is shown earlier. ``why``: (N, F) non-negative shares by reason. ``places_nm``: (N, 2).
    Two flags are alike as far as they are unusual for the same reasons (cosine) and lie near each other.
    ``diversity``: 0 sorts by surprise alone; 1 puts a twin of a shown flag behind everything.
    Returns indices, first shown first.
    """
    count = len(surprise)
    if count == 0:
        return []
    relevance = surprise / max(float(surprise.max()), 1e-12)
    unit = why / np.maximum(np.linalg.norm(why, axis=1, keepdims=True), 1e-12)
    distance_nm = np.linalg.norm(places_nm[:, None] - places_nm[None], axis=2)
    near = np.exp(-0.5 * (distance_nm / (_NEIGHBOURHOOD * near_nm)) ** 2)
    alike = 0.5 * unit @ unit.T + 0.5 * near
    order: list[int] = []
    likeness = np.zeros(count)
    left = np.ones(count, dtype=bool)
    for _ in range(count):
        best = int(np.argmax(np.where(left, (1 - diversity) * relevance - diversity * likeness, -np.inf)))
        order.append(best)
        left[best] = False
        likeness = np.maximum(likeness, alike[best])
    return order
