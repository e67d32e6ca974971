"""One driver a column, over processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from configs.errors import ConfigError
from instruments import column
from instruments.crew import Crew, Plan
from instruments.drivers import registry
from instruments.errors import BusyError, Disconnected
from instruments.limits import Limits
from instruments.remote import RemoteSettings
from instruments.simulated.settings import SimulatedSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from configs.load import Settings

THERMOFISHER = {"kind": "thermofisher", "port": 1}
LIMITS = Limits(
    x_nm=(-1.0, 1.0), y_nm=(-1.0, 1.0), field_of_view_nm=(1.0, 2.0), dwell_us=(1.0, 2.0), max_electrons=1.0,
    max_fluence_e_per_A2=1.0, max_time_s=1.0, backlash_nm=0.0, stage_uncertainty_nm=1.0, max_current_pA=1.0,
)  # fmt: skip
HOLDER = f"""
import sys
from instruments import column
from instruments.drivers import registry
kept = column.take(registry.parse({THERMOFISHER!r}))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))


@pytest.fixture
def scope() -> Settings:
    return registry.parse(THERMOFISHER)


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """A process that has the column."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_column_is_held_by_one_process(scope: Settings, other: subprocess.Popen[str]) -> None:
    """Who holds it is named; one that stands still holds it; one that was killed does not."""
    for number in (signal.SIGCONT, signal.SIGSTOP):
        other.send_signal(number)
        with pytest.raises(BusyError, match=rf"thermofisher is held by process {other.pid} .*kind: remote"):
            column.take(scope, patience_s=0.2)
    other.kill()
    column.take(scope).release()


def test_what_is_let_go_of_is_free(scope: Settings) -> None:
    with column.held(scope), pytest.raises(BusyError, match=str(os.getpid())):
        column.take(scope, patience_s=0.0)
    first = column.take(scope, "Ada's survey", patience_s=0.0)
    with pytest.raises(BusyError, match="Ada's survey"):
        column.take(scope, patience_s=0.0)
    first.release()
    first.release()
    column.take(scope, patience_s=0.0).release()


def test_worlds_and_driver_servers_elsewhere_are_not_held(tmp_path: Path) -> None:
    """A driver server has one pilot at a time by itself; worlds are as many as one likes."""
    remote = RemoteSettings(port=1, token_file=tmp_path / "token", name="titan")
    for instrument in (SimulatedSettings(), remote):
        with column.held(instrument), column.held(instrument):
            pass


def test_a_guard_does_not_start_where_another_has_the_column(
    tmp_path: Path, scope: Settings, other: subprocess.Popen[str]
) -> None:
    """Through a driver server's process, and before the instrument is asked for anything."""
    log = tmp_path / "log"
    with pytest.raises(BusyError, match=f"thermofisher is held by process {other.pid}"):
        Crew(Plan(instrument=scope, limits=LIMITS, ledger=tmp_path / "ledger.sqlite", log=log), 0.0)
    other.kill()
    other.wait()
    with pytest.raises(Disconnected, match=r"127\.0\.0\.1:1"):  # nobody there to drive
        Crew(Plan(instrument=scope, limits=LIMITS, ledger=tmp_path / "ledger.sqlite", log=log), 0.0)


def test_a_process_that_was_forked_off_holds_nothing(scope: Settings) -> None:
    """Some learning libraries fork, and their processes outlive who forked them."""
    mine = column.take(scope)
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(there, 1)
        os._exit(0)
    try:
        mine.release()
        column.take(scope, patience_s=0.0).release()
        mine = column.take(scope, patience_s=0.0)
        with pytest.raises(BusyError):
            column.take(scope, patience_s=0.0)
    finally:
        mine.release()
        os.write(here, b".")
        os.waitpid(child, 0)
        for end in (there, here):
            os.close(end)


def test_what_cannot_be_locked_is_told_as_that(scope: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(ConfigError, match=r"thermofisher\.column cannot be locked.*ADAPTEM_STATE"):
        column.take(scope)


def test_what_mishaps_befall_is_held_as_what_it_is(tmp_path: Path, scope: Settings) -> None:
    remote = {"kind": "remote", "port": 1, "token_file": str(tmp_path / "token"), "name": "thermofisher"}
    rehearsal = registry.parse({"kind": "faulty", "instrument": remote})
    with column.held(scope), column.held(rehearsal):  # its driver server holds it
        pass
    with column.held(registry.parse({"kind": "faulty", "instrument": THERMOFISHER})), pytest.raises(BusyError):
        column.take(scope, patience_s=0.0)
