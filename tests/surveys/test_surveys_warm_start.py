"""A survey begins with what earlier surveys of like specimens found: recorded, kept, and the same after a resume."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import pytest
from survey_samples import small, stop_after

from agent.prior import Prior
from archive.labels import Item, LabelEvent, LabelJournal
from archive.library import Library
from archive.library_filling import add_survey
from archive.library_overview import OverviewSite, earlier_overviews
from archive.reader import SurveyReader
from configs.load import ConfigError
from envs.descriptors import NAMES
from review.report import write_report
from surveys.night import open_night, resume_night
from surveys.places import places_of
from surveys.remembering import remember
from surveys.runner import run_survey
from surveys.settings import LibrarySettings
from surveys.warm_start import asked, outcome

WHO = {"sample": "Pt on carbon", "elements": ["Pt", "C"]}


def settings(seed, library=(), **changes):
    return small(
        sites=8, seed=seed, who=WHO, agent={"kind": "planner", "warm": {"first_sites": 16}, "first_sites": 8},
        skills={"refocus": None}, instrument={"kind": "simulated", "specimen": {"rare_fraction": 0.019}},
        flagging={"false_discovery_rate": 0.9}, library={"warm": True, **dict(library)},
        budget={"hours": 1.0, "electrons": 1e12, "detail_fraction": 0.6},
        **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Two surveys that ended, in a library beside them."""
    place = tmp_path_factory.mktemp("shelf")
    for number, seed in enumerate((1, 6), start=1):
        folder = place / f"small-{number:03d}"
        run_survey(open_night(settings(seed), folder))
        assert "new" in remember(folder, LibrarySettings())
    return place


def told(folder):
    with SurveyReader(folder) as reader:
        return list(reader.events("earlier")), list(reader.steps())


def test_the_second_survey_began_with_the_first_and_says_so(shelf):
    assert told(shelf / "small-001")[0] == []
    (event,), steps = told(shelf / "small-002")
    (one,) = event.data["surveys"]
    assert "small-001, a: survey" in one["survey"]
    assert one["sites"] > 20 and one["judged"] == 0
    assert "begins with 1 earlier survey of like specimens" in event.message
    reasons = [step.decision.reason for step in steps]
    assert any("earlier surveys have" in reason for reason in reasons)
    assert {step.decision.policy for step in steps if "planner" in step.decision.policy} != {
        step.decision.policy for step in told(shelf / "small-001")[1] if "planner" in step.decision.policy
    }
    page = write_report(shelf / "small-002").read_text()
    assert "Nearest earlier experiments" in page and one["survey"] in page
    assert "Nearest earlier experiments" not in write_report(shelf / "small-001").read_text()


def test_a_resumed_survey_decides_by_what_it_began_with(shelf, tmp_path):
    own = {"library": {"file": str(tmp_path / "library.sqlite")}}
    with sqlite3.connect(shelf / "library.sqlite") as there, sqlite3.connect(tmp_path / "library.sqlite") as here:
        there.backup(here)
    run_survey(open_night(settings(5, **own), tmp_path / "whole"))
    cut = tmp_path / "cut"
    night = open_night(settings(5, **own), cut)
    run_survey(night, stop_after(night, 20))
    (tmp_path / "library.sqlite").unlink()  # whatever becomes of the library
    run_survey(resume_night(cut))
    (event,), steps = told(cut)
    assert len(event.data["surveys"]) == 2
    deeds = [(step.kind, step.target, step.decision.reason) for step in steps]
    assert deeds == [(step.kind, step.target, step.decision.reason) for step in told(tmp_path / "whole")[1]]
    (cut / "prior.json").write_text((cut / "prior.json").read_text().replace("0.", "1.", 1))
    with pytest.raises(ConfigError, match="not what the survey began with"):
        resume_night(cut)
    (cut / "prior.json").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        resume_night(cut)


