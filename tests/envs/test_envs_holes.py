"""Tables of holes: read, cut, damaged; and the environment over them."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from configs.errors import ConfigError
from envs.hole_env import COST, GOOD, IMAGED, HoleEnv
from envs.holes import Costs, read_holes

HEAD = "grid,square,patch,ctf_max_resolution_A,predicted_resolution_A\n"
ROWS = [
    ("g1", "s1", "p1", 4.0, 4.5), ("g1", "s1", "p1", 9.0, 8.0), ("g1", "s1", "p2", 5.9, 5.0),
    ("g1", "s2", "p1", -1, 12.0), ("g2", "s1", "p1", 100000, 7.0), ("g2", "s1", "p1", 3.1, 3.5),
]  # fmt: skip


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "holes.csv"
    path.write_text(HEAD + "".join(",".join(map(str, row)) + "\n" for row in ROWS))
    return path


def test_a_table_is_a_tree_with_predictions_and_what_came_of_it(table):
    holes = read_holes(table)
    assert holes.good.tolist() == [True, False, True, False, False, True]
    assert holes.parents[:, 2].tolist() == [0, 0, 1, 2, 3, 3], "p1 of another square is another patch"
    assert holes.parents[:, 1].tolist() == [0, 0, 0, 1, 2, 2]
    assert np.all(np.diff(holes.score[np.argsort([row[4] for row in ROWS])]) < 0)
    assert read_holes(table, threshold_nm=0.35).good.sum() == 1


def test_the_way_costs_more_the_higher_up_it_leads(table):
    way_min = read_holes(table).way_min(0, Costs())
    assert way_min.tolist() == [2, 2, 5, 10, 20, 20]


def test_probabilities_serve_as_well(tmp_path):
    path = tmp_path / "holes.csv"
    path.write_text(
        "grid,square,patch,ctf_max_resolution_A,predicted_good_probability\na,b,c,4,0.5\na,b,c,9,0\na,b,c,4,1\n"
    )
    assert read_holes(path).score == pytest.approx([0, -1, 1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grid,square\na,b\n", "columns patch, ctf_max_resolution_A, predicted_good_probability or"),
        (HEAD, "holds no hole"),
        (HEAD + "a,b,c,9,4\n", "no hole is better than 6"),
        (HEAD + "a,b,c,4,nan\n", "predicted_resolution_A is NaN in row 2"),
        (HEAD + "a,b,c,four,4\n", "what is no number"),
        (HEAD + "a,b,c,4,4\na,,c,4,4\n", "row 3 has no square: is it cut short"),
        ("grid,square,patch,ctf_max_resolution_A,predicted_good_probability\na,b,c,4,1.5\n", "runs from 1.5"),
        (HEAD[:-1] + ",predicted_good_probability\na,b,c,4,4,0.5\n", "both .* are there"),
        (HEAD[:-1] + ",x_px,y_px\na,b,c,4,4,0,0\na,b,c,4,4,inf,0\n", "a place in row 3 is endless"),
        (HEAD[:-1] + ",x_px,y_px\na,b,c,4,4,0,0\na,b,c,9,4,1,0\na,b,c,5,4,0,0\n", "rows 2 and 4 are of one hole"),
        ("target," + HEAD + "t,a,b,c,4,4\nt,a,b,c,9,4\n", "rows 2 and 3 are of one hole .target t"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path, text, words):
    path = tmp_path / "holes.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_holes(path)


def test_a_target_is_named_within_its_patch(tmp_path):
    path = tmp_path / "holes.csv"
    path.write_text("target," + HEAD + "1,a,b,c,4,4\n1,a,b,d,9,4\n")
    assert len(read_holes(path)) == 2


def test_a_table_as_a_spreadsheet_saves_it(table):
    as_saved = table.with_name("saved.csv")
    as_saved.write_text(table.read_text(), encoding="utf-8-sig")
    assert np.array_equal(read_holes(as_saved).score, read_holes(table).score)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_holes(tmp_path / "none.csv")


def test_damage_is_what_it_says(table):
    holes = read_holes(table)
    inverted, constant = holes.damaged("inverted"), holes.damaged("constant")
    assert np.argsort(inverted.score).tolist() == np.argsort(holes.score)[::-1].tolist()
    assert len(set(constant.score)) == 1
    flipped = holes.damaged("flipped50", seed=3)
    assert (flipped.score != holes.score).sum() == 3
    assert np.array_equal(flipped.score, holes.damaged("flipped50", seed=3).score)
    assert np.array_equal(flipped.good, holes.good)
    whole, inverted_too = holes.damaged("patches50", seed=3).score, holes.damaged("patches100").score
    changed = [
        set(whole[holes.parents[:, 2] == patch] != holes.score[holes.parents[:, 2] == patch]) for patch in range(4)
    ]
    assert sorted(changed, key=str) == [{False}, {False}, {True}, {True}]
    assert np.array_equal(inverted_too, inverted.score)
    shuffled = holes.damaged("shuffled", seed=1)
    for square in range(3):
        inside = holes.parents[:, 1] == square
        assert sorted(shuffled.score[inside]) == sorted(holes.score[inside])
    assert any(not np.array_equal(holes.damaged("shuffled", seed).score, holes.score) for seed in range(5))
    with pytest.raises(ConfigError, match="flipped0 to flipped100"):
        holes.damaged("flipped200")


def test_grids_are_cut_out_and_patches_drawn_anew(table):
    holes = read_holes(table)
    one = holes.within(["g2"])
    assert (len(one), one.parents.max()) == (2, 0)
    with pytest.raises(ConfigError, match="g9 were asked; the table holds g1, g2"):
        holes.within(["g9"])
    with pytest.raises(ConfigError, match="hold no good hole"):
        replace(holes, good=holes.parents[:, 0] == 0).within(["g2"])
    drawn = holes.resampled(1)
    assert len(set(drawn.parents[:, 2])) == 4
    assert set(drawn.score) <= set(holes.score)


def test_gymnasium_finds_nothing_wrong_with_the_environment(table):
    env = gymnasium.make("envs:adaptem/Holes-v0", table=table, budget_min=40.0)
    check_env(env.unwrapped, skip_render_check=True)


def test_time_is_spent_and_the_way_measured_from_where_one_is(table):
    env = HoleEnv(read_holes(table), Costs(), 60.0)
    seen, _ = env.reset(options={"start": 0})
    holes, left_min, here = env.holes, 60.0, 0
    for slot in (2, 3, 5, 4, 1):
        cost_min = holes.way_min(here, Costs())[slot]
        assert seen["targets"][slot, COST] == cost_min
        seen, reward, terminated, truncated, _ = env.step(slot)
        left_min, here = left_min - cost_min, slot
        assert seen["globals"][0] == left_min and reward == holes.good[slot] and not terminated
        assert (seen["targets"][slot, IMAGED], seen["targets"][slot, GOOD]) == (1, holes.good[slot])
        assert seen["targets"][:, COST].tolist() == holes.way_min(here, Costs()).tolist()
    assert truncated, "no hole is left"


def test_an_image_that_ends_after_the_budget_does_not_count(table):
    env = HoleEnv(read_holes(table), Costs(), 10.0)
    seen, _ = env.reset(options={"start": 1})
    assert seen["action_mask"].tolist() == [1, 0, 1, 1, 0, 0, 1]
    seen, reward, terminated, truncated, _ = env.step(5)
    assert (reward, terminated, truncated, seen["globals"][0]) == (0.0, False, True, 0.0)


def test_what_is_no_action_is_refused(table):
    env = HoleEnv(read_holes(table), Costs(), 10.0)
    env.reset(options={"start": 1})
    for action in (7, -1):
        with pytest.raises(ConfigError, match="give a hole, 0 to 5, or 6 to stop"):
            env.step(action)
    assert env.step(0)[1] == 1.0 and env.step(0)[1] == 0.0, "the second image of a hole is not worth another"
    with pytest.raises(ConfigError, match="start 9 was asked"):
        env.reset(options={"start": 9})
    with pytest.raises(ConfigError, match="a budget of 1"):
        HoleEnv(read_holes(table), Costs(), 1.0)
    assert env.step(6)[2], "stop ends it"


@pytest.mark.parametrize("text", ["2,5,10", "2,5,x,20", "0,5,10,20", "5,2,10,20", "2,5,10,inf"])
def test_costs_that_make_no_sense_are_refused(text):
    with pytest.raises(ConfigError, match="were asked"):
        Costs.read(text)


def test_decimal_costs_lose_no_image(table):
    """Ten images of 0.1 min in a patch take a minute, however 0.1 is rounded."""
    path = table.with_name("many.csv")
    path.write_text(HEAD + "".join(f"a,b,c,4.0,{4 + n / 100}\n" for n in range(12)))
    costs = Costs(hole_min=0.1, patch_min=0.3, square_min=0.7, grid_min=1.0)
    env = HoleEnv(read_holes(path), costs, 1.0)
    seen, _ = env.reset(options={"start": 0})
    found, over = 0.0, False
    while not over:
        seen, reward, terminated, truncated, _ = env.step(int(np.flatnonzero(seen["action_mask"])[0]))
        found, over = found + reward, terminated or truncated
    assert found == 10
