"""Which actions are allowed now, and why not.

The mask saves an agent from asking what would be refused; the guard, which knows the dose of every place exactly,
still judges each exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.targets import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.observations import Believed
    from envs.skills import Skill
    from envs.tasks import SurveyTask

Bools: TypeAlias = npt.NDArray[np.bool_]
Ratio: TypeAlias = float

_ROUNDING: Ratio = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What there is to spend at the moment of deciding, and what an exposure takes."""

    time_s: float
    electrons: float
    decision_time_s: float
    travel_s: Floats
    """(N,) to each target."""
    current_pA: float
    max_fluence_e_per_A2: float


def price_tests(task: SurveyTask, belief: Believed, means: Means) -> dict[str, Bools]:
    """Reason in words → (N, L) or a shape that broadcasts to it, True where it forbids the look."""
    duration_s = np.array([look.duration_s for look in task.looks])
    electrons = np.array([look.electrons(means.current_pA) for look in task.looks])
    fluence_e_per_A2 = np.array([look.fluence_e_per_A2(means.current_pA) for look in task.looks])
    cost_s = means.decision_time_s + means.travel_s[:, None] + duration_s
    total_e_per_A2 = belief.fluence_e_per_A2[:, None] + fluence_e_per_A2
    return {
        "it would take longer than the time that is left": cost_s > means.time_s,
        "it would take more electrons than are left": (electrons > means.electrons)[None, :],
        "the place would get more than its fluence limit": (
            total_e_per_A2 > means.max_fluence_e_per_A2 * (1 + _ROUNDING)
        ),
    }


def look_tests(task: SurveyTask, belief: Believed, means: Means) -> dict[str, Bools]:
    """As ``price_tests``, with the rules of the task first."""
    levels = np.array([task.tree.kinds.index(look.level) for look in task.looks])
    return {
        "the look is for targets of another level": task.tree.level[:, None] != levels,
        "the target is blocked": belief.blocked[:, None],
        "the target was looked at already": belief.looks_done >= task.repeats,
        "looks at the target have failed too often": (belief.failed >= task.tries)[:, None],
        **price_tests(task, belief, means),
    }


def allowed_looks(tests: dict[str, Bools], shape: tuple[int, int]) -> Bools:
    """(N, L) looks that no test forbids."""
    forbidden = np.zeros(shape, dtype=bool)
    for test in tests.values():
        forbidden |= test
    return ~forbidden


def why_not(tests: dict[str, Bools], target: int, look: int, shape: tuple[int, int]) -> str | None:
    """The first reason that forbids this look at this target; None = it is allowed."""
    for reason, test in tests.items():
        if np.broadcast_to(test, shape)[target, look]:
            return reason
    return None


def allowed_skills(skills: Sequence[Skill], means: Means) -> Bools:
    """(S,) skills whose expected time and dose can be paid."""
    return np.array(
        [
            means.decision_time_s + skill.cost_s <= means.time_s
            and sum(exposure.electrons(means.current_pA) for exposure in skill.cost_exposures()) <= means.electrons
            for skill in skills
        ],
        dtype=bool,
    )


def allowed_actions(
    task: SurveyTask, belief: Believed, shape: tuple[int, int], skills: Sequence[Skill], means: Means
) -> Bools:
    """(A,) actions that are allowed: the looks at each slot, the skills, and stop, which always is.

    ``shape``: slots and looks.
    """
    looks = allowed_looks(look_tests(task, belief, means), shape)
    return np.concatenate([looks.ravel(), allowed_skills(skills, means), [True]])
