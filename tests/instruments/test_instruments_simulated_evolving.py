"""Specimens that change in the microscope as the holder's conditions are, particle by particle, with their truth."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from pydantic import ValidationError

from instruments.clock import SimulatedClock
from instruments.simulated.damage import FluenceMap
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.scenes import Sight
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure

RECIPE = {
    "title": "gold on nitride",
    "materials": {"nitride": {"atoms_per_nm3": {"Si": 44.0, "N": 58.7}}, "gold": {"crystal": "Au", "zone": (1, 1, 0)}},
    "film": {"material": "nitride", "thickness_nm": 20.0, "variation": 0.0},
}
LOOK = Exposure(field_of_view_nm=300.0, shape=(128, 128), dwell_us=10.0)
AREA = (-150.0, 150.0), (-150.0, 150.0)


def world(process: dict[str, object], holder: str, seed: int = 1, truth=None) -> World:
    settings = {
        "specimen": {
            "recipe": RECIPE,
            "evolves": {"material": "gold", **process},
            "slope_nm_per_um": 0,
            "waviness_nm": 0,
        },
        "holder": holder,
        "bf": None,
        "column": {"focus_offset_nm": 0.0, "stig_offset_nm": 0.0},
        "stage": {"drift_nm": 0.0},
    }
    return World(SimulatedSettings.model_validate(settings), seed, SimulatedClock(), truth)


def seen(made: World) -> np.ndarray:
    return SimulatedMicroscope(made).acquire(LOOK).signals["HAADF"].data.astype(float)


def test_nothing_grows_without_supply_and_with_it_what_the_truth_says():
    made = world({"growth": {}}, "liquid_cell")
    made.wait(300.0)
    before = seen(made)
    assert made.scene.events(*AREA, 0.0, made.now_s()) == ()
    made.set_condition("concentration_mM", 2.0)
    made.wait(600.0)
    after = seen(made)
    births = [event for event in made.scene.events(*AREA, 0.0, made.now_s()) if event.kind == "birth"]
    assert births
    assert after.max() > 3 * before.max()
    row, column = (63.5 - births[0].y_nm / LOOK.pixel_size_nm), (63.5 - births[0].x_nm / LOOK.pixel_size_nm)
    assert after[int(row) - 1 : int(row) + 3, int(column) - 1 : int(column) + 3].mean() > 2 * before.mean()


def test_heat_makes_few_large_particles_of_many_small_ones():
    made = world({"coarsening": {"per_um2": 3000.0}}, "heating_chip")
    cold = len(made.scene._evolving.guests(*AREA, made.now_s()))
    made.wait(3600.0)
    assert len(made.scene._evolving.guests(*AREA, made.now_s())) == cold
    made.set_condition("temperature_K", 1000.0)
    made.wait(900.0)
    assert len(made.scene._evolving.guests(*AREA, made.now_s())) < 0.8 * cold
    assert {event.kind for event in made.scene.events(*AREA, 0.0, made.now_s())} == {"vanish"}


def test_a_front_changes_the_phase_of_each_particle_from_the_side_it_comes_from():
    process = {
        "becomes": "nitride",
        "shape": "ellipsoid",
        "front": {
            "population": {"per_um2": 60.0, "radius_nm": 30.0, "size_spread": 0.0},
            "velocity": {"at_reference": 1.0},
            "direction_deg": 90.0,
            "roughness_nm": 0.0,
            "start_nm": -120.0,
        },
    }
    made = world(process, "heating_chip")
    whole = seen(made)
    made.wait(120.0 - made.now_s())  # the front stands at y = 0
    half = seen(made)
    found = made.scene._evolving.process.particles(*AREA, made.now_s())
    crossed = np.flatnonzero((found.fraction > 0.1) & (found.fraction < 0.9))
    assert len(crossed)
    rows = np.arange(128)[:, None] + np.zeros((1, 128))
    column = np.arange(128)[None, :] + np.zeros((128, 1))
    for n in crossed:  # below the boundary, where y is low and rows are high, it no longer scatters as gold
        x, y = (63.5 - place / LOOK.pixel_size_nm for place in (found.x_nm[n], found.y_nm[n]))
        near = np.hypot(column - x, rows - y) < 0.6 * 30.0 / LOOK.pixel_size_nm
        ahead, behind = near & (rows < 62), near & (rows > 65)
        assert ahead.any()
        assert behind.any()
        assert half[ahead].mean() > 0.8 * whole[ahead].mean()
        assert half[behind].mean() < 0.5 * whole[behind].mean()
    made.wait(600.0)
    assert seen(made).max() < 0.5 * whole.max()
    events = made.scene.events(*AREA, 0.0, made.now_s())
    assert {event.kind for event in events} == {"begin", "transform"}


def test_a_view_within_a_large_particle_shows_it():
    population = {"per_um2": 4.0, "radius_nm": 150.0, "size_spread": 0.0}
    made = world({"shape": "ellipsoid", "dissolution": {"population": population}}, "liquid_cell")
    found = made.scene._evolving.process.particles((-2000.0, 2000.0), (-2000.0, 2000.0), 0.0)
    x_nm, y_nm = float(found.x_nm[0]) + 110.0, float(found.y_nm[0])
    shown = []
    for width_nm in (12.0, 400.0):
        sight = Sight(
            exposure=Exposure(field_of_view_nm=width_nm, shape=(64, 64), dwell_us=1.0),
            centre_nm=(x_nm, y_nm),
            probe=made.probe(),
            fluence=FluenceMap(),
            number=1,
        )
        shown.append(float(made.scene.look(sight, ("HAADF",))["HAADF"][28:36, 28:36].mean()))
    assert shown[0] == pytest.approx(shown[1], rel=0.15)
    assert made.scene._evolving.process.largest_nm(0.0) == pytest.approx(150.0)


def test_bias_changes_the_phase_of_particle_after_particle():
    process = {"becomes": "nitride", "transformation": {"population": {"per_um2": 100.0, "radius_nm": 20.0}}}
    made = world(process, "biasing_chip")
    made.wait(100.0)
    whole = seen(made)
    assert made.scene.events(*AREA, 0.0, made.now_s()) == ()
    made.set_condition("bias_V", 0.06)
    made.wait(200.0)
    some = seen(made)
    begun = {event.id for event in made.scene.events(*AREA, 0.0, made.now_s())}
    found = made.scene._evolving.process.particles(*AREA, made.now_s())
    assert 0 < len(begun) < len(found.id)
    assert 0.2 < some.mean() / whole.mean() < 0.95


def test_equal_worlds_evolve_alike_and_a_reopened_one_goes_on(tmp_path):
    frames = []
    for seed in (1, 1, 2):
        made = world({"growth": {}}, "liquid_cell", seed)
        made.set_condition("concentration_mM", 2.0)
        made.wait(400.0)
        frames.append(seen(made))
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])
    path = tmp_path / "truth.jsonl"
    first = world({"growth": {}}, "liquid_cell", truth=path)
    first.set_condition("concentration_mM", 2.0)
    first.wait(200.0)
    seen(first)
    first.close()
    second = world({"growth": {}}, "liquid_cell", truth=path)
    first.wait(500.0 - first.now_s())
    second.wait(500.0 - second.now_s())
    kept, gone_on = (each.scene._evolving.guests(*AREA, 500.0) for each in (first, second))
    np.testing.assert_array_equal(kept, gone_on)


@pytest.mark.parametrize(
    ("specimen", "holder", "told"),
    [
        ({"evolves": {"material": "gold", "growth": {}}}, None, "give one, such as"),
        ({"evolves": {"material": "silver", "growth": {}}}, "liquid_cell", "the materials are nitride, gold"),
        ({"evolves": {"material": "gold"}}, "liquid_cell", "found none"),
        ({"evolves": {"material": "gold", "growth": {}, "coarsening": {}}}, "liquid_cell", "found growth, coarsening"),
        ({"evolves": {"material": "gold", "front": {}}}, "heating_chip", "give becomes where the phase changes"),
        ({"evolves": {"material": "gold", "becomes": "lead", "front": {}}}, "heating_chip", "evolves is of 'lead'"),
    ],
)
def test_what_cannot_evolve_is_told(specimen, holder, told):
    with pytest.raises(ValidationError, match=told):
        SimulatedSettings.model_validate({"specimen": {"recipe": RECIPE, **specimen}, "holder": holder})
