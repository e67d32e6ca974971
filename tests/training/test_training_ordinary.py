"""What is known beforehand of ordinary specimens: how it is measured."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
pytest.importorskip("numba", reason="the extra 'simulate' is not installed")

from envs.descriptors import NAMES
from envs.extremes import OBJECTS, SHARES
from training import ordinary as made
from training.ordinary import HOLED_EVERY, ordinary, reached


def test_specimens_differ_hold_nothing_rare_and_some_have_holes():
    told = [ordinary(number).instrument.specimen for number in range(2 * HOLED_EVERY)]
    assert {each.rare_layout for each in told} == {"none"}
    assert [each.holes is not None for each in told] == ([False] * (HOLED_EVERY - 1) + [True]) * 2
    assert len({each.heavy_per_um2 for each in told}) == len(told)
    assert ordinary(3) == ordinary(3)


def test_the_command_keeps_what_ordinary_places_reach(tmp_path, monkeypatch):
    monkeypatch.setattr(made, "ordinary", lambda number: ordinary(number, sites=8))
    places = reached(ordinary(0, sites=8), 5)
    assert places.shape == (64, len(OBJECTS)) and np.isfinite(places).all()
    assert np.allclose(np.median(places, axis=0), 0)
    monkeypatch.setattr(sys, "argv", ["ordinary", "--specimens", "2", "--out", str(tmp_path / "tails.json")])
    made.main()
    told = json.loads((tmp_path / "tails.json").read_text())
    assert list(told["spreads"]) == [NAMES[column] for column in OBJECTS] and told["shares"] == SHARES.tolist()
    assert told["places"] == 128
