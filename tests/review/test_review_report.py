"""The morning report of a real, small survey."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from review_samples import MadeUp, flag

from archive.errors import FolderInUse
from archive.folder import SurveyFolder
from archive.reader import SurveyReader
from configs.load import load
from console.source import packaged
from envs.step import Fault, Kind, Purpose, Stream, Tag
from instruments.ledger_sqlite import SqliteLedger
from review.report import write_report
from review.status import status_of
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings


class Page(HTMLParser):
    """What a browser would make of it: tags that are open, pictures, links, text."""

    VOID = ("meta", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.links: list[str | None] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def written(folder):
    """(page, report.json) as they are now."""
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    return page, json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    sets = ["budget.detail_fraction=0.05", "specimens.0.area.width_nm=1024", "specimens.0.area.height_nm=1024"]
    settings = load(packaged("survey_demo.yaml"), SurveySettings, sets)
    made = open_night(settings, tmp_path_factory.mktemp("night") / "survey")
    folder = run_survey(made).folder
    made.guard.ledger.close()  # or whenever it is collected, which changes the file
    return folder


@pytest.fixture
def made_up(tmp_path):
    made = MadeUp(tmp_path / "night")
    yield made
    made.close()


def test_the_report_agrees_with_the_journal(night):
    _, report = written(night)
    with SurveyReader(night) as reader:
        steps, rows = list(reader.steps()), list(reader.exposures())
        assert report["done"]["steps"] == len(steps)
        assert report["done"]["electrons"] == pytest.approx(sum(step.electrons for step in steps))
        assert [flag["exposure_id"] for flag in report["flags"]] == [flag["exposure_id"] for flag in reader.flags()]
    done, streams = report["done"], report["streams"]
    committed = [row for row in rows if row.state == "committed"]
    assert done["overview"] == sum(row.purpose == "survey" for row in committed) == report["plan"]["overview"]
    assert done["detail"] == sum(row.purpose == "detail" for row in committed)
    assert done["sites_in_detail"] <= report["plan"]["sites_in_detail"] < report["plan"]["sites"]
    assert done["controls"] == len(report["controls"]) == streams["control"]["exposures"]
    chosen = [row for row in committed if any(tag.stream is Stream.POLICY for tag in row.tags)]
    assert streams["policy"]["exposures"] == len(chosen)
    assert 0 < done["beam_ratio"] < done["busy_ratio"] <= 1
    assert report["ended"]["data"]["reason"] == "complete"


def test_the_largest_fluence_lies_between_one_look_and_the_guards_own_figure(night):
    _, report = written(night)
    ledger = SqliteLedger(night / "ledger.sqlite")
    with SurveyReader(night) as reader:
        places = [(record.footprint, record.electrons) for step in reader.steps() for record in step.exposures]
    cautious = max(ledger.fluence_e_per_A2(place) for place, _ in places)
    ledger.close()
    single = max(electrons / (100 * place.area_nm2) for place, electrons in places)
    assert single <= report["done"]["largest_fluence_e_per_A2"] <= cautious * (1 + 1e-9)


def test_the_page_needs_nothing_from_outside(night):
    page, _ = written(night)
    html = (night / "report.html").read_text()
    assert "http://" not in html and "https://" not in html
    assert not page.tags & {"script", "link", "iframe", "object", "form", "video"}
    assert page.links and all(str(link).startswith("data:image/") for link in page.links)
    assert "default-src 'none'" in html
    assert all(picture.get("alt") for picture in page.pictures)


def test_signals_come_back_in_the_order_the_instrument_gave_them(night):
    with SurveyReader(night) as reader:
        first = next(row.id for row in reader.exposures() if row.state == "committed")
        assert list(reader.frame(first)) == ["HAADF", "BF"]


def test_every_flag_shows_itself_what_lies_around_and_why(made_up):
    overview, detail = made_up.look(Purpose.SURVEY), made_up.look(x_nm=2.0)
    made_up.record.flags([flag(detail, 1), flag(overview, 2, tags=["policy", "overview only"])])
    page, _ = written(made_up.folder.path)
    shown = [picture["alt"] for picture in page.pictures if str(picture["alt"]).startswith("Flag ")]
    assert shown == [f"Flag {rank}, {what}" for rank in (1, 2) for what in ("the place", "its surroundings")]
    for words in ("In the detail: brighter", "rougher.", "local brightness 90 %", "snr 10 %", "q = 0.01"):
        assert words in page.text


def test_without_flags_it_shows_what_came_closest(made_up):
    for interest in (1.0, 7.5, float("nan"), 3.0):
        made_up.look(interest=interest)
    made_up.event("end", "a: the budget is spent", reason="complete")
    page, report = written(made_up.folder.path)
    assert [row["interest"] for row in report["closest"]] == [7.5, 3.0, 1.0]
    assert "Nothing stood out" in page.text and "step 1, interest 7.5" in page.text


def test_the_report_is_written_without_touching_the_record(night):
    # SQLite's shared memory and empty write-ahead log go when the last reader does
    ours = [p for p in night.rglob("*") if p.is_file() and not p.name.endswith(("-shm", "-wal"))]
    before = {p: p.read_bytes() for p in ours if not p.name.startswith("report")}
    written(night)
    assert {p: p.read_bytes() for p in before} == before


def test_a_frame_that_is_gone_leaves_a_gap_and_no_error(night, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(night, copy)
    whole = len(written(copy)[0].pictures)
    for chunk in copy.glob("frames/*/0/c.*"):
        chunk.unlink()
    page, _ = written(copy)
    assert 0 < len(page.pictures) < whole
    assert "not there or damaged" in page.text


def test_nothing_done_yet(made_up):
    page, report = written(made_up.folder.path)
    assert report["verdict"]["state"] == "running" and "Flags come at the end" in page.text
    assert "No step was made" in page.text
    assert status_of(made_up.folder.path)["steps"] == 0


def test_running_then_cut_off(made_up):
    made_up.event("start", "begins")
    made_up.look()
    path = made_up.folder.path
    assert written(path)[1]["verdict"]["headline"] == "Still running"
    assert "running" in status_of(path)["state"]
    made_up.close()
    page, report = written(path)
    assert report["verdict"]["state"] == "bad" and "adaptem resume" in page.text
    assert status_of(path)["state"].startswith("cut off")


HOSTILE = "<script>alert('x')</script><img src=http://evil.example onerror=y> \" & {{ 7 * 7 }}"


def test_what_others_wrote_is_shown_and_not_obeyed(tmp_path):
    made = MadeUp(tmp_path / "night", who={"operator": HOSTILE, "sample": HOSTILE})
    shown = made.look(Purpose.SURVEY)
    made.look(fault=Fault(error="Timeout", message=HOSTILE), committed=False)
    made.event("fault", HOSTILE, error=HOSTILE)
    made.event("reply", HOSTILE)
    made.record.journal.request("stop", {}, person=HOSTILE)
    made.record.flags([flag(shown, reason=HOSTILE, tags=[HOSTILE], contributions={HOSTILE: 1.0})])
    made.event("end", HOSTILE, reason=HOSTILE)
    made.close()
    page, _ = written(made.folder.path)
    assert "script" not in page.tags
    assert all(str(link).startswith("data:image/") for link in page.links)
    assert page.text.count("{{ 7 * 7 }}") >= 6


def test_lost_exposures_faults_and_replies_are_told(made_up):
    made_up.look(Purpose.SURVEY)
    made_up.look(fault=Fault(error="Timeout", message="no answer in 5 s"), committed=False)
    made_up.event("fault", "Timeout: no answer in 5 s", error="Timeout")
    made_up.event("reply", "retry, wait 1 s: no answer in 5 s", wait_s=1.0)
    made_up.event("fault", "the stage is stuck", error="ReachError")
    made_up.event("end", "no success for hours", reason="hardware")
    page, report = written(made_up.folder.path)
    assert report["done"]["lost"] == 1 and report["done"]["failed_steps"] == {"Timeout": 1}
    assert report["faults_by_kind"] == {"Timeout": 1, "ReachError": 1}
    assert [fault["replies"] for fault in report["faults"]] == [["retry, wait 1 s"], []]
    assert report["verdict"]["state"] == "bad"
    for words in ("2 faults, 1 without a reply", "1 exposure lost", "See to the instrument"):
        assert words in page.text


def test_waiting_is_not_work(made_up):
    made_up.look()
    made_up.event("fault", "busy", error="BusyError")
    made_up.event("reply", "park, wait 5 s", wait_s=5.0)
    made_up.look()
    report = written(made_up.folder.path)[1]
    assert report["done"]["hours"] * 3600 == 20.0
    assert report["done"]["busy_ratio"] == pytest.approx(15 / 20)


def test_rotated_frames_overview_only_flags_and_several_specimens(tmp_path):
    area = {"width_nm": 200.0, "height_nm": 200.0}
    made = MadeUp(tmp_path / "night", specimens=[{"name": "a", "area": area}, {"name": "b", "area": area}])
    turned = made.look(Purpose.SURVEY, rotation_deg=30.0)
    straight = made.look(Purpose.SURVEY, specimen="b", x_nm=40.0)
    flags = [
        flag(turned, 1, tags=["policy", "overview only"]),
        flag(straight, 2, specimen="b", x_nm=44.0, y_nm=2.0),
        flag(straight, 3, specimen="b", x_nm=90.0),
        flag(999, 4),
    ]
    made.record.flags(flags)
    made.event("end", "b: the budget is spent", reason="complete")
    made.close()
    page, report = written(made.folder.path)
    assert report["plan"]["sites"] == 32
    assert sum("Map of" in str(picture["alt"]) for picture in page.pictures) == 2
    assert "overview only" in page.text and page.text.count("not there or damaged") >= 2
    assert report["verdict"]["headline"] == "Finished: b: the budget is spent"


def test_a_place_in_two_streams_counts_in_both(made_up):
    number = made_up.look()
    control = Tag(stream=Stream.CONTROL, inclusion_probability=0.1)
    made_up.step(kind=Kind.CONTROL, retagged=((number, control),), target=0)
    made_up.look(Purpose.CONTROL, tag=control, x_nm=30.0)
    page, report = written(made_up.folder.path)
    assert report["streams"]["policy"]["exposures"] == 1
    assert report["streams"]["control"] == {
        "exposures": 2, "electrons": 512000.0, "inclusion_probability": 0.1
    }  # fmt: skip
    assert [row["also_chosen_by_the_agent"] for row in report["controls"]] == [True, False]
    assert "also chosen by the agent" in page.text


def test_overlapping_exposures_add_up(made_up):
    for x_nm in (0.0, 8.0, 40.0):
        made_up.look(x_nm=x_nm)
    assert written(made_up.folder.path)[1]["done"]["largest_fluence_e_per_A2"] == pytest.approx(2 * 256000 / 25600)


def test_numbers_that_are_not_finite_make_no_broken_json(made_up):
    made_up.look()
    made_up.record.flags([flag(1, score=float("nan"), p_value=float("inf"))])
    write_report(made_up.folder.path)
    text = (made_up.folder.path / "report.json").read_text()
    assert not re.search(r"NaN|Infinity", text)
    assert json.loads(text)["flags"][0]["score"] is None


def test_frames_that_the_instrument_doubts_are_counted(made_up):
    made_up.look()
    assert written(made_up.folder.path)[1]["provenance"]["frames the instrument doubts"] == "none"
    numbers = [made_up.look(doubts=(f"HAADF: {nm} nm is too thick", "BF: so it is")) for nm in (8, 9)]
    page, content = written(made_up.folder.path)
    told = "2; of the latest: HAADF: 9 nm is too thick"
    assert content["provenance"]["frames the instrument doubts"] == told
    assert told in page.text
    with SurveyReader(made_up.folder.path) as reader:
        assert reader.recorded(numbers[0]).doubts == ("HAADF: 8 nm is too thick", "BF: so it is")


def test_a_report_beside_a_writer_leaves_its_lock_alone(made_up):
    made_up.look()
    written(made_up.folder.path)
    with pytest.raises(FolderInUse, match=r"in use|process"):
        SurveyFolder.open(made_up.folder.path)
