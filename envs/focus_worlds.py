"""What ``adaptem/Focus-v0`` makes: a place on a simulated specimen under lenses that are off, anew each episode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import ConfigError
from envs.batched import BatchedVectorEnv
from envs.focus_env import FocusEnv, FocusSituation, FocusTask
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.darkroom import Studio
from instruments.simulated.features import nearest
from instruments.simulated.library import named
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.renderer import Camera
from instruments.simulated.sample_settings import SampleSettings
from instruments.simulated.settings import ColumnSettings, SimulatedSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import Exposure, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COLUMN = ColumnSettings(convergence_mrad=21.4, source_size_nm=0.035, focus_offset_nm=200.0, stig_offset_nm=10.0)
STAGE = StageSettings(speed_nm_per_s=1e5, settle_s=1.0)


def make_focus_env(
    *,
    specimens: Sequence[str] = ("au_on_carbon",),
    task: FocusTask | None = None,
    column: ColumnSettings = COLUMN,
    discrete: bool = False,
    device: str = "cpu",
    studio: Studio | None = None,
    seed: int = 0,
) -> FocusEnv:
    """One environment; each episode's seed draws the specimen among ``specimens``, its place and the lenses' errors.

    Raises ConfigError: a specimen that the library does not hold, a device that is not there, or a task that judges
    another probe than the column's.
    """
    if not specimens:
        raise ConfigError("specimens is empty: name at least one of the library")
    settings = [_settings(name, column) for name in specimens]
    wanted = task or FocusTask(
        exposure=Exposure(field_of_view_nm=12.8, shape=(128, 128), dwell_us=4.0, signals=("HAADF",)),
        convergence_mrad=column.convergence_mrad,
        voltage_kV=column.voltage_kV,
    )
    if (wanted.convergence_mrad, wanted.voltage_kV) != (column.convergence_mrad, column.voltage_kV):
        raise ConfigError(
            f"the task judges a probe of {wanted.convergence_mrad:g} mrad at {wanted.voltage_kV:g} kV, the column "
            f"makes one of {column.convergence_mrad:g} mrad at {column.voltage_kV:g} kV: give both the same"
        )
    shared = studio or Studio(device)

    def remake(world_seed: int) -> FocusSituation:
        chosen = settings[int(np.random.default_rng(world_seed).integers(len(settings)))]
        return _situation(chosen, wanted, world_seed, shared)

    return FocusEnv(remake(seed), remake=remake, discrete=discrete)


def make_focus_vector_env(num_envs: int = 1, *, device: str = "cpu", **kwargs: Any) -> BatchedVectorEnv:
    """``num_envs`` of them whose frames are rendered as one batch; arguments as of ``make_focus_env``."""
    studio = Studio(device)

    def maker(n: int) -> Callable[[], FocusEnv]:
        return lambda: make_focus_env(studio=studio, seed=n, **kwargs)

    return BatchedVectorEnv([maker(n) for n in range(num_envs)], studio)


def _settings(name: str, column: ColumnSettings) -> SimulatedSettings:
    return SimulatedSettings(specimen=SampleSettings(recipe=named(name)), column=column, stage=STAGE, bf=None)


def _situation(settings: SimulatedSettings, task: FocusTask, seed: int, studio: Studio) -> FocusSituation:
    clock = SimulatedClock()
    world = World(settings, seed, clock, None, studio)
    recipe = settings.specimen.recipe if isinstance(settings.specimen, SampleSettings) else named("au_on_carbon")
    limits = Limits(
        x_nm=settings.stage.x_nm,
        y_nm=settings.stage.y_nm,
        z_nm=settings.stage.z_nm,
        backlash_nm=2 * settings.stage.backlash_nm,
        stage_uncertainty_nm=settings.stage.reach_nm + settings.stage.creep_nm + settings.stage.drift_nm,
        defocus_nm=settings.column.defocus_nm,
        stig_nm=settings.column.stig_nm,
        field_of_view_nm=settings.field_of_view_nm,
        dwell_us=settings.dwell_us,
        max_current_pA=settings.column.max_current_pA,
        max_electrons=10 * task.electrons,
        max_fluence_e_per_A2=1e9,
        max_time_s=1e6,
    )
    guard = Guard(SimulatedMicroscope(world), limits, MemoryLedger(), clock, SIMULATED)
    x_nm, y_nm = nearest(recipe, seed, task.exposure.field_of_view_nm)
    guard.move(StagePosition(x_nm=x_nm, y_nm=y_nm, z_nm=-world.scene.height_nm(x_nm, y_nm)))
    camera = Camera(shape=task.exposure.shape, pixel_nm=task.exposure.pixel_size_nm)
    middle_nm = studio.darkroom(recipe).thickness_nm(camera) / 2

    def truth_nm() -> tuple[float, ...]:
        c10, *others = world.probe().coefficients_nm
        return (c10 + middle_nm, *others)  # sharpest with the focus in the middle of the crystal

    return FocusSituation(guard=guard, clock=clock, task=task, truth_nm=truth_nm, specimen=recipe.title)
