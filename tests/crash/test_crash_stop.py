"""Motion is stopped from another thread, through guard's process and driver server, within a second."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from crash_truth import rows_of
from guard_rig import HANDS, LIMITS, Lag, wait_for

from instruments.crew import Plan
from instruments.errors import Disconnected, ReachError
from instruments.guard_client import GuardClient
from instruments.powers import CanStop
from instruments.simulated.settings import SimulatedSettings, SpecimenSettings, StageSettings
from instruments.types import StagePosition

if TYPE_CHECKING:
    from pathlib import Path

SLOW = SimulatedSettings(
    specimen=SpecimenSettings(heavy_per_um2=0, light_per_um2=0),
    stage=StageSettings(speed_nm_per_s=100.0, alpha_deg=None),
    real_time=True,
)
"""A stage that takes 15 s for the way below."""


def test_a_slow_stage_is_stopped_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))
    truth = tmp_path / "truth.jsonl"
    plan = Plan(instrument=SLOW, limits=LIMITS, ledger=tmp_path / "ledger.sqlite", truth=truth, log=tmp_path / "log")
    client = GuardClient(plan)
    raised: list[Exception] = []

    def go() -> None:
        try:
            client.move(StagePosition(x_nm=1500.0))
        except ReachError as error:
            raised.append(error)

    try:
        stop = client.power(CanStop)
        assert stop is not None
        mover = threading.Thread(target=go)
        mover.start()
        wait_for(lambda: any(row["row"] == "move" for row in rows_of(truth)))
        with Lag() as lag:
            asked_s = time.monotonic()
            stop.stop()
            wait_for(lambda: any(row["row"] == "moved" for row in rows_of(truth)))
        rows = rows_of(truth)
        (stood,) = (row for row in rows if row["row"] == "moved")
        took_s = rows[0]["monotonic_s"] + stood["t_s"] - rows[0]["t_s"] - asked_s
        assert took_s < 1.0 + lag.allowance_s(HANDS)
        mover.join(30.0)
        (error,) = raised
        assert isinstance(error, ReachError)
        assert error.readback == client.state().stage
        assert 0.0 <= (client.state().stage.x_nm or 0.0) < 1000.0
        client.move(StagePosition(x_nm=client.state().stage.x_nm or 0.0))
    finally:
        client.close()
    with pytest.raises(Disconnected, match="gone"):
        stop.stop()
