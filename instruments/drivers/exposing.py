"""What every driver does around the vendor's read-out: unblank, wait between frames, blank, make a ``Frame``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from instruments.errors import InstrumentError
from instruments.types import ELECTRONS_PER_PA_S, Axis, Frame, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.types import Exposure, State

    Shot = Mapping[str, npt.NDArray[Any]]
    """What the detectors gave in one frame, by name, each (H, W) and what a pixel holds."""


def burst(
    exposure: Exposure, clock: Clock, unblank: Callable[[], None], shot: Callable[[], Shot], blank: Callable[[], None]
) -> list[Shot]:
    """Every frame of an exposure, blanked between them and after, whatever is raised."""
    shots: list[Shot] = []
    for number in range(exposure.frames):
        if number:
            clock.wait(exposure.interval_s)
        try:
            unblank()
            shots.append(shot())
        finally:
            blank()
    return shots


class BeamTime:
    """How long the beam is really on: what a vendor's call takes beyond the exposure is dose as well."""

    def __init__(
        self, clock: Clock, unblank: Callable[[], None], blank: Callable[[], None], stopped: Callable[[], bool]
    ) -> None:
        """``stopped``: whether anybody has blanked since the exposure was asked for, its set-up included.

        After that it does not go on.
        """
        self._clock, self._unblank, self._blank, self._stopped = clock, unblank, blank, stopped
        self._since_s: float | None = None
        self.lit_s = 0.0
        self.current_pA = 0.0
        """As found with the beam on; 0: not known."""

    def on(self) -> None:
        """Unblank; from here on the specimen is irradiated, or may be. Raises InstrumentError after a blank."""
        if self._stopped():
            raise self._lost()
        self._since_s = self._clock.now_s()
        self._unblank()
        if self._stopped():  # while it was put on: that blank may have come before it
            self.off()
            raise self._lost()

    def off(self) -> None:
        """Blank. Safe twice."""
        self._blank()
        if self._since_s is not None:
            self.lit_s += self._clock.now_s() - self._since_s
            self._since_s = None

    @staticmethod
    def _lost() -> InstrumentError:
        return InstrumentError("the beam was blanked meanwhile: the dose until then is spent, the frame is lost")


def summed(image: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Squares of ``factor`` pixels on a side as one pixel each, their sum: ``(H·factor, W·factor)`` to ``(H, W)``.

    >>> summed(np.arange(16, dtype=np.uint16).reshape(4, 4), 2)
    array([[10, 18],
           [42, 50]], dtype=uint32)
    """
    if factor == 1:
        return image
    height, width = (length // factor for length in image.shape)
    wide = np.uint32 if image.dtype.kind == "u" else image.dtype
    total: npt.NDArray[Any] = image.reshape(height, factor, width, factor).sum(axis=(1, 3), dtype=wide)
    return total


def framed(
    exposure: Exposure,
    shots: Sequence[Shot],
    state: State,
    start_s: float,
    current_pA: float,
    *,
    unit: str = "counts",
    calibration: Mapping[str, float] | None = None,
    inner: tuple[Axis, ...] = (),
    lit_s: float = 0.0,
) -> Frame:
    """The frame that the shots make.

    Args:
        exposure: what was asked.
        shots: one for each frame.
        state: read back after the last.
        start_s: the instrument's time before the first.
        current_pA: that the electrons are reckoned with.
        unit: of the signals.
        calibration: constants of the detectors.
        inner: axes of what a pixel holds, where that is more than a number.
        lit_s: how long the beam was found on, where that was measured; more than was asked counts.
    """
    pixel_nm, frame_s = exposure.pixel_size_nm, exposure.beam_on_s / exposure.frames
    axes: tuple[Axis, ...] = (Axis("row", pixel_nm, "nm"), Axis("column", pixel_nm, "nm"), *inner)
    if exposure.frames > 1:
        axes = (Axis("frame", frame_s + exposure.interval_s, "s"), *axes)
    signals = {}
    for name in shots[0]:
        data = shots[0][name] if exposure.frames == 1 else np.stack([shot[name] for shot in shots])
        signals[name] = Signal(data, axes, unit, calibration or {})
    return Frame(
        exposure=exposure,
        signals=signals,
        stage=state.stage,
        optics=state.optics,
        start_s=start_s,
        end_s=state.time_s,
        electrons=current_pA * ELECTRONS_PER_PA_S * max(exposure.beam_on_s, lit_s),
        holder=state.holder,
    )
