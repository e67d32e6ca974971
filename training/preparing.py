"""Before a run takes its folder: a config that cannot be used leaves nothing behind and blocks no name.

config ──► checked: network, reward, teacher, nights, readings, cluster, MLflow ──► taken: the folder, by one process
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.factory import make_agent, make_skills
from agent.features import FEATURES
from configs.errors import ConfigError
from configs.load import dump, load
from models.checkpoint import make_policy
from training.kit import spec_of
from training.macro_env import MacroEnv, reward_of
from training.nights import nights_of
from training.readings import Readings, load_readings
from training.rollout import Episode
from training.run import CHECKPOINT, CONFIG, MLFLOW_RUN, PROGRESS, READINGS
from training.samplers import refuse_unreachable
from training.settings import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REMADE = {CONFIG, PROGRESS, MLFLOW_RUN, f"{READINGS}.partial"}
"""Nothing that was learned or measured: a folder with no more than these is begun anew."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What was read while the config was checked."""

    readings: Readings | None
    """None: they are to be measured, or lie in the run's folder."""
    nights: list[Episode]
    """To imitate first."""


def checked(settings: TrainSettings, *, resume: bool) -> Ready:
    """All that can be wrong with a config and is known before anything is measured or written.

    Raises ConfigError: a folder in use or nothing to resume; a skill, reward, teacher or night that is not there or
    does not fit; readings of fewer sites than the surveys; Ray, its cluster or MLflow not there. What the archive
    raises where there is no survey.
    """
    folder = settings.out / settings.name
    _refuse_used(folder, settings, resume=resume)
    spec = spec_of(settings)
    make_policy(spec)
    reward_of(settings.reward)
    if settings.imitation is not None:
        task, skills = settings.episode.task(), make_skills(settings.episode.skills)
        make_agent(settings.teacher, task, task.catalogue(skills), skills, settings.seed)
    if settings.track:
        tracking()
    refuse_unreachable(settings.workers, settings.cluster)
    readings = None
    if settings.worlds.readings is not None:
        readings = load_readings(settings.worlds.readings)
        MacroEnv(settings.episode, readings, settings.worlds.variation)
    nights: list[Episode] = []
    if settings.nights and not (folder / CHECKPOINT).exists():
        nights = nights_of(settings.nights, spec, FEATURES[settings.network.kind][0])
    return Ready(readings, nights)


def tracking() -> Any:
    """The module that talks to MLflow. Raises ConfigError where that is not installed."""
    try:
        return import_module("training.tracking")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"track: true needs {error.name}, which is not installed: pip install 'adaptem[train]'"
        ) from error


@contextmanager
def taken(settings: TrainSettings, *, resume: bool) -> Iterator[Path]:
    """The run's folder with its config in it, held by this process alone.

    Raises ConfigError as ``checked`` of a folder, and where another process trains in it.
    """
    folder = settings.out / settings.name
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process trains in {folder}: wait for it, or give another name or out"
            ) from error
        _refuse_used(folder, settings, resume=resume)
        if not resume:
            for name in _REMADE:
                (folder / name).unlink(missing_ok=True)
            (folder / CONFIG).write_text(dump(settings), encoding="utf-8")
        yield folder
    finally:
        os.close(descriptor)  # lets go of the lock too


def _refuse_used(folder: Path, settings: TrainSettings, *, resume: bool) -> None:
    unused = not folder.exists() or {each.name for each in folder.iterdir()} <= _REMADE
    if not resume:
        if not unused:
            raise ConfigError(f"{folder} holds a run already: go on with it by --resume, or give another name or out")
    elif not (folder / CONFIG).exists():
        raise ConfigError(f"{folder} holds no run to go on with: leave --resume out to begin one")
    elif _what_teaches(load(folder / CONFIG, TrainSettings)) != _what_teaches(settings):
        if unused:
            raise ConfigError(
                f"{folder} was begun with another config, and nothing was learned yet: leave --resume out to begin anew"
            )
        raise ConfigError(
            f"{folder} was begun with another config: go on with {folder / CONFIG}, or begin anew by another name"
        )


def _what_teaches(settings: TrainSettings) -> TrainSettings:
    """Without who plays, which changes no weight: a cluster may have another address by then."""
    return settings.model_copy(update={"workers": 0, "cluster": None})
