"""Recorded nights as a Minari dataset, for the offline learners that read it (Farama Foundation's format, in HDF5).

An episode is one specimen's survey: the observations of ``envs``, what an agent or a person decided, the reward that
the journal tells. What the runner did in between is part of how the world went on.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from configs.errors import ConfigError
from envs.observations import observation_space
from training.nights import lived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.features import Observation
    from training.nights import Night


def write_minari(
    nights: Sequence[Path], looks: tuple[str, ...], skills: tuple[str, ...], folder: Path
) -> tuple[int, int]:
    """Write all of them into ``folder`` as one dataset, and count its episodes and steps.

    Read it with ``minari.MinariDataset(folder / "data")``, or with ``minari.load_dataset(NAME)`` where ``folder`` lies
    in ``MINARI_DATASETS_PATH``. Raises ConfigError as ``training.nights.lived``, and: nights of several sizes, which
    one observation space does not hold; a folder that is in use.
    """
    folder = folder.resolve()  # Minari joins a relative path to itself
    data = folder / "data"
    if data.exists():
        raise ConfigError(f"{folder} holds a dataset already: give another folder")
    made = lived(nights, (looks, skills), dict)
    space, actions = observation_space(made[0].task.tree, made[0].catalogue), spaces.Discrete(made[0].catalogue.size)
    if other := [night for night in made if observation_space(night.task.tree, night.catalogue) != space]:
        raise ConfigError(
            f"the surveys have {len(made[0].task.tree)} and {len(other[0].task.tree)} targets, which one dataset does "
            "not hold: export surveys of one size at a time"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".data-", dir=folder) as beside:  # named as what it is when it is whole
        whole = Path(beside) / "data"
        whole.mkdir()
        storage = MinariStorage.new(whole, space, actions, data_format="hdf5", jpeg_encoding=False)
        storage.update_metadata(
            {
                "dataset_id": folder.name,
                "minari_version": minari.__version__,
                "algorithm_name": "recorded surveys",
                "description": "Surveys of a transmission electron microscope, recorded by adaptem.",
            }
        )
        storage.update_episodes([_episode(number, night) for number, night in enumerate(made)])
        whole.rename(data)
    return len(made), sum(len(night.rows) for night in made)


def _episode(number: int, night: Night) -> EpisodeBuffer:
    seen, actions, rewards = zip(*night.rows, strict=True)
    ends = np.zeros(len(actions), dtype=bool)
    ends[-1] = True
    return EpisodeBuffer(
        id=number,
        observations=_stacked([*seen, night.last]),
        actions=np.array(actions, dtype=np.int64),
        rewards=np.array(rewards, dtype=np.float64),
        terminations=ends & night.terminated,
        truncations=ends & (not night.terminated),
        infos={},
    )


def _stacked(seen: Sequence[Observation]) -> dict[str, Any]:
    return {name: np.stack([each[name] for each in seen]) for name in seen[0]}
