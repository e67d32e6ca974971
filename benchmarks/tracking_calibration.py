"""What looks tell of rendered frames, against the particles that are there: are the stated deviations right?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agent.tracking_mission import Mission
from benchmarks.tracking_draws import HORIZON_S
from benchmarks.tracking_runs import CURRENT_PA, LOOKS
from benchmarks.tracking_worlds import PLACES_NM
from envs.track_worlds import copper
from instruments.clock import SimulatedClock
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import StagePosition
from models.kinetics import DESCRIPTORS, Sizes, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.tracked import Sensor

CASES = (
    ("growth", {"sites_per_um2": 320.0}, (150.0, 300.0, 450.0, 600.0), 1.0),
    ("dissolution", {}, (0.0, 300.0, 600.0), 1.0),
    ("coarsening", {}, (0.0, 300.0, 600.0), 740.0),
    ("front", {}, (100.0, 200.0, 300.0), 740.0),
)


def calibrated(sensors: Mapping[str, Sensor], seeds: range) -> list[dict[str, Any]]:
    """One row a look and descriptor: mean and standard deviation of (told − there) ÷ stated, and how many."""
    mission = Mission(
        laws=(),
        looks=LOOKS,
        sensors=sensors,
        places_nm=PLACES_NM,
        current_pA=CURRENT_PA,
        electrons=1e12,
        horizon_s=HORIZON_S,
        tick_s=5.0,
    )
    off: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for seed in seeds:
        for case in CASES:
            for look, n, z, relative in _of_one(mission, seed, *case):
                off.setdefault((look, n), []).append((z, relative))
    rows = []
    for (look, n), found in sorted(off.items()):
        z, relative = np.array(found).T
        rows.append(
            {
                "look": look,
                "descriptor": DESCRIPTORS[n],
                "readings": len(found),
                "mean_off": float(np.mean(relative)),
                "mean_z": float(np.mean(z)),
                "sd_z": float(np.std(z)),
                "beyond_2": float(np.mean(np.abs(z) > 2)),
            }
        )
    return rows


def _of_one(
    mission: Mission, seed: int, process: str, changes: dict[str, Any], times_s: tuple[float, ...], condition: float
) -> list[tuple[str, int, float, float]]:
    raw = copper(process).model_dump(mode="python", exclude_unset=True)
    raw["specimen"]["evolves"][process] |= changes
    raw["stage"]["drift_nm"] = 0.0
    world = World(SimulatedSettings.model_validate(raw), seed, SimulatedClock())
    scope, found = SimulatedMicroscope(world), []
    name = "concentration_mM" if process in ("growth", "dissolution") else "temperature_K"
    world.set_condition(name, condition)
    for t_s in times_s:
        world.wait(max(t_s - world.now_s(), 0.0))
        for place in range(2):
            scope.move(StagePosition(x_nm=PLACES_NM[place][0], y_nm=PLACES_NM[place][1]))
            for look in mission.looks:
                frame = scope.acquire(look.exposure)
                measured = mission.sensors[look.signal].measure(frame, look)
                there = _truth(world, mission, look, place, 0.5 * (frame.start_s + frame.end_s))
                told = np.isfinite(measured.sds) & np.isfinite(measured.values)
                for n in np.flatnonzero(told):
                    relative = float(measured.values[n] - there[n])
                    found.append((look.name, int(n), relative / float(measured.sds[n]), relative))
    return found


def _truth(world: World, mission: Mission, look: Any, place: int, t_s: float) -> np.ndarray:
    half = look.field_of_view_nm / 2
    x, y = world.place_nm(t_s)
    process = world.scene._evolving.process  # noqa: SLF001  # the truth
    seen = process.particles((x - half, x + half), (y - half, y + half), t_s)
    radii, fraction = (seen.radius_nm, seen.fraction) if len(seen.id) else (np.zeros(1), np.zeros(1))
    cubes = radii**3
    part = float((fraction * cubes).sum() / max(float(cubes.sum()), 1e-12))
    view = mission.view(look, place)
    number = float((radii > 0).sum()) / view.area_um2
    sizes = Sizes(np.array([number]), radii[None], np.full(len(radii), 1 / len(radii)), np.array([part]))
    return np.asarray(shown(sizes, view)[0])
