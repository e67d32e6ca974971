"""What is unusual on the specimens of a night, once their frames are taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archive.errors import ArchiveError
from envs.targets import windows
from surveys.flagging import flag_survey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envs.scorers import Description
    from envs.step import Step
    from surveys.flagging import Flag
    from surveys.night import Night
    from surveys.session import Session


def flag_specimen(night: Night, session: Session) -> list[Flag]:
    """Flags of one specimen by its own background; control frames are described here, after everything was decided."""
    situation = session.env.situation

    def describe(step: Step) -> Description | None:
        if step.shown is None or step.shown.exposure.id is None or step.target is None:
            return None
        try:
            frame = night.reader.recorded(step.shown.exposure.id)
        except ArchiveError:
            return None
        cells = windows(situation.task.tree, step.target, frame.exposure, frame.stage, situation.stage_to_image)
        return situation.scorer.describe(frame, [window for _, window in cells])

    steps = night.record.rows.steps(session.name)
    return flag_survey(
        steps, situation.scorer, night.settings.flagging, situation.task.tree, describe, learned=night.learned
    )


def rank_together(flags: Iterable[Flag]) -> list[Flag]:
    """Flags of several specimens in one order, each specimen's own kept.

    By their rank at home, the less likely by chance first; where labels have taught what to expect, the specimen whose
    next flag promises more comes first.
    """
    queues: dict[str, list[Flag]] = {}
    for flag in sorted(flags, key=lambda flag: flag.rank):
        queues.setdefault(flag.specimen, []).append(flag)
    ordered: list[Flag] = []
    while waiting := [queue[0] for queue in queues.values() if queue]:
        best = min(waiting, key=lambda flag: (-(flag.expected_verdict or 0.0), flag.rank, flag.q_value))
        ordered.append(queues[best.specimen].pop(0))
    return [replace(flag, rank=rank) for rank, flag in enumerate(ordered, start=1)]
