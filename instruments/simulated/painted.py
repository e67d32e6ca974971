"""Views as the compiled painter takes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from instruments.simulated.painting import paint_batch

if TYPE_CHECKING:
    from instruments.simulated.hashing import Floats
    from instruments.simulated.packing import Packed
    from instruments.simulated.renderer import Views


def paint_views(out: Floats, views: Views, pixel_nm: float, packed: Packed, *, fine: bool) -> None:
    """Add what lies under B views to ``out`` (B, S, H, W), a plane a signal of ``packed``. ``fine``: atom by atom.

    On as many threads as torch has (``torch.set_num_threads``): a view is the same whoever paints it.
    """
    batch = len(views.seeds)
    turns = np.zeros(batch) if views.rotations_rad is None else views.rotations_rad
    drifts = np.zeros((batch, 2)) if views.row_drifts_nm is None else views.row_drifts_nm
    stretches = np.ones((batch, 2)) if views.stretch is None else views.stretch
    guests, first = np.empty((0, 7)), np.zeros(batch + 1, dtype=np.int64)
    if views.guests is not None:
        rows = [np.asarray(each, dtype=np.float64).reshape(-1, 6) for each in views.guests]
        kind = float(len(packed.populations) - 1)
        guests = np.vstack([np.column_stack([np.full(len(each), kind), each]) for each in rows])
        first[1:] = np.cumsum([len(each) for each in rows])
    guests, kinds = np.ascontiguousarray(guests), packed.arguments()

    def paint(start: int, end: int) -> None:
        some = slice(start, end)
        numbers = views.places_nm[some], turns[some], drifts[some], stretches[some], pixel_nm, views.seeds[some]
        paint_batch(out[some], *numbers, guests, first[start : end + 1], fine, *kinds)

    hands = min(torch.get_num_threads(), batch)
    if hands == 1:
        paint(0, batch)
        return
    ends = [batch * n // hands for n in range(hands + 1)]
    list(_painters(hands).map(paint, ends[:-1], ends[1:]))


@lru_cache(maxsize=4)
def _painters(hands: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(hands, thread_name_prefix="painter")
