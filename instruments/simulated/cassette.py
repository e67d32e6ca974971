"""Several specimens, one of them on the stage: each has its own places, and keeps the dose it has had."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from instruments.errors import HardwareFault, LimitError
from instruments.simulated.damage import FluenceMap
from instruments.simulated.hashing import uniform
from instruments.simulated.scenes import Scene, open_scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from instruments.simulated.cassette_settings import CassetteSettings
    from instruments.simulated.conditions import Conditions
    from instruments.simulated.settings import SimulatedSettings

Specimen: TypeAlias = tuple[Scene, FluenceMap]
"""What it is, and the dose it has had."""

_OTHERS = 501


class Cassette:
    """Which specimen lies on the stage, and what each of them is."""

    def __init__(
        self, settings: CassetteSettings, first: Specimen, seed: int, open_scene: Callable[[int], Scene]
    ) -> None:
        self._settings, self._seed, self._open_scene = settings, seed, open_scene
        self._on_stage: str | None = settings.specimens[0]
        self._seen = {settings.specimens[0]: first}
        self.jammed = False
        """Whether a specimen is stuck between cassette and stage."""

    @property
    def names(self) -> tuple[str, ...]:
        return self._settings.specimens

    @property
    def transfer_s(self) -> float:
        return self._settings.transfer_s

    @property
    def on_stage(self) -> str | None:
        """None: nothing. Raises HardwareFault where it is stuck on its way."""
        if self.jammed:
            raise HardwareFault("a cartridge is stuck between cassette and stage: see to it", latching=True)
        return self._on_stage

    def known(self, name: str) -> str:
        """The name. Raises LimitError where there is no such specimen."""
        if name not in self.names:
            raise LimitError(f"{name!r} was asked; the cassette holds {', '.join(self.names)}: ask for one of those")
        return name

    def put(self, name: str | None) -> Specimen | None:
        """Onto the stage, all at once; returns the specimen and the dose it has had. None: the stage is empty."""
        self._on_stage, self.jammed = name, False
        if name is None:
            return None
        if name not in self._seen:
            seed = int(float(uniform(self._seed, _OTHERS, self.names.index(name))) * 2**31)
            self._seen[name] = (self._open_scene(seed), FluenceMap())
        return self._seen[name]


def open_cassette(
    settings: SimulatedSettings, seed: int, conditions: Conditions | None, first: Specimen
) -> Cassette | None:
    """The one that the settings describe, with ``first`` on the stage; None without one."""
    if settings.cassette is None:
        return None
    return Cassette(settings.cassette, first, seed, lambda one: open_scene(settings, one, conditions))
