"""The commands that see: measure from masks, and what they and flags refuse."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image

pytest.importorskip("sklearn", reason="the extra 'see' is not installed")
pytest.importorskip("torch", reason="the extra 'see' is not installed")

from scipy import ndimage
from skimage.measure import label
from typer.testing import CliRunner

from console.main import app
from models import description
from surveys.measuring import read_objects


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_one_mask_measures_every_image(particles, tmp_path):
    found = run(
        "measure", particles / "images", "--masks", particles / "masks", "--pixel-size", "0.5", "--out", tmp_path
    )
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
    with (tmp_path / "choice.csv").open() as file:
        ways = list(csv.DictReader(file))
    assert [(each["what"], each["by"]) for each in ways] == [
        *(("outlines", name) for name in ("both", "trees", "forest")),
        *(("counts", name) for name in ("density", "outlines")),
    ]
    assert all(0.5 < float(each["dice_ratio"]) < 1 and each["f1_ratio"] for each in ways[:3])
    taken = {each["what"]: each["by"] for each in ways if each["taken"] == "True"}
    assert (frames["a1.png"]["outlined_by"], frames["a1.png"]["counted_by"]) == (taken["outlines"], taken["counts"])
    words = " ".join(found.output.split())
    assert f"outlined by {taken['outlines']}, chosen" in words and f"counted by {taken['counts']}, chosen" in words


def test_ways_that_are_set_by_hand_are_taken(particles, tmp_path):
    words = ("--outline", "trees", "--count", "outlines", "--out", tmp_path)
    found = run("measure", particles / "images", "--masks", particles / "masks", *words)
    assert found.exit_code == 0 and "outlined by trees, set by hand" in " ".join(found.output.split()), found.output
    with (tmp_path / "frames.csv").open() as file:
        frames = [row for row in csv.DictReader(file) if not row["why"]]
    assert {(row["outlined_by"], row["counted_by"]) for row in frames} == {("trees", "outlines")}
    assert all(float(row["count"]) == float(row["outlined"]) for row in frames)
    assert all(float(row["count_low"]) < float(row["count"]) < float(row["count_high"]) for row in frames)


def test_an_image_is_described_once_for_outlines_and_counts(particles, tmp_path, monkeypatch):
    described, really = [], description.multiscale_basic_features

    def noted(image, **settings):
        described.append(image.shape)
        return really(image, **settings)

    monkeypatch.setattr(description, "multiscale_basic_features", noted)
    found = run(
        "measure", particles / "images", "--masks", particles / "masks", "--outline", "trees", "--out", tmp_path
    )
    assert found.exit_code == 0, found.output
    with (tmp_path / "frames.csv").open() as file:
        measured = [row for row in csv.DictReader(file) if not row["why"]]
    assert len(described) == len(measured) + 1  # and the labelled one, once more to learn from


def test_a_labelled_image_that_says_nothing_is_named(particles, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "blank.png").write_bytes(next((particles / "masks").iterdir()).read_bytes())
    found = run("measure", particles / "images", "--masks", tmp_path / "masks", "--out", tmp_path / "out")
    assert found.exit_code == 2 and "labelled image blank.png" in " ".join(found.output.split()), found.output


def test_no_image_is_written_over(particles, tmp_path):
    for images in ("images", "masks"):
        place = particles / images
        before = {path: path.read_bytes() for path in place.iterdir()}
        commands = [["measure", particles / "images", "--masks", particles / "masks"], ["flag", place]]
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


def test_masks_may_be_labels_one_number_an_object_or_softened(particles, tmp_path):
    with Image.open(particles / "masks" / "a0.png") as opened:
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
    words = " ".join(found.output.split())
    assert "the number steps between heat-12.png and heat-13.png" in words
    assert "counted by density, as contrast counts" in words
    with (tmp_path / "out" / "frames.csv").open() as file:
        counts = {row["image"]: float(row["count"]) for row in csv.DictReader(file)}
    assert list(counts) == [f"heat-{n}.png" for n in range(8, 16)]
    assert counts["heat-11.png"] == pytest.approx(36, rel=0.1) and counts["heat-15.png"] == pytest.approx(8, rel=0.25)


def test_where_labelled_images_do_not_tell_how_wrong_counts_are_no_range_is_told(tmp_path):
    rng, (rows, columns) = np.random.default_rng(6), np.mgrid[:96, :96]
    mask = np.hypot(rows - 40, columns - 24) < 6  # a single object, in one half
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.poisson(40.0 + 45 * mask).astype(np.uint8)).save(tmp_path / "images" / name)
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "masks" / "a.png")
    found = run("measure", tmp_path / "images", "--masks", tmp_path / "masks", "--out", tmp_path / "out")
    words = " ".join(found.output.split())
    assert found.exit_code == 0 and "(range not known)" in words and "label one more" in words, found.output
    with (tmp_path / "out" / "frames.csv").open() as file:
        told = list(csv.DictReader(file))
    assert {(row["count_low"], row["count_high"]) for row in told} == {("", "")} and all(row["count"] for row in told)
    assert all(row["covered_ratio"] and row["counted_by"] for row in told)


def test_another_magnification_is_not_measured_by_what_was_learned(particles, tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    for n, nm in ((0, 0.5), (1, 0.5), (2, 0.1)):
        with Image.open(particles / "images" / f"a{n}.png") as opened:
            per_cm = 1e7 / nm
            tifffile.imwrite(images / f"a{n}.ome.tif", np.array(opened), metadata={"axes": "YX", "PhysicalSizeX": nm,
                             "PhysicalSizeXUnit": "nm", "PhysicalSizeY": nm, "PhysicalSizeYUnit": "nm"},
                             resolution=(per_cm, per_cm))  # fmt: skip
    (masks / "a0.ome.png").write_bytes((particles / "masks" / "a0.png").read_bytes())
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
        (["measure", "{images}", "--lattice", "--count", "density"], "leave them out"),
        (["measure", "{images}", "--masks", "{masks}", "--outline", "eye"], "auto, both, trees or forest"),
        (["measure", "{images}", "--masks", "{masks}", "--count", "trees"], "auto, density or outlines"),
    ],
)
def test_bad_input_is_refused_in_words(particles, tmp_path, words, says):
    places = {"images": particles / "images", "masks": particles / "masks"}
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
