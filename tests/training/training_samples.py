"""Small worlds to learn in, made up instead of measured: the same arrays in a thousandth of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from instruments.simulated.settings import SpecimenSettings
from training.episode import EpisodeSettings
from training.imitation import ImitationSettings
from training.layouts import VariationSettings
from training.ppo import PPOSettings
from training.readings import Readings, save_readings
from training.settings import NetworkSettings, TrainSettings, WorldsSettings

if TYPE_CHECKING:
    from pathlib import Path

SITES = 8
RARE = SpecimenSettings(rare_layout="uniform", rare_fraction=0.019)
EPISODE = EpisodeSettings(sites=SITES, pixels=64)
VARIED = VariationSettings(rare_fraction=(0.01, 0.015), dose_ratio=(0.25, 0.4))


def readings(count: int = 4, sites: int = SITES, seed: int = 0) -> Readings:
    """Rare sites read about 6 from above and in detail, others about 0.5."""
    rng = np.random.default_rng(seed)
    features = (rng.random((count, sites, sites)) < 0.1).astype(np.uint8)
    features[:, 0, 0] = 1
    above, seen = (rng.exponential(0.5, features.shape) + 6.0 * features for _ in range(2))
    seen[rng.random(seen.shape) < 0.5 * (features == 0)] = np.nan
    return Readings(
        above=above.astype(np.float32),
        seen=seen.astype(np.float32),
        features=features,
        kind=np.zeros(count, dtype=np.uint8),
    )


def run_settings(folder: Path, name: str = "run", **changes: object) -> TrainSettings:
    """A run of seconds."""
    kept = folder / "readings.npz"
    if not kept.exists():
        save_readings(readings(), kept)
    few = {
        "name": name,
        "out": folder / "runs",
        "episode": EPISODE,
        "worlds": WorldsSettings(kinds={"made up": RARE}, readings=kept, variation=VARIED),
        "network": NetworkSettings(width=8),
        "imitation": ImitationSettings(rounds=2, episodes=2, epochs=1),
        "updates": 3,
        "critic_updates": 1,
        "select_every": 2,
        "select_episodes": 2,
        "ppo": PPOSettings(episodes=2, epochs=1, minibatch=32),
    }
    return TrainSettings.model_validate({**few, **changes})
