from __future__ import annotations

import time
import timeit

import numpy as np
import pytest
from agent_helpers import SITE_NM, Bench

from agent.belief import SiteModel, expected_excess
from agent.settings import PlannerSettings, RasterSettings
from envs.actions import LookAt, Stop, UseSkill

QUIET = 0.5


def test_it_checks_the_focus_first_and_then_looks_from_above():
    bench = Bench(PlannerSettings())
    assert bench.act(step_number=0)[0] == UseSkill(0)
    action, _ = bench.act()
    assert action.look == 0 and action.slot in bench.patches


def test_without_a_focus_skill_it_never_asks_for_one():
    assert isinstance(Bench(PlannerSettings(), focus=False).act(step_number=0)[0], LookAt)


def test_it_goes_to_what_is_interesting_from_above():
    bench = Bench(PlannerSettings())
    bench.open_patches(QUIET)
    hot = bench.at(9, 3)
    bench.belief.interest[0, hot] = 9.0
    action, decision = bench.act()
    assert action == LookAt(hot, 1)
    assert decision.candidates[0].value > decision.candidates[1].value
    assert "next best" in decision.reason


def test_five_candidates_with_probabilities_that_make_sense():
    bench = Bench(PlannerSettings(exploration=0.2))
    bench.open_patches(np.random.default_rng(0).gamma(1, 1, len(bench.sites)))
    decisions = [bench.act(step_number=number)[1] for number in range(1, 60)]
    for decision in decisions:
        assert len(decision.candidates) == 5
        assert len({candidate.action for candidate in decision.candidates}) == 5
        assert decision.candidates[0].action == decision.action
        assert sum(candidate.probability for candidate in decision.candidates) <= 1.0
        assert all(c.cost_s > 0 and c.uncertainty > 0 and c.label for c in decision.candidates)
    explored = [decision for decision in decisions if "explore" in decision.reason]
    assert 3 <= len(explored) <= 25
    assert all(decision.candidates[0].probability < 0.01 for decision in explored)
    assert all(decision.candidates[0].probability > 0.8 for decision in decisions if decision not in explored)


def test_a_find_draws_it_to_the_neighbours_and_a_lone_disappointment_does_not():
    found, lost = Bench(PlannerSettings(clustering=0.8)), Bench(PlannerSettings(clustering=0.8))
    for bench, interest in ((found, 9.0), (lost, 0.0)):
        bench.open_patches(2.0)
        bench.see(bench.at(5, 5), interest)
        bench.see(bench.at(12, 12), 2.0)
    site = found.act()[0].slot
    tree = found.task.tree
    assert max(abs(tree.row[site] - 5), abs(tree.column[site] - 5)) == 1
    site = lost.act()[0].slot
    assert max(abs(tree.row[site] - 5), abs(tree.column[site] - 5)) > 1


def test_it_learns_how_far_to_trust_the_view_from_above():
    bench, generator = Bench(PlannerSettings()), np.random.default_rng(1)
    places = np.column_stack([bench.task.tree.x_nm, bench.task.tree.y_nm])[bench.sites] / SITE_NM
    above = generator.gamma(2, 0.6, len(places))
    known, seen = np.ones(len(places), bool), np.zeros(len(places), bool)
    seen[generator.choice(len(places), 80, replace=False)] = True
    noise = generator.normal(0, 0.3, len(places))
    model = SiteModel(places, PlannerSettings())
    slopes = {}
    for truth in (0.0, 1.0):
        belief = model.believe(above, known, truth * above + noise, seen)
        slopes[truth] = np.polyfit(above, belief.above, 1)[0]
    assert slopes[0.0] < 0.2 and 0.8 < slopes[1.0] < 1.1


def test_of_equal_hopes_it_takes_the_nearer():
    bench = Bench(PlannerSettings(), side=32)
    bench.open_patches(QUIET)
    near, far = bench.at(17, 17), bench.at(1, 1)
    bench.belief.interest[0, [near, far]] = 6.0
    assert bench.act()[0].slot == near
    bench.stage_nm = (float(bench.task.tree.x_nm[far]), float(bench.task.tree.y_nm[far]))
    assert bench.act()[0].slot == far


