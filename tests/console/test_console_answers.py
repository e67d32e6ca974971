"""What a person says to a survey that asks, and to one that does not."""

from __future__ import annotations

from console_helpers import adaptem, config, refused, start, strict, wait_for

from archive.reader import SurveyReader
from envs.step import REFUSED


def asks(folder):
    """The question that a survey asks; none yet where it has not opened its record."""
    result = adaptem("status", folder, "--json")
    return (strict(result.stdout)["asks"] or "") if result.exit_code == 0 else ""


def test_a_proposal_is_shown_approved_rejected_and_a_place_is_asked_for(tmp_path):
    process = start("survey", config(tmp_path, autonomy="confirm"), "--out", tmp_path / "n")
    folder = tmp_path / "n"
    try:
        wait_for(lambda: asks(folder).startswith("proposal 1: "))
        assert "proposal 2 waits" not in adaptem("approve", folder).stdout
        wait_for(lambda: asks(folder).startswith("proposal 2: "))
        assert "proposal 2 waits, not 1" in refused(adaptem("approve", folder, "--proposal", 1))
        assert adaptem("look", folder, "--", 75.0, -75.0).exit_code == 0
        assert adaptem("skip", folder, 12).exit_code == 0
        wait_for(lambda: asks(folder).startswith("proposal 3: "))  # a place that is asked for withdraws what was asked
        assert adaptem("reject", folder, "--proposal", 3).exit_code == 0
        wait_for(lambda: asks(folder).startswith("proposal 4: "))
        adaptem("stop", folder)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    with SurveyReader(folder) as reader:
        made, blocked = list(reader.steps()), [event.data["target"] for event in reader.events("block")]
    assert [step.decision.decided_by for step in made] == ["agent", "person", "agent"]
    assert [step.fault and step.fault.error for step in made] == [None, None, REFUSED], "turned down, and nothing done"
    assert 12 in blocked and len(blocked) == 2


def test_nobody_hears_an_answer_to_a_survey_that_has_ended(finished):
    for words in (("approve", finished), ("reject", finished)):
        assert "no proposal waits" in refused(adaptem(*words))
    for words in (("skip", finished, 3), ("look", finished, 0.0, 0.0)):
        assert "nothing runs in" in refused(adaptem(*words))
