"""The command that flags a folder of images, and what a person says of its cells."""

from __future__ import annotations

import csv
import json
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageColor

pytest.importorskip("sklearn", reason="the extra 'see' is not installed")
pytest.importorskip("torch", reason="the extra 'see' is not installed")

from typer.testing import CliRunner

from console.main import app
from surveys.folder_picture import asked


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_the_odd_one_is_flagged_first_and_a_blank_image_is_told(particles, tmp_path):
    found = run("flag", particles / "images", "--out", tmp_path, "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.output)
    why = {path.rpartition("/")[2]: words for path, words in told["refused"].items()}
    assert told["cells"] == 5 * 16 and why["blank.png"].startswith("all its pixels are 0")
    assert "not finite" in why["nan.tif"] and "cannot be read" in why["broken.png"]
    first = told["ranked"][0]
    assert first["image"].endswith("a4.png")
    assert abs(first["row_px"] + 32 - 96) <= 32 and abs(first["column_px"] + 32 - 160) <= 32
    assert [one["flagged"] for one in told["ranked"]] == [one["q_value"] <= 0.1 for one in told["ranked"]]
    with Image.open(tmp_path / "flags.png") as shown:
        assert shown.height > 100
    assert "blank.png" in (tmp_path / "flags.csv").read_text()


def test_what_a_person_says_of_cells_sets_the_probabilities(particles, tmp_path):
    before = json.loads(run("flag", particles / "images", "--out", tmp_path, "--json").output)
    table = tmp_path / "say.csv"
    with table.open() as file:
        asked = list(csv.DictReader(file))
    assert len(asked) == 40 and {row["cell_px"] for row in asked} == {"64"}
    cell = itemgetter("image", "row_px", "column_px")
    first = [(Path(one["image"]).name, str(one["row_px"]), str(one["column_px"])) for one in before["ranked"]]
    assert set(first[:20]) < {cell(row) for row in asked}
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, asked[0].keys())
        writer.writeheader()
        writer.writerows(row | {"unusual": "no" if cell(row) in first[:10] else ""} for row in asked)
    told = run("flag", particles / "images", "--out", tmp_path, "--said", table, "--json")
    assert told.exit_code == 0, told.output
    after = json.loads(told.output)
    assert (before["said"], after["said"]) == (0, 10)
    assert before["to_say"] == after["to_say"] == str(table)
    ranked = list(zip(before["ranked"], after["ranked"], strict=True))
    assert all(b["probability"] == 0.0 and a["q_value"] == b["q_value"] for a, b in ranked[:10])
    assert all(b["probability"] < a["probability"] for a, b in ranked[10:15])
    assert table.read_text().count(",no") == 10
    wrong = run("flag", particles / "images", "--cell", "56", "--out", tmp_path / "b", "--said", table)
    assert wrong.exit_code != 0 and "give --cell as then" in wrong.output.replace("\n", " ")
    other = run("flag", particles / "images", "--cell", "56", "--out", tmp_path, "--json")
    assert json.loads(other.output)["to_say"] == str(tmp_path / "say-2.csv")
    assert (tmp_path / "say-2.png").is_file()


def test_the_cells_to_say_something_of_are_outlined_amid_what_is_around_them(tmp_path):
    ramp = np.arange(96, dtype=np.uint8)[:, None] + np.zeros(128, np.uint8)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    sheet = asked([(7, ("a.png", 32, 32)), (8, ("a.png", 64, 96))], 32, [tmp_path / "a.png"])
    seen, yellow = np.array(sheet), np.array(ImageColor.getrgb("#ffd400"))
    rows, columns = np.nonzero((seen == yellow).all(axis=2))
    left = columns < sheet.width // 2
    for mine, row, column in ((left, 1, 1), (~left, 2, 2)):  # of three by three cells, 80 pixels each
        x = 10 if mine is left else 260
        assert rows[mine].min() == 10 + 30 + 80 * row - 1 and columns[mine].min() == x + 80 * column - 1
    greys = seen[60:270:10, 20, 0].astype(int)
    assert (np.diff(greys) > 0).all()


