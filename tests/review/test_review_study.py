"""Which places are judged, by whom, and what is counted of it."""

from __future__ import annotations

from contextlib import closing

import pytest
from review_browser import SHOWN, event, survey

from archive.labels import LabelEvent
from archive.reader import SurveyReader
from review.export import label_rows
from review.judged import Judged, to_second
from review.sampling import compose
from review.study import Study
from review.tally import calibration, tally
from surveys.places import Place, places_of


@pytest.fixture
def study(tmp_path):
    made = Study(survey(tmp_path / "night"), seed=iter(range(100)).__next__)
    yield made
    made.close()


def judge(study, reviewer, verdict):
    """A whole batch by a rule over its places, then the lock."""
    batch = study.batch_for(reviewer)
    told = [event(batch.id, item.id, verdict=verdict(item.data)) for item in batch.items]
    study.journal.keep([LabelEvent(**one) for one in (*told, event(batch.id, None, "lock"))])
    return batch


def test_every_place_is_there_once_with_its_streams(study):
    with SurveyReader(study.folder) as reader:
        places = places_of(reader.meta.config, reader.steps(), reader.flags())
    assert [place.key for place in places] == [place.key for place in study.places]
    assert [place.flag["rank"] for place in places if place.flag] == [1, 2, 3, 4, 5, 6]
    assert [place.streams for place in places[6:]] == [("control",)] * 5 + [("seeded",)] * 2
    assert {place.inclusion_probability for place in places[6:11]} == {0.12345}
    assert study.sites == {"gridspecimen": 16}


def test_a_batch_mixes_and_the_next_one_goes_on(study):
    first = compose(study.places, (), 8)
    kinds = [(place.flag is not None, *place.streams) for place in first]
    assert kinds.count((True, "policy")) == 4 and (False, "control") in kinds and (False, "seeded") in kinds
    judged, batches = set(), 0
    while batch := compose(study.places, judged, 8):
        assert not judged & {place.key for place in batch} and len(batch) <= 8
        assert any(place.flag is None for place in batch)
        judged |= {place.key for place in batch}
        batches += 1
    assert judged == {place.key for place in study.places} and batches == 2


