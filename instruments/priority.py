"""Who is served first on a computer that others keep busy: what keeps up with a camera asks for it."""

from __future__ import annotations

import os


def first_in_line() -> bool:
    """Ask the system to run this process, and what it starts, before all that asks for nothing; whether it does.

    For processes that mostly wait, as beside a camera: a burst of work is then not put off for the tens of
    milliseconds that others take. Linux grants it (round robin, the lowest real-time priority) to root and to whom
    ``ulimit -r`` allows it; elsewhere nothing changes.
    """
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except PermissionError:
        return False
    return True
