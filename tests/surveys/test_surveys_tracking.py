"""Following a specimen from a config: deadlines, controls, records, and what is said where it cannot be done."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from following_samples import CONFIG, SHORT

from agent.tracking import Tracker
from archive.reader import SurveyReader
from configs.load import ConfigError, load
from envs.particles import Measured
from models.kinetics_filter import KineticFilter
from review.tracking import write_tracking_report
from surveys.tracking import run_tracking
from surveys.tracking_prepare import expected_conditions, prepare, rehearsed
from surveys.tracking_settings import TrackSettings

FIRST = np.array([4.0, 1.5, 0.2, -1.5, np.nan]), np.array([0.1, 0.05, 0.05, 0.05, np.nan])


@pytest.fixture(scope="module")
def following():
    return prepare(load(CONFIG, TrackSettings, SHORT))


def test_a_run_keeps_every_frame_with_its_conditions_and_ends_in_a_report(following, tmp_path):
    folder = tmp_path / "run"
    told: list[str] = []
    found = run_tracking(following, folder, told.append)
    rows = [json.loads(line) for line in (folder / "tracking.jsonl").read_text().splitlines()]
    looked = [row for row in rows if row["look"]]
    assert found["looks"] == sum(row["decided_by"] == "agent" for row in looked) > 3
    assert sum(row["decided_by"] == "runner" for row in looked) == 2
    assert found["electrons"] <= 1.5e8
    assert rows[-1]["held"]["concentration_mM"] > 3.5
    assert rows[0]["held"]["concentration_mM"] < 0.2
    with SurveyReader(folder) as reader:
        exposures = list(reader.exposures())
        assert len(exposures) == len(looked)
        kept = reader.frame(looked[-1]["exposures"][0] if looked[-1]["exposures"] else 1)
        assert next(iter(kept.values())).shape == (128, 128)
        assert any(event.kind == "holder" for event in reader.events())
    page = write_tracking_report(folder).read_text()
    assert "data:image/png" in page
    assert found["dose_told"][:20].lower() in page.lower()
    assert any("nats" in line for line in told)


def test_a_world_that_was_followed_before_is_not_gone_on_with(following, tmp_path):
    """Its folder was taken away and its truth left: what grew there would still be there."""
    truth = tmp_path / "again.truth.jsonl"
    truth.write_text("{}\n", "utf-8")
    with pytest.raises(
        ConfigError, match=r"again\.truth\.jsonl: another survey's world keeps its truth here; remove it"
    ):
        run_tracking(following, tmp_path / "again", lambda line: None)
    assert truth.read_text("utf-8") == "{}\n"
    assert not (tmp_path / "again").exists()


def test_late_decisions_are_taken_in_turn_and_counted(following, tmp_path, monkeypatch):
    """In real time, with a real deadline."""
    act = Tracker.act

    def slowly(tracker):
        time.sleep(0.4)
        return act(tracker)

    monkeypatch.setattr(Tracker, "act", slowly)
    settings = following.settings
    quick = settings.model_copy(
        update={
            "instrument": settings.instrument.model_copy(update={"real_time": True}),
            "horizon_s": 8.0,
            "tick_s": 1.0,
            "decision_deadline_s": 0.05,
            "program": (),
            "controls": settings.controls.model_copy(update={"places": ()}),
        }
    )
    mission = replace(following.mission, horizon_s=8.0, tick_s=1.0)
    found = run_tracking(replace(following, settings=quick, mission=mission), tmp_path / "late", lambda _: None)
    assert found["late"] >= 5
    assert found["broken"] == 0
    assert any("came too late" in line for line in found["trouble"])
    rows = [json.loads(line) for line in (tmp_path / "late" / "tracking.jsonl").read_text().splitlines()]
    fallen = [row for row in rows if row["decided_by"] == "fallback" and row["look"]]
    assert {row["place"] for row in fallen} == {0, 1}
    assert found["electrons"] <= 1.5e8


def test_a_simulated_run_repeats_however_long_the_agent_takes(following, tmp_path, monkeypatch):
    settings = following.settings.model_copy(update={"decision_deadline_s": 1e-3})
    short = replace(following, settings=settings)
    runs = [run_tracking(short, tmp_path / name, lambda _: None) for name in ("one", "other")]
    assert runs[0] == runs[1]
    assert runs[0]["late"] == 0


def test_readings_that_the_agent_failed_to_take_up_are_told(following, tmp_path, monkeypatch):
    learn, heard = KineticFilter._learn, []

    def sometimes(known, reading):
        heard.append(reading)
        learn(known, reading)
        if len(heard) > 2:
            raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(KineticFilter, "_learn", sometimes)
    found = run_tracking(following, tmp_path / "deaf", lambda _: None)
    assert len(found["not_learned"]) == len(heard) - 3 > 0  # two were learned, the last is asked of the beam's part
    assert "the laws could not take up all readings (Singular matrix)" in found["dose_told"]
    assert any("did not take up" in line and "Singular matrix" in line for line in found["trouble"])


def test_what_a_reading_broke_is_as_it_was_before(following, monkeypatch):
    known = Tracker(following.mission, lambda a, b: [])
    seen = known.mission.reading(known.mission.looks[0], 0, 0.0, Measured(*FIRST, 0, 1.0, 1e-3))
    known.observe(seen)
    before = known.filter.probabilities().copy(), len(known.filter.lived)
    monkeypatch.setattr(KineticFilter, "_take", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        known.observe(seen)
    monkeypatch.undo()
    np.testing.assert_array_equal(known.filter.probabilities(), before[0])
    known.wait(5.0, {"concentration_mM": 1.0})
    known.observe(seen)  # and it goes on


def test_half_times_are_those_of_what_the_holder_read_not_of_what_it_was_ordered(following, tmp_path):
    """The order never comes about: nothing grows, and no half-time of a growth that did not happen is told."""
    settings = following.settings.model_copy(
        update={"program": (following.settings.program[0].model_copy(update={"value": 50.0}),)}
    )
    told: list[str] = []
    found = run_tracking(replace(following, settings=settings), tmp_path / "refused", told.append)
    assert found["orders_refused"]
    assert any("concentration_mM = 50 was not carried out" in line for line in found["trouble"])
    assert any("was not carried out" in line for line in told)
    rows = [json.loads(line) for line in (tmp_path / "refused" / "tracking.jsonl").read_text().splitlines()]
    assert sum("was not carried out" in (row["fault"] or "") for row in rows) == 1
    assert "was not carried out" in write_tracking_report(tmp_path / "refused").read_text()
    middle = np.array(found["laws"][0]["courses"][0]["middle"])
    assert middle[-1, 3] - middle[0, 3] < 0.7  # with the 4 mM of the order the volume grows a hundredfold


def test_the_dose_is_judged_before_the_start(following):
    poor = replace(following, mission=replace(following.mission, electrons=1.2e7))
    told = list(rehearsed(poor))
    assert not all(each.told for each in told)
    assert all(each.looks == 2 for each in told)


def test_the_programme_is_what_is_expected(following):
    settings = following.settings
    assert expected_conditions(settings, {"concentration_mM": 0.0}, 0.0, 50.0) == [
        (10.0, {"concentration_mM": 0.0}),
        (40.0, {"concentration_mM": 4.0}),
    ]
    assert expected_conditions(settings, {"concentration_mM": 3.9}, 20.0, 50.0) == [(30.0, {"concentration_mM": 3.9})]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("expected.supply=null", "names neither temperature_K nor supply"),
        ("program=[{at_s: 1, condition: bias_V, value: 1}]", "limits.conditions does not allow"),
        ("controls.look=close", "the looks are"),
        ("controls.times=1", "two exposures at least"),
        ("tick_s=1e4", "longer than horizon_s"),
        ("program=[{at_s: 1, condition: concentration_mM, value: 8}]", "allows 0 to 5"),
        ("places=[{x_nm: 3000, y_nm: 0}]", r"places\[0\].x_nm is 3000"),
        ("controls.places=[{x_nm: 0, y_nm: -3000}]", r"controls.places\[0\].y_nm is -3000"),
        ("looks.image.signal=", "signal"),
    ],
)
def test_what_cannot_be_followed_is_told_at_once(change, told):
    with pytest.raises(ConfigError, match=told):
        load(CONFIG, TrackSettings, (change,))


def test_a_signal_that_is_not_there_and_a_budget_that_pays_nothing_are_told():
    with pytest.raises(ConfigError, match="this instrument has HAADF, EELS"):
        prepare(load(CONFIG, TrackSettings, ("looks.image.signal=ADF",)))
    with pytest.raises(ConfigError, match="no look can be paid"):
        prepare(load(CONFIG, TrackSettings, (*SHORT, "electrons=1.1e7")))
    with pytest.raises(ConfigError, match="bias_V drives the process, and this holder reads concentration_mM"):
        prepare(load(CONFIG, TrackSettings, ("expected.supply=bias_V",)))