def test_where_the_agent_is_not_told_people_are_and_a_broken_library_harms_no_survey(shelf, tmp_path):
    broken = tmp_path / "broken.sqlite"
    broken.write_text("no library")
    for number, (library, agent) in enumerate((
        ({"file": str(shelf / "library.sqlite")}, "planner"),
        ({"warm": True, "file": str(shelf / "library.sqlite")}, "raster"),
        ({"warm": True, "file": str(tmp_path / "none.sqlite")}, "planner"),
        ({"warm": True, "file": str(broken)}, "planner"),
    )):  # fmt: skip
        asks = small(sites=8, seed=4, who=WHO, agent={"kind": agent}, library=library)
        night = open_night(asks, tmp_path / str(number))
        assert night.prior is None
        night.close()
    assert [len(told(tmp_path / str(number))[0]) for number in range(4)] == [1, 1, 0, 1]
    for number, why in enumerate(("library.warm is off", "takes none")):
        (event,) = told(tmp_path / str(number))[0]
        assert event.message.startswith("knows of 2 earlier surveys") and why in event.message
        assert len(event.data["surveys"]) == 2 and not (tmp_path / str(number) / "prior.json").exists()
    (event,) = told(tmp_path / "3")[0]
    assert event.message.startswith("begins without earlier surveys: ")
    assert not (tmp_path / "3" / "prior.json").exists()
    assert not (tmp_path / "none.sqlite").exists()


def test_of_a_specimen_whose_elements_nobody_told_nothing_is_known_to_be_like_it(shelf, tmp_path):
    asks = small(
        sites=8, seed=4, agent={"kind": "planner"}, library={"warm": True, "file": str(shelf / "library.sqlite")}
    )
    night = open_night(asks, tmp_path / "untold")
    assert night.prior is None
    night.close()
    (event,) = told(tmp_path / "untold")[0]
    assert "who.elements in the config" in event.message and event.data["surveys"] == []


@pytest.mark.parametrize("changes", [{"who": {"elements": ["Fe"]}}, {"looks": {"overview": {"shape": [128, 128]}}}])
def test_other_specimens_and_looks_are_not_asked(shelf, changes):
    data = settings(5).model_dump(mode="json")
    for block, values in changes.items():
        for name, value in values.items():
            data[block][name] = {**data[block][name], **value} if isinstance(value, dict) else value
    with Library(shelf / "library.sqlite") as library:
        prior, heard = asked(library, type(settings(5)).model_validate(data))
        assert (prior, heard) == (Prior(NAMES, ()), [])
        assert len(asked(library, settings(5))[1]) == 2


def test_what_people_said_since_comes_with_the_survey_added_again_but_not_of_controls(shelf, tmp_path):
    folder, path = shelf / "small-001", tmp_path / "library.sqlite"
    with SurveyReader(folder) as reader, Library(path) as library:
        add_survey(library, reader)
        places = places_of(reader.meta.config, reader.steps(), reader.flags())
        before = earlier_overviews(library, ("Pt",), NAMES, 100 / 32, 5)[0][1]
        assert all(site.verdict is None for site in before.sites)
        flagged = next(place for place in places if place.flag is not None and place.trains)
        control = next(place for place in places if place.streams == ("control",))
        chosen = enumerate((flagged, control))
        items = [Item(id=f"i{n}", batch="b", position=n, place=one.key, data=one.as_dict()) for n, one in chosen]
        labels = LabelJournal(folder / "labels.sqlite")
        labels.new_batch("b", "Ada", 7, {}, items)
        labels.keep([
            *(LabelEvent(id=i.id, batch="b", item=i.id, kind="verdict", verdict=1, shown={}) for i in items),
            LabelEvent(id="lock", batch="b", item=None, kind="lock", shown={}),
        ])  # fmt: skip
        labels.close()
        assert {done for _, done in add_survey(library, reader)[0]} == {"same"}
        after = earlier_overviews(library, ("Pt",), NAMES, 100 / 32, 5)[0][1]
    sites = {site["target"] for site in flagged.flag["sites"]}
    judged = {site.target for site in after.sites if site.verdict is not None}
    assert judged and judged <= sites
    assert np.array_equal(before.quantiles, after.quantiles)


def test_a_verdict_speaks_before_a_flag_and_a_flag_before_the_interest():
    def site(**told):
        return OverviewSite(
            **{"target": 1, "above": 1.0, "interest": 0.4, "flagged": False, "verdict": None, "row": ()} | told
        )

    assert outcome(site()) == 0.4
    assert outcome(site(interest=80.0)) == 5.0
    assert outcome(site(flagged=True)) == 5.0
    assert outcome(site(flagged=True, verdict=1.0)) == 0.0
    assert outcome(site(verdict=5.0)) == 5.0


def test_what_is_kept_can_be_read_by_anybody(shelf):
    kept = json.loads((shelf / "small-002" / "prior.json").read_text())
    assert tuple(kept["names"]) == NAMES
    (one,) = kept["surveys"]
    assert np.array(one["rows"]).shape == (len(one["outcome"]), len(NAMES))
