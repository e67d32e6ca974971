"""All that an environment works with: instrument, task, perception, skills, record."""

from __future__ import annotations

from dataclasses import dataclass, field

from envs.recorder import NullRecorder, Recorder
from envs.scorers import Scorer
from envs.skills import Skill
from envs.targets import Floats
from envs.tasks import SurveyTask
from instruments.clock import Clock
from instruments.protocol import Guarded


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Environment = Microscope × Task × Budget, and who judges, acts and writes."""

    guard: Guarded
    clock: Clock
    task: SurveyTask
    scorer: Scorer
    """Fresh: from here on it learns this specimen's background."""
    skills: tuple[Skill, ...] = ()
    recorder: Recorder = field(default_factory=NullRecorder)
    decision_time_s: float = 0.0
    """What a decision costs on a simulated clock; 0 at an instrument, where deciding takes its own time."""
    seed: int = 0
    specimen: str = "specimen"
    stage_to_image: Floats | None = None
    """(2, 2), see ``envs.targets``; None = calibrated."""
