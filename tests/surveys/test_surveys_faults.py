"""Every fault of an instrument gets the reply that is specified for it, and the night goes on or ends safely.

The faults are planned (``instruments.faulty``) for a simulated instrument, whose world tells what really happened.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from survey_samples import small

from archive.reader import SurveyReader
from instruments.clock import SimulatedClock
from instruments.drivers import registry
from instruments.errors import HardwareFault
from instruments.ledger_sqlite import SqliteLedger
from instruments.mishaps import VERBS_OF
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import StagePosition
from surveys.endings import Reason
from surveys.night import open_night
from surveys.runner import run_survey

if TYPE_CHECKING:
    from surveys.settings import SurveySettings


def one(kind: str, **about: Any) -> list[dict[str, Any]]:
    return [{"kind": kind, **about}]


CASES: dict[str, tuple[list[dict[str, Any]], str | None, str]] = {
    "stage stops half way": (one("half_way", nth=2), "ReachError", "retry, wait 1 s"),
    "stage stays stuck": (one("half_way", nth=2, calls=4), "ReachError", "retry retry retry skip"),
    "stage does not answer": (one("timeout", verb="move", nth=2), "Timeout", "retry, wait 1 s"),
    "stage says ready too early": (one("ready_early", nth=2, calls=3), None, ""),
    "answer to a move lost": (one("reply_lost", verb="move", nth=2), "Disconnected", "retry, wait 1 s"),
    "camera silent after the beam": (one("timeout", verb="acquire", nth=3), "Timeout", "skip"),
    "frame lost after the beam": (one("reply_lost", verb="acquire", nth=3), "Disconnected", "park, wait 30 s"),
    "camera hangs": (one("hang", verb="acquire", nth=3), "Timeout", "skip"),
    "stage hangs": (one("hang", verb="move", nth=2), "Timeout", "retry, wait 1 s"),
    "blank frame": (one("blank_frame", nth=3), None, "park, wait 30 s"),
    "valve closed": (one("valve_closed", nth=20, calls=12), "BusyError", "park, wait 30 s"),
    "emission off": (one("emission_off", nth=20, calls=12), "BusyError", "park, wait 30 s"),
    "reading out of date": (one("stale_reading", nth=20, calls=12), "BusyError", "park, wait 30 s"),
    "beam trip": (one("beam_trip", nth=3), "HardwareFault", "park, wait 30 s"),
    "connection drops": (one("disconnect", verb="acquire", nth=3), "Disconnected", "park, wait 30 s"),
    "connection gone a while": (one("disconnect", verb="state", nth=20, calls=10), "Disconnected", "retry, wait 1 s"),
    "somebody moves the stage": (one("moved_by_hand", nth=24), "BusyError", "park, wait 30 s"),
}
"""What is planned, the fault that the step must tell, and how the first reply begins."""


CATALOGUE: dict[str, tuple[str, ...]] = {
    "1 stage stuck or silent": (
        "stage stops half way", "stage stays stuck", "stage does not answer", "stage hangs",
    ),
    "2 pole touch": (
        "test_a_stage_that_tilts_by_itself_stops_the_night",
        "surveys/test_surveys_night.py::test_a_pole_touch_ends_the_night_as_a_safety_stop_and_stays_latched",
    ),
    "3 ready, and still moving": ("stage says ready too early",),
    "4 drift": ("test_a_burst_of_drift_is_waited_for",),
    "5 camera silent after the beam": ("camera silent after the beam", "frame lost after the beam"),
    "6 camera hangs": ("camera hangs", "crash/test_crash_guard.py::test_an_exposure_that_does_not_end_is_ended"),
    "7 blank frame": ("blank frame",),
    "8 valve, vacuum": ("valve closed",),
    "9 beam trip": ("beam trip", "emission off"),
    "10 refill": (
        "surveys/test_surveys_night.py::test_every_scripted_fault_is_told_with_its_reply_and_the_night_completes",
    ),
    "11 transfer of a specimen fails": (
        "instruments/test_instruments_guard_loader.py::test_a_transfer_that_fails_is_never_tried_again",
    ),
    "12 disconnect": ("connection drops", "connection gone a while"),
    "13 reply lost after the effect": ("answer to a move lost", "frame lost after the beam"),
    "17 process killed": ("crash/test_crash_guard.py::test_the_beam_goes_off",),
    "26 reading out of date": ("reading out of date",),
    "27 flapping": (
        "surveys/test_surveys_recovery.py::test_what_flaps_is_waited_for_ever_longer_and_then_left_to_a_person",
    ),
    "28 somebody takes over": (
        "somebody moves the stage", "test_a_beam_that_reads_on_after_it_was_blanked_stops_the_night",
    ),
}  # fmt: skip
"""Every fault of an instrument, and what shows its reply: a case above, a test here, or a test elsewhere."""


@pytest.mark.parametrize("fault", CATALOGUE)
def test_every_fault_of_the_catalogue_has_its_test(fault: str) -> None:
    for shown in CATALOGUE[fault]:
        path, _, name = shown.rpartition("::")
        text = (Path(__file__).parents[1] / path if path else Path(__file__)).read_text(encoding="utf-8")
        assert shown in CASES or f"def {name}(" in text, f"{fault}: {shown} is nowhere"


def test_every_kind_of_mishap_is_planned_somewhere() -> None:
    planned = {mishap["kind"] for mishaps, _, _ in CASES.values() for mishap in mishaps}
    elsewhere = {"pole_touch", "taken_over", "truncated_frame", "cartridge_stuck"}
    assert planned | elsewhere == set(VERBS_OF)


def night_with(tmp_path: Path, mishaps: list[dict[str, Any]], **changes: Any) -> tuple[SurveySettings, Path]:
    instrument = {"kind": "faulty", "instrument": {"kind": "simulated"}, "mishaps": mishaps, **changes}
    return small(4, instrument=instrument, limits={"max_vacuum_Pa": 1e-3}), tmp_path / "night"


def truth_of(settings: SurveySettings, folder: Path) -> World:
    inner = registry.parse({"kind": "simulated"})
    assert isinstance(inner, SimulatedSettings)
    return World(inner, settings.seed, SimulatedClock(), folder.with_name("night.truth.jsonl"))


def judge(settings: SurveySettings, folder: Path) -> None:
    """Against the world's truth: nothing twice, everything booked, nothing exposed elsewhere than it is said."""
    world = truth_of(settings, folder)
    made = world.exposures()
    ledger = SqliteLedger(folder / "ledger.sqlite")
    with SurveyReader(folder) as reader:
        rows = {row.id: row for row in reader.exposures()}
    try:
        assert max(Counter(done.id for done in made).values()) == 1
        assert ledger.electrons() >= sum(done.electrons for done in made) * (1 - 1e-9)
        for done in made:
            row = rows[done.id or 0]
            assert row.state in ("committed", "lost")
            if row.frame is not None:
                said = row.frame.stage
                assert abs((said.x_nm or 0.0) - done.footprint.x_nm) < 15.0
                assert abs((said.y_nm or 0.0) - done.footprint.y_nm) < 15.0
        assert all(ledger.booked(done.id or 0) for done in made)
    finally:
        ledger.close()
        world.close()


