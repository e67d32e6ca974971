"""What labels teach: only what the policy chose, only blind, and live only if it is not worse."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from learning_samples import event, flagged, judged, made
from safetensors.numpy import load_file
from survey_samples import small

from archive.reader import SurveyReader
from archive.rows import Rows, open_read_only
from archive.verdicts import teaching_verdicts
from configs.errors import ConfigError
from envs.step import Kind
from surveys.dryrun import plan
from surveys.learned import ARRAYS, CARD, live_version, load_learned
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings
from surveys.verdicts import surprises
from training.feedback import Lesson, Lessons, lessons
from training.learning import BEARABLE, auc, compared, learn, out_of_fold


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return made(tmp_path_factory.mktemp("learning") / "night")


@pytest.fixture
def survey(night, tmp_path):
    return flagged(night, tmp_path / "flagged")


def bright(place):
    """A rule that descriptors can tell: what lies right of the middle is remarkable."""
    return 5 if place.x_nm > 0 else 1


def test_controls_teach_nothing(survey, tmp_path):
    """What was learned is the same, bit by bit, whatever is said of the audit set."""
    found = {}
    for name, rule in (
        ("one", bright),
        ("other", lambda place: bright(place) if place.trains else 6 - bright(place)),
    ):
        copy = tmp_path / name
        shutil.copytree(survey, copy)
        judged(copy, rule).close()
        said = lessons([copy])
        assert len(said.audit) == 10 and len(said.teaching) == 30
        assert not {one.target for one in said.teaching} & {one.target for one in said.audit}
        learn(said, tmp_path / f"{name}-learned")
        found[name] = load_file(tmp_path / f"{name}-learned" / "v001" / ARRAYS)
        found[f"{name} audit"] = [one.verdict for one in said.audit]
    assert found["one audit"] != found["other audit"]
    assert found["one"].keys() == found["other"].keys()
    assert all(np.array_equal(found["one"][name], found["other"][name]) for name in found["one"])


def test_a_flag_that_was_also_drawn_as_a_control_is_of_the_audit_set(survey):
    with closing(judged(survey, bright)) as study:
        (both,) = [place for place in study.places if place.flag is not None and "control" in place.streams]
    said = lessons([survey])
    assert both.target in {one.target for one in said.audit} - {one.target for one in said.teaching}


def test_a_region_with_a_control_in_it_gives_the_control_no_verdict_and_no_lesson(survey):
    """Though nobody has judged the control as one: it is of the audit set from the draw on."""
    with closing(open_read_only(survey / "journal.sqlite")) as database:
        flags = [dict(flag) for flag in Rows(database).flags()]
        drawn = next(step.target for step in Rows(database).steps() if step.kind is Kind.CONTROL)
    flags[0]["sites"] = [*flags[0]["sites"], {**flags[0]["sites"][0], "target": drawn}]
    first = flags[0]["sites"][0]["target"]
    with closing(sqlite3.connect(survey / "journal.sqlite")) as database, database:
        database.execute("UPDATE flags SET data = ? WHERE rank = 1", (json.dumps(flags[0]),))
    judged(survey, lambda place: 5 if place.target == first else 1).close()
    said = lessons([survey])
    assert first not in {one.target for one in said.teaching} and len(said.teaching) == 29
    with SurveyReader(survey) as reader:
        told = teaching_verdicts(reader)
    assert told["a", first] == 5.0 and ("a", drawn) not in told and len(told) == 30


def test_a_control_is_as_surprising_as_the_night_had_it(tmp_path):
    """The judge made anew from the record is the one that flagged, and judges control frames as that did."""
    night = made(tmp_path / "night", seed=4, flagging={"false_discovery_rate": 0.9})
    blind = tmp_path / "blind"
    shutil.copytree(night, blind)
    shutil.rmtree(blind / "frames")  # controls as an overview shows them
    found = []
    for folder in (night, blind):
        with SurveyReader(folder) as reader:
            settings = SurveySettings.model_validate(reader.meta.config)
            found.append(surprises(reader, settings, 0))
            flags, steps = reader.flags(), list(reader.steps())
    controls = {step.target for step in steps if step.kind is Kind.CONTROL and step.shown is not None}
    alone = [flag for flag in flags if len(flag["sites"]) == 1]
    assert alone
    for flag in alone:
        assert found[0][flag["sites"][0]["target"]] == pytest.approx(max(flag["surprise"], 0.0), abs=1e-9)
    changed = {target for target, told in found[0].items() if told != found[1].get(target)}
    assert changed and changed <= controls
    judged(night, bright).close()
    audit = lessons([night]).audit
    assert len({one.surprise for one in audit}) > 1
    flagged_at = {flag["sites"][0]["target"] for flag in flags}
    assert all(one.surprise == found[0][one.target] for one in audit if one.target not in flagged_at)


def test_a_record_that_lacks_a_step_is_told_in_words(survey):
    judged(survey, bright).close()
    with closing(sqlite3.connect(survey / "journal.sqlite")) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("DELETE FROM steps WHERE seq = 2")
    with pytest.raises(ConfigError, match="cannot be gone through again"):
        lessons([survey])


def test_neither_an_open_batch_nor_a_second_thought_teaches(survey):
    with closing(judged(survey, bright, lock=False)):
        assert lessons([survey]).teaching == []
        with pytest.raises(ConfigError, match="judged in a batch that is locked"):
            learn(lessons([survey]), survey / "learned")
    with closing(judged(survey, bright)) as study:  # the open batch, to its end
        before = [one.verdict for one in lessons([survey]).teaching]
        (batch,) = study.journal.batches()
        study.journal.keep([event(batch.id, item.id, "verdict", 3) for item in batch.items])  # after the reveal
        assert len(before) == 30 and [one.verdict for one in lessons([survey]).teaching] == before


def test_what_was_asked_more_of_is_kept_unless_it_is_a_control(survey, tmp_path):
    with closing(judged(survey, bright)) as study:
        items = study.journal.batches()[0].items
        by_key = {place.key: place for place in study.places}
        chosen = [item for item in items if by_key[item.place].trains and bright(by_key[item.place]) == 5][:3]
        control = next(item for item in items if not by_key[item.place].trains)
        for number, item in enumerate([*chosen, control]):
            study.journal.want(f"w{number}", item.id, "right side")
        study.journal.want("w9", chosen[2].id, "")  # taken back
    said = lessons([survey])
    assert [name for name, _ in said.wanted] == ["right side"] * 2
    learned = load_learned(learn(said, tmp_path / "learned").folder)
    assert sorted(set(learned.said)) == ["other", "right side"] and len(learned.examples) == len(learned.said)


def test_the_next_survey_ranks_by_it_and_says_so(survey, tmp_path):
    judged(survey, bright).close()
    store = tmp_path / "learned"
    done = learn(lessons([survey]), store)
    if not done.live:
        (store / "live").write_text("v001\n")
    settings = small(8, seed=4, flagging={"learned": str(store), "false_discovery_rate": 0.9})
    assert plan(settings)
    run_survey(open_night(settings, tmp_path / "next"))
    with closing(open_read_only(tmp_path / "next" / "journal.sqlite")) as database:
        rows = Rows(database)
        flags = rows.flags()
        (told,) = rows.events("learned")
    assert told.data["version"] == "v001" and told.data["hash"] == load_learned(store).hash
    assert flags and all(1.0 <= flag["expected_verdict"] <= 5.0 for flag in flags)
    assert flags[0]["expected_verdict"] == max(flag["expected_verdict"] for flag in flags)


def test_an_error_of_what_was_learned_is_told_before_the_night(survey, tmp_path):
    store = tmp_path / "learned"
    settings = small(8, flagging={"learned": str(store)})
    with pytest.raises(ConfigError, match="learned is not there: `adaptem learn SURVEY --into"):
        plan(settings)
    judged(survey, bright).close()
    learn(lessons([survey]), store)
    (store / "live").write_text("v001\n")
    plan(settings)
    arrays = store / "v001" / ARRAYS
    whole = arrays.read_bytes()
    for broken in (whole[:-8], b"", b"\x08" + bytes(40), whole[:-8] + b"\x01" * 8):
        arrays.write_bytes(broken)
        with pytest.raises(ConfigError, match=r"flagging\.learned"):
            plan(settings)
    arrays.write_bytes(whole)
    card = json.loads((store / "v001" / CARD).read_text())
    card["columns"][0] = "another"
    (store / "v001" / CARD).write_text(json.dumps(card))
    with pytest.raises(ConfigError, match="other descriptors"):
        plan(settings)


def test_a_worse_version_does_not_go_live(tmp_path):
    rng = np.random.default_rng(5)
    columns = tuple(f"c{n}" for n in range(4))

    def taught(survey: str, sign: float) -> Lessons:
        rows = rng.standard_normal((60, 4))
        said = [
            Lesson(survey, f"s{n % 3}", n, row, abs(row[1]), 5.0 if sign * row[0] > 0 else 1.0)
            for n, row in enumerate(rows)
        ]
        truth = rng.standard_normal((40, 4))
        audit = [
            Lesson(survey, "s0", 100 + n, row, abs(row[1]), 5.0 if row[0] > 0 else 1.0) for n, row in enumerate(truth)
        ]
        return Lessons(columns, said, audit, [], {survey: 1})

    first = learn(taught("one", 1.0), tmp_path)
    assert first.live and live_version(tmp_path) == "v001" and "the order of surprise" in first.why
    second = learn(taught("two", -1.0), tmp_path)  # a reviewer who says the opposite
    assert not second.live and live_version(tmp_path) == "v001" and "the live version" in second.why
    assert (tmp_path / "v002" / CARD).is_file()
    third = learn(taught("three", 1.0), tmp_path)
    assert third.version == "v003" and third.live == (third.evaluation["audit"]["better than live"][-1] >= -BEARABLE)


def ruled(survey, count, seed, *, surprise=None):
    """Places of three specimens, interesting where their first number is positive."""
    return [
        Lesson(survey, f"s{n % 3}", n, row, abs(row[1]) if surprise is None else surprise, 5.0 if row[0] > 0 else 1.0)
        for n, row in enumerate(np.random.default_rng(seed).standard_normal((count, 4)))
    ]


def test_an_order_of_ties_is_no_rival(tmp_path):
    audit, said = ruled("one", 40, 1, surprise=0.0), ruled("one", 60, 2, surprise=2.0)
    report = compared({"new": np.arange(40.0), "surprise": np.zeros(40)}, audit)
    assert report["ties"] == ["surprise"] and "surprise" not in report and "better than surprise" not in report
    done = learn(Lessons(tuple("abcd"), said, audit, [], {"one": 1}), tmp_path)
    assert not done.live and live_version(tmp_path) is None and "nothing else to judge it by" in done.why
    assert done.before is None


def test_one_that_has_read_less_does_not_replace_the_live_one_uncompared(tmp_path):
    two, columns = ruled("two", 24, 3), tuple("abcd")
    both = ruled("one", 150, 4) + two
    assert learn(Lessons(columns, both, [], [], {"one": 7, "two": 9}), tmp_path).live
    part = learn(Lessons(columns, two, [], [], {"two": 9}), tmp_path)
    assert not part.live and part.before == "v001" and "name one too" in part.why and live_version(tmp_path) == "v001"
    less_far = learn(Lessons(columns, both, [], [], {"one": 7, "two": 8}), tmp_path)
    assert not less_far.live and "name two too" in less_far.why
    fewer = learn(Lessons(columns, both[:-1], [], [], {"one": 7, "two": 9}), tmp_path)
    assert not fewer.live and "fewer places" in fewer.why
    all_and_more = learn(Lessons(columns, [*both, *ruled("two", 3, 5)], [], [], {"one": 7, "two": 12}), tmp_path)
    assert all_and_more.live and live_version(tmp_path) == "v005"


def test_what_is_learned_is_found_again_and_holds_elsewhere(tmp_path):
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((90, 6))
    verdicts = np.clip(np.round(3 + 1.5 * rows[:, 1] * (rows[:, 2] > 0) + 0.3 * rng.standard_normal(90)), 1, 5)
    said = [
        Lesson("n", f"s{n % 3}", n, row, abs(row[0]), float(v))
        for n, (row, v) in enumerate(zip(rows, verdicts, strict=True))
    ]
    told = out_of_fold(said)
    assert np.corrcoef(told, verdicts)[0, 1] > 0.5
    done = learn(Lessons(tuple("abcdef"), said, [], [], {"n": 1}), tmp_path)
    assert done.live and "the audit set cannot tell" in done.why
    learned = load_learned(tmp_path)
    theirs = load_file(tmp_path / "v001" / ARRAYS)
    assert all(np.array_equal(theirs[name], each) for name, each in learned.interest.arrays().items())


def test_too_few_or_equal_verdicts_teach_nothing(tmp_path):
    row = np.zeros(2)
    few = Lessons(("a", "b"), [Lesson("n", "s", n, row, 1.0, 5.0) for n in range(30)], [], [], {})
    with pytest.raises(ConfigError, match="nothing was learned: 30 verdicts, 1 of them different"):
        learn(few, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_curve_is_that_of_its_definition():
    rng = np.random.default_rng(7)
    told, yes = rng.integers(0, 4, 50).astype(float), rng.random(50) < 0.4
    pairs = [
        (told[a] > told[b]) + 0.5 * (told[a] == told[b]) for a in np.flatnonzero(yes) for b in np.flatnonzero(~yes)
    ]
    assert auc(told, yes) == pytest.approx(np.mean(pairs))
    said = [Lesson("n", "s", n, np.zeros(1), 1.0, 5.0 if one else 1.0) for n, one in enumerate(yes)]
    report = compared({"new": told, "surprise": told}, said)
    assert report["better than surprise"] == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("places", "lift", "sure"), [(10, 0.545, False), (80, 1.6, True)])
def test_few_places_make_no_version_live(places, lift, sure):
    """Ahead of the live one by chance on five places of each kind is not enough; on forty of each, and better, is."""
    yes, rng = np.arange(places) < places // 2, np.random.default_rng(6)
    new, live = (rng.standard_normal(places) + each * yes for each in (lift, 1.19))
    said = [Lesson("n", "s", n, np.zeros(1), 1.0, 5.0 if one else 1.0) for n, one in enumerate(yes)]
    gain, *_, least = compared({"new": new, "live": live}, said)["better than live"]
    assert gain > 0
    assert (least >= -BEARABLE) == sure
