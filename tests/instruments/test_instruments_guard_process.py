"""The guard's process, its client, desk and watchdog, piece by piece; together they are in tests/e2e, tests/crash."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, guarded, nothing, raising

from configs.load import ConfigError, Settings
from instruments import codec, guard_client, guard_desk
from instruments.crew import Crew, Plan
from instruments.drivers import registry
from instruments.errors import BusyError, Disconnected, HardwareFault, Held, InstrumentError
from instruments.launch import instrument_name, longest_s, overhead_s, startup_s
from instruments.limits import Limits
from instruments.powers import CanStop, HasHolder, HasLoader, HasValves
from instruments.remote import RemoteSettings, token_in
from instruments.replay import ReplaySettings
from instruments.server import wire
from instruments.simulated.cassette_settings import CassetteSettings
from instruments.simulated.settings import SimulatedSettings
from instruments.types import Footprint, Optics, StagePosition

if TYPE_CHECKING:
    from pathlib import Path


def test_the_desk_answers_what_a_survey_asks(scope: FakeMicroscope) -> None:
    guard = guarded(scope)

    def ask(op: str, **about: Any) -> Any:
        return guard_desk.answer(guard, scope.clock, {"op": op, **about})[0]

    stage, exposure = codec.sparse(StagePosition(x_nm=5.0)), codec.sparse(replace(EXPOSURE, id=1))
    assert ask("state")["state"]["blanked"] is True
    assert ask("move", target=stage)["achieved"]["x_nm"] == 5.0
    assert ask("tune", target={"defocus_nm": 1.0})["achieved"] == {"defocus_nm": 1.0}
    assert ask("why_not", exposure=exposure)["reason"] is None
    read = codec.state(replace(scope.state(), blanked=False))
    assert "blanked" in ask("why_not", exposure=exposure, stage=stage, state=read)["reason"]
    assert "frame" in ask("acquire", exposure=exposure)
    place = {"x_nm": 5.0, "y_nm": 0.0, "width_nm": 1.0, "height_nm": 1.0}
    found = ask("ledger", exposure_id=1, place=place)
    assert found["booked"] is True
    assert found["fluence_e_per_A2"] > 0
    assert found["latched"] is None
    before_s = scope.clock.now_s()
    assert ask("wait", duration_s=2.0)["now_s"] == before_s + 2.0
    assert ask("use", power="HasTilt", verb="", values=[])["result"] is False
    assert "error" not in ask("blank")
    assert ask("move", target={"x_nm": 1e9})["denials"] == 1
    assert guard_desk.hold(guard, {"op": "blank"}) == {}
    assert guard_desk.hold(guard, {"op": "hold", "reason": "a person"}) == {}
    assert ask("acquire", exposure=exposure)["error"] in ("Held", "LimitError")
    assert guard_desk.stop(guard)["error"] == "NotSupported"
    scope.powers[CanStop] = SimpleNamespace(stop=raising(Disconnected("gone")))
    assert guard_desk.stop(guard)["error"] == "Disconnected"
    scope.on_blank = raising(OSError("stuck"))
    assert guard_desk.hold(guard, {"op": "blank"})["error"] == "HardwareFault"
    scope.on_blank = nothing
    assert "error" not in ask("close")


def test_a_hold_that_comes_between_booking_and_beam(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    reserve = guard.ledger.reserve

    def held_meanwhile(*about: Any) -> Any:
        ticket = reserve(*about)
        guard.hold("a person said stop")
        return ticket

    guard.ledger.reserve = held_meanwhile  # type: ignore[method-assign]
    with pytest.raises(Held):
        guard.acquire(EXPOSURE)
    assert "acquire" not in scope.calls
    guard.release()
    guard.ledger.reserve = reserve  # type: ignore[method-assign]
    guard.acquire(EXPOSURE)


def test_a_tilt_that_a_process_left_on_its_way_may_arrive(scope: FakeMicroscope) -> None:
    """Not where it was sent when the next process looks, and there when it looks again: no pole touch."""
    guard = guarded(scope)
    guard.ledger.intend_tilt(StagePosition(alpha_deg=10.0))
    scope.stage = replace(scope.stage, alpha_deg=5.0)
    looks = []

    def arrives() -> None:
        looks.append(1)
        if len(looks) == 2:
            scope.stage = replace(scope.stage, alpha_deg=10.0)

    scope.on_state = arrives
    guard.move(StagePosition(x_nm=10.0))
    assert guard.ledger.latched() is None


def test_plans_and_names(tmp_path: Path) -> None:
    remote = RemoteSettings(port=1, token_file=tmp_path / "token", name="titan")
    assert instrument_name(remote) == "titan"
    assert instrument_name(SimulatedSettings()) == "simulated"
    faulty = registry.parse({"kind": "faulty", "instrument": {"kind": "thermofisher", "exposure_overhead_s": 7.0}})
    assert instrument_name(faulty) == "thermofisher"  # its latches hold, whatever is put round it
    assert (overhead_s(SimulatedSettings()), overhead_s(faulty), overhead_s(Settings())) == (60.0, 7.0, 1.0)
    long = registry.parse({"kind": "faulty", "instrument": {"kind": "serialem", "move_s": 400.0, "transfer_s": 900.0}})
    assert (longest_s(long), longest_s(SimulatedSettings())) == (900.0, 0.0)
    assert registry.lacks(long) == registry.lacks(long.instrument)  # type: ignore[attr-defined]
    assert (startup_s(faulty), startup_s(registry.parse({"kind": "detwin"}))) == (60.0, 300.0)
    with pytest.raises(ConfigError, match="token_file"):
        token_in(tmp_path / "token")


LIMITS = Limits(
    x_nm=(-1e3, 1e3), y_nm=(-1e3, 1e3), backlash_nm=1.0, stage_uncertainty_nm=1.0, max_current_pA=60.0,
    max_electrons=1e9, max_fluence_e_per_A2=1e3, max_time_s=100.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))


def test_a_crew_that_does_not_start_says_why(tmp_path: Path) -> None:
    """No server there; a server that cannot open its instrument; a ledger that is none."""
    (tmp_path / "token").write_text("0" * 64)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    remote = RemoteSettings(port=port, token_file=tmp_path / "token", name="titan")
    ledger, log = tmp_path / "ledger.sqlite", tmp_path / "guard.log"
    with pytest.raises(Disconnected, match="driver server"):
        Crew(Plan(instrument=remote, limits=LIMITS, ledger=ledger, log=log), 0.0)
    absent = ReplaySettings(image=tmp_path / "absent.png")
    with pytest.raises(ConfigError, match=r"absent\.png"):
        Crew(Plan(instrument=absent, limits=LIMITS, ledger=ledger, log=log), 0.0)
    assert "absent.png" in log.read_text()
    (tmp_path / "no.sqlite").write_bytes(b"this is no database, and long enough to say so" * 40)
    with pytest.raises(InstrumentError, match="ledger"):
        Crew(Plan(instrument=SimulatedSettings(), limits=LIMITS, ledger=tmp_path / "no.sqlite", log=log), 0.0)


def test_a_client_that_is_closed(tmp_path: Path) -> None:
    """Through real processes: the powers, the clock, what is asked after the end."""
    instrument = SimulatedSettings(cassette=CassetteSettings(specimens=("grid 1", "grid 2"), transfer_s=5.0))
    plan = Plan(instrument=instrument, limits=LIMITS, ledger=tmp_path / "ledger.sqlite", log=tmp_path / "log")
    client = guard_client.GuardClient(plan, 5.0)
    assert set(client.pids) == {"server", "guard_process", "watchdog"}
    assert client.limits == LIMITS
    assert client.power(HasHolder) is None
    loader = client.power(HasLoader)
    assert loader is not None
    with pytest.raises(BusyError, match="but it is open: close it"):
        loader.load("grid 2")
    client.clock.wait(3.0)
    assert client.clock.now_s() == 8.0
    for duration_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="cannot wait"):
            client.clock.wait(duration_s)
    assert client.why_not(EXPOSURE, StagePosition(x_nm=1e6)) is not None
    assert client.why_not(EXPOSURE, state=client.state()) is None
    place = Footprint(x_nm=0.0, y_nm=0.0, width_nm=1.0, height_nm=1.0)
    assert (client.ledger.electrons(), client.ledger.fluence_e_per_A2(place), client.ledger.latched()) == (0, 0, None)
    client.move(StagePosition(x_nm=10.0))
    valves = client.power(HasValves)
    assert valves is not None
    valves.close_valves()
    loader.load("grid 2")
    assert (loader.specimens(), loader.loaded()) == (("grid 1", "grid 2"), "grid 2")
    assert client.ledger.latched() is None
    assert client.tune(Optics(defocus_nm=5.0)).achieved.defocus_nm == 5.0
    assert client.ledger.time_used_s() > 3.0
    client.blank()
    client.close()
    client.close()
    client.blank()
    assert client.pids == {}
    with pytest.raises(Disconnected, match="closed"):
        client.state()
    client.hold("after the end")


def test_a_hold_that_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says stop hears whether it was done."""
    monkeypatch.setattr(guard_client, "_URGENT_S", 0.2)
    near, far = socket.socketpair()
    client = guard_client.GuardClient.__new__(guard_client.GuardClient)
    manned: Any = SimpleNamespace(urgent=near)
    with pytest.raises(InstrumentError, match="does not answer"):
        client._hold(manned, "a person")
    wire.send(far, codec.error(HardwareFault("it reads on", latching=True)))
    with pytest.raises(HardwareFault, match="reads on"):
        client._hold(manned, "a person")
    far.close()
    with pytest.raises(Disconnected, match="watchdog"):
        client._hold(manned, "a person")
    near.close()
    near, far = socket.socketpair()
    far.close()
    manned.calls = near
    with pytest.raises(Disconnected, match="started anew"):
        client._exchange(manned, {"op": "state"})
    near.close()
