"""What a real episode reads of a specimen, measured once, so that many cheap episodes can be played on it.

    every patch from above ─► above (H, W)         a random share of the sites, and every site with a rare feature,
                                                   in detail ─► seen (H, W), NaN where it was not looked at

The environment that is measured is the whole one: rendered frames, stage, focus, descriptors, scorer.

    python -m training.readings CONFIG FILE --set episode.sites=32      what `adaptem train` would measure first
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError
from configs.load import load
from envs.actions import LookAt, UseSkill
from envs.belief import judged
from envs.explanations import ExplainingScorer
from envs.scoring import make_scorer
from training.episode import opened
from training.settings import READINGS_SEED, TrainSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envs.step import Step
    from envs.survey_env import SurveyEnv
    from training.episode import EpisodeSettings

Map: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float

REFOCUS_EVERY = 60
SELECT_EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """M specimens of H rows and W columns of sites."""

    above: Map
    """(M, H, W) interest from above, against all of the atlas."""
    seen: Map
    """(M, H, W) interest in detail, against a random share of the sites; NaN where no detail look was taken."""
    features: npt.NDArray[np.uint8]
    """(M, H, W) rare features whose centres lie in the site."""
    kind: npt.NDArray[np.uint8]
    """(M,) number of the kind of specimen."""

    def taken(self, chosen: npt.NDArray[np.bool_]) -> Readings:
        """Those that are True in (M,)."""
        return Readings(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def to_select_by(self) -> npt.NDArray[np.bool_]:
        """(M,) every fourth specimen of each kind: policies are selected by these and never trained on them.

        With fewer than four of every kind there are none, and selecting has to use what was trained on.
        """
        number = np.array([int((self.kind[:n] == kind).sum()) for n, kind in enumerate(self.kind)], dtype=int)
        return np.asarray(number % SELECT_EVERY == SELECT_EVERY - 1)


def all_measured(settings: TrainSettings, told: Callable[[dict[str, float]], None] = lambda _: None) -> Readings:
    """``worlds.specimens`` of each kind, the kinds in turn. ``told``: how many were measured by now."""
    parts = []
    for number in range(settings.worlds.specimens):
        for kind, specimen in enumerate(settings.worlds.kinds.values()):
            instrument = settings.episode.instrument.model_copy(update={"specimen": specimen})
            episode = settings.episode.model_copy(update={"instrument": instrument})
            seed = READINGS_SEED + len(settings.worlds.kinds) * number + kind
            parts.append(measured(episode, seed, kind))
            told({"measured": float(len(parts))})
    return joined(parts)


def measured(settings: EpisodeSettings, seed: int, kind: int, share: Ratio = 0.1) -> Readings:
    """Of the specimen of ``seed``. ``share``: of the sites that are looked at in detail whatever is there."""
    endless = settings.model_copy(update={"dose_ratio": 10.0, "hours": 1e4})
    env, world = opened(endless, seed)
    tree = env.situation.task.tree
    rows, columns = tree.shape
    held = np.zeros(rows * columns, dtype=np.uint8)
    for feature in world.features(settings.area()):
        near = np.hypot(tree.x_nm[tree.leaves] - feature.x_nm, tree.y_nm[tree.leaves] - feature.y_nm).argmin()
        held[tree.cell[tree.leaves[near]]] += 1
    drawn = np.random.default_rng(seed).permutation(tree.leaves)[: max(24, round(share * len(tree.leaves)))]
    rare = tree.leaves[held[tree.cell[tree.leaves]] > 0]
    steps = [_look(env, int(patch)) for patch in tree.of_kind(tree.kinds[0])]
    steps += [_look(env, int(site)) for site in [*drawn, *np.setdiff1d(rare, drawn)]]
    env.close()
    above, seen = (np.full(rows * columns, np.nan, dtype=np.float32) for _ in range(2))
    scorer, usual = make_scorer(settings.scorer), {*tree.of_kind(tree.kinds[0]).tolist(), *drawn.tolist()}
    for step in steps:
        if step.score is not None and step.look is not None and step.target in usual:
            scorer.observe(step.look, np.array(step.score.descriptors))
    scorer = scorer.completed() if isinstance(scorer, ExplainingScorer) else scorer
    for step in steps:
        if step.score is None or step.look is None or not step.score.cells:
            continue
        interest = judged(scorer.interest(step.look, np.array(step.score.descriptors)))
        (seen if step.target in step.score.cells else above)[tree.cell[list(step.score.cells)]] = interest
    shape = 1, rows, columns
    return Readings(
        above=np.nan_to_num(above).reshape(shape),
        seen=seen.reshape(shape),
        features=held.reshape(shape),
        kind=np.array([kind], dtype=np.uint8),
    )


def _look(env: SurveyEnv, target: int) -> Step:
    """The one look of this target's level, after a refocus where that is due."""
    due = env.step_number == 0 or env.belief.steps_since_focus >= REFOCUS_EVERY
    if due and "refocus" in env.catalogue.skills:
        env.apply(env.catalogue.encode(UseSkill(env.catalogue.skills.index("refocus"))))
    task = env.situation.task
    look = next(n for n, look in enumerate(task.looks) if look.level == task.tree[target].kind)
    return env.apply(env.catalogue.encode(LookAt(target, look)))


def joined(parts: list[Readings]) -> Readings:
    """All specimens of several measurements of one size."""
    return Readings(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Readings)})


def save_readings(readings: Readings, path: Path) -> None:
    """As a compressed file of plain arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {f.name: getattr(readings, f.name) for f in fields(Readings)}
    with path.open("wb") as file:
        np.savez_compressed(
            file, **{name: a.astype(np.float16) if a.dtype.kind == "f" else a for name, a in kept.items()}
        )


def load_readings(path: Path) -> Readings:
    """Raises ConfigError for a file that is not there or not one of these."""
    try:
        with path.open("rb") as file, np.load(file) as held:
            kept = {f.name: held[f.name] for f in fields(Readings)}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ConfigError(f"readings {path} cannot be read ({error}); leave them out, and they are measured") from error
    return Readings(**{name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in kept.items()})


def main(given: Sequence[str] | None = None) -> None:
    """Of the specimens of a training run's config; six seconds for each of 32 × 32 sites."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("file", type=Path, help="FILE.npz, for worlds.readings")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="A.B=C")
    options = parser.parse_args(given)
    settings = load(options.config, TrainSettings, sets=options.sets)
    parts = all_measured(settings, lambda row: print(f"{row['measured']:.0f} specimens", flush=True))
    save_readings(parts, options.file)


if __name__ == "__main__":
    main()
