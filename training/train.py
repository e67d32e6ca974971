"""A training run from config to policy.

    readings ──► imitation of the planner ──► critic alone ──► PPO ──► the best on specimens kept for selecting
                 └───────────────── a checkpoint after each update ─────────────────┘

Seeds of episodes follow from the run's seed and the number of the update, so that a run that is killed and goes on ends
with the weights of one that was not.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from archive.software import commit
from instruments.simulated.renderer import open_device
from models.checkpoint import Policy, make_policy, save_policy, weights_hash
from training.imitation import imitate, learn_from
from training.kit import kit_of
from training.macro_env import MacroEnv
from training.pictures import learning_curve, rollout_picture
from training.ppo import PPO
from training.preparing import checked, taken, tracking
from training.readings import all_measured, load_readings, save_readings
from training.rollout import RolloutWorker
from training.run import (
    CHECKPOINT,
    CONFIG,
    POLICY,
    PROGRESS,
    READINGS,
    Log,
    Progress,
    keep_lines,
    load_checkpoint,
    save_checkpoint,
)
from training.samplers import Sampler, open_sampler
from training.settings import SELECT_SEED, TrainSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.imitation import ImitationSettings
    from training.readings import Readings
    from training.rollout import Episode, Kit

Ratio: TypeAlias = float
Told: TypeAlias = "Callable[[dict[str, float]], None]"

FIRST_SEED, EPISODES_APART, UPDATES_APART = 10_000_000, 10_000, 10_000
"""Of episodes: those of one update, and of one run, begin so far after those of the one before."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run ended with."""

    folder: Path
    policy: Path
    hash: str
    score: Ratio
    """Share of the rare features found, on the specimens kept for selecting."""


def train(settings: TrainSettings, *, resume: bool = False, told: Told = lambda _: None) -> Trained:
    """Run, or go on with what is in the run's folder. ``told``: every row of progress.

    Raises ConfigError: a folder in use without ``resume``, nothing to resume, another config than it began with; what
    ``training.preparing.checked`` finds wrong, before there is a folder; learning or a reward that is not finite.
    """
    device = _device(settings)
    ready = checked(settings, resume=resume)
    with taken(settings, resume=resume) as folder, ExitStack() as stack:
        readings = ready.readings or _readings(folder, settings, told)
        kit, spec = kit_of(settings, readings)
        torch.manual_seed(settings.seed)
        policy = make_policy(spec).to(device)
        sampler = open_sampler(kit, settings.workers, settings.cluster)
        stack.callback(sampler.close)
        tracker = stack.enter_context(tracking().Tracker(settings, folder)) if settings.track else None

        def tell(row: dict[str, float]) -> None:
            told(row)
            if tracker is not None:
                tracker.log(row)

        found = _learn(folder, settings, policy, sampler, ready.nights, tell)
        pictures = drawn(found, kit, policy)
        if tracker is not None:
            tracker.finish({"commit": commit() or "unknown", "hash": found.hash, "score": found.score}, pictures)
        return found


def _device(settings: TrainSettings) -> torch.device:
    """Where the network learns, with sums in the same order each time. Raises ConfigError where it is not there."""
    torch.set_num_threads(1)
    device = open_device(settings.device)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.allow_tf32 = False
    return device


def drawn(found: Trained, kit: Kit, policy: Policy) -> list[Path]:
    """The learning curve, and one survey of the policy that was kept."""
    rows = [json.loads(line) for line in (found.folder / PROGRESS).read_text("utf-8").splitlines()]
    worker = RolloutWorker(kit)
    (episode,) = worker.play(policy.state_dict(), [SELECT_SEED], greedy=True)
    played = [env for env in worker.envs if isinstance(env, MacroEnv)]
    return [
        learning_curve(rows, found.folder / "learning_curve.png"),
        *(rollout_picture(env, episode, found.folder / "rollout.png") for env in played),
    ]


