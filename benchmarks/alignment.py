"""How well the stage is aligned: height from the swing of two pairs of images, zone axis from patterns.

    python -m benchmarks.alignment --json alignment.json

Heights start anywhere within ± 20 µm, zone axes lean up to 5° along each axis. Each library specimen in turn, worlds
unseen in development; a skill that leaves things as they were is counted as refused, and what it then leaves is not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from agent.height import EucentricHeight
from agent.settings import HeightSettings, ZoneSettings
from agent.zone import ZoneAxis
from benchmarks.common import arguments, finish
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.library import SPECIMENS, named
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.skills import Skill
    from envs.step import Purpose
    from instruments.types import Exposure, Frame

UNSEEN = 20000
HEIGHT_NM, LEAN_DEG = 200.0, 0.3
"""What counts as reached."""
CRYSTALS = ("srtio3_on_ge", "mos2", "irradiated_ti")
"""Films whose patterns are asked: of those that are crystals, the ones that take less than a minute a pattern."""


def world(settings: dict[str, Any], seed: int) -> tuple[World, Guard]:
    made, clock = SimulatedSettings.model_validate(settings), SimulatedClock()
    found, stage = World(made, seed, clock), made.stage
    limits = Limits(
        x_nm=stage.x_nm,
        y_nm=stage.y_nm,
        z_nm=stage.z_nm,
        alpha_deg=stage.alpha_deg,
        beta_deg=stage.beta_deg,
        backlash_nm=2 * stage.backlash_nm,
        stage_uncertainty_nm=20.0,
        off_axis_nm=25_000.0,
        max_current_pA=500.0,
        max_electrons=1e14,
        max_fluence_e_per_A2=1e12,
        max_time_s=1e6,
    )
    return found, Guard(SimulatedMicroscope(found), limits, MemoryLedger(), clock, SIMULATED)


def attempt(skill: Skill, guard: Guard) -> tuple[bool, int]:
    """Whether it says that it succeeded, and how many exposures it made."""
    made = 0

    def expose(exposure: Exposure, purpose: Purpose) -> Frame:
        nonlocal made
        made += 1
        return guard.acquire(exposure)

    return skill.run(guard, expose).ok, made


def height(name: str, seed: int) -> tuple[bool, int, float]:
    settings = {"specimen": name, "stage": {"eucentric_offset_nm": 20_000.0}}
    found, guard = world(settings, seed)
    ok, made = attempt(EucentricHeight(HeightSettings()), guard)
    return ok, made, abs(found.height_error_nm())


def zone(name: str, seed: int) -> tuple[bool, int, float]:
    recipe = named(name)
    film = recipe.film.model_copy(update={"mistilt_deg": 5.0}) if recipe.film else None
    settings = {
        "specimen": {"recipe": recipe.model_copy(update={"film": film})},
        "bf": None,
        "camera": {"reach_mrad": 90.0},
        "column": {"convergence_mrad": 1.5, "focus_offset_nm": 0.0, "stig_offset_nm": 0.0},
        "stage": {"alpha_deg": (-30.0, 30.0), "beta_deg": (-20.0, 20.0)},
    }
    found, guard = world(settings, seed)
    ok, made = attempt(ZoneAxis(ZoneSettings()), guard)
    return ok, made, math.degrees(math.hypot(*found.scene.zone_tilts_rad(found.tilts_rad(found.now_s()))))


def measured(
    task: Callable[[str, int], tuple[bool, int, float]], names: tuple[str, ...], worlds: int, within: float, what: str
) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        runs = [task(name, UNSEEN + n) for n in track(range(worlds), f"{what}, {name}")]
        errors = [error for ok, _, error in runs if ok]
        rows.append(
            {
                "task": what,
                "specimen": name,
                "worlds": worlds,
                "refused": sum(not ok for ok, _, _ in runs),
                "reached": sum(error <= within for error in errors),
                "wrong": sum(error > within for error in errors),
                "median error": float(np.median(errors)) if errors else None,
                "worst error": max(errors, default=None),
                "exposures at most": max(made for _, made, _ in runs),
            }
        )
    return rows


def main() -> None:
    given = arguments(__doc__).parse_args()
    heights, zones = (2, 1) if given.quick else (20, 10)
    rows = measured(height, tuple(SPECIMENS), heights, HEIGHT_NM, "height in nm")
    rows += measured(zone, CRYSTALS[:1] if given.quick else CRYSTALS, zones, LEAN_DEG, "zone axis in degrees")
    finish(rows, given, title="Alignment of the stage")


if __name__ == "__main__":
    main()
