"""One decision and what came of it: the type that learning, storage, replay and review share.

A Step records the deed (achieved), not the wish (requested), and carries the scorer's output, so that state is a fold
over Steps that never opens a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from instruments.types import Exposure, Footprint, Optics, Outcome, StagePosition

Ratio: TypeAlias = float
"""A dimensionless number."""


class Purpose(StrEnum):
    """Why the beam was on."""

    SURVEY = "survey"
    DETAIL = "detail"
    FOCUS = "focus"
    DRIFT = "drift"
    CONTROL = "control"


class Stream(StrEnum):
    """Who chose the place. The streams stay apart in every estimate."""

    POLICY = "policy"
    CONTROL = "control"
    SEEDED = "seeded"
    OPERATOR = "operator"


class Kind(StrEnum):
    """What kind of action a step carried out."""

    LOOK = "look"
    SKILL = "skill"
    CONTROL = "control"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """Membership of an exposure in a stream; an exposure may be in several."""

    stream: Stream
    inclusion_probability: Ratio | None
    """The design probability that this place was drawn; None where the choice was not random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureRecord:
    """One exposure as it was made."""

    exposure: Exposure
    """With its id: the ledger and the journal carry the same one."""
    purpose: Purpose
    tags: tuple[Tag, ...]
    footprint: Footprint
    stage: StagePosition
    optics: Optics
    start_s: float
    end_s: float
    electrons: float
    """Booked against the budget."""
    committed: bool
    """False: refused before the beam (electrons 0) or lost after it (electrons booked)."""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One action that was considered."""

    action: int
    label: str
    """In words: what, where."""
    value: Ratio = 0.0
    """Predicted interest."""
    uncertainty: Ratio = 0.0
    """Standard deviation of the prediction."""
    cost_s: float = 0.0
    probability: Ratio = 0.0
    """With which the policy would choose it (1 for the choice of a deterministic policy)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was chosen, out of what, by whom."""

    action: int
    """Encoded by ``envs.actions.Catalogue``."""
    candidates: tuple[Candidate, ...] = ()
    """The best few, best first, the choice among them."""
    decided_by: str = "agent"
    """agent, person, runner (controls) or fallback (the agent gave nothing usable in time)."""
    policy: str = ""
    """Name and version hash of the policy."""
    person: str | None = None
    reason: str = ""
    """In words, for ``adaptem explain``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What the scorer read out of a step's frame. K cells of the frame, F descriptors each."""

    cells: tuple[int, ...]
    """Target ids of the K cells."""
    descriptors: tuple[tuple[float, ...], ...]
    """(K, F), in the scorer's ``names``."""
    interest: tuple[Ratio, ...]
    """(K,) against the background known before this step: a robust distance, 0 = ordinary."""
    quality: dict[str, float]
    """Of the frame: snr, sharpness, saturated_fraction, …"""


BY_HAND = "by hand"
"""Of ``Decision.policy``: what an operator did beside an adviser, as the instrument read it back."""
REFUSED = "Refused"
"""Of ``Fault.error``: a person turned down what was proposed, so nothing was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An action that failed is an outcome too."""

    error: str
    """Name of the class in ``instruments.errors``, ``envs.deeds.SKILL_FAILED`` or ``REFUSED``."""
    message: str
    latching: bool = False
    until_s: float | None = None
    """Instrument-clock time after which a busy instrument expects to be free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decision and what came of it."""

    number: int
    """0, 1, 2, … within a specimen of a survey."""
    specimen: str
    kind: Kind
    decision: Decision
    target: int | None
    """Target id (``envs.targets``); None for a skill at the present place, and for stop."""
    look: str | None = None
    skill: str | None = None
    stage: Outcome[StagePosition] | None = None
    """Requested and reached; None when nothing was asked to move."""
    optics: Outcome[Optics] | None = None
    exposures: tuple[ExposureRecord, ...] = ()
    retagged: tuple[tuple[int, Tag], ...] = ()
    """(exposure id, tag): an earlier exposure that is now in a further stream as well."""
    score: Score | None = None
    fault: Fault | None = None
    start_s: float
    end_s: float
    electrons: float = 0.0
    """Of all exposures of the step."""
    reward: Ratio = 0.0
    terminated: bool = False
    truncated: bool = False
    skill_data: dict[str, float] | None = None
    """What a skill measured (defocus_nm before and after, …)."""

    @property
    def shown(self) -> ExposureRecord | None:
        """The exposure that shows the target and that the score was read from: of a tilt series the least tilted."""
        kept = [record for record in self.exposures if record.committed]
        return min(kept, key=lambda record: abs(record.stage.alpha_deg or 0.0), default=None)
