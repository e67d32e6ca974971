"""The table in which a person says which cells are unusual."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from configs.errors import ConfigError
from surveys.folder_said import hash_of, in_order, numbered, read_said, to_say, write_to_say

CELLS = [(f"{number:02}.png", row, column) for number in range(12) for row in (0, 64) for column in (0, 64)]
HEAD = "image,image_sha256,row_px,column_px,cell_px,unusual\n"
"""Of tables of before there were numbers."""


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


@pytest.fixture
def images(tmp_path):
    """Files of the cells' images; what is in them is never looked at."""
    paths = [tmp_path / name for name in sorted({name for name, _, _ in CELLS})]
    for path in paths:
        path.write_text(f"image {path.name}")
    return paths


def test_what_is_said_comes_back_and_is_not_written_over(tmp_path, images):
    table = write_to_say(CELLS, 64, images, tmp_path)
    assert table == tmp_path / "say.csv"
    filled(table, ["yes", "", " No ", "1"])
    assert write_to_say(CELLS, 64, images, tmp_path) == table
    said = read_said(table, 64, images)
    assert said == {CELLS[0]: 1.0, CELLS[2]: 0.0, CELLS[3]: 1.0}
    told = in_order(said, CELLS, table)
    assert told[:4].tolist()[0] == 1.0 and np.isnan(told[1]) and np.isnan(told[4:]).all()
    table.write_text(table.read_text().replace(",64,64,", ",64.0,64,"))
    assert read_said(table, 64, images) == said and write_to_say(CELLS, 64, images, tmp_path) == table


def test_cells_are_numbered_by_where_they_lie_and_keep_their_numbers_where_a_person_sorts_them(tmp_path, images):
    shuffled = [CELLS[k] for k in np.random.default_rng(0).permutation(len(CELLS))]
    table = write_to_say(shuffled, 64, images, tmp_path)
    assert numbered(table) == list(enumerate(CELLS, start=1))
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *reversed(rows)]) + "\n")
    assert write_to_say(shuffled, 64, images, tmp_path) == table and numbered(table) == list(enumerate(CELLS, start=1))


def test_a_table_without_numbers_is_read_and_gone_on_with(tmp_path, images):
    rows = [f"{name},{hash_of(tmp_path / name)},{row},{column},64," for name, row, column in reversed(CELLS)]
    (tmp_path / "say.csv").write_text(HEAD + "\n".join([rows[0] + "yes", *rows[1:]]) + "\n")
    table = write_to_say(CELLS, 64, images, tmp_path)
    assert table == tmp_path / "say.csv" and read_said(table, 64, images) == {CELLS[-1]: 1.0}
    assert numbered(table) == list(enumerate(reversed(CELLS), start=1))


def test_a_table_of_other_cells_or_images_is_neither_taken_nor_written_over(tmp_path, images):
    first = filled(write_to_say(CELLS, 64, images, tmp_path), ["yes", "no"])
    kept = first.read_bytes()
    assert write_to_say(CELLS, 32, images, tmp_path).name == "say-2.csv"
    assert write_to_say(CELLS[:3], 64, images, tmp_path).name == "say-3.csv"
    images[0].write_text("another image of the same name")
    assert write_to_say(CELLS, 64, images, tmp_path).name == "say-4.csv"
    assert write_to_say(CELLS, 64, images, tmp_path).name == "say-4.csv" and first.read_bytes() == kept
    with pytest.raises(ConfigError, match=r"line 2: 00\.png was another image then; these answers are about other"):
        read_said(first, 64, images)
    with pytest.raises(ConfigError, match=r"line 2: 00\.png is not in the folder; these answers are about other"):
        read_said(first, 64, images[1:])


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_that_a_spreadsheet_parted_otherwise_is_read_and_gone_on_with(tmp_path, images, delimiter):
    table = filled(write_to_say(CELLS, 64, images, tmp_path), ["yes", "no"])
    said = read_said(table, 64, images)
    table.write_text("\ufeff" + table.read_text().replace(",", delimiter), encoding="utf-8")
    assert read_said(table, 64, images) == said == {CELLS[0]: 1.0, CELLS[1]: 0.0}
    assert write_to_say(CELLS, 64, images, tmp_path) == table and len(numbered(table)) == len(CELLS)


def test_no_hash_reads_as_a_number_in_a_spreadsheet_and_those_of_older_tables_are_known(tmp_path, images):
    table = filled(write_to_say(CELLS, 64, images, tmp_path), ["yes"])
    said = read_said(table, 64, images)
    with table.open() as file:
        written = {row["image_sha256"] for row in csv.DictReader(file)}
    assert written == {f"h{hash_of(image)}" for image in images}
    table.write_text(table.read_text().replace(",h", ","))
    assert hash_of(images[0]) in table.read_text() and read_said(table, 64, images) == said
    assert write_to_say(CELLS, 64, images, tmp_path) == table


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "needs the columns"),
        ("image,row\na,1\n", "needs the columns"),
        (HEAD + "00.png,HASH,0,0,64,\n", "says nothing yet"),
        (HEAD + "00.png,HASH,0,0,64,maybe\n", "line 2: unusual is 'maybe'; say yes or no"),
        (HEAD + "00.png,HASH,0,0,32,yes\n", "of cells of 32 pixels; give --cell as then"),
        (HEAD + "00.png,HASH,zero,0,64,yes\n", "line 2: cannot be read as a table"),
        (HEAD + "00.png,HASH,0,0.5,64,yes\n", "line 2: .*'0.5' is no whole number"),
        (HEAD + "00.png,HASH,0,0,64,yes\n00.png,HASH,0,0.0,64,no\n", "lines 2 and 3 say yes and no of one cell"),
    ],
)
def test_what_says_nothing_is_refused_in_words(tmp_path, images, text, says):
    table = tmp_path / "say.csv"
    table.write_text(text.replace("HASH", hash_of(images[0])))
    with pytest.raises(ConfigError, match=says):
        read_said(table, 64, images)


def test_a_cell_that_is_not_judged_and_a_table_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"1 of its answers .* as 12\.png at row 0, column 64; leave those empty"):
        in_order({("12.png", 0, 64): 1.0}, CELLS, tmp_path / "say.csv")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_said(tmp_path / "none.csv", 64, [])
