"""Rollout workers as Ray actors. One that is killed is made anew and asked again: no row is lost, and none differs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported

import ray

from configs.errors import ConfigError
from training.rollout import Episode, Kit, RolloutWorker, groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.rollout import Weights


class Actors:
    """Implements ``training.samplers.Sampler``."""

    def __init__(self, kit: Kit, workers: int, address: str | None = None) -> None:
        """``address``: of a running cluster; None begins one on this computer.

        Raises ConfigError for one that Ray does not reach.
        """
        self._began = not ray.is_initialized()
        if self._began:
            own = {} if address else {"num_cpus": workers, "include_dashboard": False}
            try:
                ray.init(address=address, log_to_driver=False, **own)
            except (ConnectionError, ValueError) as error:
                raise ConfigError(
                    f"cluster: Ray does not open {address or 'one on this computer'} ({error})"
                ) from error
        actor = ray.remote(max_restarts=-1, max_task_retries=2)(RolloutWorker)
        self._kit = ray.put(kit)  # held here, so that an actor that is made anew finds it
        self.actors = [actor.remote(self._kit) for _ in range(workers)]

    def play(self, weights: Weights, seeds: Sequence[int], **how: Any) -> list[Episode]:
        kept, count = ray.put({name: each.cpu() for name, each in weights.items()}), len(self.actors)
        asked = [self.actors[n % count].play.remote(kept, some, **how) for n, some in enumerate(groups(seeds))]
        return [episode for played in ray.get(asked) for episode in played]

    def close(self) -> None:
        for actor in self.actors:
            ray.kill(actor)
        if self._began:
            ray.shutdown()
