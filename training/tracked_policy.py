"""A policy as MLflow serves it: this file is the model ("models from code"), its weights are safetensors.

``predict`` takes a list of observations (``envs.observations``) and gives as many numbers of actions. MLflow checks
each against ``Seen``, whose fields it keeps as the model's signature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel
from pydantic import BaseModel, ConfigDict, model_validator

from agent.features import FEATURES
from agent.learned import batch, refuse_other_sight
from models.checkpoint import load_policy


class Seen(BaseModel):
    """One observation, as arrays or as lists of lists: MLflow's type hints know no arrays."""

    model_config = ConfigDict(extra="forbid")

    targets: list[list[float]]
    belief: list[list[list[float]]]
    cell: list[int]
    parent: list[int]
    globals: list[float]
    action_mask: list[int]

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, told: Any) -> Any:
        return {name: np.asarray(each).tolist() for name, each in told.items()} if isinstance(told, dict) else told


class TrackedPolicy(PythonModel):  # type: ignore[misc]
    """Decides as ``agent.learned`` does where looks and skills are those that it was trained with."""

    def load_context(self, context: Any) -> None:
        """Raises ConfigError for a policy that was trained to see something else."""
        self._policy = load_policy(Path(context.artifacts["policy"]))
        refuse_other_sight(self._policy.spec)

    def predict(self, context: Any, model_input: list[Seen], params: dict[str, Any] | None = None) -> list[int]:
        """Raises ValueError for numbers that are not finite."""
        return [self._action(seen) for seen in model_input]

    def _action(self, seen: Seen) -> int:
        """One at a time: surveys may differ in size."""
        observation = {name: np.array(told) for name, told in seen.model_dump().items()}
        with torch.no_grad():
            logits, _ = self._policy(batch([FEATURES[self._policy.spec.kind][0](observation)]))
        return int(logits[0].argmax())


mlflow.models.set_model(TrackedPolicy())
