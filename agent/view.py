"""An observation, read by name instead of by column number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from envs.actions import LookAt, UseSkill
from envs.observations import GLOBALS, TARGET_COLUMNS
from envs.step import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from configs.load import Settings
    from envs.actions import Catalogue
    from envs.step import Candidate


@dataclass(frozen=True, slots=True)
class View:
    """The named parts of one observation of N targets; all `(N,)` unless said otherwise."""

    columns: dict[str, npt.NDArray[np.float64]]
    """By the names of ``TARGET_COLUMNS``."""
    globals: dict[str, float]
    """By the names of ``GLOBALS``."""
    looks: npt.NDArray[np.bool_]
    """(N, L): allowed looks."""
    skills: npt.NDArray[np.bool_]
    """(S,): allowed skills."""
    parent: npt.NDArray[np.int64]
    """Slot of the parent, −1 none."""

    @classmethod
    def of(cls, observation: Mapping[str, npt.NDArray[np.generic]], catalogue: Catalogue) -> View:
        targets = observation["targets"].astype(np.float64)
        mask = observation["action_mask"].astype(bool)
        first_skill = catalogue.slots * len(catalogue.looks)
        return cls(
            columns={name: targets[:, i] for i, name in enumerate(TARGET_COLUMNS)},
            globals=dict(zip(GLOBALS, observation["globals"].tolist(), strict=True)),
            looks=mask[:first_skill].reshape(catalogue.slots, len(catalogue.looks)),
            skills=mask[first_skill:-1],
            parent=observation["parent"].astype(np.int64),
        )

    def fresh(self, look: int) -> npt.NDArray[np.intp]:
        """Slots where this look is allowed and that have had no look and no failure yet."""
        c = self.columns
        return np.flatnonzero(self.looks[:, look] & (c["looks_done"] == 0) & (c["failed"] == 0) & (c["blocked"] == 0))

    def generator(self) -> np.random.Generator:
        """The only source of chance of an agent: (seed, step number)."""
        return np.random.default_rng((int(self.globals["seed"]), int(self.globals["step_number"])))

    def place(self, slot: int) -> str:
        """In words, for labels."""
        return f"x {self.columns['x_nm'][slot]:.0f} nm, y {self.columns['y_nm'][slot]:.0f} nm"


def look_number(catalogue: Catalogue, slot: int, look: int) -> int:
    """The action that images ``slot`` with ``look``."""
    return catalogue.encode(LookAt(int(slot), look))


def skill_number(catalogue: Catalogue, view: View, name: str) -> int | None:
    """The action of the skill called ``name``; None where it is absent or not allowed now."""
    if name not in catalogue.skills:
        return None
    number = catalogue.skills.index(name)
    return catalogue.encode(UseSkill(number)) if view.skills[number] else None


def first_of(found: Sequence[Candidate], policy: str, reason: str) -> Decision:
    """The decision of a policy without chance for the first of what it considered."""
    chosen, *others = found
    return Decision(
        action=chosen.action,
        candidates=(replace(chosen, probability=1.0), *others),
        policy=policy,
        reason=reason,
    )


def fingerprint(settings: Settings) -> str:
    """Eight hex digits that change with the settings: part of every agent's name."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:8]
