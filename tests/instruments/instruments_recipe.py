"""Specimens by recipe under a sharp, still microscope."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")


from instruments.clock import SimulatedClock
from instruments.simulated.damage import FluenceMap
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.scenes import Sight
from instruments.simulated.settings import ColumnSettings, SimulatedSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Optics

if TYPE_CHECKING:
    import numpy as np

SHARP = ColumnSettings(source_size_nm=0.035, convergence_mrad=21.4, focus_offset_nm=0.0, stig_offset_nm=0.0)
STILL = StageSettings(drift_nm=0.0, creep_nm=0.0, reach_nm=0.0, readback_nm=0.0)
ATOMS = Exposure(field_of_view_nm=2.0, shape=(64, 64), dwell_us=20.0)
WIDE = Exposure(field_of_view_nm=128.0, shape=(64, 64), dwell_us=20.0)


def world(name: object = "srtio3_on_ge", seed: int = 1, **changes: object) -> World:
    settings = {"specimen": name, "column": SHARP, "stage": STILL, "abf": {}, "adf": {"angles_mrad": (35, 60)}}
    return World(SimulatedSettings.model_validate({**settings, **changes}), seed, SimulatedClock())


def focused(made: World, by_nm: float = 0.0) -> SimulatedMicroscope:
    scope = SimulatedMicroscope(made)
    scope.tune(Optics(defocus_nm=by_nm - made.defocus_nm()))
    return scope


def look(
    made: World, exposure: Exposure, *names: str, fluence: FluenceMap | None = None, own_e_per_A2: float = 0.0
) -> dict[str, np.ndarray]:
    sight = Sight(
        exposure=exposure,
        centre_nm=made.place_nm(),
        probe=made.probe(),
        fluence=fluence or FluenceMap(),
        number=1,
        own_e_per_A2=own_e_per_A2,
    )
    return dict(made.scene.look(sight, names))
