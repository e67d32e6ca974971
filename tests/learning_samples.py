"""A small survey that was really made, and people who judged it by a rule."""

from __future__ import annotations

import shutil
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

from survey_samples import small

from archive.journal import Journal
from archive.labels import LabelEvent
from archive.rows import Rows, open_read_only
from envs.step import Kind, Stream
from review.study import Study
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.task import survey_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from surveys.places import Place

SHOWN: dict[str, Any] = {"contrast": "same", "zoom": 1, "looked_s": 1.0, "seen": True}


def made(folder: Path, seed: int = 3, **changes: Any) -> Path:
    """A survey of 64 sites, ten of them random controls."""
    run_survey(open_night(small(8, seed=seed, controls={"count": 10}, **changes), folder))
    return folder


def flagged(folder: Path, to: Path, count: int = 30) -> Path:
    """A copy in which the first ``count`` sites that were looked at are flagged, and one control among them."""
    shutil.copytree(folder, to)
    tree = survey_task(small(8), 0).tree
    with closing(open_read_only(to / "journal.sqlite")) as database:
        steps = list(Rows(database).steps())
    drawn = {step.target for step in steps if step.kind is Kind.CONTROL}
    drawn |= {step.target for step in steps for _, tag in step.retagged if tag.stream is Stream.CONTROL}
    looked = {
        step.target: step.shown.exposure.id
        for step in steps
        if step.look == "detail" and step.shown is not None and step.target is not None
    }
    chosen = [target for target in looked if target not in drawn][:count]
    chosen += [target for target in looked if target in drawn][:1]
    rows = []
    for rank, target in enumerate(chosen, start=1):
        place = tree[target]
        box = {"x_nm": place.x_nm, "y_nm": place.y_nm, "width_nm": 50.0, "height_nm": 50.0}
        rows.append(box | {
            "specimen": "a", "sites": [{"target": target} | box], "exposure_id": looked[target], "score": 5.0,
            "p_value": 1e-3, "q_value": 0.05, "surprise": 3.0 - 0.01 * rank, "reason": "made up", "rank": rank,
            "contributions": {"edge_ratio": 1.0}, "tags": ["policy"],
        })  # fmt: skip
    with closing(Journal(to / "journal.sqlite")) as journal:
        journal.flags(rows)
    return to


def judged(folder: Path, verdict: Callable[[Place], int], *, reviewer: str = "Ada", lock: bool = True) -> Study:
    """Every place, in one batch, by a rule; the study stays open."""
    study = Study(folder, size=200, seed=iter(range(5, 99)).__next__)
    batch = study.batch_for(reviewer)
    assert batch is not None
    by_key = {place.key: place for place in study.places}
    for item in batch.items:
        study.journal.keep([event(batch.id, item.id, "verdict", verdict(by_key[item.place]))])
    if lock:
        study.journal.keep([event(batch.id, None, "lock", None)])
    return study


def event(batch: str, item: str | None, kind: Any, verdict: int | None) -> LabelEvent:
    """As a browser's outbox makes it."""
    return LabelEvent(id=str(uuid.uuid4()), batch=batch, item=item, kind=kind, verdict=verdict, shown=SHOWN)
