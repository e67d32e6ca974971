"""Skills: how something is done at the microscope. Agents implement them; an environment is handed them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from instruments.types import Optics, Outcome, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.step import Purpose
    from instruments.protocol import Microscope
    from instruments.types import Exposure, Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillResult:
    """What a skill did and measured."""

    ok: bool
    message: str
    optics: Outcome[Optics] | None = None
    stage: Outcome[StagePosition] | None = None
    data: dict[str, float] = field(default_factory=dict)


class Skill(Protocol):
    """One skill. ``expose`` records and guards an exposure; a skill never calls ``acquire`` itself."""

    @property
    def name(self) -> str: ...

    @property
    def cost_s(self) -> float:
        """Expected seconds, of as many exposures as it may make."""
        ...

    def cost_exposures(self) -> tuple[Exposure, ...]:
        """All exposures that it may make, for planning and for the dry run: what is left must pay for them."""
        ...

    def run(self, guard: Microscope, expose: Callable[[Exposure, Purpose], Frame]) -> SkillResult:
        """Raises what the guard raises."""
        ...
