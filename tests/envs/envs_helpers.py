"""A small survey on a simulated world, with a scorer and a skill simple enough to reckon by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.observations import GLOBALS, TARGET_COLUMNS
from envs.registration import survey_task
from envs.scorers import Description
from envs.situation import Situation
from envs.skills import SkillResult
from envs.step import Purpose
from envs.survey_env import SurveyEnv
from envs.tasks import Budget
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Optics

SETTINGS = SimulatedSettings(stage=StageSettings(settle_s=0.1, overhead_s=0.1))
TASK = survey_task(patches=2, sites_per_patch=2, site_nm=64.0, shape=(32, 32))
PATCHES, SITES = range(4), range(4, 20)
LIMITS = {
    "x_nm": (-2000.0, 2000.0),
    "y_nm": (-2000.0, 2000.0),
    "backlash_nm": 120.0,
    "stage_uncertainty_nm": 8.0,
    "max_current_pA": 100.0,
    "max_electrons": 1e12,
    "max_fluence_e_per_A2": 1000.0,
    "max_time_s": 1e6,
    "max_exposures_per_min": 10_000,
}


class Brightness:
    """Scores a place by how far its brightness is from the median."""

    names = ("mean_counts", "spread_counts")

    def __init__(self):
        self.background: dict[str, list[float]] = {}

    def describe(self, frame, windows):
        image = next(iter(frame.signals.values())).data.astype(float)
        cells = [image[slice(*w.rows_px), slice(*w.columns_px)] for w in windows]
        return Description(np.array([[c.mean(), c.std()] for c in cells]).reshape(-1, 2), {"sharpness": image.std()})

    def observe(self, look, descriptors):
        self.background.setdefault(look, []).extend(descriptors[:, 0].tolist())

    def interest(self, look, descriptors):
        values = self.background.get(look, [])
        if len(values) < 6:
            return np.full(len(descriptors), np.nan)
        middle = np.median(values)
        return np.abs(descriptors[:, 0] - middle) / (np.median(np.abs(values - middle)) + 1.0)

    def state(self):
        return dict(self.background)

    def restore(self, state):
        self.background = {look: list(values) for look, values in state.items()}


class Focus:
    """Exposes once and sets the defocus to 0; fails when told to."""

    name = "refocus"
    cost_s = 2.0
    exposure = Exposure(field_of_view_nm=64.0, shape=(16, 16), dwell_us=1.0)

    def __init__(self, ok=True):
        self.ok = ok

    def cost_exposures(self):
        return (self.exposure,)

    def run(self, guard, expose):
        frame = expose(self.exposure, Purpose.FOCUS)
        outcome = guard.tune(Optics(defocus_nm=0.0))
        return SkillResult(ok=self.ok, message="no contrast", optics=outcome, data={"electrons": frame.electrons})


class Diary:
    """A recorder that keeps the order of what it was told."""

    def __init__(self):
        self.rows: list[tuple] = []
        self.steps = []

    def intent(self, exposure, *, purpose, tags, footprint, specimen):
        self.rows.append(("intent", len(self.rows), purpose, tags, footprint))
        return len(self.rows)

    def commit(self, exposure_id, frame):
        self.rows.append(("commit", exposure_id, frame))

    def fail(self, exposure_id, reason, *, spent):
        self.rows.append(("fail", exposure_id, spent))

    def step(self, step):
        self.rows.append(("step", step.number))
        self.steps.append(step)

    def event(self, kind, message, *, time_s, data=None):
        self.rows.append(("event", kind))

    @property
    def verbs(self):
        return [row[0] for row in self.rows]


def situation(*, seed=0, settings=SETTINGS, task=TASK, skills=(), budget=None, limits=(), **more) -> Situation:
    clock = SimulatedClock()
    scope, allowed = SimulatedMicroscope(World(settings, seed, clock)), Limits(**{**LIMITS, **dict(limits)})
    guard = Guard(scope, allowed, MemoryLedger(), clock, SIMULATED)
    budget = budget or Budget(time_s=3600.0, electrons=1e11)
    return Situation(
        guard=guard,
        clock=clock,
        task=replace(task, budget=budget),
        scorer=more.pop("scorer", None) or Brightness(),
        skills=skills,
        recorder=more.pop("recorder", None) or Diary(),
        seed=seed,
        **more,
    )


def survey(**keywords) -> SurveyEnv:
    return SurveyEnv(situation(**keywords))


def overview(patch: int) -> int:
    return 2 * patch


def detail(site: int) -> int:
    return 2 * site + 1


def columns(env) -> dict[str, np.ndarray]:

    return dict(zip(TARGET_COLUMNS, env.observation()["targets"].T, strict=True))


def scalars(env) -> dict[str, float]:

    return dict(zip(GLOBALS, env.observation()["globals"].tolist(), strict=True))
