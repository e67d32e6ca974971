"""Directed checks of a specimen's way onto the stage: AssertionError where the guard lets through what it must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e_bench import LOOK

from instruments.errors import HardwareFault
from instruments.powers import HasLoader, HasValves
from instruments.types import StagePosition

if TYPE_CHECKING:
    from e2e_bench import Bench


def _close(bench: Bench) -> None:
    valves = bench.guard.power(HasValves)
    assert valves is not None, "this column has a valve"
    bench.act(valves.close_valves)


def load(bench: Bench, name: str | None) -> BaseException | None:
    """Ask the guard for a specimen, or (None) for an empty stage."""

    def ask() -> None:
        loader = bench.guard.power(HasLoader)
        assert loader is not None, "this instrument has a loader"
        loader.unload() if name is None else loader.load(name)

    return bench.act(ask)


def _on_stage(bench: Bench) -> str | None:
    assert bench.world.cassette is not None, "the world has a cassette"
    return bench.world.cassette.on_stage


def valve_open(bench: Bench) -> None:
    """Behind an open valve no specimen is moved; behind a closed one it is, and nothing is exposed there."""
    load(bench, "grid 2")
    assert _on_stage(bench) == "grid 1", "a specimen was moved with the valve open"
    _close(bench)
    assert load(bench, "grid 2") is None, "behind a closed valve it may go"
    assert _on_stage(bench) == "grid 2", "it was not moved"
    count = len(bench.world.exposures())
    bench.act(lambda: bench.guard.acquire(LOOK))
    assert len(bench.world.exposures()) == count, "exposed behind a closed valve"
    bench.world.set_valve(is_open=True)  # a person did
    assert bench.act(lambda: bench.guard.acquire(LOOK)) is None, "the night goes on"


def tilted(bench: Bench) -> None:
    """A tilted stage, or one that is elsewhere, takes no specimen."""
    _close(bench)
    for away in (StagePosition(alpha_deg=5.0), StagePosition(alpha_deg=0.0, x_nm=900.0)):
        bench.act(lambda to=away: bench.guard.move(to))
        load(bench, None)
        assert _on_stage(bench) == "grid 1", "a specimen was moved with the stage away"


def moving(bench: Bench) -> None:
    """A stage that is near enough, and has said that it stands, while it still moves."""
    _close(bench)
    bench.act(lambda: bench.guard.move(StagePosition(x_nm=95.0)))
    bench.arm("spurious_ready")
    bench.act(lambda: bench.guard.move(StagePosition(x_nm=0.0)))
    load(bench, None)


def stuck(bench: Bench) -> None:
    """A transfer that failed is not tried again, and nothing else is done: in this process or in the next."""
    _close(bench)
    bench.arm("transfer_stuck")
    assert isinstance(load(bench, "grid 2"), HardwareFault), "it got stuck"
    for _ in range(2):
        load(bench, "grid 2")
        bench.act(lambda: bench.guard.move(StagePosition(x_nm=50.0)))
        bench.act(lambda: bench.guard.acquire(LOOK))
        bench.crash_and_boot()
    bench.person_clears()
    assert bench.act(lambda: bench.guard.acquire(LOOK)) is None, "a person has looked"


def dies_loading(bench: Bench) -> None:
    """A process that dies while a specimen is on its way leaves enough for the next one to know."""
    _close(bench)
    bench.die_at = "after transfer"
    load(bench, "grid 2")
    assert bench.kills == 1, "it died"
    bench.act(lambda: bench.guard.move(StagePosition(x_nm=50.0)))
    load(bench, "grid 2")


def dead_motor(bench: Bench) -> None:
    """A loader that says that all went well is looked at."""
    _close(bench)
    bench.lies = "grid 1"
    load(bench, "grid 2")
    bench.act(lambda: bench.guard.move(StagePosition(x_nm=50.0)))


SCENARIOS = (valve_open, tilted, moving, stuck, dies_loading, dead_motor)
