"""What goes between the guard's process, its client and the driver server comes back as it was sent."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, Valves, guarded, raising

from instruments import codec, distant, hosted
from instruments.errors import (
    BusyError,
    Disconnected,
    HardwareFault,
    Held,
    InstrumentError,
    LimitError,
    NotSupported,
    ReachError,
    Timeout,
)
from instruments.guard_process import GuardProcess
from instruments.powers import CanStop, HasDiffraction, HasHolder, HasLoader, HasSpectra, HasTilt, HasValves
from instruments.server import session, wire
from instruments.server.driver import DriverError
from instruments.types import Axis, Frame, Optics, Reading, Signal, StagePosition, State

STAGE = StagePosition(x_nm=1.0, y_nm=2.0, alpha_deg=3.0)


def test_everything_comes_back_as_it_was_sent() -> None:
    reading = Reading(value=None, unit="Pa", age_s=1.0, valid=False)
    state = State(
        time_s=1.0, stage=STAGE, optics=Optics(defocus_nm=-5.0), blanked=None, valve_open=True, vacuum=reading,
        emission=replace(reading, unit="µA"), lit_nm=900.0, busy_until_s=3.0,
        holder={"temperature_K": replace(reading, value=300.0)},
    )  # fmt: skip
    assert codec.state_of(codec.state(state)) == state
    assert codec.state_of(codec.state(state), 10.0).busy_until_s == 13.0
    assert codec.state_of(codec.state(replace(state, vacuum=None, emission=None, busy_until_s=None))).vacuum is None
    assert codec.request_of(type(EXPOSURE), codec.sparse(replace(EXPOSURE, signals=("BF",)))).signals == ("BF",)
    image = Signal(np.ones((2, 3)), (Axis("row", 1.0, "nm"), Axis("column", 1.0, "nm")), "counts", {"gain": 1.0})
    frame = Frame(
        exposure=EXPOSURE, signals={"HAADF": image}, stage=STAGE, optics=Optics(), start_s=0.0, end_s=1.0,
        electrons=float(np.float32(5.0)), holder={}, doubts=("too thick",),
    )  # fmt: skip
    about, arrays = codec.frame(frame)
    back = codec.frame_of(EXPOSURE, about, arrays, 100.0)
    assert (back.start_s, back.electrons, back.signals["HAADF"].axes) == (100.0, 5.0, image.axes)
    assert np.array_equal(back.signals["HAADF"].data, image.data)
    assert back.doubts == ("too thick",)


@pytest.mark.parametrize(
    "error",
    [
        LimitError("a"), BusyError("b", until_s=4.0), BusyError("b"), HardwareFault("c", latching=False), Timeout("d"),
        ReachError("e", target=STAGE, readback=Optics(defocus_nm=1.0)), ReachError("f"), Disconnected("g"), Held("h"),
    ],
)  # fmt: skip
def test_errors_come_back_as_they_were_raised(error: InstrumentError) -> None:
    back = codec.error_of(codec.error(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_an_error_that_is_none_of_ours() -> None:
    told = codec.error(ZeroDivisionError("a bug"))
    assert (told["error"], told["message"]) == ("InstrumentError", "ZeroDivisionError: a bug")
    assert type(codec.error_of({"error": "Unheard", "message": "of"})) is InstrumentError
    with pytest.raises(LimitError, match="Exposure"):
        codec.request_of(type(EXPOSURE), {"dwell_us": 1.0})


class Loader:
    def __init__(self) -> None:
        self.done: list[str] = []

    def specimens(self) -> list[str]:
        return ["a", "b"]

    def loaded(self) -> str | None:
        return self.done[-1] if self.done and self.done[-1] != "out" else None

    def load(self, name: str) -> None:
        self.done.append(name)

    def unload(self) -> None:
        self.done.append("out")


def test_powers_over_the_wire(scope: FakeMicroscope) -> None:
    done: list[str] = []
    loader = Loader()
    kinds = (HasTilt, HasSpectra, HasDiffraction, HasHolder, HasValves, CanStop)
    scope.powers = dict.fromkeys(kinds, Valves(done)) | {HasLoader: loader}

    def use(power: str, verb: str, *values: Any) -> Any:
        return distant.use(scope, power, verb, values)

    def there(kind: Any) -> Any:
        return distant.distant(kind, use)

    assert there(HasTilt).tilt_range_deg() == {"alpha_deg": (-80.0, 40.0), "beta_deg": (-20.0, 20.0)}
    assert there(HasSpectra).channels() == {"EELS": 1024}
    assert there(HasDiffraction).patterns() == {"camera": (64, 64)}
    assert there(HasHolder).set_condition("temperature_K", 300.0).achieved == 300.0
    there(HasValves).close_valves()
    assert done == ["temperature_K=300", "valves"]
    assert there(HasLoader).specimens() == ("a", "b")
    there(HasLoader).load("a")
    assert there(HasLoader).loaded() == "a"
    there(HasLoader).unload()
    assert there(HasLoader).loaded() is None
    assert loader.done == ["a", "out"]
    assert there(CanStop) is None  # it could not cut in
    for power, verb in (("HasValves", "open_valves"), ("__class__", "mro"), ("HasTilt", "__init__")):
        with pytest.raises(NotSupported, match="does not have"):
            use(power, verb)
    assert use("HasWings", "") is False
    scope.powers = {}
    assert there(HasValves) is None


def test_hosted_speaks_dictionaries(scope: FakeMicroscope) -> None:
    world = hosted.HostedWorld(scope, scope.clock)
    assert world.tune({"defocus_nm": 3.0}) == {"defocus_nm": 3.0}
    world.wait(2.0)
    assert world.now_s() == 2.0
    scope.on_state = raising(BusyError("later", until_s=9.0))
    with pytest.raises(DriverError, match="later") as caught:
        world.state()
    assert (caught.value.kind, caught.value.about) == ("BusyError", {"until_s": 9.0})
    world.close()
    assert scope.calls[-1] == "close"
    opened = hosted.open_driver({"instrument": {"kind": "simulated", "real_time": True}, "seed": 2})
    assert not hasattr(opened, "now_s")
    opened.close()


def test_messages_that_are_none() -> None:
    near, far = socket.socketpair()
    with pytest.raises(TypeError, match="numbers"):
        wire.send(near, {}, [np.array(["text"])])
    wire.send(near, {"a": 1}, [np.zeros((0, 3)), np.arange(4, dtype=np.uint8)])
    head, arrays = wire.receive(far)
    assert head == {"a": 1}
    assert [array.shape for array in arrays] == [(0, 3), (4,)]
    for about in (
        '[{"dtype": "|O", "shape": [1]}]',
        '[{"dtype": "<f8", "shape": [-1]}]',
        '[{"dtype": "<f8", "shape": [99999999999]}]',
    ):
        text = f'{{"head": {{}}, "arrays": {about}}}'.encode()
        near.sendall(b"ADW1" + len(text).to_bytes(4, "big") + text)
        with pytest.raises(wire.BadMessage, match="no message"):
            wire.receive(far)
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 3:
            raise Timeout("enough")

    with pytest.raises(Timeout):
        wire.receive(far, tick, 0.01)
    far.close()
    with pytest.raises(wire.Closed, match="broken"):
        wire.receive(far)
    with pytest.raises(wire.Closed):
        wire.send(near, {"x": "y" * 10_000_000})
    near.close()


def test_how_long_an_exposure_takes() -> None:
    assert session.duration_s(codec.sparse(replace(EXPOSURE, frames=3, interval_s=1.0))) == pytest.approx(2.003)
    for strange in (None, {}, {"shape": 3, "dwell_us": 1}, {"shape": [1, 2], "dwell_us": "x"}):
        assert session.duration_s(strange) == 0.0
    job = session.Job(session.Session(SimpleNamespace()), {"op": "fly"})  # type: ignore[arg-type]
    with pytest.raises(DriverError, match="fly"):
        job.carry_out(SimpleNamespace())


def test_a_hold_outlives_the_silence_that_it_came_in(scope: FakeMicroscope) -> None:
    """Told while the beam is held off for a silent runner: whoever asks again is held off for the person's reason."""
    guard = guarded(scope)
    pairs = [socket.socketpair() for _ in range(4)]
    try:
        process = GuardProcess(guard, scope.clock, *(theirs for _, theirs in pairs))
        process._unwatched, process._seen_s = False, time.monotonic()
        process._hold_off("the runner is silent")
        process._busy_until_s = None
        wire.send(pairs[0][0], {"op": "state"})
        process._hear()
        guard.acquire(EXPOSURE)  # a silence that is over
        process._hold_off("the runner is silent")
        process._busy_until_s = None
        wire.send(pairs[1][0], {"op": "hold", "reason": "a person said stop"})
        process._hear_urgent()
        process._hold_off("the runner is silent")
        wire.send(pairs[0][0], {"op": "state"})
        process._hear()
        with pytest.raises(Held):
            guard.acquire(EXPOSURE)
    finally:
        for pair in pairs:
            for link in pair:
                link.close()