def test_it_opens_a_patch_where_the_opened_ones_promise_more_than_what_they_still_hold():
    settings = PlannerSettings(curiosity=1.0)
    poor, rich = Bench(settings), Bench(settings)
    for bench, every in ((poor, 128), (rich, 8)):
        opened = bench.patches[:8]
        bench.open_patches(QUIET, opened)
        inside = bench.sites[np.isin(bench.task.tree.parent[bench.sites], opened)]
        bench.belief.interest[0, inside[::every]] = 8.0
        if bench is rich:
            for site in inside[::every]:
                bench.see(int(site), 8.0)
    assert poor.act()[0].look == 1, "the one good site, before patches that must be expected to be poor"
    action, _ = rich.act()
    assert action.look == 0 and action.slot not in opened, "what is left is poor, and patches were rich"


@pytest.mark.parametrize(
    ("since", "sharpness", "expected"),
    [(8, 1.0, False), (8, 0.5, True), (9, 0.5, False), (24, 0.9, True), (40, 1.0, True), (0, 0.1, False)],
)
def test_it_refocuses_when_blur_and_time_add_up_and_never_twice_in_a_row(since, sharpness, expected):
    bench = Bench(PlannerSettings(refocus_gap=8, refocus_every=40, refocus_below=0.8))
    bench.open_patches(QUIET)
    action, _ = bench.act(steps_since_focus=since, sharpness_ratio=sharpness, step_number=100)
    assert isinstance(action, UseSkill) is expected


def test_it_stops_when_nothing_is_left_and_passes_over_what_failed_or_is_blocked():
    bench = Bench(PlannerSettings(), side=4)
    bench.open_patches(QUIET)
    best, second = bench.at(0, 0), bench.at(1, 1)
    bench.belief.interest[0, [best, second]] = 9.0, 8.0
    bench.belief.failed[best] = 1
    assert bench.act()[0].slot == second
    bench.belief.blocked[bench.sites] = True
    assert bench.act()[0] == Stop()


def test_deciding_has_no_side_effect_and_chance_comes_from_seed_and_step():
    bench = Bench(PlannerSettings(exploration=1.0))
    bench.open_patches(np.random.default_rng(0).gamma(1, 1, len(bench.sites)))
    observation = bench.observation()
    kept = {name: array.copy() for name, array in observation.items()}
    first = bench.agent.act(observation)
    assert bench.agent.act(observation) == first
    assert all((observation[name] == kept[name]).all() for name in kept)
    assert bench.act(step_number=2)[1].action != first.action
    bench.seed = 8
    assert bench.act()[1].action != first.action


def test_names_tell_settings_apart():
    names = {Bench(s, side=4).agent.name for s in (PlannerSettings(), PlannerSettings(trust=0.9), RasterSettings())}
    assert len(names) == 3


def test_a_decision_is_quick_on_a_large_specimen():
    bench, generator = Bench(PlannerSettings(), side=32), np.random.default_rng(0)
    bench.open_patches(generator.gamma(1, 1, len(bench.sites)))
    tree = bench.task.tree
    for site in generator.choice(bench.sites, 300, replace=False):
        bench.see(int(site), 2 + 2 * np.sin(tree.x_nm[site] / 200) + generator.normal(0, 0.2))
    observation = bench.observation()
    took_s = timeit.repeat(lambda: bench.agent.act(observation), number=1, repeat=7, timer=time.process_time)
    assert min(took_s) < 0.030


def test_expected_excess_grows_with_mean_and_with_uncertainty():
    excess = expected_excess(np.array([0.0, 0.0, 6.0]), np.array([0.5, 2.0, 1e-9]), 4.0)
    assert excess[0] < excess[1] < excess[2] == pytest.approx(2.0)
