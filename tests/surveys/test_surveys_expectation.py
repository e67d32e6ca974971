"""A survey beside its plan: departures are told once, with what they mean, and kept in the record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from survey_samples import small

from archive.reader import SurveyReader
from envs.step import ExposureRecord, Purpose
from instruments.clock import SimulatedClock
from instruments.types import Axis, Exposure, Footprint, Frame, Optics, Signal, StagePosition
from review.report import write_report
from surveys.design_detectors import READ_ELECTRONS
from surveys.expectation import ExpectationSettings, measured, replanned
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


def shown(signal: str, data: Any, *inner: Axis) -> tuple[ExposureRecord, Frame]:
    """A look of 10 × 10 nm that got these counts, with a detector of unit gain."""
    outer = (Axis("row", 0.1, "nm"), Axis("column", 0.1, "nm"))
    exposure = Exposure(field_of_view_nm=10.0, shape=data.shape[:2], dwell_us=1.0, id=1)
    when: dict[str, Any] = {"stage": StagePosition(), "optics": Optics(), "start_s": 0.0, "end_s": 1.0}
    frame = Frame(exposure=exposure, signals={signal: Signal(data, (*outer, *inner))}, electrons=1e4, **when)
    place = Footprint(x_nm=0.0, y_nm=0.0, width_nm=10.0, height_nm=10.0)
    record = ExposureRecord(
        exposure=exposure, purpose=Purpose.DETAIL, tags=(), footprint=place, electrons=1e4, committed=True, **when
    )
    return record, frame


def test_of_patterns_the_ring_of_the_plan_is_counted() -> None:
    ring = (25.0, 60.0)
    planned = ExpectationSettings(
        signal="camera", electrons_per_px=1.0, fluence_e_per_A2=1.0, feature_snr=5.0, ring_mrad=ring
    )
    rng = np.random.default_rng(3)
    step = 4.0
    angle = np.hypot(*np.meshgrid(*[(np.arange(32) - 16) * step] * 2))
    dark = np.where(angle > 20.0, 0.05, 40.0)  # the bright disc holds far more than the ring
    patterns = rng.poisson(dark, (24, 24, 32, 32)).astype(np.uint16)
    axes = (Axis("ky", step, "mrad", -16 * step), Axis("kx", step, "mrad", -16 * step))
    found = measured(planned, *shown("camera", patterns, *axes))
    ring_px = np.pi * (ring[1] ** 2 - ring[0] ** 2) / step**2
    assert found["electrons_per_px"] == pytest.approx(0.05 * ring_px, rel=0.03)
    uncalibrated = (Axis("ky", 1.0, "px"), Axis("kx", 1.0, "px"))
    assert set(measured(planned, *shown("camera", patterns, *uncalibrated))) == {"fluence_e_per_A2"}


def test_the_electronics_noise_of_few_electrons_is_expected() -> None:
    pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
    from surveys.design import make_plan
    from surveys.design_config import expected
    from surveys.design_question import Question

    plan = make_plan(Question.model_validate({
        "specimen": {"atoms_per_nm3": {"C": 100.0}, "thickness_nm": 10.0},
        "feature": {"kind": "particle", "material": {"atoms_per_nm3": {"Pt": 66.0}}, "diameter_nm": 2.0,
                    "embedded": False},
        "techniques": ["HAADF", "4D-STEM"],
        "limits": {"hours": 1e6, "data_MB": 1e12},
    }))  # fmt: skip
    rows = {row.proposal.technique: row for row in plan.rows}
    planned = ExpectationSettings.model_validate(expected(plan, rows["HAADF"]))
    assert planned.electrons_per_px < 1
    rng = np.random.default_rng(4)
    counted = rng.poisson(planned.electrons_per_px, (256, 256)) + rng.normal(0, READ_ELECTRONS, (256, 256))
    found = measured(planned, *shown("HAADF", counted))
    assert found["noise_ratio"] == pytest.approx(planned.noise_ratio, rel=0.05) and planned.noise_ratio > 1.3
    assert replanned(planned, found)[2] == pytest.approx(1.0, abs=0.1)
    ring = ExpectationSettings.model_validate(expected(plan, rows["4D-STEM"]))
    assert ring.ring_mrad == rows["4D-STEM"].proposal.ring_mrad and ring.noise_ratio == 1.0
