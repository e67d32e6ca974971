"""Into how few planes the camera's patterns may cut a specimen, against planes so thin that more change nothing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch

from instruments.simulated import diffraction
from instruments.simulated.brightfield import Phases
from instruments.simulated.detector_settings import CameraSettings
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Views
from instruments.simulated.thin import slices_of

THINNEST_NM = 0.125


def misplaced(crystal: str, thick_nm: float, slices: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Share of the electrons that so many slices put elsewhere on the camera than the thinnest do, over a cell."""
    film = Film(material="it", thickness_nm=thick_nm, variation=0.0)
    phases = Phases(Recipe(title="a crystal", materials={"it": Material(crystal=crystal)}, film=film), 200.0)
    views = Views(
        seeds=np.array([3]), places_nm=np.zeros((1, 2)), coefficients_nm=torch.tensor([[-thick_nm / 2, *[0.0] * 7]]),
        electrons=torch.ones(1), frames=np.zeros(1, dtype=np.int64),
    )  # fmt: skip
    camera, settings = Camera(shape=(5, 5), pixel_nm=0.0781), CameraSettings(pixels=32, reach_mrad=64.0)
    seen = []
    for many in (slices, round(thick_nm / THINNEST_NM)):
        monkeypatch.setattr(diffraction, "slices_of", lambda thick, many=many: (many, thick / many))
        seen.append(diffraction.patterns_at(phases, views, camera, settings, thickness_nm=thick_nm))
    return float(np.abs(seen[0] - seen[1]).sum((-2, -1)).mean())


@pytest.mark.parametrize(("crystal", "thick_nm"), [("MoS2", 0.625), ("SrTiO3", 1.0)])
def test_what_is_thin_is_one_phase_object(crystal, thick_nm, monkeypatch):
    assert slices_of(thick_nm) == (1, thick_nm)
    assert misplaced(crystal, thick_nm, 1, monkeypatch) < 0.012


def test_what_is_thicker_is_not_and_is_cut_into_as_many_as_it_needs(monkeypatch):
    slices, apart_nm = slices_of(2.0)
    assert slices * apart_nm == 2.0
    assert misplaced("SrTiO3", 2.0, slices, monkeypatch) < 0.02
    assert misplaced("SrTiO3", 2.0, 1, monkeypatch) > 0.04
