"""A policy as MLflow serves it: this file is the model ("models from code"), its weights are safetensors.

``predict`` takes one observation (``envs.observations``) as a mapping of arrays and gives the number of the action.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel

from agent.features import FEATURES
from agent.learned import batch, refuse_other_sight
from models.checkpoint import load_policy

if TYPE_CHECKING:
    from collections.abc import Mapping


class TrackedPolicy(PythonModel):  # type: ignore[misc]
    """Decides as ``agent.learned`` does where looks and skills are those that it was trained with."""

    def load_context(self, context: Any) -> None:
        """Raises ConfigError for a policy that was trained to see something else."""
        self._policy = load_policy(Path(context.artifacts["policy"]))
        refuse_other_sight(self._policy.spec)

    def predict(self, context: Any, model_input: Mapping[str, Any], params: dict[str, Any] | None = None) -> int:
        """Raises ValueError for numbers that are not finite."""
        read = FEATURES[self._policy.spec.kind][0]
        with torch.no_grad():
            logits, _ = self._policy(batch([read({name: np.asarray(told) for name, told in model_input.items()})]))
        return int(logits[0].argmax())


mlflow.models.set_model(TrackedPolicy())
