"""What is unusual on the specimens of a night, once their frames are taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from archive.errors import ArchiveError
from envs.belief import Belief
from envs.explanations import ExplainingScorer
from envs.scoring import make_scorer
from envs.targets import windows
from surveys.flagging import flag_survey
from surveys.judging import judge_places
from surveys.regions import surprise
from surveys.task import survey_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from archive.reader import SurveyReader
    from envs.scorers import Description, Scorer
    from envs.step import Step
    from envs.targets import Floats, TargetTree
    from envs.tasks import SurveyTask
    from surveys.flagging import Flag
    from surveys.learned import Learned
    from surveys.night import Night
    from surveys.session import Session
    from surveys.settings import SurveySettings


def flag_specimen(night: Night, session: Session) -> list[Flag]:
    """Flags of one specimen by its own background; control frames are described here, after everything was decided."""
    situation = session.env.situation
    describe = _describing(night.reader, situation.scorer, situation.task.tree, situation.stage_to_image)
    steps = night.record.rows.steps(session.name)
    return flag_survey(
        steps, situation.scorer, night.settings.flagging, situation.task.tree, describe, learned=night.learned
    )


def flag_recorded(
    reader: SurveyReader, settings: SurveySettings, number: int, learned: Learned | None = None
) -> list[Flag]:
    """The same of specimen ``number``, from the record alone. Raises as ``surprises``."""
    task, scorer, steps = _folded(reader, settings, number)
    if not steps:
        return []
    describe = _describing(reader, scorer, task.tree)
    return flag_survey(steps, scorer, settings.flagging, task.tree, describe, learned=learned)


def surprises(reader: SurveyReader, settings: SurveySettings, number: int) -> dict[int, float]:
    """By target, how surprising every place of specimen ``number`` was by itself: its normal deviate, 0 or more.

    By the judge that the survey's own flags were called by: its background as it stood after the last step, folded anew
    from the journal, with control frames described as at the end of the night. A place that nothing showed well, or by
    a look that was too seldom made for a background, is not in it. Raises ConfigError where a scorer or a task of the
    user's own cannot be had, ValueError where steps are missing.
    """
    task, scorer, steps = _folded(reader, settings, number)
    judge = scorer.completed() if isinstance(scorer, ExplainingScorer) else scorer
    rate, describe = settings.flagging.false_discovery_rate, _describing(reader, scorer, task.tree)
    judged = judge_places(steps, judge, rate, task.tree, describe)
    return {target: max(surprise(np.array([place.p_value])), 0.0) for target, place in judged.places.items()}


def _folded(reader: SurveyReader, settings: SurveySettings, number: int) -> tuple[SurveyTask, Scorer, list[Step]]:
    """The scorer as it stands after the last step, folded anew from the journal."""
    task, scorer = survey_task(settings, number), make_scorer(settings.scorer)
    steps = list(reader.steps(settings.specimens[number].name))
    Belief(task, scorer).fold(steps)
    return task, scorer, steps


def _describing(
    reader: SurveyReader, scorer: Scorer, tree: TargetTree, stage_to_image: Floats | None = None
) -> Callable[[Step], Description | None]:
    """Describes the frame of a control step; None for a frame that is not there, or is damaged."""

    def describe(step: Step) -> Description | None:
        if step.shown is None or step.shown.exposure.id is None or step.target is None:
            return None
        try:
            frame = reader.recorded(step.shown.exposure.id)
        except ArchiveError:
            return None
        cells = windows(tree, step.target, frame.exposure, frame.stage, stage_to_image)
        return scorer.describe(frame, [window for _, window in cells])

    return describe


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
