"""Cells of folders that nobody surveyed: what may be said of them where little is known of what is ordinary."""

from __future__ import annotations

import numpy as np
import pytest

from envs.descriptors import NAMES, describe_windows
from envs.novelty import NoveltyScorer
from envs.scorers import Window
from surveys.folder_cells import surprise
from surveys.significance import q_values, single_tail

CELLS = [Window((row, row + 64), (column, column + 64)) for row in range(0, 256, 64) for column in range(0, 256, 64)]
ROWS, COLUMNS = np.mgrid[:256, :256]
ODD = 5
"""Cell of the first image that may hold something else."""


def discs(many, rng):
    """So many equal discs, lying anywhere."""
    shown = np.full((256, 256), 20.0)
    for row, column in rng.uniform(0, 256, (many, 2)):
        shown += 25 * (np.hypot(ROWS - row, COLUMNS - column) < 5)
    return shown


def lattice(_, rng):
    turn = rng.uniform(0, np.pi / 2)
    phases = (2 * np.pi * (ROWS * np.cos(turn + t) + COLUMNS * np.sin(turn + t)) / 10 for t in (0, np.pi / 2))
    return 5 + 20 * np.prod([(1 + np.cos(phase)) / 2 for phase in phases], axis=0)


def folder(draw, many, seed, *, images=12, odd=False, bright=0):
    """(N, F) of the cells of a folder; in the first image ``odd``: a dark hole, ``bright``: counts of a square."""
    rows = []
    for number in range(images):
        rng = np.random.default_rng((number, seed))
        shown = draw(many, rng)
        if odd and number == 0:
            shown = np.where(np.hypot(ROWS - 96, COLUMNS - 96) < 14, 3.0, shown)
        if bright and number == 0:
            shown[86:107, 86:107] = bright
        rows.append(describe_windows(rng.poisson(shown).astype(np.float32), CELLS, 1.0))
    return np.concatenate(rows)


def judged(rows, *, by_objects=True):
    scorer = NoveltyScorer()
    scorer.observe("image", rows)
    judge = scorer.completed()
    scores = judge.deviation("image", rows)
    places = np.array([(cell // len(CELLS), *divmod(cell % len(CELLS), 4)) for cell in range(len(rows))])
    return scores, surprise(scores, rows, places, "image", judge if by_objects else None)


@pytest.mark.parametrize(("draw", "many"), [(discs, 3), (discs, 8), (lattice, 0)])
def test_few_equal_things_and_turned_lattices_are_flagged_at_the_rate(draw, many):
    now = before = 0
    for seed in range(8):
        scores, told = judged(folder(draw, many, 100 + seed))
        now += bool((q_values(told.p_values) <= 0.1).any())
        before += bool((q_values(single_tail(scores).p_values(scores)) <= 0.1).any())
        assert told.without_objects
    assert now <= 1 < before


@pytest.mark.parametrize("images", [12, 24])
def test_a_thing_that_lifts_its_neighbours_is_no_part_of_the_tail_it_has_to_beat(images):
    """A square of 200 counts among discs of 45: the cells beside it are described with it, 9 of 192 in all."""
    for seed in range(3):
        told = judged(folder(discs, 8, seed, images=images, bright=200))[1]
        assert told.without_objects and q_values(told.p_values)[ODD] <= 0.1


def test_among_many_objects_the_most_extreme_one_speaks_for_its_cell():
    told = judged(folder(discs, 48, 1, images=32, odd=True))[1]
    assert told.without_objects == ""
    assert q_values(told.p_values)[ODD] <= 0.1 and told.by_object[ODD]
    plain = judged(folder(discs, 48, 1, images=32))[1]
    assert not (q_values(plain.p_values) <= 0.1).any()


def test_why_objects_are_not_judged_is_told():
    assert "of the cells hold none; larger ones, by --cell" in judged(folder(discs, 3, 1))[1].without_objects
    assert judged(folder(lattice, 0, 1))[1].without_objects == "a lattice fills most cells"
    few = judged(folder(discs, 48, 1, images=9))[1]
    assert (
        few.without_objects.startswith("144 cells are too few to know how far ordinary objects reach: 500")
        and not few.by_object.any()
    )
    assert judged(folder(discs, 48, 1), by_objects=False)[1].without_objects.startswith("the network")


def test_the_property_that_speaks_is_named_first():
    rows = folder(discs, 48, 1, odd=True)
    scorer = NoveltyScorer()
    scorer.observe("image", rows)
    judge = scorer.completed()
    name = judge.most_extreme("image", rows[ODD])
    led, plain = judge.explain("image", rows[ODD]).led_by(name), judge.explain("image", rows[ODD])
    assert name.startswith("dark_") and led.departures[0].name == name
    assert sorted(d.name for d in led.departures) == sorted(NAMES) and led.nearest == plain.nearest
    assert [d for d in led.departures if d.name != name] == [d for d in plain.departures if d.name != name]
