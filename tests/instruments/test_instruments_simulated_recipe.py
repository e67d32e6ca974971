"""Recipes that say nothing, or what cannot be, are refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from configs.errors import ConfigError
from instruments.simulated.library import named
from instruments.simulated.recipe import Recipe
from instruments.simulated.settings import SimulatedSettings

CARBON = {"carbon": {"atoms_per_nm3": {"C": 100.0}}, "titanate": {"crystal": "SrTiO3"}}
FILM = {"material": "carbon", "thickness_nm": 3.0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"materials": {"carbon": {"atoms_per_nm3": {"Xx": 1.0}}}}, "'Xx' is no element up to U"),
        ({"materials": {"carbon": {"crystal": "SrTiO3", "atoms_per_nm3": {"C": 1.0}}}}, "has its own density"),
        ({"materials": {"carbon": {"crystal": "SrTiO3", "dopant": "La"}}}, "give both"),
        ({"film": {**FILM, "dopant": 0.1}}, "names no dopant"),
        (
            {"populations": {"dots": {"material": "carbon", "per_um2": 1.0, "radius_nm": 2.0, "core": "titanate"}}},
            "of no size: give inner",
        ),
    ],
)
def test_what_would_do_nothing_is_refused(changes, told):
    with pytest.raises(ValidationError, match=told):
        Recipe.model_validate({"title": "film", "materials": CARBON, "film": FILM, **changes})


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"film": {"material": "tin", "thickness_nm": 1.0}}, "film is of 'tin'"),
        ({"materials": {"titanate": {"crystal": "perovskite"}}}, "known are SrTiO3"),
        ({"film": None}, "needs a film or a population"),
    ],
)
def test_a_recipe_that_cannot_be_made_is_refused(update, words):
    with pytest.raises(ValidationError, match=words):
        Recipe.model_validate({"title": "film", "materials": CARBON, "film": FILM, **update})


def test_an_unknown_specimen_is_told_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'zeolite'"):
        named("zeolites")


def test_a_specimen_of_ones_own_is_a_recipe_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = {"title": "film", "materials": CARBON, "film": FILM}
    Path("mine.py").write_text(
        f"from instruments.simulated.recipe import Recipe\n"
        f"told = {told}\nmade = Recipe(**told)\nbare = {{'title': 'film'}}\nnumber = 7\n"
        "def drawn():\n    return told\ndef broken():\n    return told['none']\ndef needs(x):\n    return x\n"
    )
    assert named("mine.py:told") == named("mine.py:made") == named("mine.py:drawn") == Recipe.model_validate(told)
    settings = SimulatedSettings.model_validate({"specimen": "mine.py:made"})
    assert settings.specimen_by_recipe is not None and settings.specimen_by_recipe.recipe.title == "film"
    for name, words in {
        "bare": "no recipe of a specimen",
        "number": "a int that is no recipe",
        "none": "has no none",
        "Recipe": "makes no recipe of a specimen .ValidationError",
        "broken": "makes no recipe .*KeyError: 'none'; mine.py, line 9",
        "needs": "makes no recipe of a specimen .TypeError",
    }.items():
        with pytest.raises(ConfigError, match=words):
            named(f"mine.py:{name}")
