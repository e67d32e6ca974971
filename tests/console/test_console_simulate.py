"""A picture of a simulated specimen, from the command line."""

from __future__ import annotations

import pytest
from console_helpers import adaptem, refused
from PIL import Image

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from instruments.simulated.library import SPECIMENS


def test_it_writes_a_picture_with_a_scale_bar(tmp_path):
    out = tmp_path / "gold.png"
    said = adaptem("simulate", "--specimen", "au_on_carbon", "--out", out, "--pixels", 128).stdout
    assert "Gold nanoparticles" in said
    picture = Image.open(out)
    assert picture.size == (512, 512)
    assert picture.getpixel((20, 512 - 19)) == (255, 255, 255)  # the bar


@pytest.mark.parametrize("fov_nm", (3.0, 60.0, 5000.0, 2e5))
def test_any_magnification_and_detector_shows_something(tmp_path, fov_nm):
    for n, detector in enumerate(("haadf", "bf", "annulus:40-120")):
        out = tmp_path / f"{n}.png"
        adaptem(
            "simulate",
            "--specimen",
            "pt_on_ceria",
            "--out",
            out,
            "--fov",
            fov_nm,
            "--detector",
            detector,
            "--pixels",
            64,
        )
        assert len(Image.open(out).convert("L").getcolors()) > 20


def test_a_crystal_beyond_the_models_range_says_so(tmp_path):
    words = ("simulate", "--out", tmp_path / "a.png", "--pixels", 64, "--fov", 3, "--specimen")
    assert "not to be trusted" in adaptem(*words, "steel_lamella").stdout
    assert "not to be trusted" not in adaptem(*words, "graphene").stdout


def test_a_recipe_of_ones_own(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "title: mine\nmaterials: {gold: {crystal: Au}}\n"
        "populations: {dot: {material: gold, per_um2: 500, radius_nm: 3}}\n"
    )
    assert "mine" in adaptem("simulate", "--specimen", recipe, "--out", tmp_path / "a.png", "--pixels", 64).stdout


def test_the_library_is_listed():
    listed = adaptem("simulate", "--list").stdout
    assert len(SPECIMENS) >= 8
    assert all(name in listed for name in SPECIMENS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--specimen", "golds"), "the library holds"),
        ((), "which specimen?"),
        (("--specimen", "mos2", "--detector", "camera"), "annulus:INNER-OUTER"),
        (("--specimen", "mos2", "--fov", "1e9"), "the scan reaches"),
        (("--specimen", "mos2", "--pixels", "3"), "give 16 to 4096"),
        (("--specimen", "mos2", "--fluence", "-1"), "give a number above 0"),
        (("--specimen", "mos2", "--defocus", "nan"), "not a finite number"),
        (("--specimen", "mos2", "--pixels", "64", "--out", "/nowhere/a.png"), "cannot be written"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused(adaptem("simulate", *words))
