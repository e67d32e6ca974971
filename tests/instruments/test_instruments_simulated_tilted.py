"""Specimens by recipe that are tilted or drift: what every detector shows of it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from instruments.clock import SimulatedClock
from instruments.simulated.damage import FluenceMap
from instruments.simulated.scenes import Sight
from instruments.simulated.settings import ColumnSettings, SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure

SHARP = ColumnSettings(source_size_nm=0.035, convergence_mrad=21.4, focus_offset_nm=0.0, stig_offset_nm=0.0)
ATOMS = Exposure(field_of_view_nm=2.0, shape=(64, 64), dwell_us=20.0)


def world(name: str) -> World:
    settings = {"specimen": name, "column": SHARP, "stage": {"drift_nm": 0.0}, "adf": {"angles_mrad": (35, 60)}}
    return World(SimulatedSettings.model_validate(settings), 1, SimulatedClock())


def tilted(made: World, exposure: Exposure, alpha_deg: float, *names: str) -> dict[str, np.ndarray]:
    sight = Sight(
        exposure=exposure,
        centre_nm=(0.0, 0.0),
        probe=made.probe(),
        fluence=FluenceMap(),
        number=1,
        thicker=1 / np.cos(np.radians(alpha_deg)),
        tilts_rad=(0.0, np.radians(alpha_deg)),
    )
    return dict(made.scene.look(sight, names))


def test_a_tilted_specimen_is_seen_foreshortened_across_the_axis():
    made, wide = world("au_on_carbon"), Exposure(field_of_view_nm=400.0, shape=(128, 128), dwell_us=20.0)
    flat, leaning = (tilted(made, wide, alpha_deg, "HAADF")["HAADF"] for alpha_deg in (0.0, 40.0))
    rows = (np.arange(128) - 63.5) / np.cos(np.radians(40.0)) + 63.5  # where the flat frame shows the same
    inside = (rows >= 0) & (rows <= 126)
    low = np.floor(rows[inside]).astype(int)
    squeezed = flat[low] + (rows[inside] - low)[:, None] * (flat[low + 1] - flat[low])
    seen = leaning[inside]
    assert np.corrcoef(squeezed.ravel(), seen.ravel())[0, 1] > 0.95
    assert np.corrcoef(flat[inside].ravel(), seen.ravel())[0, 1] < 0.7
    assert seen.mean() == pytest.approx(squeezed.mean() / np.cos(np.radians(40.0)), rel=0.03)


def test_columns_that_lean_are_streaks():
    made = world("srtio3_on_ge")
    upright, leaning = (tilted(made, ATOMS, alpha_deg, "HAADF", "ADF") for alpha_deg in (0.0, 4.0))
    for name in ("HAADF", "ADF"):
        down, along = (np.abs(np.diff(leaning[name], axis=axis)).mean() for axis in (0, 1))
        before = np.abs(np.diff(upright[name], axis=0)).mean()
        assert down < 0.75 * before  # 0.2 nm of lean over 3 nm of depth, across the axis of tilt
        assert along > 1.2 * down
        assert leaning[name].mean() == pytest.approx(upright[name].mean(), rel=0.02)


def test_bright_field_is_sheared_by_drift_as_dark_field_is():
    made, exposure = world("mos2"), Exposure(field_of_view_nm=4.0, shape=(64, 64), dwell_us=20.0)
    shears = {}
    for drift_nm in (0.0, 0.01):
        sight = Sight(
            exposure=exposure,
            centre_nm=(0.0, 0.0),
            probe=made.probe(),
            fluence=FluenceMap(),
            number=1,
            row_drift_nm=(drift_nm, 0.0),
        )
        shears[drift_nm] = made.scene.look(sight, ("HAADF", "BF"))
    for name in ("HAADF", "BF"):
        still, moved = (shears[drift_nm][name][56:60] for drift_nm in (0.0, 0.01))
        pairs = {by: np.corrcoef(np.roll(still, by, axis=1)[:, 12:-12].ravel(), moved[:, 12:-12].ravel())[0, 1]
                 for by in range(-8, 9)}  # fmt: skip
        assert max(pairs, key=pairs.__getitem__) in (4, 5) or max(pairs, key=pairs.__getitem__) in (-4, -5)
