"""What the report says of people and of what they taught."""

from __future__ import annotations

import json

from review_samples import MadeUp

from envs.step import Purpose
from review.report import write_report


def test_the_report_says_how_often_people_agreed_and_what_ranked_the_flags(tmp_path):
    made = MadeUp(tmp_path / "night")
    made.look(Purpose.SURVEY)
    for number, verdict in enumerate(["approve", "approve", "reject"], start=1):
        made.event("answered", f"Ada: {verdict}", proposal=number, verdict=verdict)
    made.event("answered", "proposal 4 is withdrawn", proposal=4)
    made.event("learned", "flags are ranked by learned", version="v003", hash="0123456789abcdef")
    made.event("end", "over", reason="complete")
    made.close()
    page = write_report(tmp_path / "night").read_text(encoding="utf-8")
    report = json.loads((tmp_path / "night" / "report.json").read_text(encoding="utf-8"))
    counted = {"approved": 2, "rejected": 1, "redirected": 0, "advised": 0, "followed": 0}
    assert report["agreement"] == counted and report["learned"]["version"] == "v003"
    assert "people agreed with 2 of 3" in page and "version v003 (0123456789abcdef)" in page


def test_it_says_nothing_of_that_where_nobody_was_asked(tmp_path):
    made = MadeUp(tmp_path / "night")
    made.look(Purpose.SURVEY)
    made.close()
    page = write_report(tmp_path / "night").read_text(encoding="utf-8")
    assert "people agreed" not in page and "labels taught" not in page
