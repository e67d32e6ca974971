"""A survey on measured readings: one step is a look-up, so that a policy meets thousands of specimens in minutes.

    readings of a real episode ─► turned, mirrored, rare features laid anew ─► the same observation, mask, costs

Observations, masks and prices are those of ``envs``: what is trained here flies in ``envs.survey_env``. The reward is
known to simulation alone: the share of the rare features that a detail look brings in for the first time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from agent.factory import make_skills
from configs.errors import ConfigError
from configs.named import named
from envs.actions import LookAt, UseSkill
from envs.belief import ABOVE, SEEN
from envs.masking import Means, allowed_actions
from envs.observations import Observation, Present, observation_space, observe
from envs.step import Purpose
from training.layouts import Specimen, specimen_of
from training.settings import SELECT_SEED, TEST_SEED

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.tasks import SurveyTask
    from training.episode import EpisodeSettings
    from training.layouts import VariationSettings
    from training.readings import Readings

Floats: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

REWARD = 10.0
"""Of finding all rare features."""
OVERHEAD_S = 0.3
"""What an exposure takes beside its pixels, in the simulated microscope."""


Reward: TypeAlias = "Callable[[int, int, float], float]"


def share_found(new: int, count: int, cost_s: float) -> float:
    """Of a detail look that brought in ``new`` of ``count`` rare features: the same whatever it took."""
    return REWARD * new / count


def reward_of(reference: str | None) -> Reward:
    """The user's own by its name (``configs.named``), or the usual one. Raises ConfigError where that is not there."""
    if reference is None:
        return share_found
    found: Reward = named(reference, "adaptem.rewards")
    if not callable(found):
        raise ConfigError(f"reward {reference} is a {type(found).__name__}: it has to be a function")
    return found


@dataclass(slots=True)
class MacroBelief:
    """As ``envs.belief.Belief``, of readings instead of Steps. N targets, L looks."""

    looks_done: npt.NDArray[np.int32]
    interest: Floats
    failed: npt.NDArray[np.int32] = field(init=False)
    blocked: npt.NDArray[np.bool_] = field(init=False)
    fluence_e_per_A2: Floats = field(init=False)
    steps_since_focus: int = 0
    step_number: int = 0
    sharpness_ratio: Ratio = 1.0

    def __post_init__(self) -> None:
        n = len(self.looks_done)
        self.failed, self.blocked = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=bool)
        self.fluence_e_per_A2 = np.zeros(n)

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.looks_done.any(axis=1))


