"""Flags for the most extreme object of a place, and for nothing else about it."""

from __future__ import annotations

import numpy as np
from test_surveys_flagging import at, atlas, cells, flagged, learned, targets, tree

from envs.descriptors import NAMES
from surveys.judging import judge_places
from surveys.regions import surprise

HOLLOW, HOLLOWER = NAMES.index("bright_hollowness_ratio"), 2.5
"""Nine times the scatter of a tenth: one number in thirty, which alone moves the distance of a place little."""

__all__ = ["tree"]


def test_one_property_of_an_object_is_flagged_and_named_first(tree):
    shown = cells(tree)
    odd = [at(tree, row, 7) for row in (3, 9, 15)]
    shown[odd, HOLLOW] = HOLLOWER
    steps = atlas(tree, shown)
    judged = judge_places(steps, learned(steps).completed(), 0.1, tree)
    assert set(odd) <= set(judged.called)
    assert {judged.places[target].telling.by for target in odd} == {"object"}
    for target in odd:
        p = {evidence.by: evidence.p_value for evidence in judged.places[target].evidence}
        assert p["object"] < 0.5 * min(p["place"], p["region"])
    flags = [flag for flag in flagged(tree, steps) if flag.sites[0].target in odd]
    assert len(flags) == 3
    assert all(flag.reason.startswith("In the overview: hollowness of a bright object 2.5,") for flag in flags)


def test_a_common_property_flags_nothing(tree):
    shown = cells(tree)
    shown[at(tree, 0, 0) :: 12, HOLLOW] = HOLLOWER
    assert len(targets(flagged(tree, atlas(tree, shown)))) <= 1


def test_the_surprise_of_what_is_most_ordinary_is_a_number():
    assert np.isfinite(surprise(np.array([1.0, 1.0]))) and surprise(np.array([1.0])) < -5
