"""Everything that can be said about one training run, in a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from agent.settings import AgentSettings, PlannerSettings
from configs.load import Settings
from instruments.simulated.settings import AnySpecimen
from models.set_policy import HEADS
from training.episode import EpisodeSettings
from training.imitation import ImitationSettings
from training.layouts import VariationSettings
from training.ppo import PPOSettings

Ratio: TypeAlias = float

READINGS_SEED, SELECT_SEED, TEST_SEED = 100_000, 2_000_000, 3_000_000
"""First seeds of the specimens measured to train on, of episodes to select by, and of specimens to judge by."""


class NetworkSettings(Settings):
    """The policy's network."""

    kind: Literal["map", "set"] = "map"
    """map: convolutions on the belief map; set: attention over the targets."""
    width: PositiveInt = 16
    """A set's is a multiple of 4, which its heads of attention share."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> NetworkSettings:
        if self.kind == "set" and self.width % HEADS:
            raise ValueError(f"width {self.width} was asked; a set's heads of attention want a multiple of {HEADS}")
        return self


class WorldsSettings(Settings):
    """The specimens to train on: what real episodes read of them is measured first."""

    kinds: Annotated[dict[str, AnySpecimen], Field(min_length=1)]
    """By name: numbers of a specimen, or a recipe, one's own too (``own.py:gold``)."""
    specimens: PositiveInt = 16
    """Measured of each kind: about ten seconds each."""
    readings: Path | None = None
    """Measured before; None = measure, and keep them in the run's folder."""
    variation: VariationSettings = VariationSettings()


class TrainSettings(Settings):
    """One training run."""

    name: str = Field("policy", pattern=r"^[\w.-]+$")
    """Names the folder: letters, digits, dot, dash and underscore."""
    seed: NonNegativeInt = 0
    out: Path = Path("training_runs")
    episode: EpisodeSettings = EpisodeSettings()
    """Size, looks, skills and instrument of the surveys."""
    worlds: WorldsSettings
    network: NetworkSettings = NetworkSettings()
    teacher: AgentSettings = PlannerSettings()
    """Who is imitated: any agent that sees what the policy sees, one of your own too."""
    reward: str | None = None
    """FILE.py:NAME, or an entry point of ``adaptem.rewards``: ``(new, count, cost_s) -> float`` of a detail look that
    brought in ``new`` of ``count`` rare features. None = 10 × new / count."""
    imitation: ImitationSettings | None = ImitationSettings()
    """None: from scratch."""
    nights: tuple[Path, ...] = ()
    """Folders of recorded surveys to imitate first, whoever decided there."""
    critic_updates: NonNegativeInt = 4
    """Updates of the value alone, after imitation."""
    updates: NonNegativeInt = 100
    """Of policy and value."""
    ppo: PPOSettings = PPOSettings()
    workers: NonNegativeInt = 0
    """Ray actors that play; 0 = this process plays, and Ray is not needed."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where the network learns; it plays on the CPU. Weights follow from the seed on one kind of device."""
    cluster: str | None = None
    """Address of a running Ray cluster; None begins one on this computer."""
    select_every: PositiveInt = 10
    """Updates between two looks at how the policy does on specimens kept for selecting."""
    select_episodes: PositiveInt = 64
    track: bool = False
    """Into MLflow, at ``out``/mlflow.db."""

    @model_validator(mode="after")
    def _nights_are_imitated(self) -> TrainSettings:
        if self.nights and self.imitation is None:
            raise ValueError("nights are imitated, and imitation is null: leave one of the two out")
        return self
