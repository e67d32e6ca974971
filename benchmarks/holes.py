"""Which hole next: planning over a real survey's tree of holes, closed loop against open loop, greedy and the optimum.

    python -m benchmarks.holes --table holes.csv --select 00026gr,00034gr,00036gr --test 00024gr,00032gr,00030gr,00031gr
    python -m benchmarks.holes --table holes.csv --costs 2,5,10,20 --budgets 120,240,360,480,600 --starts 50

A table has a row for each hole, with its grid, square, patch, measured resolution and a prediction (``envs.holes``). An
image that ends after the budget does not count, nor does the first hole, which is given. All policies begin at the same
holes and read the same predictions: as given, with 20 % and 30 % of them replaced by that of the opposite rank, all
alike, or all inverted. The belief has hypotheses of just such damages; with ``--predictions shuffled`` they are handed
round at random within each square, to which nothing was fitted.
The greedy's price of a minute is tuned on the grids of ``--select``, without them on the table itself, in its favour.
The learned policy imitates the optimum on the grids of --develop (two minutes of a processor), where these are given.
Two ceilings, which nobody reaches honestly: the optimum knows which holes are good, and is exact for this tree; "knows
others" plans by the closed loop's own model, which before it flies is told of each hole what came of eleven twelfths of
all, not of itself: what it loses to the optimum this model brings back by no planning and no measurement.

low, high: 95 % interval over starts. patches low, high: 95 % of surveys whose patches are drawn anew from this one's,
the mean over two starts in each. ahead: closed loop less this policy, paired by start, with the lower ends over starts
and over such surveys.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.hole_belief import HoleBelief
from agent.hole_learned import HoleLearned
from agent.hole_planner import HolePlanner, ways_of
from agent.hole_scripts import HoleScript
from agent.tree_plan import HoleTree
from benchmarks.common import DATA, arguments, finish
from configs.errors import ConfigError
from envs.hole_env import HoleEnv
from envs.holes import Costs, Holes, read_holes
from training.evaluate import interval, ratio_interval
from training.hole_imitation import imitate_optimum

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from torch import nn

    from agent.protocol import Agent

Counts: TypeAlias = npt.NDArray[np.float64]

PREDICTIONS = ("given", "flipped20", "flipped30", "constant", "inverted")
PRICES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Of a minute, in scores."""
POLICIES: dict[str, Callable[[Holes, Costs, float], Agent]] = {
    "random": lambda holes, costs, price: HoleScript("random"),
    "nearest first": lambda holes, costs, price: HoleScript("nearest"),
    "greedy, tuned": lambda holes, costs, price: HoleScript("greedy", price),
    "open loop": lambda holes, costs, price: HolePlanner(costs, closed=False),
    "closed loop": lambda holes, costs, price: HolePlanner(costs),
    "knows others": lambda holes, costs, price: HolePlanner(costs, chances=chances(holes)),
}
PARTS = 12
"""Of the holes, each foretold from the others."""
STARTS_EACH = 2
"""In each survey of other patches."""
LEARNED, OPTIMUM = "learned", "optimum"
CEILINGS = ("knows others", OPTIMUM)


def fly(agent: Agent, holes: Holes, costs: Costs, budget_min: float, start: int, seed: int) -> int:
    """Good holes that an agent images in the time."""
    env = HoleEnv(holes, costs, budget_min)
    observation, _ = env.reset(seed=seed, options={"start": start})
    good, over = 0.0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(agent.act(observation).action)
        good, over = good + reward, terminated or truncated
    return int(good)


def optimum(holes: Holes, costs: Costs, budget_min: float, start: int) -> float:
    """The most good holes that can be imaged in the time, by whoever knows them."""
    tree, (ways, unit) = HoleTree(holes.parents), ways_of(costs)
    worth, left = holes.good.astype(np.float64), np.ones(len(holes), dtype=bool)
    left[start] = False
    whole = int(budget_min / unit + 1e-6)
    plan = tree.plan(worth, tree.ranked(worth, left), holes.parents[start], whole, ways)
    return plan.worth


def chances(holes: Holes) -> Counts:
    """(N,) that each is good, by the belief of the closed loop after it was told the results of other holes.

    Told its own as well, a hole's chance would be fitted to it (Stone, J. R. Stat. Soc. B 36 (1974) 111).
    """
    belief = HoleBelief(holes.score, holes.parents, holes.place_px)
    part = np.random.default_rng(0).permutation(len(holes)) % PARTS
    found = np.empty(len(holes))
    for number in range(PARTS):
        told = np.flatnonzero(part != number)
        belief.learn(told, holes.good[told].astype(np.float64))
        found[part == number] = belief.good_probability()[part == number]
    return found


def flown(task: tuple[str, Holes, Costs, float, list[int], float, nn.Module | None]) -> Counts:
    """Good holes from each start, in a process of its own."""
    policy, holes, costs, budget_min, starts, price, network = task
    if policy == OPTIMUM:
        return np.array([optimum(holes, costs, budget_min, start) for start in starts])
    agent = HoleLearned(network) if policy == LEARNED and network else POLICIES[policy](holes, costs, price)
    return np.array([fly(agent, holes, costs, budget_min, start, seed) for seed, start in enumerate(starts)], float)


def resampled(task: tuple[str, Holes, Costs, float, int, float, nn.Module | None]) -> Counts:
    """Mean good holes over a few starts in each of as many surveys of other patches."""
    policy, holes, costs, budget_min, surveys, price, network = task
    found = []
    for seed in range(surveys):
        drawn = holes.resampled(seed)
        starts = np.random.default_rng(seed).integers(0, len(drawn), STARTS_EACH).tolist()
        found.append(flown((policy, drawn, costs, budget_min, starts, price, network)).mean())
    return np.array(found)


