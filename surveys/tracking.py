"""Following one specimen: instrument, guard, record, agent; one tick after another.

program ─► holder (guard) ─┐
mind.act (deadline) ─► TrackEnv.apply ─► guard ─► record ─► mind.observe     controls: the runner's own, seldom
      late or broken ─► a look in turn            └─► tracking.jsonl: what was seen, why, under which conditions
"""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from archive.durable import write_atomically
from archive.errors import FolderError
from archive.folder import Meta, SurveyFolder
from archive.journal import utc_now
from archive.recorder import SurveyRecorder
from envs.tracking_env import TrackEnv
from instruments.clock import SimulatedClock
from surveys.night import check_no_truth, truth_beside
from surveys.signals import stopping_on_signals
from surveys.tracking_opening import keeper, opened, situation
from surveys.tracking_prepare import Following, prepare
from surveys.tracking_rows import ROWS, SUMMARY, RowsFile, check_rows, ended, read_rows, so_far
from surveys.tracking_run import Run
from surveys.tracking_settings import TrackSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from surveys.tracking_run import Tell


def run_tracking(
    following: Following, folder: Path, tell: Tell, watch: Callable[[Run], None] | None = None
) -> dict[str, Any]:
    """Follow the specimen to the end of time or dose; what is known then, also in ``folder``/tracking.json.

    ``watch`` is called after every tick. A signal that says stop ends it at its next safe point, with what is known
    by then. Raises ConfigError, FolderError, InstrumentError.
    """
    settings = following.settings
    if not folder.exists():
        check_no_truth(truth_beside(folder))
    meta = Meta.new(
        created=utc_now(),
        seed=settings.seed,
        config=settings.model_dump(mode="json"),
        who=settings.who.model_dump(mode="json"),
    )
    return _follow(following, SurveyFolder.create(folder, meta), tell, watch)


def resume_tracking(folder: Path, tell: Tell) -> dict[str, Any]:
    """Go on where following was stopped, killed or cut off: nothing is forgotten, and nothing is exposed twice.

    Raises ConfigError, FolderError, InstrumentError, also where it has ended.
    """
    place = SurveyFolder.open(folder)
    try:
        if ended(place.path):
            raise FolderError(f"{folder}: this was followed to its end; `adaptem report {folder}` writes its report")
        following = prepare(TrackSettings.model_validate(place.meta.config))
    except BaseException:
        place.close()
        raise
    return _follow(following, place, tell)


def _follow(
    following: Following, place: SurveyFolder, tell: Tell, watch: Callable[[Run], None] | None = None
) -> dict[str, Any]:
    """In a folder that is locked, new or not."""
    settings = following.settings
    with ExitStack() as parting:
        parting.callback(place.close)
        record = SurveyRecorder(place)
        parting.callback(record.close)
        begun = read_rows(place.path)
        check_rows(begun, place.path)
        guard, clock = opened(settings, place, record.rows.last_s())
        parting.callback(guard.close)
        before = so_far(begun, record.rows.step_count(), guard.ledger.electrons(), following.mission)
        env = TrackEnv(situation(following, guard, clock, record, before, keeper(settings, place.path, begun)))
        rows = parting.enter_context(RowsFile(place.path / ROWS, begun))
        run = Run(
            following, env, rows, tell, None if isinstance(clock, SimulatedClock) else settings.decision_deadline_s
        )
        parting.callback(run.mind.close)
        if begun:
            run.take_up(begun)
        told = ("resume", f"{len(begun)} rows are learned again") if begun else ("start", "following begins")
        record.event(*told, time_s=clock.now_s())
        main = threading.current_thread() is threading.main_thread()
        with stopping_on_signals(run) if main else nullcontext():
            run.to_the_end(watch)
        summary = run.summary()
        record.event("end", summary["ended"], time_s=clock.now_s(), data={"stopped": summary["stopped"]})
        write_atomically(place.path / SUMMARY, (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode())
        return summary
