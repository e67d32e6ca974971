from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from envs_helpers import TASK

from envs.actions import Look
from envs.registration import survey_task
from envs.step import Purpose
from envs.tasks import Budget, SurveyTask
from instruments.types import Exposure


def test_the_route_goes_row_by_row_and_back():
    tree = survey_task(patches=3, sites_per_patch=2).tree
    task = replace(TASK, tree=tree, looks=survey_task(patches=3, sites_per_patch=2).looks)
    assert task.route_order("patch").tolist() == [0, 1, 2, 5, 4, 3, 6, 7, 8]
    route = task.route_order("site")
    steps = np.hypot(np.diff(tree.x_nm[route]), np.diff(tree.y_nm[route]))
    assert steps == pytest.approx(tree.width_nm[route[0]])
    with pytest.raises(ValueError, match="no targets of kind 'hole', only patch, site"):
        task.route_order("hole")


def test_travel_costs_settling_and_distance_and_nothing_where_one_is():
    target = TASK.tree[7]
    cost_s = TASK.travel_s(target.x_nm, target.y_nm)
    assert cost_s[7] == 0
    other = TASK.tree[8]
    expected = TASK.settle_s + np.hypot(other.x_nm - target.x_nm, other.y_nm - target.y_nm) / TASK.stage_speed_nm_per_s
    assert cost_s[8] == pytest.approx(expected)


def look(**changes):
    fields = {"name": "close", "level": "site", "purpose": Purpose.DETAIL, "field_of_view_nm": 64.0, **changes}
    exposure = Exposure(field_of_view_nm=fields.pop("field_of_view_nm"), shape=(32, 32), dwell_us=1.0)
    return Look(exposure=exposure, **fields)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"looks": ()}, "needs looks"),
        ({"looks": (look(), look())}, "names of their own"),
        ({"looks": (look(level="hole"),)}, "no targets of kind 'hole'"),
        ({"looks": (look(field_of_view_nm=65.0),)}, "65 × 65 nm, more than a site of 64 × 64 nm"),
        ({"budget": Budget(time_s=0.0, electrons=1.0)}, "pays for nothing"),
        ({"repeats": 0}, "above 0"),
    ],
)
def test_tasks_that_cannot_be_done_are_refused_with_advice(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(TASK, **changes)


def test_looks_are_found_by_name_and_by_purpose():
    assert TASK.look_number("detail") == 1
    assert TASK.detail_look(5) == 1
    with pytest.raises(ValueError, match="only overview, detail"):
        TASK.look_number("close")
    only_overview = SurveyTask(tree=TASK.tree, looks=TASK.looks[:1], budget=TASK.budget)
    with pytest.raises(ValueError, match="no detail look for a site"):
        only_overview.detail_look(5)
