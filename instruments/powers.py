"""Optional powers: asked for by ``Microscope.power(kind)``, absent (None) rather than pretended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from instruments.types import Exposure, Frame, Outcome, Pixels


@runtime_checkable
class HasTilt(Protocol):
    """Tilt axes."""

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        """By axis name (alpha_deg, beta_deg); a single-tilt holder has no beta_deg."""
        ...


@runtime_checkable
class HasSpectra(Protocol):
    """Detectors that give a spectrum at every pixel: ``acquire`` reads them where the exposure names them."""

    def channels(self) -> Mapping[str, int]:
        """Numbers of each at one pixel, by the detector's name."""
        ...


@runtime_checkable
class HasDiffraction(Protocol):
    """Cameras that give a pattern at every pixel: ``acquire`` reads them where the exposure names them."""

    def patterns(self) -> Mapping[str, tuple[int, int]]:
        """Rows and columns of each pattern, by the camera's name."""
        ...


@runtime_checkable
class HasHolder(Protocol):
    """A holder whose conditions can be set (temperature_K, bias_V, …)."""

    def set_condition(self, name: str, value: float) -> Outcome[float]: ...


@runtime_checkable
class HasStream(Protocol):
    """A camera, or a fast scan, that hands out each frame of a burst while the burst goes on."""

    def stream(self, exposure: Exposure, push: Callable[[Pixels], None]) -> Frame:
        """As ``acquire`` of a burst of one signal, but that each frame (H, W) is handed to ``push`` as it comes.

        What is returned holds the last frame alone. Raises as ``acquire``; LimitError where not one signal is named.
        """
        ...


@runtime_checkable
class HasValves(Protocol):
    """Column valves. Closing is always allowed; opening is a person's act and has no verb here."""

    def close_valves(self) -> None: ...


@runtime_checkable
class HasLoader(Protocol):
    """A cartridge or autoloader. A failed transfer is never retried blind."""

    def specimens(self) -> Sequence[str]:
        """Everything that can be loaded, with what lies on the stage."""
        ...

    def loaded(self) -> str | None:
        """What lies on the stage; None: nothing. Raises InstrumentError where nobody knows."""
        ...

    def load(self, name: str) -> None:
        """Bring a specimen onto the stage; what lies there goes back first. Returns when it is there."""
        ...

    def unload(self) -> None:
        """Bring what lies on the stage back. Returns when it is there."""
        ...


@runtime_checkable
class CanStop(Protocol):
    """Motion that can be stopped from another thread, within a second."""

    def stop(self) -> None: ...


@runtime_checkable
class HasBlanker(Protocol):
    """A blanker that is read by itself, from another thread, and while an exposure is under way."""

    def blanked(self) -> bool | None: ...
