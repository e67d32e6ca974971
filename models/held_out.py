"""Labelled frames as what is learned from the others tells them: what methods and levels are chosen by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from models.agreement import LEAST_PX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.pixelwise import Pixelwise

Floats: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Split: TypeAlias = "tuple[tuple[Piece, ...], tuple[Piece, ...]]"
"""What is learned from, and what is asked."""

_LEVELS = np.linspace(0.05, 0.7, 27)
_UNTOLD = 0.4
"""The level where labelled frames, or halves, do not tell of one another."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A labelled frame, or a half of one."""

    frame: int
    columns: slice
    """Of its pixels."""

    def of(self, frames: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """(H, W′, …) the piece of arrays (H, W, …), one a frame."""
        return frames[self.frame][:, self.columns]


def frame_pieces(frames: Sequence[npt.NDArray[Any]]) -> list[Piece]:
    """Each frame or, where fewer than two show an object (as of one alone), the halves of all."""
    left, right = _halves(frames)
    shown = sum(int((each > 0).sum()) >= LEAST_PX for each in frames)
    return [*left, *right] if shown < 2 else [Piece(n, slice(None)) for n in range(len(frames))]


def splits(masks: Sequence[Mask]) -> list[Split]:
    """Each frame by the others or, where these show too little (as with one alone), the halves of all by the others.

    Empty where neither teaches.
    """
    whole = [Piece(n, slice(None)) for n in range(len(masks))]
    by_frame: list[Split] = [(tuple(other for other in whole if other is not one), (one,)) for one in whole]
    left, right = _halves(masks)
    by_half: list[Split] = [(left, right), (right, left)]
    for found in (by_frame, by_half):
        if all(_teaches([piece.of(masks) for piece in known]) for known, _ in found):
            return found
    return []


def told_by_others(
    columns: Sequence[Floats], masks: Sequence[Mask], fit: Callable[[Floats, Mask], Pixelwise], made: Sequence[Split]
) -> list[Floats]:
    """(H, W) of each frame the probabilities that were learned elsewhere, of ``columns`` (H, W, F).

    None where there is no split.
    """
    found = [np.empty(mask.shape, dtype=np.float32) for mask in masks] if made else []
    for known, asked in made:
        rows = [piece.of(columns).reshape(-1, columns[0].shape[-1]) for piece in known]
        model = fit(np.concatenate(rows), np.concatenate([piece.of(masks).ravel() for piece in known]))
        for piece in asked:
            seen = piece.of(columns)
            piece.of(found)[:] = model.probabilities(seen.reshape(-1, seen.shape[-1])).reshape(seen.shape[:2])
    return found


def levelled(told: Sequence[Floats], masks: Sequence[Mask], made: Sequence[Split]) -> tuple[float, list[Mask]]:
    """The level at which what the others tell fits best; and (H, W) of each frame what is above such a level.

    There it is the best of the other pieces, so that no frame is outlined by a level that knows it.
    """
    if not made:
        return _UNTOLD, []
    found = [np.empty(mask.shape, dtype=bool) for mask in masks]
    for _, asked in made:
        others = [piece for _, other in made if other is not asked for piece in other]
        level = _best_level([piece.of(told) for piece in others], [piece.of(masks) for piece in others])
        for piece in asked:
            piece.of(found)[:] = piece.of(told) > level
    return _best_level(told, masks), found


def _best_level(told: Sequence[Floats], masks: Sequence[Mask]) -> float:
    """Of the best Dice, of all together."""
    found, truth = np.concatenate([each.ravel() for each in told]), np.concatenate([each.ravel() for each in masks])
    both = np.array([(truth & (found > level)).sum() for level in _LEVELS])
    either = np.array([truth.sum() + (found > level).sum() for level in _LEVELS])
    return float(_LEVELS[int(np.argmax(2 * both / np.maximum(either, 1)))])


def _halves(frames: Sequence[npt.NDArray[Any]]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    left = tuple(Piece(n, slice(None, each.shape[1] // 2)) for n, each in enumerate(frames))
    return left, tuple(Piece(n, slice(each.shape[1] // 2, None)) for n, each in enumerate(frames))


def _teaches(shown: Sequence[Mask]) -> bool:
    inside = sum(int(each.sum()) for each in shown)
    return LEAST_PX <= inside <= sum(each.size for each in shown) - LEAST_PX
