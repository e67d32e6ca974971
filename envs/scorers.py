"""What a frame is worth: the Protocol the Task is handed, so that no environment knows a network.

The classical scorer is in ``envs.novelty``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from instruments.types import Frame


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open pixel ranges of a frame: one cell."""

    rows_px: tuple[int, int]
    columns_px: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Description:
    """What a scorer reads out of a frame."""

    descriptors: npt.NDArray[np.float64]
    """(K, F): K windows, F descriptors."""
    quality: dict[str, float]


class Scorer(Protocol):
    """Describes frames (pixels → numbers) and judges the numbers against this specimen's own background."""

    @property
    def names(self) -> tuple[str, ...]:
        """The F descriptors, unit in the name; dimensionless ones end in ``_ratio``."""
        ...

    def describe(self, frame: Frame, windows: Sequence[Window]) -> Description:
        """Pure: the same frame gives the same numbers."""
        ...

    def observe(self, look: str, descriptors: npt.NDArray[np.float64]) -> None:
        """Learn the background of this look from (K, F) more descriptors. The only thing that learns."""
        ...

    def interest(self, look: str, descriptors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(K,) robust distance of (K, F) from the background; 0 = ordinary, NaN where the background is too young."""
        ...

    def state(self) -> Mapping[str, Any]:
        """JSON-able cache of the fold over ``observe``."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None: ...
