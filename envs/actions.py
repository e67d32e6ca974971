"""The one action space: slot·L + look, then the S skills, last is stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from envs.step import Purpose
from instruments.types import Exposure


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One way of imaging a target."""

    name: str
    exposure: Exposure
    """Without an id."""
    level: str
    """The kind of target it applies to (patch, site, …)."""
    purpose: Purpose
    defocus_nm: float | None = None
    """None = leave the focus as it is."""
    tilts_deg: tuple[float, ...] = ()
    """Of the holder's axis; none leaves the tilt as it is, several are a tilt series with an exposure at each."""
    tilt_s: float = 0.0
    """Expected time per change of tilt, for planning only."""

    @property
    def count(self) -> int:
        """Exposures of one look."""
        return max(1, len(self.tilts_deg))

    @property
    def duration_s(self) -> float:
        """From the first pixel to the last, changes of tilt included, without the way there."""
        return self.count * self.exposure.duration_s + len(self.tilts_deg) * self.tilt_s

    @property
    def beam_on_s(self) -> float:
        return self.count * self.exposure.beam_on_s

    def electrons(self, current_pA: float) -> float:
        """Of all its exposures at this probe current."""
        return self.count * self.exposure.electrons(current_pA)

    def fluence_e_per_A2(self, current_pA: float) -> float:
        """Mean fluence over the field of view, of all its exposures."""
        return self.count * self.exposure.fluence_e_per_A2(current_pA)


@dataclass(frozen=True, slots=True)
class LookAt:
    """Image the target in ``slot`` with look number ``look``."""

    slot: int
    look: int


@dataclass(frozen=True, slots=True)
class UseSkill:
    """Use skill number ``skill`` at the present place."""

    skill: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the survey of this specimen."""


Action: TypeAlias = LookAt | UseSkill | Stop


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Encodes actions as integers of ``Discrete(slots·L + S + 1)``.

    >>> catalogue = Catalogue(slots=4, looks=("overview", "detail"), skills=("refocus",))
    >>> catalogue.size, catalogue.encode(LookAt(3, 1)), catalogue.encode(UseSkill(0)), catalogue.encode(Stop())
    (10, 7, 8, 9)
    >>> catalogue.decode(7)
    LookAt(slot=3, look=1)
    """

    slots: int
    looks: tuple[str, ...]
    skills: tuple[str, ...]

    @property
    def size(self) -> int:
        return self.slots * len(self.looks) + len(self.skills) + 1

    def encode(self, action: Action) -> int:
        """Raises ValueError for an action outside this catalogue."""
        match action:
            case LookAt(slot, look) if 0 <= slot < self.slots and 0 <= look < len(self.looks):
                return slot * len(self.looks) + look
            case UseSkill(skill) if 0 <= skill < len(self.skills):
                return self.slots * len(self.looks) + skill
            case Stop():
                return self.size - 1
        raise ValueError(f"{action} is not in this catalogue of {self.slots} slots, {self.looks} and {self.skills}")

    def decode(self, number: int) -> Action:
        """Raises ValueError for a number outside 0 … size − 1."""
        if isinstance(number, bool) or not 0 <= number < self.size:
            raise ValueError(f"action {number} is outside 0 … {self.size - 1}")
        first_skill = self.slots * len(self.looks)
        if number < first_skill:
            return LookAt(*divmod(int(number), len(self.looks)))
        if number < self.size - 1:
            return UseSkill(int(number) - first_skill)
        return Stop()
