"""Do labels make the next night look at what people want?

    python -m benchmarks.taught_nights            about 15 minutes on two cores
    python -m benchmarks.taught_nights --quick    one group, one reviewer

Three specimens are surveyed and flagged. A simulated reviewer wants one of the five kinds of rare features and judges
every flag, with the errors of ``benchmarks.learning_nights``. Held-out specimens are then surveyed by the planner, once
as it is and once with a share of its close looks (0.25) going where these labels promise most by the overview
(``surveys.taught``). Both make the same number of close looks, a tenth of the sites, after overviews as they see fit.

wanted: of the features of the kind wanted, the share of which some site had a close look; others: the same of all other
kinds, which pay for it; looks: share of the close looks that fell on a site of the wanted kind. Lows and highs are 95 %
intervals by the bootstrap over groups of specimens; gains are paired by specimen and reviewer. A reviewer of whom too
little was learned, or whose kind the specimen lacks, is left out; the title counts the pairs.

How labels are used was fixed on seeds below 1000; the default seeds begin at 70000.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.planner import Planner
from agent.settings import PlannerSettings
from benchmarks.common import arguments, finish
from benchmarks.flagging_methods import Keeping
from benchmarks.flags_flown import DETAIL_SHARE, SITES, Column, column, environment
from benchmarks.learning_nights import OTHER_VERDICTS, WANTED_VERDICTS, Surveyed, kinds_of, learned_from, night
from envs.step import Purpose
from instruments.simulated.rare import SIZES_NM
from surveys.portraits import Portraits
from surveys.sights import sights
from surveys.taught import TaughtAgent
from training.feedback import Lesson

if TYPE_CHECKING:
    from agent.protocol import Agent
    from surveys.learned import Learned

Array: TypeAlias = npt.NDArray[np.float64]

NIGHTS, HELD_OUT = 3, 2
SHARE = 0.25


def close_looks(made: Column, seed: int, learned: Learned | None) -> list[int]:
    """Sites that the planner looked at closely; ``learned``: with what was asked for, None = as it is."""
    scorer, task = Keeping(), made.task
    env = environment(made.scope, made.clock, task, scorer, seed)
    agent: Agent = Planner(PlannerSettings(refocus_every=10**6), task, (), env.catalogue)
    if learned is not None:
        agent = TaughtAgent(agent, learned, task, env.catalogue, scorer.names, SHARE)
    found: list[int] = []
    while len(found) < round(DETAIL_SHARE * SITES**2):
        step = env.apply(agent.act(env.observation()).action)
        if step.fault is not None or step.target is None:
            raise RuntimeError(f"step {step.number} ({step.kind}) made no look: {step.fault}")
        agent.observe(step)
        if step.shown is not None and step.shown.purpose is Purpose.DETAIL:
            found.append(step.target)
    return found


def told_by(kind: str, taught: list[Surveyed], portraits: dict[str, Portraits], seed: int) -> Learned | None:
    """What a reviewer who wants ``kind`` teaches; None where it is too little."""
    rng, lessons = np.random.default_rng(seed), []
    for one in taught:
        for flag in one.flags():
            target = flag.sites[0].target
            verdicts = WANTED_VERDICTS if kind in kinds_of(one, flag) else OTHER_VERDICTS
            said = float(rng.choice(list(verdicts), p=list(verdicts.values())))
            lessons.append(Lesson(one.name, one.name, target, portraits[one.name].row(target), flag.surprise, said))
    try:
        return learned_from(lessons, [], taught[0].scorer.names)
    except ValueError:
        return None


def group(seed: int, kinds: tuple[str, ...]) -> list[dict[str, float]]:
    """Every reviewer on every held-out specimen of one group."""
    taught = [night(seed + n) for n in range(NIGHTS)]
    portraits = {one.name: Portraits(sights(one.steps), one.scorer.names) for one in taught}
    rows = []
    for number in range(NIGHTS, NIGHTS + HELD_OUT):
        layout = ("clustered", "uniform")[number % 2]
        plain = close_looks(column(layout, False, seed + number), seed, None)
        for kind in kinds:
            learned = told_by(kind, taught, portraits, seed)
            made = column(layout, False, seed + number)
            if learned is None or not any(name == kind for name, _ in made.features):
                continue
            steered = close_looks(made, seed, learned)
            rows.append({
                f"{name} {which}": value
                for which, looked in (("plain", plain), ("steered", steered))
                for name, value in _found(looked, kind, made.features).items()
            })  # fmt: skip
    return rows


def _found(looked: list[int], kind: str, features: list[tuple[str, set[int]]]) -> dict[str, float]:
    seen = set(looked)
    wanted = [sites for name, sites in features if name == kind]
    others = [sites for name, sites in features if name != kind]
    reach = set[int]().union(*wanted)
    return {
        "wanted": float(np.mean([bool(sites & seen) for sites in wanted])),
        "others": float(np.mean([bool(sites & seen) for sites in others])) if others else np.nan,
        "looks": float(np.mean([site in reach for site in looked])),
    }


def _interval(groups: list[Array]) -> tuple[float, float, float]:
    """Mean of the groups' means, and its 95 % interval by the bootstrap over groups."""
    means = np.array([np.nanmean(each) for each in groups if len(each)])
    draws = means[np.random.default_rng(0).integers(len(means), size=(10_000, len(means)))].mean(axis=1)
    return float(means.mean()), *np.quantile(draws, [0.025, 0.975]).tolist()


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--groups", type=int, default=6, metavar="N", help="of five specimens")
    parser.add_argument("--seed", type=int, default=70_000, help="of the first specimen")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    options = parser.parse_args()
    count, kinds = (1, tuple(sorted(SIZES_NM))[:1]) if options.quick else (options.groups, tuple(sorted(SIZES_NM)))
    seeds = range(options.seed, options.seed + 100 * count, 100)
    with ProcessPoolExecutor(max_workers=options.workers) as pool:
        found = [rows for rows in pool.map(group, seeds, [kinds] * count) if rows]
    if not found:
        print("no kind was both flagged on the taught specimens and there on a held-out one: take other seeds")
        return 1
    table: list[dict[str, Any]] = []
    for name in ("wanted", "others", "looks"):
        both = {which: [np.array([row[f"{name} {which}"] for row in rows]) for rows in found]
                for which in ("plain", "steered")}  # fmt: skip
        row: dict[str, Any] = {"share": name}
        for which, values in both.items():
            row[which], row[f"{which} low"], row[f"{which} high"] = _interval(values)
        gain = [steered - plain for plain, steered in zip(both["plain"], both["steered"], strict=True)]
        row["gain"], row["gain low"], row["gain high"] = _interval(gain)
        table.append(row)
    pairs = sum(map(len, found))
    finish(
        table, options, title=f"{pairs} pairs of nights, {len(found)} of {count} groups, share {SHARE:g} of the looks"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
