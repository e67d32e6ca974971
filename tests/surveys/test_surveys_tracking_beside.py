"""The reaction beside the beam: a law's numbers hold where the beam does the same besides, and it is told how much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.tracking_mission import Mission
from models.kinetics import NUMBER, Expected, View, shown, values_of
from models.kinetics_filter import KineticFilter
from models.kinetics_laws import Annealing, Ripening
from models.kinetics_nuisance import Calibration, Chance, Layout, Reading
from surveys.tracking_beside import kinetics_beside, told_of_dose

PLACES_NM = ((-600.0, 0.0), (0.0, 0.0), (600.0, 0.0))
CONTROLS_NM = tuple((x, 800.0) for x, _ in PLACES_NM)
HOT = [(600.0, {"temperature_K": 730.0})]
SDS = np.array([0.05, 0.02, 0.03, 0.08, np.nan])
EACH = 2e7
"""Electrons of a look: 1.25 e/Å² over 400 nm."""


def mission():
    expected = Expected(horizon_s=600.0, temperature_K=730.0, places_nm=PLACES_NM)
    return Mission(
        laws=(Ripening(expected), Annealing(expected)),
        looks=(),
        sensors={},
        places_nm=PLACES_NM,
        current_pA=50.0,
        electrons=1e9,
        horizon_s=600.0,
        tick_s=10.0,
        sets=64,
        seed=3,
    )


def seen(per_e_per_A2):
    """Of defects that anneal at a rate that is known, and that the beam removes besides."""
    law, rng = mission().laws[1], np.random.default_rng(4)
    values = values_of(law, np.zeros((1, len(law.parameters))))
    values[0, 3] = 1.5e-3
    found = []
    for place, t_s in [(n, t) for t in (0.0, 590.0) for n in (3, 4, 5)] + [(n % 3, 25.0 * n) for n in range(24)]:
        state = law.advance(law.start(values), values, t_s, {"temperature_K": 730.0})
        view = View(place, (PLACES_NM + CONTROLS_NM)[place][0], 400.0)
        told = shown(law.sizes(state, values, view), view)[0] + SDS * rng.standard_normal(5)
        before = sum(each.electrons for each in found if each.view.place == place and each.t_s < t_s) / 4000.0**2
        told[[0, 3]] -= per_e_per_A2 * before
        found.append(Reading(t_s, view, "image", told, SDS, EACH if place < 3 else EACH / 10))
    return [r for r in found if r.view.place < 3], [r for r in found if r.view.place >= 3]


def rate_of(known):
    return next(each for each in known.estimates("defect annealing, first order") if each.name == "rate_per_s")


def test_a_rate_is_right_beside_the_beam_and_wrong_under_it():
    watched, controls = seen(0.12)
    beside = rate_of(kinetics_beside(mission(), watched, controls, CONTROLS_NM, HOT))
    assert beside.low <= 1.5e-3 <= beside.high
    under = KineticFilter(mission().laws, 3, 600.0, sets=64, seed=3)
    for each in watched:
        under.wait(each.t_s - under.time_s, HOT[0][1])
        under.learn(each)
    assert rate_of(under).low > 1.5e-3


def test_what_is_told_names_the_part_of_the_beam_and_the_law_beside_it():
    told = told_of_dose(mission(), *seen(0.12), CONTROLS_NM, HOT)
    low, middle, high = told["dose"]["part"]
    gone = 1 - np.exp(-0.12 * 8 * EACH / 4000.0**2)  # of what the beam was at by the end, eight looks at each place
    left = np.exp(-1.5e-3 * 600.0) * 0.85 + 0.15
    assert low < gone * left / (1 - left * (1 - gone)) < high
    assert 0 < low < middle < high < low + 0.5
    assert told["dose"]["beside"]["law"] == "defect annealing, first order"
    assert "the beam explains" in told["dose_told"]
    assert "by all readings and the laws" in told["dose_told"]
    assert "beside it: defect annealing, first order" in told["dose_told"]
    watched, _ = seen(0.0)
    assert told_of_dose(mission(), watched, [], (), HOT)["dose"] is None


def test_where_the_beam_does_nothing_nothing_is_told_beside_it():
    told = told_of_dose(mission(), *seen(0.0), CONTROLS_NM, HOT)
    assert told["dose"]["part"][0] <= 0 <= told["dose"]["part"][2]
    assert told["dose"]["beside"] is None
    assert told_of_dose(mission(), *seen(0.0), CONTROLS_NM, None)["dose"]["part"] is None


def test_the_beam_moves_readings_by_the_fluence_alone_and_only_where_it_may():
    view, some = View(0, 0.0, 400.0), Calibration(beam=1.0, beam_at_e_per_A2=8.0)
    law = mission().laws[1]
    values = values_of(law, np.zeros((1, len(law.parameters))))
    state = {name: column[None] for name, column in law.start(values).items()}
    chance = Chance.of(law, state, values, np.ones(1), [view])[0]
    layout = Layout.of(1, [400.0], some)
    plain = Layout.of(1, [400.0], replace(some, beam=0.0))
    assert layout.count == plain.count + layout.beams
    before = layout.effect(view, "image", chance, before_e_per_A2=0.0)[0]
    np.testing.assert_array_equal(before[:, -layout.beams :], 0.0)
    np.testing.assert_array_equal(before[:, : plain.count], plain.effect(view, "image", chance)[0])
    half, whole = (layout.effect(view, "image", chance, before_e_per_A2=f)[0] for f in (4.0, 8.0))
    ratio = half[NUMBER, -layout.beams :: 5] / whole[NUMBER, -layout.beams :: 5]
    assert ratio == pytest.approx([0.5**0.5, 0.5, 0.25])


def test_laws_that_cannot_take_up_a_reading_are_told_and_the_rest_is_kept(monkeypatch):
    def broken(self, reading):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(KineticFilter, "learn", broken)
    told = told_of_dose(mission(), *seen(0.12), CONTROLS_NM, HOT)
    assert told["dose"]["explained"] is not None
    assert told["dose"]["part"] is None
    assert "the laws could not take up all readings (Singular matrix)" in told["dose_told"]
