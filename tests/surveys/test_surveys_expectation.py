"""A survey beside its plan: departures are told once, with what they mean, and kept in the record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from survey_samples import small

from archive.reader import SurveyReader
from instruments.clock import SimulatedClock
from review.report import write_report
from surveys.expectation import ExpectationSettings, replanned
from surveys.night import open_night
from surveys.runner import run_survey

if TYPE_CHECKING:
    from pathlib import Path

    from archive.rows import EventRow

FLUENCE = 50.0 * 6.241509 * 10.0 * 32 * 32 / (100.0 * 50.0**2)
"""Of the small survey's detail looks."""


def told(folder: Path, **planned: Any) -> tuple[EventRow, ...]:
    data = {"signal": "HAADF", "electrons_per_px": 100.0, "fluence_e_per_A2": FLUENCE, "feature_snr": 5.0, **planned}
    run_survey(open_night(small(expectation=data), folder, people=SimulatedClock()))
    with SurveyReader(folder) as reader:
        return reader.events("expectation")


def report(folder: Path) -> dict[str, Any]:
    page = write_report(folder)
    assert "Not as planned" in page.read_text()
    content: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return content


def test_what_comes_as_planned_is_not_told_and_half_of_it_is(tmp_path: Path) -> None:
    first = told(tmp_path / "a", electrons_per_px=1e6)
    counts = next(event for event in first if event.data["quantity"] == "electrons_per_px")
    assert [event.data["quantity"] for event in first].count("electrons_per_px") == 1, "once, not at every look"
    assert "fluence_e_per_A2" not in [event.data["quantity"] for event in first]
    found = float(counts.data["found"])
    assert any(str(each["message"]) == counts.message for each in report(tmp_path / "a")["departures"])
    again = told(tmp_path / "b", electrons_per_px=2 * found)
    half = next(event for event in again if event.data["quantity"] == "electrons_per_px")
    assert half.data["found"] == pytest.approx(found, rel=1e-6)
    assert half.data["dwell_factor"] == pytest.approx(2 * half.data["feature_snr"] ** -2 * 25 / 2, rel=1e-6)
    assert "times the dwell" in half.message
    as_planned = told(tmp_path / "c", electrons_per_px=found)
    assert "electrons_per_px" not in [event.data["quantity"] for event in as_planned]


def test_fewer_counts_lower_the_signal_and_ask_for_more_time() -> None:
    planned = ExpectationSettings(
        signal="HAADF", electrons_per_px=100.0, fluence_e_per_A2=1000.0, feature_snr=5.0,
        detection=((100.0, 0.0), (500.0, 0.5), (1000.0, 0.9)),
    )  # fmt: skip
    snr, chance, factor = replanned(planned, {"electrons_per_px": 50.0, "noise_ratio": 1.0})
    assert (snr, chance, factor) == (pytest.approx(5 / 2**0.5), pytest.approx(0.5), pytest.approx(2.0))
    assert replanned(planned, {})[2] == 1.0
