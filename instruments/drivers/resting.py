"""When a stage has come to rest: not when it says so once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.errors import Timeout
from instruments.guard_checks import moved

if TYPE_CHECKING:
    from collections.abc import Callable

    from instruments.clock import Clock
    from instruments.types import StagePosition

_POLL_S = 0.1
_STILL_NM = 20.0
"""Read-backs that differ by less are of a stage that stands: encoders tremble."""


def at_rest(
    moving: Callable[[], bool], read: Callable[[], StagePosition], clock: Clock, limit_s: float
) -> StagePosition:
    """Wait until the stage says twice in a row that it stands, and reads the same; returns where.

    Some say so for a moment half way, between the motions of two axes (delmic/odemis, pull request 2473).

    Raises:
        Timeout: it has not come to rest in ``limit_s``.
    """
    give_up_s = clock.now_s() + limit_s
    before: StagePosition | None = None
    while True:
        now = None if moving() else read()
        if now is not None and before is not None and moved(before, now, _STILL_NM) is None:
            return now
        before = now
        if clock.now_s() > give_up_s:
            raise Timeout(f"the stage has not come to rest in {limit_s:g} s: see to it")
        clock.wait(_POLL_S)
