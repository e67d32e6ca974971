"""What an agent sees: the agreed columns, and the gymnasium space they live in.

Every number is finite; what is unknown is 0 with its ``known`` column 0. Values are cut to ±``LARGEST``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from envs.targets import Floats

if TYPE_CHECKING:
    from envs.actions import Catalogue
    from envs.targets import TargetTree
    from envs.tasks import SurveyTask

Ratio: TypeAlias = float
Observation: TypeAlias = dict[str, Any]
"""Name → array; gymnasium knows no narrower type."""

TARGET_COLUMNS = (
    "x_nm",
    "y_nm",
    "level",
    "looks_done",
    "interest_above",
    "above_known",
    "interest_seen",
    "fluence_e_per_A2",
    "travel_s",
    "failed",
    "blocked",
)
"""``targets`` (N, F). ``level``: 0 = coarsest. ``interest_above``: of a target as read from its parent's frame, against
the background as known now; ``interest_seen``: from its own frame. ``fluence_e_per_A2``: mean over the target, of every
exposure including controls. ``travel_s``: from the present stage position. ``failed``: looks that failed here."""

GLOBALS = (
    "time_left_s",
    "time_total_s",
    "electrons_left_ratio",
    "stage_x_nm",
    "stage_y_nm",
    "defocus_nm",
    "sharpness_ratio",
    "steps_since_focus",
    "step_number",
    "seed",
)
"""``globals`` (G,). ``sharpness_ratio``: the last detail frame's over the median of the first ones since the last focus
(1 = as sharp as after focusing, or not yet known)."""

BELIEF_CHANNELS = ("interest_above", "above_known", "interest_seen", "seen")
"""``belief`` (C, H, W): the finest targets as a map; row and column grow with y_nm and x_nm."""

LARGEST = 1e9

_SIGNED = {"x_nm", "y_nm", "stage_x_nm", "stage_y_nm", "defocus_nm"}


def column(name: str) -> int:
    """Index of a column of ``targets``. Raises ValueError for an unknown name."""
    return TARGET_COLUMNS.index(name)


def observation_space(tree: TargetTree, catalogue: Catalogue) -> spaces.Dict:
    """``targets`` (N, F), ``belief`` (C, H, W), ``cell`` (N,), ``parent`` (N,), ``globals`` (G,), ``action_mask`` (A,).

    ``cell``: slot → flat belief cell, −1 none; ``parent``: slot of the parent, −1 none.
    """
    n, (height, width) = len(tree), tree.shape
    return spaces.Dict(
        {
            "targets": _box(TARGET_COLUMNS, (n, len(TARGET_COLUMNS)), np.float32),
            "belief": spaces.Box(0.0, LARGEST, (len(BELIEF_CHANNELS), height, width), np.float32),
            "cell": spaces.Box(-1, height * width - 1, (n,), np.int32),
            "parent": spaces.Box(-1, n - 1, (n,), np.int32),
            "globals": _box(GLOBALS, (len(GLOBALS),), np.float64),
            "action_mask": spaces.MultiBinary(catalogue.size),
        }
    )


def _box(names: tuple[str, ...], shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> spaces.Box:
    low = np.array([-LARGEST if name in _SIGNED else 0.0 for name in names], dtype=dtype)
    return spaces.Box(np.broadcast_to(low, shape).copy(), np.full(shape, LARGEST, dtype=dtype), dtype=dtype)


class Believed(Protocol):
    """What of a belief is told (``envs.belief.Belief``)."""

    interest: Floats
    looks_done: npt.NDArray[np.int32]
    failed: npt.NDArray[np.int32]
    blocked: npt.NDArray[np.bool_]
    fluence_e_per_A2: Floats
    steps_since_focus: int
    step_number: int

    @property
    def seen(self) -> npt.NDArray[np.bool_]: ...

    @property
    def sharpness_ratio(self) -> Ratio: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The instrument and the account at the moment of observing."""

    x_nm: float
    y_nm: float
    defocus_nm: float
    time_left_s: float
    electrons: float
    """Left to spend."""
    travel_s: Floats
    """(N,) to each target."""
    seed: int
    action_mask: npt.NDArray[np.bool_]
    """(A,)."""


def observe(task: SurveyTask, belief: Believed, present: Present) -> Observation:
    """Write the agreed columns."""
    tree = task.tree
    above, seen = belief.interest
    by_name = {
        "x_nm": tree.x_nm,
        "y_nm": tree.y_nm,
        "level": tree.level,
        "looks_done": belief.looks_done.sum(axis=1),
        "interest_above": np.nan_to_num(above),
        "above_known": np.isfinite(above),
        "interest_seen": np.nan_to_num(seen),
        "fluence_e_per_A2": belief.fluence_e_per_A2,
        "travel_s": present.travel_s,
        "failed": belief.failed,
        "blocked": belief.blocked,
    }
    targets = np.stack([by_name[name] for name in TARGET_COLUMNS], axis=1).astype(np.float32)
    leaves, (height, width) = tree.leaves, tree.shape
    maps = {**by_name, "seen": belief.seen}
    layers = np.zeros((len(BELIEF_CHANNELS), height * width), dtype=np.float32)
    layers[:, tree.cell[leaves]] = np.stack([maps[name][leaves] for name in BELIEF_CHANNELS])
    scalars = {
        "time_left_s": max(present.time_left_s, 0.0),
        "time_total_s": task.budget.time_s,
        "electrons_left_ratio": max(present.electrons, 0.0) / task.budget.electrons,
        "stage_x_nm": present.x_nm,
        "stage_y_nm": present.y_nm,
        "defocus_nm": present.defocus_nm,
        "sharpness_ratio": belief.sharpness_ratio,
        "steps_since_focus": belief.steps_since_focus,
        "step_number": belief.step_number,
        "seed": present.seed,
    }
    return {
        "targets": np.clip(targets, -LARGEST, LARGEST),
        "belief": layers.reshape(len(BELIEF_CHANNELS), height, width),
        "cell": tree.cell.copy(),
        "parent": tree.parent.copy(),
        "globals": np.clip(np.array([float(scalars[name]) for name in GLOBALS]), -LARGEST, LARGEST),
        "action_mask": present.action_mask.astype(np.int8),
    }
