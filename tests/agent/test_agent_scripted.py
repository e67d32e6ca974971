from __future__ import annotations

import numpy as np
import pytest
from agent_helpers import Bench, make_task

from agent.factory import make_agent
from agent.scripted import ScriptedAgent, at_truth, in_serpentine, serpentine
from agent.settings import PluginSettings, RandomSettings, RasterSettings
from configs.errors import ConfigError
from envs.actions import LookAt, Stop, UseSkill


def play(bench: Bench) -> list[LookAt]:
    """All looks until it stops, nothing being interesting."""
    done = []
    while (action := bench.act()[0]) != Stop():
        done.append(action)
        bench.belief.looks_done[action.slot, action.look] = 1
        if action.look == 0:
            bench.belief.interest[0, bench.task.tree.children(action.slot)] = 1.0
        bench.stage_nm = float(bench.task.tree.x_nm[action.slot]), float(bench.task.tree.y_nm[action.slot])
    return done


@pytest.mark.parametrize("corner", range(8))
def test_a_raster_looks_at_all_patches_and_then_all_sites_each_next_to_the_last(corner):
    bench = Bench(RasterSettings(corner=corner), side=8)
    done = play(bench)
    assert [look.look for look in done] == [0] * 4 + [1] * 64
    assert len({look.slot for look in done}) == 68
    tree = bench.task.tree
    slots = [look.slot for look in done if look.look == 1]
    steps = np.abs(np.diff(tree.row[slots])) + np.abs(np.diff(tree.column[slots]))
    assert (steps == 1).all()


def test_a_raster_keeps_its_line_when_sites_on_the_way_are_gone():
    bench = Bench(RasterSettings(corner=0, overview=False), side=8)
    for column in (0, 1, 2):
        bench.see(bench.at(0, column), 1.0)
    first, second, *_ = play(bench)
    assert (first.slot, second.slot) == (bench.at(0, 3), bench.at(0, 4))


def test_the_eight_corners_are_eight_routes():
    x, y = (axis.ravel().astype(float) for axis in np.meshgrid(range(3), range(4)))
    assert len({tuple(serpentine(x, y, corner)) for corner in range(8)}) == 8


def test_greedy_atlas_takes_the_most_interesting_from_above():
    bench = Bench(RasterSettings(by_atlas=True), side=8)
    interest = np.random.default_rng(0).gamma(1, 1, 64)
    bench.open_patches(interest)
    _, decision = bench.act()
    expected = bench.sites[np.argsort(-interest)[:5]]
    assert [bench.catalogue.decode(c.action).slot for c in decision.candidates] == expected.tolist()


def test_random_visits_everything_once_in_an_order_that_the_seed_gives():
    orders = []
    for seed in (1, 1, 2):
        bench = Bench(RandomSettings(), side=8)
        bench.seed = seed
        order = []
        for number in range(1, 69):
            action = bench.act(step_number=number)[0]
            bench.belief.looks_done[action.slot, action.look] = 1
            order.append(action.slot)
        orders.append(order)
        assert bench.act()[0] == Stop()
        assert len(set(order)) == 68
    assert orders[0] == orders[1] != orders[2]


def test_focus_is_checked_at_the_start_and_at_a_fixed_interval():
    bench = Bench(RasterSettings(refocus_every=10), side=8)
    asked = [n for n in range(25) if isinstance(bench.act(steps_since_focus=n, step_number=n)[0], UseSkill)]
    assert asked == [0, 10, 20]
    assert isinstance(Bench(RasterSettings(refocus_every=0)).act(step_number=0)[0], LookAt)


def test_an_oracle_visits_the_true_sites_and_no_others():
    bench = Bench(RasterSettings(), side=8)
    tree, wanted = bench.task.tree, [bench.at(1, 1), bench.at(6, 6), bench.at(6, 5)]
    places = np.column_stack([tree.x_nm, tree.y_nm])[[*wanted, wanted[1]]]
    orders = (in_serpentine(0), at_truth(places, 60.0))
    bench.agent = ScriptedAgent("oracle", bench.catalogue, bench.task.looks, orders, 0)
    slots = [look.slot for look in play(bench) if look.look == 1]
    assert slots == [wanted[1], wanted[2], wanted[0]], "two in one site first, then the shortest way"


def test_an_agent_that_is_not_installed_is_named():
    task = make_task(4)
    with pytest.raises(ConfigError, match="nobody"):
        make_agent(PluginSettings(name="nobody"), task, task.catalogue(()), (), 0)
