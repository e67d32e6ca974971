"""An observation as a policy reads it: bounded numbers by name, whatever the units and the size of the survey."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.observations import GLOBALS, TARGET_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Observation: TypeAlias = Mapping[str, npt.NDArray[np.generic]]

Features: TypeAlias = dict[str, npt.NDArray[np.generic]]
Floats: TypeAlias = npt.NDArray[np.float32]

OWN = ("interest_above", "above_known", "interest_seen", "looks_done", "failed", "blocked", "travel_s", "level")
CELL = (*OWN[:-1], "parent_looks_done", "parent_travel_s", "inside")
"""``cells`` (C, H, W): of the finest targets, and of what they lie in; ``inside`` shows where the map ends."""
SLOT = (*OWN, "x_widths", "y_widths")
"""``slots`` (N, C): of each target, and how far from the stage it is in widths of the finest targets, bounded."""
SCALARS = (
    "time_left_ratio",
    "electrons_left_ratio",
    "steps_left",
    "step_number",
    "steps_since_focus",
    "blur",
    "step_is_first",
)
"""``scalars`` (G,). ``steps_left``: as many as were had for what is spent, logarithmic."""
_STEPS = 6.0
"""Logarithms of step numbers over this are about 1 at the end of a night."""


def map_features(observation: Observation) -> Features:
    """For ``models.policy.MapPolicy``, without the batch. Raises ValueError for numbers that are not finite."""
    refuse_unknown(observation)
    own, cell, parent = _own(observation), observation["cell"].astype(np.int64), observation["parent"].astype(np.int64)
    leaf = np.asarray(cell >= 0)
    _, height, width = observation["belief"].shape
    above = parent[leaf]
    of_parent = np.where(above[:, None] >= 0, own[above][:, [OWN.index("looks_done"), OWN.index("travel_s")]], 0.0)
    cells = np.zeros((len(CELL), height * width), dtype=np.float32)
    cells[: len(OWN) - 1, cell[leaf]] = own[leaf, :-1].T
    cells[len(OWN) - 1 : -1, cell[leaf]] = of_parent.T
    cells[-1] = 1.0
    return {
        "cells": cells.reshape(len(CELL), height, width),
        "scalars": _scalars(observation),
        "action_mask": observation["action_mask"].astype(bool),
        "cell": cell,
        "pool": _pool(cell, parent, height * width),
    }


def set_features(observation: Observation) -> Features:
    """For ``models.set_policy.SetPolicy``, without the batch. Raises ValueError for numbers that are not finite."""
    refuse_unknown(observation)
    targets, told = observation["targets"], dict(zip(GLOBALS, observation["globals"].tolist(), strict=True))
    places = targets[:, [TARGET_COLUMNS.index("x_nm"), TARGET_COLUMNS.index("y_nm")]].astype(np.float64)
    finest = places[observation["cell"].astype(np.int64) >= 0]
    site_nm = max(float(np.ptp(finest, axis=0).max()) / max(max(observation["belief"].shape[1:]) - 1, 1), 1e-9)
    away = (places - [told["stage_x_nm"], told["stage_y_nm"]]) / site_nm
    return {
        "slots": np.concatenate([_own(observation), np.tanh(away / 16)], axis=1).astype(np.float32),
        "scalars": _scalars(observation),
        "action_mask": observation["action_mask"].astype(bool),
        "parent": observation["parent"].astype(np.int64),
    }


FEATURES: dict[str, tuple[Callable[[Observation], Features], tuple[str, ...]]] = {
    "map": (map_features, CELL),
    "set": (set_features, SLOT),
}
"""By the kind of policy: what reads an observation for it, and the names of the columns."""
CHECKED = ("targets", "globals", "belief")
"""Parts of an observation that hold measured numbers; a table of holes has no belief map."""
SHARED = ("cell", "pool", "parent")
"""Features of the tree alone: the same at every step of every episode with it."""


def refuse_unknown(observation: Observation) -> None:
    """Raises ValueError for a number that is not finite: a policy or planner would answer all the same."""
    for name in CHECKED:
        if name in observation and not np.isfinite(observation[name]).all():
            count = int((~np.isfinite(observation[name])).sum())
            raise ValueError(
                f"the observation's {name} holds {count} numbers that are not finite: nobody decides on it"
            )


def _own(observation: Observation) -> Floats:
    """(N, columns of ``OWN``)."""
    found = {name: observation["targets"][:, n].astype(np.float64) for n, name in enumerate(TARGET_COLUMNS)}
    found["interest_above"] = np.log1p(np.minimum(found["interest_above"], 1e3)) / 2
    found["interest_seen"] = np.log1p(np.minimum(found["interest_seen"], 1e3)) / 2
    found["travel_s"] = np.log1p(found["travel_s"]) / 3
    for name in ("looks_done", "failed", "level"):
        found[name] = np.minimum(found[name], 1.0)
    return np.stack([found[name] for name in OWN], axis=1).astype(np.float32)


def _scalars(observation: Observation) -> Floats:
    told = dict(zip(GLOBALS, observation["globals"].tolist(), strict=True))
    time_left = told["time_left_s"] / max(told["time_total_s"], 1e-9)
    left = min(time_left, told["electrons_left_ratio"])
    step = told["step_number"]
    by_name = {
        "time_left_ratio": time_left,
        "electrons_left_ratio": told["electrons_left_ratio"],
        "steps_left": np.log1p(min(step * left / max(1 - left, 1e-3), 1e5)) / _STEPS,
        "step_number": np.log1p(step) / _STEPS,
        "steps_since_focus": min(told["steps_since_focus"] / 60, 3.0),
        "blur": 1 - min(told["sharpness_ratio"], 2.0),
        "step_is_first": float(step == 0),
    }
    return np.array([by_name[name] for name in SCALARS], dtype=np.float32)


_pools: dict[bytes, Floats] = {}


def _pool(cell: npt.NDArray[np.int64], parent: npt.NDArray[np.int64], cells: int) -> Floats:
    """(K, cells) for each coarser slot the mean over the cells below it, however many levels below."""
    key = cell.tobytes() + parent.tobytes()
    if key not in _pools:
        member = np.zeros((len(cell), cells), dtype=np.float32)
        leaves = np.flatnonzero(cell >= 0)
        above = parent[leaves]
        while (above >= 0).any():
            member[above[above >= 0], cell[leaves[above >= 0]]] = 1.0
            above = np.where(above >= 0, parent[above], -1)
        coarse = member[cell < 0]
        if len(_pools) > 8:
            _pools.clear()
        _pools[key] = coarse / np.maximum(coarse.sum(axis=1, keepdims=True), 1.0)
    return _pools[key]
