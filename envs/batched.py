"""Many environments at once: each runs its own transitions, in a thread of its own, and their frames are one batch."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.vector import SyncVectorEnv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from instruments.simulated.darkroom import Studio


class _Ahead(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Hands out what was begun ahead, so that gymnasium's own loop over environments only collects."""

    begun: Future[Any] | None = None

    def step(self, action: Any) -> Any:
        return self._collected() if self.begun is not None else self.env.step(action)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self._collected() if self.begun is not None else self.env.reset(seed=seed, options=options)

    def _collected(self) -> Any:
        begun, self.begun = self.begun, None
        return None if begun is None else begun.result()


def _itself(env: _Ahead) -> _Ahead:
    return env


class BatchedVectorEnv(SyncVectorEnv):
    """gymnasium's vector environment over environments whose worlds share a ``studio``.

    Equal to the same environments one by one, seed by seed: only rendering is shared.
    """

    def __init__(self, makers: Sequence[Callable[[], gymnasium.Env[Any, Any]]], studio: Studio) -> None:
        self._studio = studio
        self._pool = ThreadPoolExecutor(len(makers))
        self._ahead = [_Ahead(maker()) for maker in makers]
        super().__init__([partial(_itself, env) for env in self._ahead])

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """As gymnasium's: a number seeds environment n with seed + n. Raises ValueError for another number of seeds."""
        if isinstance(seed, list) and len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds were given for {self.num_envs} environments: give one for each")
        self._forget()
        if not options or "reset_mask" not in options:
            every = range(self.num_envs)
            seeds = seed if isinstance(seed, list) else [None if seed is None else seed + n for n in every]
            self._begin([self._job(n, "reset", seed=each, options=options) for n, each in enumerate(seeds)])
        return super().reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        """As gymnasium's: an environment that ended begins anew with its next step."""
        self._forget()
        jobs = []
        for n, action in enumerate(gymnasium.vector.utils.iterate(self.action_space, actions)):
            if self._autoreset_envs[n]:
                jobs.append(self._job(n, "reset"))
            else:
                jobs.append(self._job(n, "step", action))
        self._begin(jobs)
        return super().step(actions)

    def close_extras(self, **kwargs: Any) -> None:
        super().close_extras(**kwargs)
        self._pool.shutdown()

    def _job(self, n: int, verb: str, *args: Any, **kwargs: Any) -> Callable[[], Any]:
        inner = self._ahead[n].env

        def run() -> Any:
            with self._studio.working():
                return getattr(inner, verb)(*args, **kwargs)

        return run

    def _forget(self) -> None:
        """What one environment's error has left uncollected of the others: over before anything begins anew."""
        wait([env.begun for env in self._ahead if env.begun is not None])
        for env in self._ahead:
            env.begun = None

    def _begin(self, jobs: Sequence[Callable[[], Any]]) -> None:
        self._studio.expect(len(jobs))
        for env, job in zip(self._ahead, jobs, strict=True):
            env.begun = self._pool.submit(job)
