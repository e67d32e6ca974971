"""The optional powers of a simulated instrument: those that its settings give it, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instruments.errors import HardwareFault
from instruments.powers import CanStop, HasDiffraction, HasHolder, HasLoader, HasSpectra, HasTilt, HasValves
from instruments.simulated.cassette import Cassette
from instruments.simulated.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    if kind is HasLoader and world.cassette is not None:
        return Loader(world, world.cassette)
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


@dataclass(frozen=True, slots=True)
class Loader:
    """The autoloader. It moves specimens whatever beam, valve and stage do: real ones are not all wiser."""

    world: World
    cassette: Cassette

    def specimens(self) -> Sequence[str]:
        return self.cassette.names

    def loaded(self) -> str | None:
        return self.cassette.on_stage

    def load(self, name: str) -> None:
        """Raises LimitError for one that is not there, HardwareFault where one gets stuck on the way."""
        self.cassette.known(name)
        if self.cassette.on_stage == name:
            return
        self.unload()
        self._carry(name)

    def unload(self) -> None:
        if self.cassette.on_stage is not None:
            self._carry(None)

    def _carry(self, name: str | None) -> None:
        world, cassette = self.world, self.cassette
        if world.faults.due("transfer_stuck", world.now_s()):
            world.wait(cassette.transfer_s / 2)
            world.record("stuck", name=name)
            cassette.jammed = True
            raise HardwareFault("the cartridge has got stuck half way: see to it", latching=True)
        world.wait(cassette.transfer_s)
        world.put(name)
