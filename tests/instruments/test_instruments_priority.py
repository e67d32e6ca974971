"""Being served first is asked of the system, and what it answers is told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from instruments.priority import first_in_line

ASKED = "import os; from instruments.priority import first_in_line; print(first_in_line(), os.sched_getscheduler(0))"


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this system has no such order")
def test_what_is_told_is_what_the_system_does():
    """In a process of its own, so that this one stays as it is."""
    told = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True).stdout.split()
    assert told in (["True", str(os.SCHED_RR)], ["False", str(os.SCHED_OTHER)])


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this system has no such order")
def test_where_it_is_refused_all_goes_on(monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    assert first_in_line() is False