def _learn(
    folder: Path, settings: TrainSettings, policy: Policy, sampler: Any, nights: list[Episode], told: Told
) -> Trained:
    learner = PPO(policy, settings.ppo)
    best: dict[str, torch.Tensor] = {}
    progress = Progress()
    log, path = Log(folder, progress, told), folder / CHECKPOINT
    if path.exists():
        best, kept = load_checkpoint(path, learner)
        progress.__dict__.update(kept)
        keep_lines(folder / PROGRESS, progress.update)
    else:
        keep_lines(folder / PROGRESS, None)
        if settings.imitation is not None:
            if nights:
                learn_from(policy, nights, settings.imitation, np.random.default_rng((settings.seed, 2)), log)
            _imitate(settings, settings.imitation, policy, sampler, log)
    last = settings.critic_updates * (settings.imitation is not None) + settings.updates
    for update in range(progress.update, last + 1):
        if update % settings.select_every == 0 or update == last:
            score = selected(sampler, policy, settings)
            log({"select_score": score})
            if score > progress.best:
                progress.best, best = score, {k: v.clone() for k, v in policy.state_dict().items()}
        if update == last:
            break
        seeds = _seeds(settings, update, settings.ppo.episodes)
        episodes = sampler.play(policy.state_dict(), seeds, most_steps=settings.ppo.most_steps)
        alone = settings.imitation is not None and update < settings.critic_updates
        found = learner.update(episodes, np.random.default_rng((settings.seed, 1, update)), critic_only=alone)
        progress.update = update + 1
        progress.env_steps += int(found.pop("steps"))
        log({"score": float(np.mean([e.score for e in episodes])), **found})
        save_checkpoint(path, learner, best or dict(policy.state_dict()), asdict(progress))
    policy.load_state_dict(best)
    policy.cpu()
    save_policy(policy, folder / POLICY, card(settings, progress))
    return Trained(folder, folder / POLICY, weights_hash(policy.state_dict()), progress.best)


def _imitate(settings: TrainSettings, imitation: ImitationSettings, policy: Policy, sampler: Sampler, log: Log) -> None:
    count, rng = imitation.rounds * imitation.episodes, np.random.default_rng((settings.seed, 0))
    imitate(policy, sampler, imitation, _seeds(settings, UPDATES_APART - 1, count), rng, log)


def _seeds(settings: TrainSettings, update: int, count: int) -> range:
    """Of the specimens of an update."""
    first = FIRST_SEED + EPISODES_APART * (UPDATES_APART * settings.seed + update)
    return range(first, first + count)


def selected(sampler: Any, policy: Policy, settings: TrainSettings) -> Ratio:
    """Mean share of the rare features found, by the likeliest actions, on the specimens kept for selecting."""
    scores: list[Ratio] = []
    for first in range(0, settings.select_episodes, settings.ppo.episodes):
        seeds = range(SELECT_SEED + first, SELECT_SEED + min(first + settings.ppo.episodes, settings.select_episodes))
        scores += [e.score for e in sampler.play(policy.state_dict(), seeds, greedy=True)]
    return float(np.mean(scores))


def card(settings: TrainSettings, progress: Progress) -> dict[str, Any]:
    """How a policy was made and where it may be used."""
    return {
        "name": settings.name,
        "seed": settings.seed,
        "commit": commit() or "unknown",
        "command": f"adaptem train {CONFIG}",
        "config": settings.model_dump(mode="json"),
        "progress": asdict(progress),
        "limits": "Trained on simulated surveys only. Two levels of targets, one look each; rare features of the kinds "
        "that the simulator draws, on a background that is ordinary for its specimen.",
    }


def _readings(folder: Path, settings: TrainSettings, told: Told) -> Readings:
    """Measured, before now or now: each specimen once, whatever interrupts."""
    if (folder / READINGS).exists():
        return load_readings(folder / READINGS)
    beside = folder / f"{READINGS}.partial"
    save_readings(all_measured(settings, told), beside)
    beside.replace(folder / READINGS)
    return load_readings(folder / READINGS)
