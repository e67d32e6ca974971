"""The commands that see: flag a folder of images, measure from masks."""

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

from scipy import ndimage
from skimage.measure import label
from typer.testing import CliRunner

from console.main import app
from models import description
from surveys.folder_picture import asked
from surveys.measuring import read_objects


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Particles on a film; in the last image a hollow one; one image is blank."""
    place = tmp_path_factory.mktemp("see")
    (place / "images").mkdir(), (place / "masks").mkdir()
    rows, columns = np.mgrid[:256, :256]
    for n in range(5):
        rng = np.random.default_rng(n)
        mask = np.zeros(rows.shape, dtype=bool)
        for row, column in rng.uniform(8, 248, (16, 2)):
            mask |= np.hypot(rows - row, columns - column) < rng.uniform(4, 7)
        shown = 40.0 + 45 * mask
        if n == 4:
            far = np.hypot(rows - 96, columns - 160)
            shown[(far < 17) & (far > 12)] += 60
        Image.fromarray(rng.poisson(shown).clip(0, 255).astype(np.uint8)).save(place / "images" / f"a{n}.png")
        if n < 1:
            Image.fromarray((255 * mask).astype(np.uint8)).save(place / "masks" / f"a{n}.png")
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(place / "images" / "blank.png")
    (place / "images" / "broken.png").write_bytes(b"no image")
    tifffile.imwrite(place / "images" / "nan.tif", np.full((256, 256), np.nan, dtype=np.float32))
    return place


def test_the_odd_one_is_flagged_first_and_a_blank_image_is_told(folder, tmp_path):
    found = run("flag", folder / "images", "--out", tmp_path, "--json")
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


def test_what_a_person_says_of_cells_sets_the_probabilities(folder, tmp_path):
    before = json.loads(run("flag", folder / "images", "--out", tmp_path, "--json").output)
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
    told = run("flag", folder / "images", "--out", tmp_path, "--said", table, "--json")
    assert told.exit_code == 0, told.output
    after = json.loads(told.output)
    assert (before["said"], after["said"]) == (0, 10)
    assert before["to_say"] == after["to_say"] == str(table)
    ranked = list(zip(before["ranked"], after["ranked"], strict=True))
    assert all(b["probability"] == 0.0 and a["q_value"] == b["q_value"] for a, b in ranked[:10])
    assert all(b["probability"] < a["probability"] for a, b in ranked[10:15])
    assert table.read_text().count(",no") == 10
    wrong = run("flag", folder / "images", "--cell", "56", "--out", tmp_path / "b", "--said", table)
    assert wrong.exit_code != 0 and "give --cell as then" in wrong.output.replace("\n", " ")
    other = run("flag", folder / "images", "--cell", "56", "--out", tmp_path, "--json")
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


def test_what_no_whole_cell_covers_is_told(folder, tmp_path):
    found = run("flag", folder / "images", "--cell", "56", "--out", tmp_path, "--json")
    told = json.loads(found.output)
    assert told["beyond_ratio"] == pytest.approx(1 - (4 * 56 / 256) ** 2)
    assert "of the pixels, right of the last whole cell" in run(
        "flag", folder / "images", "--cell", "56", "--out", tmp_path
    ).output.replace("\n", " ")


def test_nothing_unusual_is_mostly_no_flag(folder, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    for n in range(4):
        (plain / f"a{n}.png").write_bytes((folder / "images" / f"a{n}.png").read_bytes())
    told = json.loads(run("flag", plain, "--out", tmp_path / "out", "--json").output)
    assert sum(one["flagged"] for one in told["ranked"]) <= 1


def test_one_mask_measures_every_image(folder, tmp_path):
    found = run("measure", folder / "images", "--masks", folder / "masks", "--pixel-size", "0.5", "--out", tmp_path)
    assert found.exit_code == 0, found.output
    with (tmp_path / "frames.csv").open() as file:
        frames = {row["image"]: row for row in csv.DictReader(file)}
    assert frames["a0.png"]["labelled"] == "True" and frames["blank.png"]["why"].startswith("all its pixels")
    assert "not finite" in frames["nan.tif"]["why"] and "cannot be read" in frames["broken.png"]["why"]
    for n in range(1, 4):
        low, high = float(frames[f"a{n}.png"]["count_low"]), float(frames[f"a{n}.png"]["count_high"])
        assert low < 16 < high + 4
    with (tmp_path / "things.csv").open() as file:
        sizes = [float(row["diameter_nm"]) for row in csv.DictReader(file)]
    assert 4 < np.median(sizes) < 7.5


def test_an_image_is_described_once_for_outlines_and_counts(folder, tmp_path, monkeypatch):
    described, really = [], description.multiscale_basic_features

    def noted(image, **settings):
        described.append(image.shape)
        return really(image, **settings)

    monkeypatch.setattr(description, "multiscale_basic_features", noted)
    found = run("measure", folder / "images", "--masks", folder / "masks", "--out", tmp_path)
    assert found.exit_code == 0, found.output
    with (tmp_path / "frames.csv").open() as file:
        measured = [row for row in csv.DictReader(file) if not row["why"]]
    assert len(described) == len(measured) + 1  # and the labelled one, once more to learn from


def test_a_labelled_image_that_says_nothing_is_named(folder, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "blank.png").write_bytes(next((folder / "masks").iterdir()).read_bytes())
    found = run("measure", folder / "images", "--masks", tmp_path / "masks", "--out", tmp_path / "out")
    assert found.exit_code == 2 and "labelled image blank.png" in " ".join(found.output.split()), found.output


def test_no_image_is_written_over(folder, tmp_path):
    for images in ("images", "masks"):
        place = folder / images
        before = {path: path.read_bytes() for path in place.iterdir()}
        commands = [["measure", folder / "images", "--masks", folder / "masks"], ["flag", place]]
        for words in [*commands, ["measure", place, "--lattice"]]:
            found = run(*words, "--out", place)
            assert found.exit_code == 2 and "holds the images that are read" in " ".join(found.output.split())
        assert {path: path.read_bytes() for path in place.iterdir()} == before
    twins = tmp_path / "twins"
    twins.mkdir()
    data = np.random.default_rng(0).poisson(30, (64, 64)).astype(np.uint8)
    Image.fromarray(data).save(twins / "a.png"), tifffile.imwrite(twins / "a.tif", data)
    found = run("measure", twins, "--lattice", "--out", tmp_path / "out")
    assert found.exit_code == 2 and "are called the same" in " ".join(found.output.split())


def test_a_stack_is_not_read_for_its_first_image(folder, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.random.default_rng(0).poisson(30, (5, 64, 64)).astype(np.uint16))
    for n in range(3):
        (tmp_path / f"a{n}.png").write_bytes((folder / "images" / f"a{n}.png").read_bytes())
    told = json.loads(run("flag", tmp_path, "--out", tmp_path / "out", "--json").output)
    assert "holds 5 images" in told["refused"][str(tmp_path / "stack.tif")]


@pytest.mark.parametrize("by", ["descriptors", "network", "both"])
@pytest.mark.parametrize("value", [0, 255])
def test_a_dead_or_saturated_cell_is_told_and_not_flagged(folder, tmp_path, by, value):
    for n in range(4):
        data = np.array(Image.open(folder / "images" / f"a{n}.png"))
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


def test_masks_may_be_labels_one_number_an_object_or_softened(folder, tmp_path):
    with Image.open(folder / "masks" / "a0.png") as opened:
        mask = np.array(opened) > 127
    labels, soft = label(mask).astype(np.uint16), ndimage.uniform_filter(255.0 * mask, 3).astype(np.uint8)
    tifffile.imwrite(tmp_path / "labels.tif", labels), Image.fromarray(soft).save(tmp_path / "soft.png")
    assert labels.max() > 8
    assert np.array_equal(read_objects(tmp_path / "labels.tif"), labels)
    assert ((read_objects(tmp_path / "soft.png") > 0) != mask).mean() < 0.02


def test_frames_of_a_movie_are_counted_in_order_and_where_the_number_steps_is_told(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:160, :160]
    for n in range(8):
        mask = np.zeros(rows.shape, dtype=bool)
        for cell in rng.permutation(36)[: 36 if n < 5 else 8]:
            mask |= np.hypot(rows - 12 - 26 * (cell // 6), columns - 12 - 26 * (cell % 6)) < 5
        name = f"heat-{8 + n}.png"
        Image.fromarray(rng.poisson(40.0 + 45 * mask).clip(0, 255).astype(np.uint8)).save(images / name)
        if n in (0, 2):
            Image.fromarray((255 * mask).astype(np.uint8)).save(masks / name)
    found = run("measure", images, "--masks", masks, "--out", tmp_path / "out", "--movie")
    assert found.exit_code == 0, found.output
    assert "the number steps between heat-12.png and heat-13.png" in " ".join(found.output.split())
    with (tmp_path / "out" / "frames.csv").open() as file:
        counts = {row["image"]: float(row["count"]) for row in csv.DictReader(file)}
    assert list(counts) == [f"heat-{n}.png" for n in range(8, 16)]
    assert counts["heat-11.png"] == pytest.approx(36, rel=0.1) and counts["heat-15.png"] == pytest.approx(8, rel=0.25)


def test_another_magnification_is_not_measured_by_what_was_learned(folder, tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    for n, nm in ((0, 0.5), (1, 0.5), (2, 0.1)):
        with Image.open(folder / "images" / f"a{n}.png") as opened:
            per_cm = 1e7 / nm
            tifffile.imwrite(images / f"a{n}.ome.tif", np.array(opened), metadata={"axes": "YX", "PhysicalSizeX": nm,
                             "PhysicalSizeXUnit": "nm", "PhysicalSizeY": nm, "PhysicalSizeYUnit": "nm"},
                             resolution=(per_cm, per_cm))  # fmt: skip
    (masks / "a0.ome.png").write_bytes((folder / "masks" / "a0.png").read_bytes())
    found = run("measure", images, "--masks", masks, "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    with (tmp_path / "out" / "frames.csv").open() as file:
        frames = {row["image"]: row for row in csv.DictReader(file)}
    assert frames["a1.ome.tif"]["why"] == "" and "0.1 nm and the labelled images' 0.5" in frames["a2.ome.tif"]["why"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["flag", "nowhere"], "holds no image"),
        (["flag", "{images}", "--cell", "20"], "a multiple of 8"),
        (["flag", "{images}", "--by", "eye"], "descriptors, network or both"),
        (["flag", "{images}", "--rate", "1.5"], "between 0 and 1"),
        (["flag", "{images}", "--cell", "256"], "too few to know"),
        (["measure", "{images}", "--masks", "nowhere"], "holds no image"),
        (["measure", "{images}", "--masks", "{images}", "--pixel-size", "-1"], "above 0"),
        (["measure", "{images}", "--masks", "{images}"], "is the folder of the images"),
        (["measure", "{masks}", "--masks", "{images}"], "has no image of its name"),
        (["measure", "{images}"], "either --masks"),
        (["measure", "{images}", "--masks", "{masks}", "--lattice"], "either --masks"),
        (["measure", "{images}", "--lattice", "--movie"], "leave it out"),
    ],
)
def test_bad_input_is_refused_in_words(folder, tmp_path, words, says):
    places = {"images": folder / "images", "masks": folder / "masks"}
    found = run(*(word.format(**places) for word in words), "--out", tmp_path)
    assert found.exit_code == 2 and says in " ".join(found.output.split()), found.output


def test_the_lattice_of_each_image_is_measured_or_told_why_not(tmp_path):
    rows, columns = np.mgrid[:160, :160]
    phase = 2 * np.pi / 9.5
    shown = np.random.default_rng(0).poisson(40 * (1 + np.cos(phase * rows)) * (1 + np.cos(phase * columns)))
    (tmp_path / "images").mkdir()
    Image.fromarray(shown.clip(0, 255).astype(np.uint8)).save(tmp_path / "images" / "b.png")
    Image.fromarray(np.full((160, 160), 7, np.uint8)).save(tmp_path / "images" / "blank.png")
    (tmp_path / "images" / "a.png").write_text("no image")
    out = tmp_path / "out"
    found = run("measure", tmp_path / "images", "--lattice", "--pixel-size", "0.04", "--out", out)
    assert found.exit_code == 0, found.output
    with (out / "lattices.csv").open() as file:
        told = {row["image"]: row for row in csv.DictReader(file)}
    assert abs(float(told["b.png"]["first_nm"]) - 0.38) < 4 * float(told["b.png"]["first_sd_nm"])
    assert "all its pixels are 7" in told["blank.png"]["why"] and "cannot be read" in told["a.png"]["why"]
    with (out / "columns.csv").open() as file:
        assert len(list(csv.DictReader(file))) == int(told["b.png"]["columns"]) > 150
    with Image.open(out / "b.lattice.png") as picture:
        assert picture.width >= 160
    (tmp_path / "images" / "b.png").unlink(), (tmp_path / "images" / "blank.png").unlink()
    found = run("measure", tmp_path / "images", "--lattice", "--out", out)
    assert found.exit_code == 2 and "none of its 1 images can be read" in " ".join(found.output.split())
