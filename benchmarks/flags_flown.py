"""The specimens that flags are judged on, flown: simulated ones, and recorded images whose rare places are marked.

Perception alone: every patch gets an overview, and a tenth of the sites, three quarters of them the most interesting
and a quarter at random, a detail look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from skimage.measure import label

from benchmarks.common import DATA
from benchmarks.flagging_methods import Keeping
from benchmarks.recorded_truth import covered_sites, masked_sites, melt_pools
from envs.actions import Look, LookAt
from envs.situation import Situation
from envs.step import Purpose, Step
from envs.survey_env import SurveyEnv
from envs.targets import Area, TargetTree, grid_tree
from envs.tasks import Budget, SurveyTask
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.images import read_image
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.replay import ReplayMicroscope, ReplaySettings
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import HoleSettings, SimulatedSettings, SpecimenSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Footprint
from surveys.sights import sights

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.protocol import Microscope

Array: TypeAlias = npt.NDArray[np.float64]
Flown: TypeAlias = tuple[list[Step], Keeping, TargetTree, list[tuple[str, set[int]]]]
"""Steps, what the scorer kept, the targets, and of each rare feature its kind and the sites that it reaches."""

DETAIL_SHARE, RANDOM_SHARE = 0.1, 0.25
SITES, SITE_NM, SITES_PER_PATCH = 32, 64.0, 4
STRIP_SITE_PX = 64
LOOP_SITE_PX, LOOP_COVERED = 32, 0.1


def environment(scope: Microscope, clock: SimulatedClock, task: SurveyTask, scorer: Keeping, seed: int) -> SurveyEnv:
    """Behind a guard that lets everything pass."""
    wide = (-1e9, 1e9)
    limits = Limits(
        x_nm=wide, y_nm=wide, field_of_view_nm=(1e-3, 1e9), max_electrons=1e15, max_time_s=1e9, max_current_pA=1e3,
        max_fluence_e_per_A2=1e15, max_exposures_per_min=10**9, backlash_nm=0.0, stage_uncertainty_nm=0.0,
    )  # fmt: skip
    guard = Guard(scope, limits, MemoryLedger(), clock, SIMULATED)
    return SurveyEnv(Situation(guard=guard, clock=clock, task=task, scorer=scorer, seed=seed))


def survey(scope: Microscope, clock: SimulatedClock, task: SurveyTask, seed: int) -> tuple[list[Step], Keeping]:
    """An overview of every patch, then a detail look at a tenth of the sites."""
    scorer, tree = Keeping(), task.tree
    env = environment(scope, clock, task, scorer, seed)
    steps = [env.apply(env.catalogue.encode(LookAt(int(patch), 0))) for patch in tree.of_kind("patch")]
    seen = [sight for sight in sights(steps) if not sight.own]
    rows = np.array([sight.descriptors for sight in seen])
    order = np.array([sight.target for sight in seen])[np.argsort(-scorer.completed().interest("overview", rows))]
    count = round(DETAIL_SHARE * len(order))
    best = order[: round(count * (1 - RANDOM_SHARE))]
    rest = np.random.default_rng(seed).choice(order[len(best) :], count - len(best), replace=False)
    steps += [env.apply(env.catalogue.encode(LookAt(int(site), 1))) for site in np.concatenate([best, rest])]
    faults = [step.fault.message for step in steps if step.fault is not None]
    if faults:
        raise RuntimeError(f"{len(faults)} of {len(steps)} looks failed, the first: {faults[0]}")
    return steps, scorer


@dataclass(frozen=True, slots=True)
class Column:
    """A simulated specimen before its survey."""

    scope: SimulatedMicroscope
    clock: SimulatedClock
    task: SurveyTask
    features: list[tuple[str, set[int]]]
    """Of each rare feature its kind and the sites that it reaches."""


def column(layout: str, holes: bool, seed: int) -> Column:
    """Film and particles are drawn from ``seed``."""
    draw = np.random.default_rng(seed)
    specimen = SpecimenSettings(
        rare_layout=layout,  # type: ignore[arg-type]
        holes=HoleSettings() if holes else None,
        heavy_per_um2=float(draw.uniform(350, 1000)),
        light_per_um2=float(draw.uniform(100, 330)),
        film_grain=float(draw.uniform(0.04, 0.12)),
        film_variation=float(draw.uniform(0.05, 0.25)),
    )
    clock = SimulatedClock()
    world = World(SimulatedSettings(specimen=specimen), seed, clock)
    side_nm = SITES * SITE_NM
    task = _task(Area(x_nm=0.0, y_nm=0.0, width_nm=side_nm, height_nm=side_nm), SITE_NM, SITES_PER_PATCH)
    tree, features = task.tree, []
    for feature in world.features(Footprint(x_nm=0.0, y_nm=0.0, width_nm=side_nm, height_nm=side_nm)):
        reach_nm = SITE_NM / 2 + feature.size_nm / 4  # a feature that only brushes a site is not in it
        near = (np.abs(tree.x_nm - feature.x_nm) < reach_nm) & (np.abs(tree.y_nm - feature.y_nm) < reach_nm)
        features.append((feature.kind, set((near & (tree.level == 1)).nonzero()[0].tolist())))
    return Column(SimulatedMicroscope(world), clock, task, features)


def flown(layout: str, holes: bool, seed: int) -> Flown:
    """A survey of a simulated specimen, and of each rare feature its kind and the sites that it reaches."""
    made = column(layout, holes, seed)
    steps, scorer = survey(made.scope, made.clock, made.task, seed)
    return steps, scorer, made.task.tree, made.features


def strip(name: str) -> Flown:
    """A recorded weld with melt pools boxed by hand; a site is true where a box covers a third of it.

    One pixel is called 1 nm: the files do not tell.
    """
    path = DATA / "metal_strips" / name
    scope, clock, task = _recorded(path, STRIP_SITE_PX, 8)
    steps, scorer = survey(scope, clock, task, 0)
    true = covered_sites(melt_pools(name), task.tree, read_image(path).data.shape, 1.0, STRIP_SITE_PX)
    return steps, scorer, task.tree, [("melt pool", {site}) for site in true]


def loops(name: str) -> Flown:
    """A recorded bright field with its dislocation loops masked by experts; a site is true where one covers a tenth."""
    path = DATA / "dislocation_loops" / "imgs" / name
    marked = label(read_image(DATA / "dislocation_loops" / "masks1" / name).data > 127)
    scope, clock, task = _recorded(path, LOOP_SITE_PX, 8)
    steps, scorer = survey(scope, clock, task, 0)
    reached = [
        masked_sites(marked == loop, task.tree, 1.0, LOOP_SITE_PX, LOOP_COVERED)
        for loop in range(1, int(marked.max()) + 1)
    ]
    return steps, scorer, task.tree, [("loop", set(sites)) for sites in reached if sites]


def _recorded(path: Path, site_px: int, sites_per_patch: int) -> tuple[Microscope, SimulatedClock, SurveyTask]:
    clock = SimulatedClock()
    rows, columns = read_image(path).data.shape
    area = Area(x_nm=0.0, y_nm=0.0, width_nm=float(columns), height_nm=float(rows))
    scope = ReplayMicroscope(ReplaySettings(image=path, pixel_size_nm=1.0), clock, 0)
    return scope, clock, _task(area, float(site_px), sites_per_patch)


def _task(area: Area, site_nm: float, sites_per_patch: int) -> SurveyTask:
    patch_nm = site_nm * sites_per_patch
    return SurveyTask(
        tree=grid_tree(area, patch_nm, site_nm),
        looks=(
            Look(
                name="overview",
                exposure=Exposure(field_of_view_nm=patch_nm, shape=(256, 256), dwell_us=2.0),
                level="patch",
                purpose=Purpose.SURVEY,
            ),
            Look(
                name="detail",
                exposure=Exposure(field_of_view_nm=site_nm, shape=(256, 256), dwell_us=4.0),
                level="site",
                purpose=Purpose.DETAIL,
            ),
        ),
        budget=Budget(time_s=1e8, electrons=1e14),
    )