@pytest.mark.parametrize("case", CASES)
def test_the_reply_is_the_specified_one(case: str, tmp_path: Path) -> None:
    mishaps, error, reply = CASES[case]
    settings, folder = night_with(tmp_path, mishaps)
    night = open_night(settings, folder)
    happened = night.guard._microscope.happened  # type: ignore[attr-defined]
    summary = run_survey(night)
    assert happened, "the fault was never felt"
    assert summary.reason is Reason.COMPLETE, summary.message
    with SurveyReader(folder) as reader:
        faults = [step.fault for step in reader.steps() if step.fault is not None]
        replies = [event.message for event in reader.events("reply")]
    assert [fault.error for fault in faults[:1]] == ([] if error is None else [error])
    verbs = [message.split()[0].strip(",:") for message in replies]
    assert replies[:1] == [] if not reply else replies[0].startswith(reply) or verbs == reply.split()
    judge(settings, folder)


def test_a_beam_that_reads_on_after_it_was_blanked_stops_the_night(tmp_path: Path) -> None:
    """Somebody else is at the instrument, or the blanker is broken: latched, nothing more is moved or exposed."""
    settings, folder = night_with(tmp_path, one("taken_over", nth=20, calls=1000))
    night = open_night(settings, folder)
    made = []
    summary = run_survey(night, lambda step, progress: made.append(step.electrons))
    assert summary.reason is Reason.SAFETY
    assert "reads on" in summary.message
    assert made[-1] == 0.0
    judge(settings, folder)


def test_a_stage_that_tilts_by_itself_stops_the_night(tmp_path: Path) -> None:
    """The touch shows only in the read-back: nothing moves after it, not even to get away."""
    settings, folder = night_with(tmp_path, one("pole_touch", nth=2))
    allowed = settings.limits.model_copy(update={"alpha_deg": (-10.0, 10.0)})
    night = open_night(settings.model_copy(update={"limits": allowed}), folder)
    night.guard.move(StagePosition(alpha_deg=2.0))
    with pytest.raises(HardwareFault, match="pole touch"):
        night.guard.move(StagePosition(alpha_deg=4.0))
    assert run_survey(night).reason is Reason.SAFETY
    assert truth_of(settings, folder).exposures() == ()


def test_a_burst_of_drift_is_waited_for(tmp_path: Path) -> None:
    """Seen in looks of two frames; the night goes on when it is over."""
    fault = {"kind": "drift_burst", "at_s": 20.0, "duration_s": 120.0, "drift_nm_per_s": 8.0}
    looks = {"detail": {"field_of_view_nm": 50.0, "shape": [64, 64], "dwell_us": 40.0, "frames": 2}}
    settings = small(6, instrument={"faults": [fault]}, looks=looks, budget={"hours": 2.0})
    summary = run_survey(open_night(settings, tmp_path / "night"))
    assert summary.reason is Reason.COMPLETE, summary.message
    with SurveyReader(tmp_path / "night") as reader:
        replies = [event.message for event in reader.events("reply")]
    assert any(message.startswith("park, wait 60 s") for message in replies)


@pytest.mark.parametrize("seed", range(3))
def test_a_night_of_all_of_them(seed: int, tmp_path: Path) -> None:
    """Many at once, drawn by chance: the night is complete, or ends safely, and the truth is in the books."""
    rates = dict.fromkeys(("half_way", "ready_early", "reply_lost", "blank_frame", "truncated_frame"), 0.02)
    rates |= {"timeout": 0.01, "disconnect": 0.01, "valve_closed": 0.01, "stale_reading": 0.01, "beam_trip": 0.01}
    settings, folder = night_with(tmp_path, [], rates=rates, fault_seed=seed)
    night = open_night(settings, folder)
    happened = night.guard._microscope.happened  # type: ignore[attr-defined]
    summary = run_survey(night)
    assert len({kind for kind, _, _ in happened}) >= 5
    assert summary.reason is Reason.COMPLETE, summary.message
    judge(settings, folder)
