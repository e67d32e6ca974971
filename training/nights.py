"""What recorded nights teach: at every step, what was seen then and what was decided.

The belief is folded over the journal's steps, as a resumed survey does; no pixel is read. Steps that failed, and
those of the runner and of fallbacks, teach nothing but are folded all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent.factory import make_skills
from agent.features import SHARED
from archive.reader import SurveyReader
from configs.errors import ConfigError
from envs.belief import Belief
from envs.masking import Means, allowed_actions
from envs.observations import Present, observe
from envs.scoring import make_scorer
from surveys.settings import SurveySettings, recorded
from surveys.task import survey_task
from training.rollout import Episode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.features import Observation
    from envs.step import Step
    from models.policy import PolicySpec

Read: TypeAlias = "Callable[[Observation], dict[str, Any]]"

TAUGHT_BY = ("agent", "person")


def nights_of(folders: Sequence[Path], spec: PolicySpec, read: Read) -> list[Episode]:
    """One episode for each specimen of each survey.

    Raises ConfigError: another catalogue of looks and skills than the policy's, or nothing in it that teaches; what the
    archive raises where there is no survey.
    """
    return [night.episode() for night in lived(folders, (spec.looks, spec.skills), read)]


def lived(folders: Sequence[Path], offered: tuple[tuple[str, ...], tuple[str, ...]], read: Read) -> list[Night]:
    """Each specimen of each survey, lived through again. ``offered``: the looks and skills that there have to be.

    Raises as ``nights_of``.
    """
    found = [night for folder in folders for night in _of_survey(folder, offered, read)]
    if not found:
        raise ConfigError(f"{', '.join(map(str, folders))} hold no step that an agent or a person decided")
    return found


def _of_survey(folder: Path, offered: tuple[tuple[str, ...], tuple[str, ...]], read: Read) -> list[Night]:
    nights = []
    with SurveyReader(folder) as survey:
        settings = recorded(survey.meta.config)
        for number, specimen in enumerate(settings.specimens):
            night = Night(settings, number, folder, offered)
            for step in survey.steps(specimen.name):
                night.take(step, read)
            night.last = read(night.observation())
            if night.rows:
                nights.append(night)
    return nights


class Night:
    """One specimen's survey, lived through again."""

    def __init__(
        self, settings: SurveySettings, number: int, folder: Path, offered: tuple[tuple[str, ...], tuple[str, ...]]
    ) -> None:
        self._settings, self.task = settings, survey_task(settings, number)
        self._skills = make_skills(settings.skills)
        self.catalogue = self.task.catalogue(self._skills)
        if (self.catalogue.looks, self.catalogue.skills) != offered:
            raise ConfigError(
                f"{folder} has the looks {self.catalogue.looks} and skills {self.catalogue.skills}, the policy is to "
                f"have {offered[0]} and {offered[1]}: train on nights alike, with the same skills in episode.skills"
            )
        self._belief = Belief(self.task, make_scorer(settings.scorer))
        area = settings.specimens[number].area
        self._x_nm, self._y_nm, self._defocus_nm = area.x_nm, area.y_nm, 0.0
        self.rows: list[tuple[dict[str, Any], int, float]] = []
        """What was seen, what was decided and what that brought."""
        self.last: dict[str, Any] = {}
        """What is seen after the last step."""
        self.terminated = False

    def take(self, step: Step, read: Read) -> None:
        """Learn from what was decided, then fold the step."""
        action = step.decision.action
        if step.fault is None and step.decision.decided_by in TAUGHT_BY:
            seen = self.observation()
            if 0 <= action < len(seen["action_mask"]) and seen["action_mask"][action]:
                self.rows.append((read(seen), action, step.reward))
        self._belief.absorb(step)
        self.terminated = step.terminated
        for record in step.exposures:
            stage, optics = record.stage, record.optics
            self._x_nm = self._x_nm if stage.x_nm is None else stage.x_nm
            self._y_nm = self._y_nm if stage.y_nm is None else stage.y_nm
            self._defocus_nm = self._defocus_nm if optics.defocus_nm is None else optics.defocus_nm

    def observation(self) -> Observation:
        """What an agent would see now."""
        task, belief, settings = self.task, self._belief, self._settings
        means = Means(
            time_s=task.budget.time_s - belief.time_used_s,
            electrons=task.budget.electrons - belief.electrons_used,
            decision_time_s=settings.decision_time_s,
            travel_s=task.travel_s(self._x_nm, self._y_nm),
            current_pA=settings.current_pA or settings.limits.max_current_pA,
            max_fluence_e_per_A2=settings.limits.max_fluence_e_per_A2,
        )
        shape = self.catalogue.slots, len(self.catalogue.looks)
        present = Present(
            x_nm=self._x_nm,
            y_nm=self._y_nm,
            defocus_nm=self._defocus_nm,
            time_left_s=means.time_s,
            electrons=means.electrons,
            travel_s=means.travel_s,
            seed=settings.seed,
            action_mask=allowed_actions(task, belief, shape, self._skills, means),
        )
        return observe(task, belief, present)

    def episode(self) -> Episode:
        """What it teaches, as a learner takes it."""
        features, actions, rewards = zip(*self.rows, strict=True)
        shared = features[0]
        stacked = {
            name: each if name in SHARED else np.stack([row[name] for row in features]) for name, each in shared.items()
        }
        taught = np.array(actions, dtype=np.int64)
        return Episode(
            features=stacked,
            actions=taught,
            log_chance=np.zeros(len(taught), dtype=np.float32),
            values=np.zeros(len(taught), dtype=np.float32),
            rewards=np.array(rewards, dtype=np.float32),
            taught=taught,
            last_value=0.0,
            score=float(np.sum(rewards)),
        )
