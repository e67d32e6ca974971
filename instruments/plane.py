"""An image seen at another pixel size: means over areas, or straight lines between pixels. Nothing else is invented."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ratio: TypeAlias = float
Doubles: TypeAlias = npt.NDArray[np.floating[Any]]


class Plane:
    """A recorded image (H, W) and what frames see of it.

    Pixels larger than the image's are averages over each pixel's area; smaller ones are interpolated linearly.
    """

    def __init__(self, image: npt.NDArray[np.float32]) -> None:
        self._image = image
        self.shape: tuple[int, int] = (image.shape[0], image.shape[1])
        self.least, self.most = float(image.min()), float(image.max())
        # Sums over rectangles in four look-ups; less the mean, so that float64 keeps them exact enough.
        self._mean = float(image.mean(dtype=np.float64))
        self._sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
        np.cumsum(image - np.float64(self._mean), axis=0, out=self._sums[1:, 1:])
        np.cumsum(self._sums[1:, 1:], axis=1, out=self._sums[1:, 1:])

    def seen(self, rows_px: Doubles, columns_px: Doubles, step_px: Ratio) -> npt.NDArray[np.float32]:
        """(H, W) of a frame whose pixels' middles lie there, from the image's upper left corner, ``step_px`` apart."""
        return self._averaged(rows_px, columns_px, step_px) if step_px >= 1 else self._interpolated(rows_px, columns_px)

    def _averaged(self, rows_px: Doubles, columns_px: Doubles, step_px: Ratio) -> npt.NDArray[np.float32]:
        # Sums from the image's corner to each pixel edge, between whole pixels linear: exact for areas cut anywhere.
        top, below, down = _around(_edges(rows_px, step_px), self.shape[0])
        left, right, across = _around(_edges(columns_px, step_px), self.shape[1])
        first, last = int(left[0]), int(right[-1]) + 1
        strip = self._sums[top, first:last]
        strip += (self._sums[below, first:last] - strip) * down[:, None]
        sums = strip[:, left - first]
        sums += (strip[:, right - first] - sums) * across
        mean = np.diff(np.diff(sums, axis=0), axis=1) / step_px**2 + self._mean
        return np.clip(mean, self.least, self.most).astype(np.float32)  # rounding must not leave the image's range

    def _interpolated(self, rows_px: Doubles, columns_px: Doubles) -> npt.NDArray[np.float32]:
        top, below, down = _around(rows_px - 0.5, self.shape[0] - 1)
        left, right, across = _around(columns_px - 0.5, self.shape[1] - 1)
        first, last = int(left[0]), int(right[-1]) + 1
        strip = self._image[top, first:last].astype(np.float64)
        strip += (self._image[below, first:last] - strip) * down[:, None]
        values = strip[:, left - first]
        values += (strip[:, right - first] - values) * across
        return values.astype(np.float32)


def _edges(middles_px: Doubles, step_px: Ratio) -> Doubles:
    """The borders of N neighbouring pixels, (N + 1,)."""
    return np.append(middles_px - step_px / 2, middles_px[-1] + step_px / 2)


def _around(at: Doubles, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Doubles]:
    """The whole numbers below and above each coordinate, and the part of the way between; cut to 0…last."""
    at = np.clip(at, 0, last)
    below = np.minimum(np.floor(at).astype(np.int64), last - 1)
    return below, below + 1, at - below
