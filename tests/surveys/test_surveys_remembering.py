"""A survey that has ended is in the library; a library that cannot be written harms no survey."""

from __future__ import annotations

import json

from survey_samples import small, stop_after

from archive.library import Library
from archive.library_search import Query, search
from archive.reader import SurveyReader
from review.report import write_report
from surveys.night import open_night, resume_night
from surveys.remembering import remember
from surveys.runner import run_survey
from surveys.settings import LibrarySettings

WHO = {"sample": "Pt on carbon", "elements": ["Pt", "C"], "licence": "CC0-1.0"}


def test_a_survey_is_added_and_a_resumed_one_told_anew(tmp_path):
    folder = tmp_path / "small-001"
    night = open_night(small(who=WHO), folder)
    run_survey(night, on_step=stop_after(night, 6))
    assert remember(folder, LibrarySettings()).endswith("library.sqlite (4 new)")
    with Library(tmp_path / "library.sqlite") as library:
        before = {kept.experiment.uid: kept.experiment for kept in library.all()}
    run_survey(resume_night(folder))
    told = remember(folder, LibrarySettings())
    with Library(tmp_path / "library.sqlite") as library:
        assert "revised" in told
        assert "conflict" not in told
        after = {kept.experiment.uid: kept.experiment for kept in library.all()}
        assert set(after) == set(before)
        haadf = [one for one in after.values() if one.technique == "HAADF"]
        detail = next(one for one in haadf if "detail" in one.title)
        assert (detail.conditions.dwell_us, detail.conditions.current_pA) == (10.0, 50.0)
        assert abs(detail.conditions.pixel_size_nm - 50 / 32) < 1e-9
        assert detail.outcome.frames > before[detail.uid].outcome.frames
        assert 0 <= detail.outcome.usable_frames <= detail.outcome.frames
        assert len(search(library, Query(words="carbon", elements=("Pt",), technique="HAADF"))) == 2
        vector = library.embeddings(library.find(detail.uid).id)["descriptors-1"]
        assert library.like("descriptors-1", vector, 1)[0][1] == 0.0


def test_a_library_that_cannot_be_written_is_told_and_no_more(tmp_path):
    folder = tmp_path / "small-001"
    run_survey(open_night(small(), folder))
    (tmp_path / "library.sqlite").write_text("not a library")
    told = remember(folder, LibrarySettings())
    assert told.startswith("not added")
    assert "adaptem library add" in told
    assert (tmp_path / "library.sqlite").read_text() == "not a library"
    assert remember(tmp_path / "nowhere", LibrarySettings()).startswith("not added")
    assert remember(folder, LibrarySettings(keep=False)).startswith("not kept")
    own = tmp_path / "own" / "mine.sqlite"
    assert remember(folder, LibrarySettings(file=own)).startswith(str(own))


def test_flags_carry_what_earlier_surveys_of_like_specimens_say(tmp_path):
    """Two earlier nights on like worlds; the third's flags are told against them, in its folder and its report."""
    rare = {"kind": "simulated", "specimen": {"rare_fraction": 0.019}}
    looks = {"overview": {"sites": 2, "shape": [64, 64], "dwell_us": 2.0},
             "detail": {"field_of_view_nm": 50.0, "shape": [64, 64], "dwell_us": 10.0}}  # fmt: skip
    loud = {"flagging": {"false_discovery_rate": 0.9}, "instrument": rare, "looks": looks}
    for number, seed in enumerate((3, 6, 5), start=1):
        folder = tmp_path / f"small-{number:03d}"
        run_survey(open_night(small(seed=seed, who=WHO, sites=8, **loud), folder))
        remember(folder, LibrarySettings())
    first, last = (json.loads((tmp_path / f"small-{n:03d}" / "history.json").read_text()) for n in (1, 3))
    assert all(each["p_value"] is None for each in first)
    with SurveyReader(folder) as reader:
        flags = reader.flags()
    assert flags, "this seed flags nothing: take another"
    assert {each["rank"] for each in last} <= {flag["rank"] for flag in flags}
    assert last
    for each in last:
        assert each["surveys"] == 2
        assert 0 < each["p_value"] <= 1
        assert {case["survey"] for case in each["nearest"]} <= {"small-001", "small-002"}
    assert "earlier surveys" not in write_report(tmp_path / "small-001").read_text()  # which knew of none
    page = write_report(folder).read_text()
    assert "of 2 earlier surveys" in page
    assert json.loads((folder / "report.json").read_text())["flags"][last[0]["rank"] - 1]["history"] == last[0]["told"]