def test_what_no_whole_cell_covers_is_told(particles, tmp_path):
    found = run("flag", particles / "images", "--cell", "56", "--out", tmp_path, "--json")
    told = json.loads(found.output)
    assert told["beyond_ratio"] == pytest.approx(1 - (4 * 56 / 256) ** 2)
    assert "of the pixels, right of the last whole cell" in run(
        "flag", particles / "images", "--cell", "56", "--out", tmp_path
    ).output.replace("\n", " ")


def test_nothing_unusual_is_mostly_no_flag(particles, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    for n in range(4):
        (plain / f"a{n}.png").write_bytes((particles / "images" / f"a{n}.png").read_bytes())
    told = json.loads(run("flag", plain, "--out", tmp_path / "out", "--json").output)
    assert sum(one["flagged"] for one in told["ranked"]) <= 1


def test_a_stack_is_not_read_for_its_first_image(particles, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.random.default_rng(0).poisson(30, (5, 64, 64)).astype(np.uint16))
    for n in range(3):
        (tmp_path / f"a{n}.png").write_bytes((particles / "images" / f"a{n}.png").read_bytes())
    told = json.loads(run("flag", tmp_path, "--out", tmp_path / "out", "--json").output)
    assert "holds 5 images" in told["refused"][str(tmp_path / "stack.tif")]


@pytest.mark.parametrize("by", ["descriptors", "network", "both"])
@pytest.mark.parametrize("value", [0, 255])
def test_a_dead_or_saturated_cell_is_told_and_not_flagged(particles, tmp_path, by, value):
    for n in range(4):
        data = np.array(Image.open(particles / "images" / f"a{n}.png"))
        if n == 2:
            data[64:128, 128:192] = value
        Image.fromarray(data).save(tmp_path / f"a{n}.png")
    found = run("flag", tmp_path, "--by", by, "--out", tmp_path / "out", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.output)
    beside = {(r, c) for r in (0, 64, 128) for c in (64, 128, 192)}
    assert {(each["row_px"], each["column_px"]) for each in told["blind"]} == beside
    assert next(e["why"] for e in told["blind"] if (e["row_px"], e["column_px"]) == (64, 128)).startswith(
        "all its pixels"
    )
    assert told["cells"] == 4 * 16 - 9
    assert not any(e["image"].endswith("a2.png") and (e["row_px"], e["column_px"]) in beside for e in told["ranked"])
    assert sum(each["flagged"] for each in told["ranked"]) <= 1


def answered(table, word):
    """The table, with this said of all its cells."""
    with table.open() as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"unusual": word} for row in rows)
    return table


def test_what_was_said_of_earlier_folders_sets_the_probabilities_of_a_new_one(particles, tmp_path):
    turned = tmp_path / "turned"
    turned.mkdir()
    for n in range(4):
        Image.open(particles / "images" / f"a{n}.png").rotate(180).save(turned / f"a{n}.png")
    old = tmp_path / "old"
    assert run("flag", turned, "--out", old).exit_code == 0
    words = ("flag", particles / "images", "--out", tmp_path / "new", "--earlier", old, "--json")
    unsaid, chance = json.loads(run(*words).output), {}
    assert (
        unsaid["earlier"] == []
        and unsaid["expected"] is None
        and unsaid["passed_over"] == {str(old): "nothing is said in it yet"}
    )
    for word in ("yes", "no"):
        answered(old / "say.csv", word)
        told = json.loads(run(*words).output)
        assert 0 < told["expected"]["low"] < told["expected"]["share"] < told["expected"]["high"] < 1
        assert told["earlier"] == [{"folder": str(old), "said": 40, "unusual": 40 * (word == "yes")}]
        chance[word] = [one["probability"] for one in told["ranked"]]
        assert [one["q_value"] for one in told["ranked"]] == [one["q_value"] for one in unsaid["ranked"]]
    pairs = list(zip(chance["no"], chance["yes"], strict=True))
    assert all(no < yes for no, yes in pairs[1:]) and np.mean(chance["yes"]) > 3 * np.mean(chance["no"])
    told = " ".join(run(*words[:-1]).output.split())
    assert "in 1 earlier folder(s) 0 of 40 cells were said to be unusual" in told
    other = " ".join(run(*words[:-1], "--cell", "56").output.split())
    assert "its cells had 64 pixels, not 56" in other
    missing = run("flag", particles / "images", "--out", tmp_path / "new", "--earlier", tmp_path)
    assert missing.exit_code == 2 and "has no say.csv" in " ".join(missing.output.split())
