"""Do labels make the next night better?

    python -m benchmarks.learning_nights            about 6 minutes on two cores
    python -m benchmarks.learning_nights --quick    one group of specimens

A simulated reviewer wants two of the five kinds of rare features and none of the rest; which two is a question of taste
that no novelty score can answer. Three nights of one specimen each are flagged, and every flag is judged, with
realistic errors: of what is wanted 85 % get a verdict of 4 or 5, of all else 7 %; the verdicts in between are used too.
After each night the flags of held-out specimens are ranked anew by what all labels so far taught, and the first 50
counted: precision is the share that is of a wanted kind. Nothing of the held-out specimens is ever labelled.

What is measured is the model and the ranking. Lessons are built here out of flags, one a flag, and every night's fit is
used: no review page, no journal of labels, no `adaptem learn`, and none of its tests of whether a version goes live.

Every group of specimens is judged by ten reviewers, one a pair of kinds. Lows and highs are 95 % intervals, by
Student's t over the means of groups, because reviewers share specimens; gains are paired over the night before.
ceiling: precision if every wanted flag came first. like: share of places of the wanted kind among those that are
flagged on held-out specimens only because they are like what the reviewer asked more of after the third night, at most
five examples a kind; chance: that share among all places that were not flagged.

The model and its settings were fixed on seeds below 1000; the default seeds begin at 60000.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.common import arguments, finish
from benchmarks.flags_flown import flown
from envs.novelty import NoveltyScorer
from envs.step import Step
from envs.targets import TargetTree
from instruments.simulated.rare import SIZES_NM
from surveys.flagging import LIKE, FlaggingSettings, expected, flag_survey, ranked
from surveys.learned import DULL, OTHER, Learned
from surveys.portraits import Portraits, columns_of
from surveys.sights import sights
from surveys.verdicts import rank_together
from training.feedback import Lesson
from training.learning import fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from surveys.flagging import Flag

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

RATE: Ratio = 0.3
"""More false flags than the default of 0.1, so that a ranking has something to choose from."""
NIGHTS, HELD_OUT, FIRST = 3, 5, 50
WANTED_VERDICTS = {5: 0.45, 4: 0.40, 3: 0.05, 2: 0.06, 1: 0.04}
OTHER_VERDICTS = {1: 0.50, 2: 0.35, 3: 0.08, 4: 0.05, 5: 0.02}
MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A specimen after its night."""

    name: str
    steps: list[Step]
    scorer: NoveltyScorer
    tree: TargetTree
    kinds: dict[int, set[str]]
    """What is on a site in truth."""

    def flags(self, learned: Learned | None = None) -> list[Flag]:
        return flag_survey(
            self.steps, self.scorer, FlaggingSettings(false_discovery_rate=RATE), self.tree, None, learned
        )


def night(seed: int) -> Surveyed:
    steps, scorer, tree, features = flown(("clustered", "uniform")[seed % 2], False, seed)
    kinds = dict[int, set[str]]()
    for kind, sites in features:
        for site in sorted(sites):
            kinds.setdefault(site, set()).add(kind)
    scorer.kept.clear()
    return Surveyed(str(seed), steps, scorer, tree, kinds)


def group(seed: int) -> list[dict[str, float]]:
    """Ten reviewers on three nights and five held-out specimens."""
    surveyed = [night(seed + n) for n in range(NIGHTS + HELD_OUT)]
    taught, held = surveyed[:NIGHTS], surveyed[NIGHTS:]
    flags = [one.flags() for one in taught]
    held_flags = [one.flags() for one in held]
    portraits = {one.name: Portraits(sights(one.steps), one.scorer.names) for one in surveyed}
    return [
        _reviewer(set(wanted), np.random.default_rng((seed, number)), taught, flags, held, held_flags, portraits)
        for number, wanted in enumerate(combinations(sorted(SIZES_NM), 2))
    ]


