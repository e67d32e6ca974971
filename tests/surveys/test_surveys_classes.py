"""Classes from clicked examples, of an image and of a survey, by the command as a person gives it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
pytest.importorskip("safetensors", reason="the extra 'simulate' is not installed")

from typer.testing import CliRunner

from console.main import app

DATA = Path(os.environ.get("ADAPTEM_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


@pytest.fixture
def image(tmp_path):
    """Left a fine lattice, right stripes, in the middle below nothing but noise; one chip is blank."""
    rows, columns = np.mgrid[:256, :384]
    left = 100 + 40 * np.cos(rows * 0.8) * np.cos(columns * 0.8)
    shown = np.where(columns < 192, left, 100 + 40 * np.cos((rows + columns) * 0.25))
    shown[128:, 128:256] = 100
    shown += np.random.default_rng(0).normal(0, 8, shown.shape)
    shown[:64, :64] = 0
    path = tmp_path / "image.png"
    Image.fromarray(shown.clip(0, 255).astype(np.uint8)).save(path)
    return path


def run(*words):
    return CliRunner().invoke(app, ["classify", *map(str, words)])


CLICKS = [
    word
    for said, x, y in (
        ("fine", 40, 96),
        ("fine", 40, 220),
        ("fine", 96, 40),
        ("stripes", 340, 40),
        ("stripes", 340, 220),
    )
    for word in ("--at", f"{said}={x},{y}")
]


def test_three_clicks_a_class_tell_an_image(image, tmp_path):
    found = run(image, *CLICKS, "--at", "noise=160,200", "--at", "noise=220,200", "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    with (tmp_path / "out" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    told = {(int(row["row_px"]), int(row["column_px"])): row for row in rows}
    assert told[0, 0]["class"] == "" and "all its pixels are" in told[0, 0]["why"]
    assert {told[at, 0]["class"] for at in (64, 128, 192)} <= {"fine", "none of these"}
    assert [told[at, 320]["class"] for at in (0, 64, 128, 192)].count("stripes") >= 3
    assert {told[at, 192]["class"] for at in (128, 192)} <= {"noise", "none of these"}
    with Image.open(tmp_path / "out" / "classes.png") as shown:
        assert shown.width >= 384


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "examples of nothing only"),
        (["--at", "fine=40,96"], "only"),
        (["--at", "fine=40"], "CLASS=COLUMN,ROW"),
        (["--at", "=40,96"], "names no class"),
        (["--at", "fine=3,3"], "reaches beyond"),
        (["--at", "dark=32,32"], "all its pixels are 0"),
        (["--examples", "nowhere"], "no such folder"),
        ([*CLICKS, "--chip", "16"], "at least"),
        ([*CLICKS, "--at", "stripes=40,96"], "leave one out"),
        ([*CLICKS, "--revisit", "fine"], "no stage drives to it"),
    ],
)
def test_bad_examples_are_refused_in_words(image, words, says):
    found = run(image, *words)
    assert found.exit_code == 2 and says in " ".join(found.output.split()), found.output


@pytest.mark.skipif(not (DATA / "sto_ge_haadf").is_dir(), reason="no shared/data/sto_ge_haadf beside the checkout")
def test_fifteen_clicked_chips_tell_a_real_image(tmp_path):
    folder = DATA / "sto_ge_haadf"
    quarter = tmp_path / "quarter.png"
    with Image.open(folder / "STO-Ge-HAADF.jpg") as whole:
        whole.crop((0, 1615, 760, 2280)).save(quarter)  # the film above, germanium below
    found = run(quarter, "--examples", folder / "support_set", "--closed", "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    with (tmp_path / "out" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    above = [row["class"] for row in rows if int(row["row_px"]) == 0]
    below = [row["class"] for row in rows if int(row["row_px"]) >= 475]
    assert above.count("dots") > 0.7 * len(above) and below.count("snowmen") > 0.7 * len(below)
    # these examples had their contrast stretched, which the image had not: where that matters, it is said
    found = run(quarter, "--examples", folder / "support_set", "--out", tmp_path / "open")
    assert found.exit_code == 0 and "processed as this?" in " ".join(found.output.split()), found.output
