"""The optional powers of a simulated instrument: those that its settings give it, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instruments.powers import CanStop, HasDiffraction, HasHolder, HasSpectra, HasTilt, HasValves
from instruments.simulated.world import World

if TYPE_CHECKING:
    from instruments.simulated.holders import Amount
    from instruments.types import Outcome


def offered(kind: type, world: World) -> object:
    """The power, or None."""
    settings = world.settings
    stage, camera = settings.stage, settings.camera
    tilts = {name: getattr(stage, name) for name in ("alpha_deg", "beta_deg") if getattr(stage, name) is not None}
    if kind is HasTilt and tilts:
        return Tilt(tilts)
    if kind is HasValves:
        return Valves(world)
    if kind is CanStop and settings.real_time:  # in simulated time a motion is over before anybody could
        return Stop(world)
    if kind is HasHolder and world.conditions is not None:
        return Holder(world)
    if kind is HasDiffraction and camera is not None:
        return Diffraction({"camera": (camera.pixels, camera.pixels)})
    channels = {name: n for name, n in settings.slow_detectors().items() if name != "camera"}
    if kind is HasSpectra and channels:
        return Spectra(channels)
    return None


@dataclass(frozen=True, slots=True)
class Tilt:
    """The axes that this holder has."""

    ranges_deg: Mapping[str, tuple[float, float]]

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return self.ranges_deg


@dataclass(frozen=True, slots=True)
class Spectra:
    """The spectrometers that are in."""

    spectrometers: Mapping[str, int]

    def channels(self) -> Mapping[str, int]:
        return self.spectrometers


@dataclass(frozen=True, slots=True)
class Diffraction:
    """The camera for patterns."""

    cameras: Mapping[str, tuple[int, int]]

    def patterns(self) -> Mapping[str, tuple[int, int]]:
        return self.cameras


@dataclass(frozen=True, slots=True)
class Holder:
    """A holder with conditions to set."""

    world: World

    def set_condition(self, name: str, value: Amount) -> Outcome[Amount]:
        return self.world.set_condition(name, value)


@dataclass(frozen=True, slots=True)
class Valves:
    """The column valve."""

    world: World

    def close_valves(self) -> None:
        self.world.blank()
        self.world.set_valve(is_open=False)


@dataclass(frozen=True, slots=True)
class Stop:
    """The stage's drives."""

    world: World

    def stop(self) -> None:
        self.world.stop()
