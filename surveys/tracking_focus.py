"""The focus, looked after while a specimen is followed: as often as it is found to wander, at a place of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.focusing import Refocus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envs.skills import SkillResult
    from envs.step import Fault
    from surveys.tracking_blocks import FocusSettings
    from surveys.tracking_rows import Row

_SOONEST, _LATEST = 1 / 3, 2.0
"""The next interval over the last one, at most so different: one sweep may err."""


class FocusKeeper:
    """Sweeps the focus, and says when the next time is.

    An interval after which the focus had gone by m is followed by one of tolerance ÷ m times its length: of a steady
    drift that settles where it goes by the tolerance in each, of a random walk where it does so in the mean square.
    """

    def __init__(self, settings: FocusSettings, current_pA: float, begun: Sequence[Row] = ()) -> None:
        """``begun``: rows that were written before a stop."""
        self.settings, self.skill = settings, Refocus(settings.sweep)
        self.cost = sum(each.electrons(current_pA) for each in self.skill.cost_exposures())
        """Electrons of the longest sweep."""
        self._every_s, self._last_s, self.sweeps, self.spent = settings.every_s, 0.0, 0, 0.0
        self.at_nm: float | None = None
        """What the last sweep has set; None: none has set any."""
        self.trouble = ""
        for row in begun:
            if (told := row.get("focus")) is not None:
                self._take_up(told)

    def due(self, now_s: float) -> bool:
        """Whether to sweep now; what the sweeps may spend must pay for the longest one."""
        if self.sweeps and now_s < self._last_s + self._every_s - 1e-9:
            return False
        if self.spent + self.cost <= self.settings.electrons * (1 + 1e-9):
            return True
        if not self.trouble.startswith("the focus"):
            self.trouble = (
                f"the focus was looked after until {self._last_s:.0f} s, when focus.electrons "
                f"({self.settings.electrons:.3g}) could pay no more sweep ({self.cost:.3g}): raise them"
            )
        return False

    def learn(
        self, now_s: float, found: SkillResult | None, electrons: float, fault: Fault | None = None
    ) -> dict[str, Any]:
        """Take up what a sweep came to; what is kept of it. None: it failed."""
        before, after = (
            None if found is None else found.data.get(f"defocus_{when}_nm") for when in ("before", "after")
        )
        moved_nm = None if found is None or not found.ok or before is None or after is None else after - before
        every_s = self._every_s
        if self.sweeps and moved_nm is not None:  # the first corrects what nobody had corrected before
            share = self.settings.tolerance_nm / max(abs(moved_nm), 1e-9)
            every_s *= min(max(share, _SOONEST), _LATEST)
        told = {
            "at_s": now_s,
            "moved_nm": moved_nm,
            "after_nm": self.at_nm if after is None else after,
            "every_s": every_s,
            "electrons": electrons,
            "message": found.message if found is not None else "" if fault is None else fault.message,
        }
        self._take_up(told)
        return told

    def _take_up(self, told: Mapping[str, Any]) -> None:
        self._every_s, self._last_s = told["every_s"], told["at_s"]
        self.at_nm = told["after_nm"]
        self.spent += told["electrons"]
        self.sweeps += 1
        self.trouble = (
            "" if told["moved_nm"] is not None else f"a sweep told no focus: {told['message'] or 'it failed'}"
        )
