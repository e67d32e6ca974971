"""Where rollout workers live: in this process, or as Ray actors in others, on this computer or on a cluster's."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from configs.errors import ConfigError
from training.rollout import Episode, Kit, RolloutWorker, groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.rollout import Weights


class Sampler(Protocol):
    """Plays episodes; the order of the answer is that of the seeds."""

    def play(self, weights: Weights, seeds: Sequence[int], **how: Any) -> list[Episode]:
        """``how``: as ``RolloutWorker.play``."""
        ...

    def close(self) -> None: ...


class InProcess:
    """No Ray, no other process."""

    def __init__(self, kit: Kit) -> None:
        self._worker = RolloutWorker(kit)

    def play(self, weights: Weights, seeds: Sequence[int], **how: Any) -> list[Episode]:
        return [episode for some in groups(seeds) for episode in self._worker.play(weights, some, **how)]

    def close(self) -> None:
        """Nothing to close."""


def open_sampler(kit: Kit, workers: int, address: str | None = None) -> Sampler:
    """``workers`` 0: in this process. Raises ConfigError where Ray is wanted and not installed."""
    if workers == 0:
        return InProcess(kit)
    try:
        actors = import_module("training.actors")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"workers: {workers} needs {error.name}, which is not installed: pip install 'adaptem[train]'"
        ) from error
    return cast("Sampler", actors.Actors(kit, workers, address))
