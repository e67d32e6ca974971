"""Planning over a tree of holes: the plan is the best one, and the belief finds out who misleads."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from agent.hole_belief import HoleBelief, neighbours
from agent.hole_learned import HoleLearned, hole_network
from agent.hole_planner import HolePlanner, ways_of
from agent.hole_scripts import HoleScript
from agent.tree_plan import HoleTree
from benchmarks.holes import between, chances, optimum
from configs.errors import ConfigError
from envs.hole_env import GOOD, SCORE, HoleEnv
from envs.holes import Costs, Holes


def survey(seed: int = 0, *, grids: int = 2, squares: int = 2, patches: int = 3, holes: int = 12) -> Holes:
    """Patches are good or bad, most of the time, and predictions are right, most of the time."""
    rng = np.random.default_rng(seed)
    shape = grids, squares, patches, holes
    grid, square, patch, _ = np.indices(shape)
    parents = np.stack([grid, grid * squares + square, (grid * squares + square) * patches + patch], axis=-1).reshape(
        -1, 3
    )
    quality = rng.choice([0.1, 0.85], grids * squares * patches)[parents[:, 2]]
    good = rng.random(len(parents)) < quality
    score = np.clip(np.where(good, 0.8, -0.8) * np.where(rng.random(len(good)) < 0.9, 1, -1), -1, 1)
    names = tuple(tuple(str(n) for n in range(parents[:, level].max() + 1)) for level in range(3))
    score += rng.normal(0, 0.05, len(good)).clip(-0.2, 0.2)
    return Holes(parents=parents, score=score, good=good, place_px=np.zeros((len(good), 2)), names=names)


def best_by_trying(holes: Holes, worth, start: int, minutes: int, costs: Costs) -> float:
    """Of every order of every few holes."""
    best, others = 0.0, [n for n in range(len(holes)) if n != start]
    for count in range(1, len(others) + 1):
        for order in itertools.permutations(others, count):
            spent, here = 0.0, start
            for hole in order:
                spent, here = spent + holes.way_min(here, costs)[hole], hole
                if spent > minutes:
                    break
            if spent <= minutes:
                best = max(best, float(worth[list(order)].sum()))
    return best


@pytest.mark.parametrize("minutes", [3, 8, 14, 27, 41])
def test_the_plan_is_as_good_as_the_best_of_all_orders(minutes):
    rng = np.random.default_rng(minutes)
    holes = survey(3, patches=1, squares=2, holes=2, grids=1)
    many = survey(3, patches=2, squares=1, holes=1, grids=2)
    for table in (holes, many, survey(3, patches=2, squares=1, holes=3, grids=1)):
        worth, costs = rng.random(len(table)), Costs()
        tree, left = HoleTree(table.parents), np.ones(len(table), dtype=bool)
        left[0] = False
        ways, _ = ways_of(costs)
        plan = tree.plan(worth, tree.ranked(worth, left), table.parents[0], minutes, ways)
        assert plan.worth == pytest.approx(best_by_trying(table, worth, 0, minutes, costs))
        ranked = tree.ranked(worth, left)
        taken = sum(float(worth[of[:count]].sum()) for of, count in zip(ranked, plan.counts, strict=True))
        assert taken == pytest.approx(plan.worth)


def test_costs_in_parts_of_a_minute_are_reckoned_exactly():
    ways, unit = ways_of(Costs(hole_min=1.5, patch_min=2.25, square_min=4, grid_min=4))
    assert [float(each * unit) for each in (ways.image_min, ways.patch_min, ways.square_min, ways.grid_min)] == [
        1.5, 0.75, 1.75, 0.0,
    ]  # fmt: skip


def test_a_belief_trusts_predictions_until_they_prove_wrong():
    holes = survey(1)
    liar = holes.damaged("inverted")
    belief = HoleBelief(liar.score, liar.parents, liar.place_px)
    before = belief.good_probability()
    assert np.corrcoef(before, liar.score)[0, 1] > 0.8
    seen = np.arange(0, len(liar), 4)
    belief.learn(seen, liar.good[seen].astype(float))
    unseen = np.setdiff1d(np.arange(len(liar)), seen)
    after = belief.good_probability()
    assert belief.weights()[-1] > 0.5, "the hypothesis that it is inverted"
    assert after[unseen][liar.good[unseen]].mean() > after[unseen][~liar.good[unseen]].mean() + 0.3


def test_a_belief_is_the_same_in_whatever_order_it_learned():
    holes = survey(2)
    one, other = (HoleBelief(holes.score, holes.parents, holes.place_px) for _ in range(2))
    seen = np.arange(0, 60)
    one.learn(seen, holes.good[seen].astype(float))
    for end in (5, 25, 60):
        some = seen[:end][::-1]
        other.learn(some, holes.good[some].astype(float))
    assert other.good_probability() == pytest.approx(one.good_probability(), abs=1e-7)


def test_its_probabilities_are_finite_where_predictions_say_nothing():
    holes = survey(4).damaged("constant")
    belief = HoleBelief(holes.score, holes.parents, holes.place_px)
    for end in range(0, len(holes), 20):
        belief.learn(np.arange(end), holes.good[:end].astype(float))
        p = belief.good_probability()
        assert np.isfinite(p).all() and p.min() > 0 and p.max() < 1
    loss = -np.log(np.where(holes.good, p, 1 - p)).mean()
    assert loss < np.log(2), "patches differ, and that was learned"


def test_neighbours_tell_which_predictions_are_mistaken():
    """Half of each patch is good: nothing but the place tells a mistaken prediction from a right one."""
    rng, side, patches = np.random.default_rng(6), 6, 16
    column, row = (each.ravel() for each in np.indices((side, side)))
    place_px = np.tile(np.stack([column, row], axis=1) * 100.0, (patches, 1))
    parents = np.stack([np.zeros(patches * side**2, int)] * 2 + [np.repeat(np.arange(patches), side**2)], axis=1)
    good = place_px[:, 0] < 100 * side / 2
    lies = rng.random(len(good)) < 0.3
    score = np.where(good ^ lies, 0.8, -0.8) + rng.uniform(-0.1, 0.1, len(good))
    seen, unseen = np.arange(0, len(good), 3), np.arange(1, len(good), 3)
    loss = []
    for places in (place_px, np.zeros_like(place_px)):
        belief = HoleBelief(score, parents, places)
        belief.learn(seen, good[seen].astype(float))
        p = belief.good_probability()[unseen]
        loss.append(-float(np.log(np.where(good[unseen], p, 1 - p)).mean()))
    assert loss[0] < 0.9 * loss[1]


def test_a_predictor_that_is_right_elsewhere_may_be_wrong_about_a_whole_patch():
    """Of six patches it calls four good, three of them rightly; three images in the fourth are enough."""
    patch, number = np.divmod(np.arange(6 * 16), 16)
    parents = np.stack([np.zeros_like(patch)] * 2 + [patch], axis=1)
    place_px = np.stack([number % 4, number // 4], axis=1) * 100.0
    score, wrong = np.where(patch < 4, 0.7, -0.7), patch == 3
    good = (score > 0) & ~wrong
    belief = HoleBelief(score, parents, place_px)
    assert belief.good_probability()[wrong].min() > 0.8
    seen = np.flatnonzero((number < 3) & (patch < 4))
    belief.learn(seen, good[seen].astype(float))
    p = belief.good_probability()
    assert p[wrong & (number > 8)].max() < 0.5 < 0.65 < p[good].min()


def test_what_neighbours_were_measured_to_be_is_heard_where_predictions_say_nothing():
    side = 5
    column, row = (each.ravel() for each in np.indices((side, side)))
    place_px = np.tile(np.stack([column, row], axis=1) * 100.0, (8, 1))
    parents = np.stack([np.zeros(8 * side**2, int)] * 2 + [np.repeat(np.arange(8), side**2)], axis=1)
    seen = np.arange(0, len(place_px), 2)
    good = (place_px[seen, 0] < 200).astype(float)  # two columns of five, in every patch
    belief = HoleBelief(np.zeros(len(place_px)), parents, place_px)
    belief.learn(seen, good)
    p, unseen = belief.good_probability(), np.setdiff1d(np.arange(len(place_px)), seen)
    near, far = unseen[place_px[unseen, 0] == 0], unseen[place_px[unseen, 0] == 400]
    assert p[near].min() > 0.6 > 0.3 > p[far].max()
    again = HoleBelief(np.zeros(len(place_px)), parents, place_px)
    again.learn(seen[::-1], good[::-1])
    assert again.good_probability() == pytest.approx(p, abs=1e-7), "in whatever order it was measured"


def test_chances_that_are_told_are_planned_by():
    holes = survey(2)
    told = HolePlanner(Costs(), chances=holes.good.astype(float))
    assert flown(told, holes, 60.0, 0) == pytest.approx(optimum(holes, Costs(), 60.0, 0))


def test_the_ceiling_is_told_of_no_hole_what_came_of_itself():
    holes = survey(2)
    for hole in (0, 50):
        good = holes.good.copy()
        good[hole] = not good[hole]
        told, otherwise = chances(holes), chances(replace(holes, good=good))
        assert otherwise[hole] == pytest.approx(told[hole], abs=1e-9)
        assert not np.allclose(np.delete(otherwise, hole), np.delete(told, hole), atol=1e-4)


def test_a_hole_alone_has_no_neighbours_and_places_untold_weigh_alike():
    alone = neighbours(np.array([0, 1, 1, 1]), np.array([[5.0, 5.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])).toarray()
    assert alone[0].tolist() == [0, 0, 0, 0]
    assert alone[1, 2] == alone[1, 3] > 0
    assert alone[1, [0, 1]].tolist() == [0, 0]


def flown(agent, holes: Holes, minutes: float, start: int) -> float:
    env = HoleEnv(holes, Costs(), minutes)
    seen, _ = env.reset(seed=start, options={"start": start})
    good, over = 0.0, False
    while not over:
        seen, reward, terminated, truncated, _ = env.step(agent.act(seen).action)
        good, over = good + reward, terminated or truncated
    return good


def test_a_closed_loop_beats_an_open_one_where_predictions_mislead():
    more = []
    for seed in range(6):
        liar = survey(seed).damaged("inverted")
        plain, learned = (flown(HolePlanner(Costs(), closed=closed), liar, 120.0, seed) for closed in (False, True))
        more.append(learned - plain)
    assert np.mean(more) > 5


def test_scripts_do_as_their_names_say():
    holes = survey(5)
    seen, _ = HoleEnv(holes, Costs(), 60.0).reset(seed=1, options={"start": 0})
    assert holes.way_min(0, Costs())[HoleScript("nearest").act(seen).action] == 2
    best = HoleScript("greedy").act(seen).action
    assert holes.score[best] == pytest.approx(np.delete(holes.score, 0).max(), abs=1e-6)
    dear = HoleScript("greedy", per_min=1.0).act(seen).action
    assert holes.way_min(0, Costs())[dear] == 2
    assert HoleScript("random").act(seen) == HoleScript("random").act(seen)


def test_where_no_time_is_left_it_stops():
    holes = survey(6)
    env = HoleEnv(holes, Costs(), 2.0)
    seen, _ = env.reset(options={"start": 0})
    seen["globals"][0] = 1.0
    assert HolePlanner(Costs()).act(seen).action == len(holes)


@pytest.mark.parametrize("column", [SCORE, GOOD])
def test_nobody_decides_on_numbers_that_are_not_finite(column):
    seen, _ = HoleEnv(survey(), Costs(), 60.0).reset(options={"start": 0})
    seen["targets"][5, column] = np.nan
    for agent in (HolePlanner(Costs()), HoleScript("greedy"), HoleLearned(hole_network())):
        with pytest.raises(ValueError, match="targets holds 1 numbers that are not finite"):
            agent.act(seen)


def test_costs_that_a_plan_cannot_reckon_with_are_refused():
    with pytest.raises(ConfigError, match="down to 1/60"):
        ways_of(Costs(hole_min=0.005, patch_min=5, square_min=10, grid_min=20))
    assert ways_of(Costs(hole_min=1 / 3, patch_min=0.5, square_min=1, grid_min=2))[0].image_min == 2


def test_an_interval_over_drawn_surveys_does_not_shrink_with_their_number():
    rng = np.random.default_rng(0)
    few, many = (between(rng.normal(40, 5, count)) for count in (100, 10_000))
    assert many[1] - many[0] == pytest.approx(2 * 1.96 * 5, rel=0.05)
    assert few[1] - few[0] > 0.7 * (many[1] - many[0])