def _reviewer(
    wanted: set[str], rng: np.random.Generator, taught: list[Surveyed], flags: list[list[Flag]],
    held: list[Surveyed], held_flags: list[list[Flag]], portraits: dict[str, Portraits],
) -> dict[str, float]:  # fmt: skip
    by_name = {one.name: one for one in held}

    def right(flag: Flag) -> bool:
        return bool(kinds_of(by_name[flag.specimen], flag) & wanted)

    plain = rank_together(flag for one, flags in zip(held, held_flags, strict=True) for flag in _named(one, flags))
    found = {"night 0": float(np.mean([right(flag) for flag in plain[:FIRST]]))}
    learned: Learned | None = None
    lessons: list[Lesson] = []
    asked: list[tuple[str, Array]] = []
    for number, (one, flagged) in enumerate(zip(taught, flags, strict=True), start=1):
        for flag in flagged:
            here = kinds_of(one, flag)
            verdicts = WANTED_VERDICTS if here & wanted else OTHER_VERDICTS
            said = float(rng.choice(list(verdicts), p=list(verdicts.values())))
            row = portraits[one.name].row(flag.sites[0].target)
            lessons.append(Lesson(one.name, one.name, flag.sites[0].target, row, flag.surprise, said))
            asked += [(kind, row) for kind in sorted(here & wanted)[:1] if said == 5]
        try:
            learned = learned_from(lessons, asked, one.scorer.names)
        except ValueError:  # too few verdicts so far: the order is as it was
            found[f"night {number}"] = found[f"night {number - 1}"]
            continue
        ranking = FlaggingSettings(false_discovery_rate=RATE)
        again = [
            _named(one, ranked(expected(flags, portraits[one.name], learned), ranking))
            for one, flags in zip(held, held_flags, strict=True)
        ]
        first = rank_together(flag for flags in again for flag in flags)[:FIRST]
        found[f"night {number}"] = float(np.mean([right(flag) for flag in first]))
    extra = [flag for one in held for flag in _named(one, one.flags(learned)) if LIKE in flag.tags]
    rest = [one.kinds.get(site, set()) for one in held for site in one.tree.leaves.tolist()]
    names = set(learned.said) - {OTHER} if learned is not None else set[str]()
    found |= {
        "flags": float(len(plain)),
        "ceiling": min(1.0, sum(map(right, plain)) / min(FIRST, len(plain))),
        "like": float(np.mean([bool(kinds_of(by_name[flag.specimen], flag) & names) for flag in extra]))
        if extra
        else np.nan,
        "likes": float(len(extra)),
        "chance": float(np.mean([bool(here & names) for here in rest])) if names else np.nan,
    }
    return found


def learned_from(lessons: list[Lesson], asked: list[tuple[str, Array]], names: tuple[str, ...]) -> Learned:
    wanted = [
        pair
        for kind in sorted({kind for kind, _ in asked})
        for pair in [a for a in asked if a[0] == kind][:MOST_EXAMPLES]
    ]
    dull = [one.row for one in lessons if one.verdict <= DULL] if wanted else []
    columns = columns_of(names)
    examples = np.array([row for _, row in wanted] + dull).reshape(-1, len(columns))
    return Learned(
        "v001", "", columns, fitted(lessons), examples, (*(kind for kind, _ in wanted), *[OTHER] * len(dull))
    )


def kinds_of(one: Surveyed, flag: Flag) -> set[str]:
    return set[str]().union(*(one.kinds.get(site.target, set()) for site in flag.sites))


def _named(one: Surveyed, flags: list[Flag]) -> list[Flag]:
    return [replace(flag, specimen=one.name) for flag in flags]


def interval(values: Array) -> tuple[float, float, float]:
    """Mean over (G, R) groups and reviewers, and its interval by Student's t over the groups; NaN of one group."""
    means = np.nanmean(values, axis=1)
    means = means[~np.isnan(means)]
    if len(means) < 2:
        return float(means.mean()), np.nan, np.nan
    half = float(stats.t.ppf(0.975, len(means) - 1) * stats.sem(means))
    return float(means.mean()), float(means.mean()) - half, float(means.mean()) + half


def groups(seeds: Sequence[int], workers: int, keep: Path | None) -> list[list[dict[str, float]]]:
    """Every group's reviewers; what ``keep`` holds already is read from it, all else is added to it as it comes."""
    lines = keep.read_text(encoding="utf-8").splitlines() if keep is not None and keep.exists() else []
    found: dict[int, list[dict[str, float]]] = dict(json.loads(line) for line in lines)
    left = [seed for seed in seeds if seed not in found]
    with ProcessPoolExecutor(max_workers=workers) as pool:
        for seed, reviewers in zip(left, pool.map(group, left), strict=True):
            found[seed] = reviewers
            if keep is not None:
                with keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([seed, reviewers]) + "\n")
    return [found[seed] for seed in seeds]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--groups", type=int, default=12, metavar="N", help="of eight specimens")
    parser.add_argument("--seed", type=int, default=60_000, help="of the first specimen")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keeps every group; a later call goes on")
    options = parser.parse_args()
    count = 1 if options.quick else options.groups
    found = groups(range(options.seed, options.seed + 100 * count, 100), options.workers, options.keep)
    values = {name: np.array([[one[name] for one in each] for each in found]) for name in found[0][0]}
    rows: list[dict[str, Any]] = []
    for number in range(NIGHTS + 1):
        mean, low, high = interval(values[f"night {number}"])
        row = {
            "after": f"night {number}" if number else "no label",
            f"precision at {FIRST}": mean,
            "low": low,
            "high": high,
        }
        for name, before in (("gain over the night before", number - 1), ("over no label", 0)):
            gain = interval(values[f"night {number}"] - values[f"night {max(before, 0)}"])
            row |= {name: gain[0], f"{name} low": gain[1], f"{name} high": gain[2]}
        rows.append(row | {"ceiling": interval(values["ceiling"])[0], "flags": float(values["flags"].mean())})
    finish(rows, options, title=f"flags of held-out specimens, {len(found)} groups, ten reviewers each")
    like, chance = interval(values["like"]), interval(values["chance"])
    print(
        f"more like this: {values['likes'].mean():.1f} places a reviewer, of the kind asked for {like[0]:.3f} "
        f"({like[1]:.3f} to {like[2]:.3f}); among all places {chance[0]:.3f}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
