"""What ``adaptem/Track-v0`` makes: copper that grows or dissolves in a liquid cell, or oxidises on a heated chip."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import ConfigError
from envs.track_standards import standards
from envs.tracked import Sensor, TrackLook
from envs.tracking_env import TrackEnv
from envs.tracking_task import TrackSituation, TrackTask
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, ConditionLimits, Limits
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envs.tracking_belief import Belief

LOOKS = (
    TrackLook(name="quick image", signal="HAADF", field_of_view_nm=400.0, pixels=128, dwell_us=1.0),
    TrackLook(name="image", signal="HAADF", field_of_view_nm=400.0, pixels=256, dwell_us=1.0),
    TrackLook(name="wide image", signal="HAADF", field_of_view_nm=600.0, pixels=256, dwell_us=2.0),
    TrackLook(name="loss spectra", signal="EELS", field_of_view_nm=400.0, pixels=16, dwell_us=250.0),
    TrackLook(name="X-ray spectra", signal="EDS", field_of_view_nm=400.0, pixels=16, dwell_us=250.0),
)
PLACES_NM = ((-600.0, 0.0), (0.0, 0.0), (600.0, 0.0))
PROCESSES = ("growth", "dissolution", "coarsening", "transformation", "front")
_LIQUID = ("growth", "dissolution")
_POPULATION = {"per_um2": 350.0, "radius_nm": 7.0, "size_spread": 0.2}
_HEAT = {"activation_eV": 1.5, "reference_K": 730.0}
_SUPPLY = {"condition": "concentration_mM", "law": "power", "reference": 1.0, "strength": 1.0}
_OWN: dict[str, dict[str, Any]] = {
    "growth": {"nucleation": {"at_reference": 4e-3, "drives": [_SUPPLY]}},
    "dissolution": {"population": _POPULATION, "rate": {"at_reference": 0.01, "drives": [_SUPPLY]}},
    "coarsening": {"per_um2": 600.0, "mean_radius_nm": 5.0, "rate": {"at_reference": 0.6, **_HEAT}},
    "transformation": {"population": _POPULATION, "onset": {"at_reference": 3e-3, **_HEAT}},
    "front": {"population": _POPULATION, "velocity": {"at_reference": 4.0, **_HEAT}, "start_nm": -900.0},
}


def make_track_env(
    *,
    processes: Sequence[str] = PROCESSES,
    task: TrackTask | None = None,
    belief: Callable[[TrackTask], Belief] | None = None,
    seed: int = 0,
) -> TrackEnv:
    """One environment; each episode's seed draws the process among ``processes``, and its particles.

    ``belief``: makes what judges the readings, for each episode. Raises ConfigError for a process that is not there.
    """
    for name in processes or [""]:
        if name not in PROCESSES:
            raise ConfigError(f"process {name!r} was asked; there are {', '.join(PROCESSES)}")
    wanted = task or TrackTask(looks=LOOKS, places_nm=PLACES_NM)

    def remake(world_seed: int) -> TrackSituation:
        chosen = processes[int(np.random.default_rng(world_seed).integers(len(processes)))]
        return _situation(chosen, wanted, world_seed, None if belief is None else belief(wanted))

    return TrackEnv(remake(seed), remake=remake)


def copper(process: str) -> SimulatedSettings:
    """A simulated microscope over copper particles on nitride that change by one process."""
    phases = process in ("transformation", "front")
    return SimulatedSettings.model_validate(
        {
            "specimen": {
                "recipe": {
                    "title": "copper particles on a nitride window",
                    "source": "densities of the bulk phases",
                    "materials": {
                        "nitride": {"atoms_per_nm3": {"Si": 44.0, "N": 58.7}},
                        "copper": {"atoms_per_nm3": {"Cu": 84.9}},
                        "oxide": {"atoms_per_nm3": {"Cu": 50.6, "O": 25.3}},
                    },
                    "film": {"material": "nitride", "thickness_nm": 20.0, "variation": 0.0},
                },
                "evolves": {
                    "material": "copper",
                    "shape": "ellipsoid",
                    **({"becomes": "oxide"} if phases else {}),
                    process: _OWN[process],
                },
                "slope_nm_per_um": 0.0,
                "waviness_nm": 0.0,
                "contamination_nm": 0.0,
            },
            "holder": "liquid_cell" if process in _LIQUID else "heating_chip",
            "bf": None,
            "eels": {"offset_eV": -20, "step_eV": 2, "channels": 1024},
            "eds": {"channels": 1200},
            "column": {"focus_offset_nm": 0.0, "stig_offset_nm": 0.0},
            "stage": {"drift_nm": 2.0, "backlash_nm": 0.0, "speed_nm_per_s": 2000.0, "settle_s": 0.5},
        }
    )


@lru_cache(maxsize=4)
def copper_sensors(looks: tuple[TrackLook, ...], *, phases: bool) -> dict[str, Sensor]:
    """What signals show of copper, and of its oxide where phases are told apart."""
    return standards(copper("front" if phases else "growth"), looks)


def _situation(process: str, task: TrackTask, seed: int, belief: Belief | None) -> TrackSituation:
    settings, clock = copper(process), SimulatedClock()
    world = World(settings, seed, clock)
    liquid = process in _LIQUID
    allowed = {"concentration_mM": (0.0, 5.0)} if liquid else {"temperature_K": (290.0, 900.0)}
    limits = Limits(
        x_nm=settings.stage.x_nm,
        y_nm=settings.stage.y_nm,
        backlash_nm=200.0,
        stage_uncertainty_nm=30.0,
        field_of_view_nm=settings.field_of_view_nm,
        dwell_us=settings.dwell_us,
        conditions={name: ConditionLimits(allowed=ends) for name, ends in allowed.items()},
        max_current_pA=settings.column.max_current_pA,
        max_electrons=2 * task.electrons,
        max_fluence_e_per_A2=1e6,
        max_time_s=10 * task.horizon_s,
    )
    guard = Guard(SimulatedMicroscope(world), limits, MemoryLedger(), clock, SIMULATED)
    program = [(0.0, "concentration_mM", 1.0)] if liquid else [(0.0, "temperature_K", 730.0)]
    return TrackSituation(
        guard=guard,
        clock=clock,
        task=task,
        sensors=copper_sensors(tuple(task.looks), phases=process in ("transformation", "front")),
        belief=belief,
        specimen=settings.specimen_by_recipe.recipe.title if settings.specimen_by_recipe else "specimen",
        program_s=program,
    )