class MacroEnv(gymnasium.Env[Observation, np.int64]):
    """``reset(seed=…)`` draws a specimen, its budget and how fast the focus is lost.

    Seeds to select by (``training.settings.SELECT_SEED``) draw from specimens that no other seed does.
    """

    def __init__(
        self, settings: EpisodeSettings, readings: Readings, variation: VariationSettings, reward: str | None = None
    ) -> None:
        """``reward``: of the user's own (``configs.named``). Raises ConfigError where that is not there."""
        self._reward = reward_of(reward)
        self._reward_name = reward
        apart = readings.to_select_by()
        self._learn = readings.taken(~apart)
        self._select = readings.taken(apart) if apart.any() else readings
        self._settings, self._variation = settings, variation
        self.skills = make_skills(settings.skills)
        self.task: SurveyTask = settings.task()
        self.catalogue = self.task.catalogue(self.skills)
        self.observation_space: spaces.Dict = observation_space(self.task.tree, self.catalogue)
        self.action_space: spaces.Discrete = spaces.Discrete(self.catalogue.size)
        self._detail = next(n for n, look in enumerate(self.task.looks) if look.purpose is Purpose.DETAIL)
        current_pA = settings.instrument.column.current_pA
        self._electrons = [look.electrons(current_pA) for look in self.task.looks]
        self._skill_electrons = [sum(e.electrons(current_pA) for e in s.cost_exposures()) for s in self.skills]
        self._fluence = [look.fluence_e_per_A2(current_pA) for look in self.task.looks]
        self._allowed = np.ones(self.catalogue.size, dtype=bool)
        self._begin(np.random.default_rng(0), 0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._begin(self.np_random, 0 if seed is None else seed)
        return self.observation(), {"found_ratio": 0.0}

    def _begin(self, rng: np.random.Generator, seed: int) -> None:
        n, looks = len(self.task.tree), len(self.task.looks)
        self._rng, self._seed = rng, seed
        readings = self._select if SELECT_SEED <= seed < TEST_SEED else self._learn
        self.specimen: Specimen = specimen_of(readings, self._settings, self._variation, rng)
        self.task = self._variation.budgeted(self.task, self._settings, rng)
        self.belief = MacroBelief(np.zeros((n, looks), dtype=np.int32), np.full((2, n), np.nan))
        self._read = np.full((2, n), np.nan)
        self._time_s, self._spent_electrons, self._x_nm, self._y_nm = 0.0, 0.0, 0.0, 0.0
        self._quality = float(rng.uniform(*self._variation.first_quality))
        self._loss = float(rng.uniform(*self._variation.focus_loss))
        self._at_focus = self._quality
        self.found = 0

    @property
    def found_ratio(self) -> Ratio:
        """Share of the rare features that detail looks brought in."""
        return self.found / self.specimen.count

    def step(self, action: int | np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """What the mask forbids moves nothing, as in ``envs.survey_env``, and takes the time of deciding."""
        belief, chosen = self.belief, self.catalogue.decode(int(action))
        belief.step_number += 1
        belief.steps_since_focus += 1
        self._time_s += self._settings.decision_time_s
        self._quality *= math.exp(-self._loss)
        reward, stopped = 0.0, False
        match chosen:
            case _ if not self._allowed[int(action)]:
                pass
            case LookAt(slot, look):
                reward = self._look(slot, look)
            case UseSkill(skill):
                self._time_s += self.skills[skill].cost_s
                self._spent_electrons += self._skill_electrons[skill]
                self._quality = self._at_focus = 1.0
                belief.steps_since_focus, belief.sharpness_ratio = 0, 1.0
            case _:
                stopped = True
        observation = self.observation()
        terminated = stopped or bool(belief.seen[self.task.tree.leaves].all())
        spent = not observation["action_mask"][: self.catalogue.slots * len(self.catalogue.looks)].any()
        return observation, reward, terminated, spent and not terminated, {"found_ratio": self.found_ratio}

    def _look(self, slot: int, look: int) -> float:
        tree, belief = self.task.tree, self.belief
        cost_s = float(self.task.travel_s(self._x_nm, self._y_nm)[slot]) + self.task.looks[look].duration_s + OVERHEAD_S
        self._time_s += cost_s
        self._spent_electrons += self._electrons[look]
        self._x_nm, self._y_nm = float(tree.x_nm[slot]), float(tree.y_nm[slot])
        belief.looks_done[slot, look] += 1
        below = tree.children(slot)
        belief.fluence_e_per_A2[[slot, *below]] += self._fluence[look]
        if look != self._detail:
            self._show(ABOVE, below, self.specimen.above)
            return 0.0
        belief.fluence_e_per_A2[tree.parent[slot]] += self._fluence[look] / max(
            len(tree.children(tree.parent[slot])), 1
        )
        belief.sharpness_ratio = self._quality / self._at_focus
        self._show(SEEN, np.array([slot]), self.specimen.seen)
        new = int(self.specimen.features.flat[tree.cell[slot]])
        self.found += new
        return self._rewarded(new, cost_s)

    def _rewarded(self, new: int, cost_s: float) -> float:
        """Raises ConfigError for a reward of the user's own that gives no finite number: learning would go on by it."""
        given = self._reward(new, self.specimen.count, cost_s)
        if isinstance(given, int | float | np.number) and math.isfinite(given):
            return float(given)
        raise ConfigError(
            f"reward {self._reward_name} gave {given!r} for new={new}, count={self.specimen.count}, "
            f"cost_s={cost_s:.3g}: it has to give a finite number"
        )

    def _show(self, source: int, slots: npt.NDArray[Any], truth: npt.NDArray[np.float32]) -> None:
        """Read some targets; none is judged until enough of them make a background."""
        noise = np.exp(self._variation.noise * self._rng.standard_normal(len(slots)))
        self._read[source, slots] = truth.flat[self.task.tree.cell[slots]] * noise * self._quality
        known = np.isfinite(self._read[source])
        if known.sum() >= self._settings.scorer.first_cells:
            self.belief.interest[source, known] = self._read[source, known]

    def observation(self) -> Observation:
        means = self._means()
        self._allowed = self._mask(means)
        present = Present(
            x_nm=self._x_nm,
            y_nm=self._y_nm,
            defocus_nm=0.0,
            time_left_s=means.time_s,
            electrons=means.electrons,
            travel_s=means.travel_s,
            seed=self._seed,
            action_mask=self._allowed,
        )
        return observe(self.task, self.belief, present)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(A,) actions that are allowed now; stop always is."""
        return self._allowed.copy()

    def _mask(self, means: Means) -> npt.NDArray[np.bool_]:
        shape = self.catalogue.slots, len(self.catalogue.looks)
        return allowed_actions(self.task, self.belief, shape, self.skills, means)

    def _means(self) -> Means:
        return Means(
            time_s=self.task.budget.time_s - self._time_s,
            electrons=self.task.budget.electrons - self._spent_electrons,
            decision_time_s=self._settings.decision_time_s,
            travel_s=self.task.travel_s(self._x_nm, self._y_nm),
            current_pA=self._settings.instrument.column.current_pA,
            max_fluence_e_per_A2=1e6,
        )
