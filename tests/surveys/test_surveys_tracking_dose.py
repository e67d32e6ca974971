"""What the beam explains of a change, and what held while it went on."""

from __future__ import annotations

import numpy as np
import pytest

from models.kinetics import View
from models.kinetics_nuisance import Reading
from surveys.tracking_dose import Share, explained_by_dose
from surveys.tracking_holder import Holder, divided


def test_a_reading_within_the_noise_changes_nothing_and_gaps_are_counted():
    holder = Holder({"temperature_K": 2.0})
    assert holder.read({"temperature_K": 300.0}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({"temperature_K": 301.5}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({"temperature_K": 303.0}, ["temperature_K"]) == {"temperature_K": 303.0}
    assert holder.gaps == {"temperature_K": 1}


def test_a_holder_that_lags_is_followed_from_half_way_between_two_samples():
    holder, names = Holder({"temperature_K": 2.0}), ["temperature_K"]
    assert holder.passed({"temperature_K": (300.0, 0.0)}, names, 0.0, 0.0)[-1][1] == {"temperature_K": 300.0}
    passed = holder.passed({"temperature_K": (340.0, 8.0)}, names, 0.0, 10.0)
    assert passed == [(4.0, {"temperature_K": 300.0}), (6.0, {"temperature_K": 340.0})]
    assert holder.passed({"temperature_K": (340.5, 18.0)}, names, 10.0, 20.0) == [(10.0, {"temperature_K": 340.0})]
    assert divided(passed, 5.0) == (
        [(4.0, {"temperature_K": 300.0}), (1.0, {"temperature_K": 340.0})],
        [(5.0, {"temperature_K": 340.0})],
    )
    assert divided(passed, 0.0) == ([], passed)


def reading(place, t_s, number, electrons):
    values = np.array([number, np.nan, np.nan, np.nan, np.nan])
    return Reading(t_s, View(place, 0.0, 400.0), "image", values, np.where(np.isnan(values), np.nan, 0.02), electrons)


FLOOR = View(0, 0.0, 400.0).number_floor_per_um2


def counted(place, t_s, number, electrons):
    return reading(place, t_s, np.log(number + FLOOR), electrons)


@pytest.mark.parametrize("from_none", [False, True])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.0])
def test_what_the_beam_explains_is_a_part_of_what_changed_not_of_its_logarithm(share, from_none):
    start, end = (0.0, 300.0) if from_none else (400.0, 100.0)
    watched = [
        counted(p, t, start + (end - start) * t / 600.0, 1e7) for p in (0, 1) for t in (0.0, 200.0, 400.0, 600.0)
    ]
    controls = [counted(5, t, start + (1 - share) * (end - start) * t / 600.0, 1e6) for t in (0.0, 600.0)]
    found = explained_by_dose(watched, controls)
    low, high = found.interval
    assert found.explained == pytest.approx(share, abs=1e-6)
    assert low < share < high < low + 0.65
    assert found.fluence_e_per_A2 > 10 * found.control_fluence_e_per_A2


def test_the_interval_of_the_beams_part_holds_as_often_as_it_says():
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        watched, control = 1.0 + 0.15 * rng.standard_normal(), 0.6 + 0.2 * rng.standard_normal()
        low, high = Share("number", watched, 0.15, control, 0.2, 10.0, 1.0).interval or (-9.0, 9.0)
        held += low <= 0.4 <= high
    assert 0.85 <= held / 300 <= 0.95


def test_what_the_beam_holds_up_is_told():
    watched = [counted(p, t, 200.0, 1e7) for p in (0, 1) for t in (0.0, 300.0, 600.0)]
    controls = [counted(5, t, 200.0 + 200.0 * t / 600.0, 1e6) for t in (0.0, 600.0)]
    found = explained_by_dose(watched, controls)
    assert found.explained is None
    assert "the beam holds the change up" in str(found)


def test_without_controls_or_a_change_nothing_is_said_of_dose():
    still = [reading(0, t, 5.0, 1e7) for t in (0.0, 600.0)]
    assert explained_by_dose(still, []) is None
    assert explained_by_dose(still, [reading(5, t, 5.0, 1e6) for t in (0.0, 600.0)]) is None
