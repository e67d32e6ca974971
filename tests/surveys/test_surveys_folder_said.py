"""The table in which a person says which cells are unusual."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from configs.errors import ConfigError
from surveys.folder_said import COLUMNS, in_order, read_said, to_say, write_to_say

CELLS = [(f"{number:02}.png", row, column) for number in range(12) for row in (0, 64) for column in (0, 64)]


def filled(path, words):
    """The table at ``path`` with these words in its last column."""
    with path.open() as file:
        rows = list(csv.reader(file))
    for row, word in zip(rows[1:], words, strict=False):
        row[-1] = word
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_half_are_the_most_unusual_and_half_are_drawn():
    p = np.random.default_rng(0).permutation(np.linspace(0, 1, 400))
    chosen = to_say(p)
    assert len(set(chosen)) == 40 and set(chosen[:20]) == set(np.argsort(p)[:20].tolist())
    assert 0.3 < p[chosen[20:]].mean() < 0.7 and chosen == to_say(p)
    assert sorted(to_say(np.linspace(0, 1, 30))) == list(range(30))


def test_what_is_said_comes_back_and_is_not_written_over(tmp_path):
    table = tmp_path / "say.csv"
    write_to_say(CELLS, 64, table)
    filled(table, ["yes", "", " No ", "1"])
    write_to_say(CELLS[:3], 64, table)
    said = read_said(table, 64)
    assert said == {CELLS[0]: 1.0, CELLS[2]: 0.0, CELLS[3]: 1.0}
    told = in_order(said, CELLS, table)
    assert told[:4].tolist()[0] == 1.0 and np.isnan(told[1]) and np.isnan(told[4:]).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "needs the columns"),
        ("image,row\na,1\n", "needs the columns"),
        (",".join(COLUMNS) + "\na.png,0,0,64,\n", "says nothing yet"),
        (",".join(COLUMNS) + "\na.png,0,0,64,maybe\n", "line 2: unusual is 'maybe'; say yes or no"),
        (",".join(COLUMNS) + "\na.png,0,0,32,yes\n", "of cells of 32 pixels; give --cell as then"),
        (",".join(COLUMNS) + "\na.png,zero,0,64,yes\n", "cannot be read as a table"),
    ],
)
def test_what_says_nothing_is_refused_in_words(tmp_path, text, says):
    table = tmp_path / "say.csv"
    table.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_said(table, 64)


def test_a_cell_that_is_not_judged_and_a_table_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"1 cells are not among those judged, as b\.png at row 0, column 64"):
        in_order({("b.png", 0, 64): 1.0}, CELLS, tmp_path / "say.csv")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_said(tmp_path / "none.csv", 64)
