"""What the column and a tilted stage do to a specimen by recipe."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from instruments_recipe import ATOMS, SHARP, focused, look, world
from pydantic import ValidationError

from instruments.errors import NotSupported
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import ColumnSettings, SimulatedSettings
from instruments.types import Optics, StagePosition


def test_defocus_and_coma_blur_and_the_corrector_takes_coma_away():
    made = world(column=SHARP.model_copy(update={"coma_offset_nm": 400.0, "coma_nm": (-1000.0, 1000.0)}))
    scope = focused(made, -2.0)
    c21 = made.probe().higher_nm[:2]
    before = look(made, ATOMS, "HAADF")["HAADF"].std()
    scope.tune(Optics(coma_a_nm=-c21[0], coma_b_nm=-c21[1]))
    after = look(made, ATOMS, "HAADF")["HAADF"].std()
    scope.tune(Optics(defocus_nm=(scope.state().optics.defocus_nm or 0.0) - 25.0))
    blurred = look(made, ATOMS, "HAADF")["HAADF"].std()
    assert np.hypot(*c21) > 100
    assert after > 1.1 * before
    assert blurred < 0.7 * after
    with pytest.raises(NotSupported, match="coma_a_nm"):
        focused(world()).tune(Optics(coma_a_nm=1.0))


def test_coma_threefold_and_spherical_aberration_wander_each_as_far_as_it_may():
    most_nm = np.array([100.0, 100.0, 50.0, 50.0, 1000.0])
    drifts = {"coma_drift_nm": 100.0, "threefold_drift_nm": 50.0, "spherical_drift_nm": 1000.0}
    made, still, seen = world(column=SHARP.model_copy(update=drifts)), world(), []
    for _ in range(60):
        seen.append(made.probe().higher_nm)
        made.wait(600.0)
        still.wait(600.0)
    assert (np.abs(seen) <= most_nm).all()
    assert (np.ptp(seen, axis=0) > 0.7 * most_nm).all()
    assert still.probe().higher_nm == (0.0,) * 5
    with pytest.raises(ValidationError, match=r"column\.coma_drift_nm needs a specimen by recipe"):
        SimulatedSettings(column=ColumnSettings(coma_drift_nm=1.0))


@pytest.mark.parametrize("high_nm", [0.0, 2000.0])
def test_a_tilted_specimen_leaves_place_and_focus_by_its_height_over_the_axis_alone(high_nm):
    made = world({"recipe": "graphene", "slope_nm_per_um": 0.0, "waviness_nm": 0.0})
    scope = SimulatedMicroscope(made)
    scope.move(StagePosition(x_nm=-7000.0, y_nm=50_000.0, z_nm=high_nm))
    (x_nm, y_nm), focus_nm = made.place_nm(), made.defocus_nm()
    scope.move(StagePosition(alpha_deg=30.0))
    # a plane h above the axis, tilted: the beam meets it h / cos α above the axis, h tan α across the plane
    assert made.place_nm() == pytest.approx((x_nm, y_nm + high_nm * np.tan(np.radians(30.0))), abs=1e-6)
    assert made.defocus_nm() - focus_nm == pytest.approx(-high_nm * (1 / np.cos(np.radians(30.0)) - 1), abs=1e-6)
    assert made.height_error_nm() == pytest.approx(high_nm)