@pytest.mark.parametrize(("flags", "controls", "seeded"), [(20, 400, 20), (60, 40, 20), (10, 100, 20), (60, 160, 20)])
def test_no_batch_is_of_controls_alone(flags, controls, seeded):
    """Sensitivity holds for the controls that are judged among seeded positives, at about the same share of these."""

    def at(first, count, stream):
        return [
            Place(specimen="a", target=first + n, x_nm=0.0, y_nm=0.0, width_nm=1.0, height_nm=1.0, exposure_id=1,
                  streams=(stream,), near=True, flag={"rank": n} if stream == "policy" else None)
            for n in range(count)
        ]  # fmt: skip

    places = [*at(0, flags, "policy"), *at(1000, controls, "control"), *at(5000, seeded, "seeded")]
    judged, counts = set(), []
    while batch := compose(places, judged, 40):
        counts.append([sum(place.streams == (kind,) for place in batch) for kind in ("policy", "control", "seeded")])
        judged |= {place.key for place in batch}
    assert len(judged) == len(places) and max(map(sum, counts)) <= 40
    assert all(min(each) >= 1 for each in counts)
    assert len(counts) <= max(-(-flags // 20), -(-len(places) // 40)) + 1
    assert max(each[2] for each in counts) <= 2 * -(-seeded // len(counts)) and counts[0][0] == max(
        c[0] for c in counts
    )


def test_a_batch_that_is_open_is_gone_on_with_and_each_person_has_their_own(study):
    one = study.batch_for("Ada")
    assert study.batch_for("Ada").id == one.id
    other = study.batch_for("Bo")
    assert {item.place for item in other.items} == {item.place for item in one.items}
    assert [item.place for item in other.items] != [item.place for item in one.items]
    assert not {item.id for item in other.items} & {item.id for item in one.items}


def test_the_figures_of_a_careful_reviewer(study):
    judge(
        study,
        "Ada",
        lambda data: 5 if (data["flag"] and data["flag"]["rank"] <= 3) or "seeded" in data["streams"] else 1,
    )
    (row,) = tally(study.places, study.sites, study.journal)["reviewers"]
    assert (row["flags"], row["confirmed"], row["precision"]) == (6, 3, 0.5)
    assert (row["controls"], row["controls_interesting"], row["seeded"], row["noticed"]) == (5, 0, 2, 2)
    assert row["missed_at_most"] == 3  # of the 10 sites without a flag, 5 seen: 4 would all be missed in 1 of 42
    assert row["recall_at_least"] == 0.5
    assert row["recall_at_least_corrected"] < row["recall_at_least"]


def test_only_locked_and_blind_verdicts_count(study):
    batch = study.batch_for("Ada")
    study.journal.keep([LabelEvent(**event(batch.id, item.id, verdict=5)) for item in batch.items])
    assert tally(study.places, study.sites, study.journal)["reviewers"] == []
    study.journal.keep([LabelEvent(**event(batch.id, None, "lock"))])
    flagged = next(item.id for item in batch.items if item.data["flag"])
    control = next(item.id for item in batch.items if item.data["streams"] == ["control"])
    study.journal.keep([LabelEvent(**event(batch.id, one, verdict=1)) for one in (flagged, control)])
    (row,) = tally(study.places, study.sites, study.journal)["reviewers"]
    assert row["confirmed"] == 6 and row["controls_interesting"] == 5
    assert (row["revised"], row["revised_towards"]) == (2, 1)


def test_a_verdict_that_was_given_before_its_picture_came_counts_nowhere(study):
    batch = study.batch_for("Ada")
    unseen = {item.id for item in batch.items[::2]}
    told = [event(batch.id, item.id, verdict=5) for item in batch.items]
    for one in told:
        one["shown"] = SHOWN | {"seen": one["item"] not in unseen}
    study.journal.keep([LabelEvent(**one) for one in (*told, event(batch.id, None, "lock"))])
    (row,) = tally(study.places, study.sites, study.journal)["reviewers"]
    seen = [item.data for item in batch.items if item.id not in unseen]
    assert row["judged"] == len(seen) and row["flags"] == sum(data["flag"] is not None for data in seen)
    assert row["controls"] == sum("control" in data["streams"] for data in seen)
    rows = label_rows(study.journal)
    assert {row["item"] for row in rows} == {item.id for item in batch.items} - unseen
    assert all(row["seen"] for row in rows)


def test_two_people_are_compared_where_both_have_judged(study):
    judge(study, "Ada", lambda data: 5 if data["flag"] else 1)
    judge(study, "Bo", lambda data: 4 if data["flag"] and data["flag"]["rank"] > 1 else 2)
    (pair,) = tally(study.places, study.sites, study.journal)["pairs"]
    assert [pair[key] for key in ("both", "first_only", "second_only", "neither")] == [5, 1, 0, 7]
    assert 0.8 < pair["kappa"] < pair["ac1"] < 1


def test_agreement_is_not_told_of_controls_that_were_chosen_by_what_the_first_said(tmp_path):
    with closing(Study(survey(tmp_path / "night", flags=6, controls=40, seeded=0), size=12,
                       seed=iter(range(100)).__next__)) as study:  # fmt: skip
        wanted = {place.key for place in study.places if place.flag is None and place.target % 9 == 0}
        while study.batch_for("Ada"):
            judge(study, "Ada", lambda data: 4 if f"{data['specimen']}/{data['target']}" in wanted else 2)
        judge(study, "Bo", lambda data: 2)
        (pair,) = tally(study.places, study.sites, study.journal)["pairs"]
        assert pair["first_only"] == len(wanted) > 1 and pair["controls_waiting"] > 20
        assert pair["kappa"] is None and pair["ac1"] is None
        while study.batch_for("Bo"):
            judge(study, "Bo", lambda data: 2)
        (pair,) = tally(study.places, study.sites, study.journal)["pairs"]
        assert pair["controls_waiting"] == 0 and pair["kappa"] == pytest.approx(0.0) and pair["ac1"] > 0.8


def test_flags_without_a_look_of_their_own_wait(tmp_path):
    made = Study(survey(tmp_path / "night", tags=["policy", "overview only"]))
    assert made.left_out() == 6
    assert all(item.data["flag"] is None for item in made.batch_for("Ada").items)
    made.close()


def test_what_was_expected_stands_beside_what_was_said():
    def judged(expected, blind):
        flag = {"expected_verdict": expected}
        place = Place(
            specimen="a", target=1, x_nm=0.0, y_nm=0.0, width_nm=1.0, height_nm=1.0, exposure_id=1,
            streams=("policy",), flag=flag, near=True,
        )  # fmt: skip
        return Judged("Ada", place, blind, None)

    assert calibration([judged(None, 5)]) == []
    found = calibration([judged(4.2, 5), judged(3.8, 3), judged(1.0, 1), judged(None, 2)])
    assert found == [
        {"places": 1, "expected": 1.0, "said": 1.0},
        {"places": 2, "expected": pytest.approx(4.0), "said": 4.0},
    ]


def test_controls_that_were_called_interesting_come_first_to_the_next_person(tmp_path):
    with closing(Study(survey(tmp_path / "night", flags=6, controls=40, seeded=0), size=12,
                       seed=iter(range(100)).__next__)) as study:  # fmt: skip
        controls = [place.key for place in study.places if place.flag is None]
        wanted = {controls[-1], controls[-9]}
        while study.batch_for("Ada"):
            judge(study, "Ada", lambda data: 4 if f"{data['specimen']}/{data['target']}" in wanted else 2)
        assert to_second(study.journal, "Ada") == set() and to_second(study.journal, "Bo") == wanted
        (row,) = tally(study.places, study.sites, study.journal)["reviewers"]
        assert (row["controls_interesting"], row["controls_seconded"], row["controls_confirmed"]) == (2, 0, 0)
        batch = study.batch_for("Bo")
        assert wanted < {item.place for item in batch.items} and len(batch.items) == 12
        judge(study, "Bo", lambda data: 5 if f"{data['specimen']}/{data['target']}" == controls[-1] else 2)
        ada, _ = tally(study.places, study.sites, study.journal)["reviewers"]
        assert (ada["controls_interesting"], ada["controls_seconded"], ada["controls_confirmed"]) == (2, 2, 1)
        assert to_second(study.journal, "Cy") == set()
