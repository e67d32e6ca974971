"""A place that is looked at from where the stage stands, with every move ending in the same direction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.drift import shift_px
from instruments.errors import InstrumentError, NotSupported
from instruments.types import StagePosition

if TYPE_CHECKING:
    from instruments.protocol import Microscope
    from instruments.types import Exposure

Ratio: TypeAlias = float
Floats: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.float32]

_SURE: Ratio = 12.0
"""Standard deviations of a peak that is believed: of frames that show nothing, the highest reaches 9."""
_LEAST_CYCLES: Ratio = 4.0
_REST_PX = 3.0
"""What is left after the whole pixels are taken out is less, or was found by chance."""


class CannotCalibrate(InstrumentError):
    """What was seen does not tell how the instrument moves. Nothing is stored."""


class NothingToCompare(CannotCalibrate):
    """Two images have nothing in common that stands out."""


class Bench:
    """A place, looked at from where the stage stands."""

    def __init__(self, scope: Microscope, exposure: Exposure, approach_nm: float) -> None:
        """Raises NotSupported where the stage does not read x and y."""
        self._scope, self.exposure, self._approach_nm = scope, replace(exposure, frames=1), approach_nm
        stage = scope.state().stage
        if stage.x_nm is None or stage.y_nm is None:
            raise NotSupported("a stage was to be calibrated that does not read x and y: see to the stage")
        self._start_nm = np.array([stage.x_nm, stage.y_nm])
        self.frames = 0

    def look(self, x_nm: float, y_nm: float, above: tuple[bool, bool] = (False, False)) -> tuple[Image, Floats, float]:
        """Go there, from below on each axis unless said otherwise, and expose.

        Returns (image (H, W), where the stage says it is relative to the start, when).
        """
        target_nm = self._start_nm + np.array([x_nm, y_nm])
        if self._approach_nm:
            self._go(target_nm + np.where(above, self._approach_nm, -self._approach_nm))
        self._go(target_nm)
        frame = self._scope.acquire(self.exposure)
        self.frames += 1
        for signal in frame.signals.values():
            if signal.data.ndim == 2:
                at = np.array([frame.stage.x_nm, frame.stage.y_nm], dtype=np.float64) - self._start_nm
                return signal.data.astype(np.float32), at, frame.start_s
        raise NotSupported("moves are seen in images; no detector gave one: name one that does in the look's signals")

    def back(self) -> None:
        """Where it began."""
        self._go(self._start_nm)

    def _go(self, place_nm: Floats) -> None:
        self._scope.move(StagePosition(x_nm=float(place_nm[0]), y_nm=float(place_nm[1])))

    def shift_nm(self, one: Image, two: Image) -> Floats | None:
        """(columns, rows) that the second shows the same further; None where nothing can be compared."""
        found = shift_px(one, two, sure=_SURE, least_cycles=_LEAST_CYCLES)
        if found is None:
            return None
        # fading out to the border weighs what has moved in or out: what both show, cut out, tells the rest without that
        down, right = (round(part) for part in found)
        rest = shift_px(_common(one, -down, -right), _common(two, down, right), sure=_SURE, least_cycles=_LEAST_CYCLES)
        if rest is not None and max(abs(part) for part in rest) < _REST_PX:
            found = (down + rest[0], right + rest[1])
        return np.array([found[1], found[0]]) * self.exposure.pixel_size_nm


def _common(image: Image, down_px: int, right_px: int) -> Image:
    """The part (H, W) of an image whose features have gone down and right that was in view before."""
    rows, columns = image.shape
    return image[max(down_px, 0) : rows + min(down_px, 0), max(right_px, 0) : columns + min(right_px, 0)]
