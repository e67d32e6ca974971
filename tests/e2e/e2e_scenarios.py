"""Directed checks of the guard on a fresh bench: each fails with an AssertionError where a promise is broken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from e2e_bench import LIMITS, LOOK, MAX_TIME_S, SETTINGS

from instruments.errors import InstrumentError
from instruments.limits import inside
from instruments.powers import HasTilt
from instruments.simulated.world import World
from instruments.types import Optics, StagePosition

if TYPE_CHECKING:
    from e2e_bench import Bench


def _refused(bench: Bench, target: StagePosition) -> None:
    denials, motions = bench.guard.denials, bench.motions
    raised = bench.act(lambda: bench.guard.move(target))
    assert isinstance(raised, InstrumentError), f"{target} was carried out"
    assert bench.guard.denials == denials + 1, "only the driver refused it"
    assert bench.motions == motions, "refused, and moved"


def _move(bench: Bench, **axes: float) -> BaseException | None:
    return bench.act(lambda: bench.guard.move(StagePosition(**axes)))


def _expose(bench: Bench, **changes: object) -> BaseException | None:
    return bench.act(lambda: bench.guard.acquire(replace(LOOK, **changes)))  # type: ignore[arg-type]


def far_move(bench: Bench) -> None:
    """A target out of range moves nothing, not even to the edge."""
    _refused(bench, StagePosition(x_nm=1e5))


def nan_move(bench: Bench) -> None:
    """NaN never gets as far as the driver."""
    _refused(bench, StagePosition(y_nm=float("nan")))


def overshoot(bench: Bench) -> None:
    """The target is inside, the way to it is not."""
    _refused(bench, StagePosition(x_nm=-1950.0))


def coupled(bench: Bench) -> None:
    """High and tilted is not allowed at once, whatever comes first."""
    _move(bench, z_nm=1000.0)
    _move(bench, alpha_deg=20.0)
    _, _, z_nm, alpha_deg = bench.world.stage.position(bench.world.now_s())
    assert LIMITS.z_tilt is not None, "the bench couples them"
    assert inside(LIMITS.z_tilt, z_nm, alpha_deg), "high and tilted"


def coupled_way(bench: Bench) -> None:
    """Both ends are allowed; on the way, tilting first, is not."""
    assert _move(bench, z_nm=1000.0) is None, "this much is allowed"
    _refused(bench, StagePosition(z_nm=400.0, alpha_deg=19.0))


def dies_exposing(bench: Bench) -> None:
    """The dose of a process that died with the beam on is in the ledger."""
    bench.die_at = "after exposure"
    _expose(bench, id=1)
    assert bench.ledger.booked(1), "exposed, and not booked"


def dies_before_settling(bench: Bench) -> None:
    """What was reserved and never settled is spent."""
    bench.die_at = "before settle"
    _expose(bench, id=1)


def resumed(bench: Bench) -> None:
    """The next process does not expose an intent again."""
    bench.die_at = "after exposure"
    for _ in range(3):
        _expose(bench, id=1)


def camera_timeout(bench: Bench) -> None:
    """A lost frame was exposed all the same."""
    bench.arm("camera_timeout")
    assert _expose(bench, id=1) is not None, "no frame came"
    _expose(bench, id=1)


def forgetful_driver(bench: Bench) -> None:
    """A driver that leaves the beam on is blanked by the guard, also where it raised."""
    bench.forgetful = True
    _expose(bench)
    bench.arm("camera_timeout")
    _expose(bench)


def blanker_unknown(bench: Bench) -> None:
    """A blanker that does not tell keeps the beam off."""
    bench.reads = {"blanked": None}
    count = len(bench.world.exposures())
    _expose(bench)
    assert len(bench.world.exposures()) == count, "exposed without knowing the blanker"


def touch(bench: Bench) -> None:
    """After a pole touch nothing moves and nothing is exposed, in this process and in the next."""
    bench.arm("pole_touch")
    assert _move(bench, alpha_deg=10.0) is not None, "the touch went unnoticed"
    for _ in range(2):
        _move(bench, alpha_deg=0.0)
        _move(bench, x_nm=50.0)
        _expose(bench)
        bench.act(lambda: bench.guard.tune(Optics(defocus_nm=5.0)))
        bench.crash_and_boot()


def touch_and_death(bench: Bench) -> None:
    """A process that dies in a tilt that touches leaves enough for the next one to know."""
    _expose(bench)
    bench.arm("pole_touch")
    bench.die_at = "after move"
    _move(bench, alpha_deg=10.0)
    _move(bench, alpha_deg=0.0)
    _expose(bench)


def latched_across_processes(bench: Bench) -> None:
    """A latch for any reason outlives the process."""
    bench.ledger.latch("the blanker failed")
    bench.crash_and_boot()
    count = len(bench.world.exposures())
    _expose(bench)
    assert len(bench.world.exposures()) == count, "exposed though latched"


def greedy(bench: Bench) -> None:
    """All the electrons there are, each on a new place, and then some."""
    for number in range(120):
        bench.clock.wait(3.5)
        _move(bench, x_nm=250.0 * (number % 15) - 1750.0, y_nm=250.0 * (number // 15) - 1750.0)
        _expose(bench, dwell_us=2000.0, frames=4)


def same_place(bench: Bench) -> None:
    """Overlapping exposures until no more is allowed on the place they share."""
    for number in range(40):
        bench.clock.wait(3.5)
        _move(bench, x_nm=60.0 * (number % 2))
        _expose(bench)


def long_burst(bench: Bench) -> None:
    """A burst is judged by all its frames, before its first."""
    _expose(bench, frames=40)


def endless(bench: Bench) -> None:
    """When the time is up, it is up."""
    while bench.clock.now_s() < 1.2 * MAX_TIME_S:
        bench.clock.wait(40.0)
        _move(bench, x_nm=bench.clock.now_s())
        _expose(bench)


def endless_with_deaths(bench: Bench) -> None:
    """Time used by processes that died counts."""
    for number in range(3):
        bench.clock.wait(400.0)
        _expose(bench)
        _move(bench, x_nm=150.0 * number)
        bench.crash_and_boot()
    assert bench.ledger.time_used_s() > MAX_TIME_S, "time was lost"


def hasty(bench: Bench) -> None:
    """More exposures in a minute than the instrument should make."""
    for number in range(40):
        _expose(bench, dwell_us=50.0, id=number)


def valve_closed(bench: Bench) -> None:
    """Behind a closed valve nothing is exposed."""
    bench.arm("valve_closed", 30.0)
    _expose(bench)


def refill(bench: Bench) -> None:
    """During a refill the instrument is left alone: the driver is not even asked."""
    bench.arm("dewar_refill", 30.0)
    _expose(bench)
    _refused(bench, StagePosition(x_nm=10.0))


def spurious_ready(bench: Bench) -> None:
    """A stage that says ready while it moves is not exposed."""
    bench.arm("spurious_ready")
    _move(bench, x_nm=1900.0)
    for _ in range(3):
        _expose(bench)


def taken_over(bench: Bench) -> None:
    """Somebody at the instrument moves the stage: the next request leaves it where they want it."""
    _move(bench, x_nm=500.0)
    bench.world.stage.go(StagePosition(x_nm=-900.0), bench.clock.now_s())
    bench.clock.wait(60.0)
    _refused(bench, StagePosition(x_nm=550.0))


def stuck(bench: Bench) -> None:
    """What is exposed where the stage got stuck is booked there, not where it was sent."""
    bench.arm("stage_stuck")
    assert _move(bench, x_nm=1500.0) is not None, "the stage was stuck"
    _expose(bench)


def unsure_place(bench: Bench) -> None:
    """The specimen is not quite where the stage reads: the play of a motion broken off, creep, drift."""
    bench.arm("stage_stuck")
    assert _move(bench, x_nm=-1500.0) is not None, "the stage was stuck"
    _expose(bench)


def current_unknown(bench: Bench) -> None:
    """A current that does not read counts as the most there can be."""
    bench.reads = {"optics": replace(bench.world.optics, current_pA=None)}
    for _ in range(30):
        bench.clock.wait(3.5)
        _expose(bench)


def bare_powers(bench: Bench) -> None:
    """The tilt that is handed out is the tilt that is allowed."""
    tilt = bench.guard.power(HasTilt)
    assert tilt is not None, "this holder tilts"
    assert tilt.tilt_range_deg() == {"alpha_deg": (-20.0, 20.0)}, "more tilt than is allowed"


def from_either_side(bench: Bench) -> None:
    """A stage with play stands at the same place whichever side it comes from."""
    stage = SETTINGS.stage.model_copy(update={"approach": False, "backlash_nm": 60.0, "creep_nm": 0.0, "drift_nm": 0.0})
    bench.world = World(SETTINGS.model_copy(update={"stage": stage}), 1, bench.clock)
    bench.limits = bench.limits.model_copy(update={"approach_nm": 90.0})
    bench.boot()
    found = []
    for from_nm in (-900.0, 900.0):
        bench.guard.move(StagePosition(x_nm=from_nm))
        bench.guard.move(StagePosition(x_nm=0.0))
        found.append(bench.world.place_nm()[0])
    assert abs(found[1] - found[0]) < 10.0, f"the same place is {found[0]:.1f} nm from below and {found[1]:.1f} nm"
    assert found[1] < 30.0, f"the play is taken up on the wrong side: {found[1]:.1f} nm"


SCENARIOS = (
    far_move, nan_move, overshoot, coupled, coupled_way, dies_exposing, dies_before_settling, resumed, camera_timeout,
    forgetful_driver, blanker_unknown, touch, touch_and_death, latched_across_processes, greedy, same_place, long_burst,
    endless, endless_with_deaths, hasty, valve_closed, refill, spurious_ready, taken_over, stuck, unsure_place,
    current_unknown, bare_powers, from_either_side,
)  # fmt: skip
