"""How the registry opens a simulated microscope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.clock import Clock

SETTINGS = SimulatedSettings


def open_microscope(settings: SimulatedSettings, *, seed: int, clock: Clock, truth: Path | None) -> SimulatedMicroscope:
    """A new world, or the one whose truth file this is."""
    return SimulatedMicroscope(World(settings, seed, clock, truth))


def simulated(settings: SimulatedSettings) -> bool:
    """Always."""
    del settings
    return True
