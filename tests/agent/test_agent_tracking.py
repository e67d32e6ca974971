"""Which look tells most: the plan's arithmetic, and a tracker that follows it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.rehearsal import rehearse
from agent.tracking import Tracker
from agent.tracking_mission import Mission
from agent.tracking_plan import UNTOLD, Offers, plan
from envs.particles import Contrast
from envs.tracked import ImageSensor, SpectrumSensor, TrackLook
from envs.unmixing import References
from models.kinetics import Expected, shown, values_of
from models.kinetics_laws import all_laws
from models.kinetics_loose import Rivals
from models.kinetics_nuisance import Reading

EXPECTED = Expected(horizon_s=600.0, temperature_K=730.0, places_nm=((-300.0, 0.0), (300.0, 0.0)))
LAWS = all_laws(EXPECTED)
HOT = {"temperature_K": 730.0}
IMAGE = TrackLook(name="image", signal="HAADF", field_of_view_nm=400.0, pixels=256, dwell_us=1.0)
SPECTRA = TrackLook(name="spectra", signal="EELS", field_of_view_nm=400.0, pixels=16, dwell_us=250.0)
ENERGY = np.arange(300.0)
SUPPORT = np.exp(-ENERGY / 60) / 60
OLD = 3e-5 * (ENERGY > 100) * np.exp(-(ENERGY - 100) / 80)
NEW = 2e-5 * (ENERGY > 100) * np.exp(-(ENERGY - 100) / 80) + 2e-5 * (ENERGY > 180) * np.exp(-(ENERGY - 180) / 80)
SENSORS = {
    "HAADF": ImageSensor(Contrast(per_nm=2e-3), 8e-3),
    "EELS": SpectrumSensor(References(SUPPORT, np.array([OLD, NEW]))),
}


def mission(laws=LAWS, **changes):
    usual = {
        "laws": laws,
        "looks": (IMAGE, SPECTRA),
        "sensors": SENSORS,
        "places_nm": ((-300.0, 0.0), (300.0, 0.0)),
        "current_pA": 50.0,
        "electrons": 4e8,
        "horizon_s": 600.0,
        "tick_s": 5.0,
        "sets": 96,
    }
    return Mission(**(usual | changes))


def coming(from_s, to_s):
    return [(to_s - from_s, HOT)] if to_s > from_s else []


def offers(foretold, noise, cost, unknown=0.0, slot=None, room=(9,)):
    foretold = np.array(foretold, dtype=float)[:, :, None]
    count, told = foretold.shape[1], sum(each < UNTOLD for each in noise)
    return Offers(
        foretold=foretold,
        weights=np.full(len(foretold), 1 / len(foretold)),
        common=np.full((told, told), unknown),
        noise=np.array(noise, dtype=float)[:, None],
        cost=np.array(cost, dtype=float),
        slot=np.zeros(count, dtype=int) if slot is None else np.array(slot),
        room=np.array(room),
    )


def test_information_is_that_of_gaussians():
    sets = np.random.default_rng(0).standard_normal((4000, 1))
    pick = plan(offers(sets, [0.25], [1.0]), 1.0, 1)[0]
    assert pick.nats == pytest.approx(0.5 * np.log(1 + sets.var() / 0.25), rel=1e-6)


def test_what_is_known_already_is_not_looked_at_again_before_what_is_not():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 2000))
    two = np.column_stack([a, a, 0.8 * b])
    picks = plan(offers(two, [0.01] * 3, [1.0] * 3, slot=[1] * 3, room=(1, 9)), 2.0, 5)
    assert [pick.candidate for pick in picks] in ([0, 2], [1, 2])
    assert len(plan(offers(two, [0.01] * 3, [1.0] * 3), 2.0, 5)) == 1  # a look for now: the rest is planned anew
    assert len(picks) == 2  # as far as the budget goes


def test_a_cheaper_look_wins_where_it_tells_nearly_as_much():
    a = np.random.default_rng(2).standard_normal(2000)
    picks = plan(offers(np.column_stack([a, a]), [0.01, 0.02], [4.0, 1.0]), 4.0, 1)
    assert picks[0].candidate == 1


def test_common_errors_of_the_measuring_tell_nothing_of_the_law():
    a = np.random.default_rng(3).standard_normal(2000)
    clear = plan(offers(a[:, None], [0.01], [1.0]), 1.0, 1)[0].nats
    blurred = plan(offers(a[:, None], [0.01], [1.0], unknown=4.0), 1.0, 1)[0].nats
    assert blurred == pytest.approx(0.5 * np.log((1 + 4 + 0.01) / 4.01), abs=0.02)
    assert blurred < 0.2 * clear


def test_what_a_look_does_not_tell_counts_for_nothing():
    a = np.random.default_rng(4).standard_normal(500)
    assert plan(offers(a[:, None], [UNTOLD], [1.0]), 1.0, 1) == []


def follow(known, law, z, rng, until_s=600.0):
    values = values_of(law, z)
    state, taken = law.start(values), []
    while known.now_s < until_s:
        choice = known.act()
        if choice.look is not None:
            look = known.mission.looks[choice.look]
            view = known.mission.view(look, choice.place)
            truth = shown(law.sizes(state, values, view), view)[0]
            sds = known.mission.sensors[look.signal].sds(look, known.mission.electrons_of(look), truth)
            told = np.where(np.isfinite(sds), truth + np.nan_to_num(sds) * rng.standard_normal(5), np.nan)
            channel = "image" if look is IMAGE else "spectra"
            electrons = known.mission.electrons_of(look)
            known.observe(Reading(known.now_s, view, channel, told, sds, electrons, look.signal))
            taken.append((known.now_s, look.name))
        known.wait(5.0, HOT)
        state = law.advance(state, values, 5.0, HOT)
    return values[0], taken


def test_a_tracker_tells_the_law_and_its_numbers_within_its_budget():
    law = LAWS[6]
    known = Tracker(mission(), coming)
    truth, taken = follow(known, law, np.zeros((1, len(law.parameters))), np.random.default_rng(5))
    assert known.filter.names[int(np.argmax(known.filter.probabilities()))] == law.name
    assert known.spent <= 4e8
    assert known.spent > 2e8
    assert {"spectra"} <= {name for _, name in taken}  # it changes phase: spectra tell that
    price = {look.name: known.mission.electrons_of(look) for look in (IMAGE, SPECTRA)}
    for t_s in (150.0, 300.0, 450.0):  # a pace is kept, whatever a plan would rather do later
        assert sum(price[name] for at_s, name in taken if at_s <= t_s) >= 0.9 * 4e8 * t_s / 600.0 - max(price.values())
    found = {each.name: each for each in known.filter.estimates(law.name)}
    assert found["rate_per_s"].mean == pytest.approx(truth[3], rel=0.15)
    assert not known.none_of_these


def test_half_of_the_particles_gone_at_once_is_foretold_by_no_law_and_a_still_specimen_alarms_nobody():
    said = {0.0: [], 1.0: []}
    for gone, runs in said.items():
        for seed in range(6):
            known, rng = Tracker(mission(seed=seed, sets=64), coming), np.random.default_rng(seed)
            for n in range(36):
                look, place = IMAGE, n % 2
                truth = np.array([5.7 - 0.69 * gone * (n >= 18), 1.8, 0.2, -0.2 - 0.69 * gone * (n >= 18), 0.0])
                sds = SENSORS["HAADF"].sds(look, known.mission.electrons_of(look), truth)
                told = np.where(np.isfinite(sds), truth + np.nan_to_num(sds) * rng.standard_normal(5), np.nan)
                view = known.mission.view(look, place)
                known.observe(Reading(known.now_s, view, "image", told, sds, 1e7, "HAADF"))
                known.wait(15.0, HOT)
            runs.append([change.t_s for change in known.changes])
    assert sum(map(len, said[0.0])) == 0
    assert sum(bool(times) for times in said[1.0]) >= 5
    assert all(270.0 <= times[0] <= 330.0 for times in said[1.0] if times)


def test_eight_looks_tell_that_a_process_halts_as_no_law_does_and_bets_are_made_when_they_are_settled():
    law = LAWS[7]
    values = values_of(law, np.zeros((1, len(law.parameters))))
    known, rng = Tracker(mission(sets=64), coming), np.random.default_rng(2)
    view, electrons = known.mission.view(IMAGE, 0), known.mission.electrons_of(IMAGE)
    for n in range(8):
        passed_s = min(known.now_s, 120.0) + 2 * max(known.now_s - 420.0, 0.0)
        truth = shown(law.sizes({"passed": 1.5 * values[:, 3] * passed_s}, values, view), view)[0]
        sds = SENSORS["HAADF"].sds(IMAGE, electrons, truth)
        told = np.where(np.isfinite(sds), truth + np.nan_to_num(sds) * rng.standard_normal(5), np.nan)
        before = known.none.log_evidence
        known.observe(Reading(known.now_s, view, "image", told, sds, electrons, "HAADF"))
        if n < 7:
            known.wait(75.0, HOT)
        assert known.none.log_evidence == before  # a choice need not wait for them
        assert known.now_s == 75.0 * min(n + 1, 7)
        known.settle()
        assert known.none.log_evidence != before
    assert known.none_of_these
    assert not known.changes  # nothing was sudden


def test_a_rival_that_fails_costs_its_bet_and_not_the_laws_their_time(monkeypatch):
    known, fail = Tracker(mission(sets=64), coming), [True]
    learn = Rivals.learn

    def now_and_then(rivals, reading):
        if fail.pop() if fail else False:
            raise RuntimeError("no density")
        return learn(rivals, reading)

    monkeypatch.setattr(Rivals, "learn", now_and_then)
    truth = np.array([5.7, 1.8, 0.2, -0.2, 0.0])
    sds = SENSORS["HAADF"].sds(IMAGE, known.mission.electrons_of(IMAGE), truth)
    for n in range(3):
        told = np.where(np.isfinite(sds), truth, np.nan)
        known.observe(Reading(known.now_s, known.mission.view(IMAGE, 0), "image", told, sds, 1e7, "HAADF"))
        known.wait(15.0, HOT)
        if n == 0:
            with pytest.raises(RuntimeError, match="no density"):
                known.settle()
        else:
            known.settle()
    assert known.now_s == 45.0
    assert np.isfinite(known.none.log_evidence)


def test_choosing_changes_nothing_and_is_the_same_twice():
    known = Tracker(mission(), coming)
    known.wait(5.0, HOT)
    assert known.act() == known.act()
    assert known.spent == 0


def test_a_place_that_has_had_its_fluence_is_not_looked_at():
    limit = 1.5 * IMAGE.exposure.fluence_e_per_A2(50.0)
    known = Tracker(mission(laws=LAWS[5:], max_fluence_e_per_A2=limit), coming)
    follow(known, LAWS[5], np.zeros((1, len(LAWS[5].parameters))), np.random.default_rng(6))
    assert (known.fluence_e_per_A2 <= limit).all()
    assert "can be paid" in known.act().why


def test_rehearsals_say_when_the_dose_is_too_small():
    laws = (LAWS[5], LAWS[6])
    poor = list(rehearse(mission(laws=laws, electrons=3e7), coming, 1))
    rich = list(rehearse(mission(laws=laws, electrons=1e9), coming, 1))
    assert [each.law for each in poor] == [law.name for law in laws]
    assert poor[0].looks < rich[0].looks
    assert np.mean([each.probability for each in rich]) > np.mean([each.probability for each in poor])
    assert not all(each.told for each in poor)
