"""The folder of a training run: what it can go on from after a crash, written whole or not at all.

config.yaml      readings.npz      checkpoint.safetensors      policy.safetensors, policy.json      progress.jsonl
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.ppo import PPO

Ratio: TypeAlias = float

CHECKPOINT, CONFIG, MLFLOW_RUN, POLICY, PROGRESS, READINGS = (
    "checkpoint.safetensors",
    "config.yaml",
    "mlflow_run",
    "policy.safetensors",
    "progress.jsonl",
    "readings.npz",
)
_FORMAT = "adaptem training 1"


def save_checkpoint(path: Path, learner: PPO, best: dict[str, torch.Tensor], progress: dict[str, Any]) -> None:
    """Weights, the best weights so far, Adam's memory and ``progress``: atomically, and on the disk when it returns."""
    memory = {
        f"optimiser.{number}.{name}": torch.as_tensor(value)
        for number, kept in learner.optimiser.state_dict()["state"].items()
        for name, value in kept.items()
    }
    tensors = {f"policy.{k}": v for k, v in learner.policy.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()} | memory
    beside = path.with_suffix(".partial")
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, beside, {
        "format": _FORMAT, "progress": json.dumps(progress),
    })  # fmt: skip
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_checkpoint(path: Path, learner: PPO) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Put the learner back to where it was; the best weights and the progress. Raises ConfigError."""
    try:
        with safe_open(path, "pt") as held:
            about = held.metadata() or {}
            tensors = {name: held.get_tensor(name) for name in held.keys()}
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"checkpoint {path} is not safetensors ({error}): begin the run anew") from error
    if about.get("format") != _FORMAT:
        raise ConfigError(f"checkpoint {path} is {about.get('format')!r}, this reads {_FORMAT!r}: begin the run anew")
    try:
        learner.policy.load_state_dict(_under("policy.", tensors))
    except RuntimeError as error:
        raise ConfigError(f"checkpoint {path} is of another network ({error}): begin the run anew") from error
    memory: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        number, _, what = name.partition(".")
        memory.setdefault(int(number), {})[what] = value
    state = learner.optimiser.state_dict()
    learner.optimiser.load_state_dict({**state, "state": memory})
    return _under("best.", tensors), json.loads(about["progress"])


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@dataclass
class Progress:
    """How far a run is: kept in its checkpoint."""

    update: int = 0
    env_steps: int = 0
    best: Ratio = -1.0
    """Score of the best policy so far on the specimens kept for selecting."""
    cpu_s: float = 0.0
    """Of the learner's process."""


class Log:
    """Rows of progress: into the run's folder, and to whoever listens."""

    def __init__(self, folder: Path, progress: Progress, told: Callable[[dict[str, float]], None]) -> None:
        self._path, self._progress, self._told = folder / PROGRESS, progress, told
        self._last_s = time.process_time()

    def __call__(self, found: dict[str, float]) -> None:
        """``env_steps`` of a row, where it has them, are how many were made by then."""
        self._progress.env_steps = int(found.get("env_steps", self._progress.env_steps))
        now_s = time.process_time()
        self._progress.cpu_s = round(self._progress.cpu_s + now_s - self._last_s, 2)
        self._last_s = now_s
        row = {
            "update": self._progress.update,
            "env_steps": self._progress.env_steps,
            "cpu_s": self._progress.cpu_s,
            **found,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._told(row)


def keep_lines(path: Path, update: int | None) -> None:
    """Forget rows of what came after the checkpoint of this update (None: there is none) and will be made again.

    A line that a crash tore is one of these. Selecting comes after an update's checkpoint.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text("utf-8").splitlines() if update is not None else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if row["update"] < update or (row["update"] == update and "select_score" not in row):
            kept.append(f"{line}\n")
    path.write_text("".join(kept), encoding="utf-8")