def between(found: Counts) -> tuple[float, float]:
    """Of bootstrap replicates (B,): their 2.5 and 97.5 percentiles (Efron, Ann. Stat. 7 (1979) 1)."""
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def tuned_price(holes: Holes, costs: Costs, budgets: list[float], starts: list[int]) -> float:
    """The greedy's price of a minute that finds the most over all budgets, each against its best."""
    found = [[flown(("greedy, tuned", holes, costs, budget, starts, price, None)).mean() for budget in budgets]
             for price in PRICES]  # fmt: skip
    shares = np.array(found) / np.maximum(np.max(found, axis=0), 1e-9)
    return PRICES[int(np.argmax(shares.mean(axis=1)))]


def compare(
    holes: Holes, costs: Costs, options: Namespace, price: float, network: nn.Module | None
) -> list[dict[str, Any]]:
    starts = np.random.default_rng(options.seed).integers(0, len(holes), options.starts).tolist()
    cases = [(kind, budget) for kind in options.predictions for budget in options.budgets]
    names = [*POLICIES, *([LEARNED] if network else []), OPTIMUM]
    tasks = [
        (name, holes.damaged(kind, options.seed), costs, budget, starts, price, network)
        for kind, budget in cases
        for name in names
    ]
    drawn = [
        (name, holes, costs, budget, options.surveys, price, network)
        for kind, budget in cases
        for name in names
        if kind == "given" and options.surveys
    ]
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        others = pool.map(resampled, drawn)
        found = dict(zip([task[:1] + case for case in cases for task in [(n,) for n in names]], pool.map(flown, tasks),
                         strict=True))  # fmt: skip
        again = dict(zip([(task[0], task[3]) for task in drawn], others, strict=True))
    rows = []
    for kind, budget in cases:
        best, closed = found[OPTIMUM, kind, budget], found["closed loop", kind, budget]
        for name in names:
            mean, low, high = interval(found[name, kind, budget])
            ahead = interval(closed - found[name, kind, budget])
            patches = again.get((name, budget)) if kind == "given" else None
            share = ratio_interval(found[name, kind, budget], best)
            beaten = name not in ("closed loop", *CEILINGS)
            rows.append(
                {
                    "policy": name,
                    "predictions": kind,
                    "budget_min": budget,
                    "good_mean": mean,
                    "good_low": low,
                    "good_high": high,
                    "fraction_of_optimum": share[0],
                    "fraction_low": share[1],
                    "fraction_high": share[2],
                    "patches_low": "" if patches is None else between(patches)[0],
                    "patches_high": "" if patches is None else between(patches)[1],
                    "closed_ahead": f"{ahead[0]:+.1f}" if beaten else "",
                    "ahead_low": ahead[1] if beaten else "",
                    "ahead_patches_low": between(again["closed loop", budget] - patches)[0]
                    if beaten and patches is not None
                    else "",
                }
            )
    return rows


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--table", type=Path, metavar="CSV", help="of a survey; without one it is ../shared/data's")
    parser.add_argument(
        "--costs", default="2,5,10,20", help="minutes: next hole, other patch, other square, other grid"
    )
    parser.add_argument("--threshold", type=float, default=6.0, metavar="A", help="Å up to which a hole is good")
    parser.add_argument("--budgets", default="120,240,360,480,600", help="minutes")
    parser.add_argument("--starts", type=int, default=50, metavar="N")
    parser.add_argument("--surveys", type=int, default=50, metavar="N", help="drawn anew from its patches; 0 = none")
    parser.add_argument("--predictions", default=",".join(PREDICTIONS))
    parser.add_argument("--select", default="", metavar="GRIDS", help="to tune the greedy on: words of their names")
    parser.add_argument("--develop", default="", metavar="GRIDS", help="to learn on; without it no policy is learned")
    parser.add_argument("--test", default="", metavar="GRIDS", help="to compare on; all where not given")
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    options = parser.parse_args()
    options.predictions = options.predictions.split(",")
    try:
        options.budgets = [float(each) for each in options.budgets.split(",")]
        if options.quick:
            options.budgets, options.starts, options.predictions = options.budgets[:1], 3, ["given", "flipped30"]
            options.surveys = 0
        if options.starts < 1:
            raise ConfigError(f"--starts {options.starts}: give one or more")
        path = options.table or DATA / "hole_survey" / "holes.csv"
        if options.table is None and not path.exists():
            print(f"no table of holes under {DATA}: give --table, or set ADAPTEM_DATA to the folder that has one")
            return 0
        costs, table = Costs.read(options.costs), read_holes(path, options.threshold / 10)
        test = table.within(options.test.split(",")) if options.test else table
        select = table.within(options.select.split(",")) if options.select else test
        few = np.random.default_rng(options.seed + 1).integers(0, len(select), 10).tolist()
        price = tuned_price(select, costs, options.budgets, few)
        develop = table.within(options.develop.split(",")) if options.develop else None
        network = None if develop is None else imitate_optimum(develop, costs, options.budgets)
        rows = compare(test, costs, options, price, network)
    except (ConfigError, ValueError) as error:
        print(f"holes: {error}", file=sys.stderr)
        return 2
    about = f"{len(test)} holes, {options.starts} starts, seed {options.seed}, greedy at {price:g} a minute"
    finish(rows, options, title=f"Good holes; {about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
