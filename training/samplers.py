"""Where rollout workers live: in this process, or as Ray actors in others, on this computer or on a cluster's."""

from __future__ import annotations

import socket
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from configs.errors import ConfigError
from training.rollout import Episode, Kit, RolloutWorker, groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.rollout import Weights

_PATIENCE_S = 5.0
"""With a cluster that does not answer."""


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
    return cast("Sampler", _actors(workers).Actors(kit, workers, address))


def refuse_unreachable(workers: int, address: str | None) -> None:
    """Raises ConfigError where Ray is wanted and not installed, or nothing listens at its cluster's address.

    Ray itself would try for two minutes and then end the process.
    """
    if workers == 0:
        return
    _actors(workers)
    if address is None or address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 2**16):
        raise ConfigError(f"cluster: {address!r} is no address: write HOST:PORT, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except OSError as error:
        raise ConfigError(
            f"cluster: nothing answers at {address} ({error.strerror or error}): begin one by "
            "`ray start --head`, which tells its address, or leave cluster out"
        ) from error


def _actors(workers: int) -> Any:
    try:
        return import_module("training.actors")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"workers: {workers} needs {error.name}, which is not installed: pip install 'adaptem[train]'"
        ) from error
