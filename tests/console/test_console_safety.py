"""adaptem guard: what an instrument is latched for, and who may clear it."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest
from console_helpers import adaptem, refused

from instruments.latches import latch_file, tell_waived
from instruments.ledger_sqlite import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def latch(name: str, reason: str | None) -> None:
    ledger = SqliteLedger(latch_file(name))
    if reason:
        ledger.latch(reason)
    ledger.close()


def test_nothing_has_ever_been_latched() -> None:
    assert "no instrument" in adaptem("guard", "show").output
    result = adaptem("guard", "clear", "--reason", "x")
    assert result.exit_code == 1
    assert "no instrument is latched" in result.output


def test_a_latch_is_shown_and_cleared_with_a_reason(state: Path) -> None:
    latch("titan", "pole touch suspected")
    latch("arm", None)
    assert "titan: latched: pole touch suspected" in adaptem("guard", "show").output
    tell_waived("arm", {"emission": "Ada looks at it every hour"})
    assert "arm: free\n  emission is not asked for: Ada looks" in adaptem("guard", "show").output
    assert json.loads(adaptem("guard", "show", "--json").output) == {
        "arm": {"latched": None, "waived": {"emission": "Ada looks at it every hour"}},
        "titan": {"latched": "pole touch suspected", "waived": {}},
    }
    assert adaptem("guard", "clear").exit_code == 2  # without a reason
    assert "say what was found" in refused(adaptem("guard", "clear", "--reason", " "), 2)
    done = adaptem("guard", "clear", "--reason", "holder seated anew", "--by", "Ada")
    assert done.exit_code == 0
    assert "pole touch suspected" in done.output
    assert "titan: free" in adaptem("guard", "show").output
    with sqlite3.connect(state / "titan.latches.sqlite") as database:
        assert database.execute("SELECT cleared_by FROM latches").fetchall() == [("Ada: holder seated anew",)]
    database.close()
    assert adaptem("guard", "clear", "--reason", "again", "--instrument", "titan").exit_code == 1


def test_which_of_two_was_looked_at_must_be_said() -> None:
    latch("titan", "one")
    latch("arm", "two")
    assert "arm, titan" in refused(adaptem("guard", "clear", "--reason", "seen"))
    assert "known: arm, titan" in refused(adaptem("guard", "clear", "--reason", "seen", "--instrument", "jeol"))
    assert adaptem("guard", "clear", "--reason", "seen", "--instrument", "arm").exit_code == 0
    assert "titan: latched: one" in adaptem("guard", "show").output
