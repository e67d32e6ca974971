"""Who is struck, how, and how soon the beam must be off after: read from the truth of an instrument's own process."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from guard_proxy import Proxy
from guard_rig import EXPOSURE_US, NAME, Lag, Runner, wait_for

from instruments.latches import clear_latches

if TYPE_CHECKING:
    from guard_rig import Instrument

KILL, STOP, GO_ON = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT

CASES = (
    (KILL, ("runner",), 0.1),
    (KILL, ("guard",), 0.1),
    (KILL, ("runner", "guard"), 0.1),
    (KILL, ("watchdog",), 0.1),
    (STOP, ("runner",), 2.0),
    (STOP, ("guard",), 2.0),
    (STOP, ("runner", "guard"), 2.0),
    (STOP, ("watchdog",), 3.2),
)
"""What happens to whom, and how soon the beam must be off."""
NAMES = [f"{how.name} {' and '.join(who)}" for how, who, _ in CASES]


def goes_off(
    instrument: Instrument,
    how: signal.Signals,
    victims: tuple[str, ...],
    limit_s: float,
    times: int,
    dwell_us: float = EXPOSURE_US,
) -> list[tuple[float, float]]:
    """Strike so many times in the midst of an exposure; (seconds that the beam stayed on, lag), below the limit."""
    took = []
    for turn in range(times):
        runner = Runner(instrument, 1 + len(instrument.rows()), dwell_us=dwell_us)
        try:
            runner.wait_for_beam()
            time.sleep(min(0.05 + 0.3 * turn / times, 0.5e-6 * dwell_us * 64**2))
            with Lag() as lag:
                struck_s = runner.strike(how, *victims)
                wait_for(lambda: not instrument.beam_on(), 5.0)
            took_s = instrument.went_off_s() - struck_s
            assert took_s < limit_s + lag.allowance_s(instrument.HANDS), (
                f"turn {turn}: on for {took_s:.3f} s, lag {lag.worst_s:.3f} s"
            )
            took.append((took_s, lag.worst_s))
            seen = len(instrument.rows())
            if how is STOP:  # what wakes up must not go on with what it was about to do
                for victim in victims:
                    if victim != "guard":  # dead by now
                        runner.strike(GO_ON, victim)
            if "runner" in victims and how is KILL:
                time.sleep(0.3)
                assert [row for row in instrument.rows(seen) if row["row"] in (instrument.ON, "unblank", "move")] == []
        finally:
            runner.clear()
    tell(f"{how.name} {' and '.join(victims)}", took)
    return took


def tell(what: str, took: list[tuple[float, float]]) -> None:
    """For who reads the log: half of them, and all of them, were faster than this."""
    times_s = sorted(took_s for took_s, _ in took)
    lag_s = max(late_s for _, late_s in took)
    print(
        f"{what}: {len(took)} times, the beam off after {times_s[len(took) // 2]:.3f} s (median), {times_s[-1]:.3f} s "
        f"(longest), the machine up to {lag_s:.3f} s late"
    )


def cable_fails(
    instrument: Instrument, how: str, times: int, dwell_us: float = EXPOSURE_US
) -> list[tuple[float, float]]:
    """Cut it, or freeze what flows in it, so many times; nothing happens until a person has cleared the latch."""
    proxy, took = Proxy(instrument.port), []
    try:
        for turn in range(times):
            runner = Runner(instrument, 1 + len(instrument.rows()), port=proxy.port, dwell_us=dwell_us)
            try:
                runner.wait_for_beam()
                time.sleep(min(0.05 + 0.3 * turn / times, 0.5e-6 * dwell_us * 64**2))
                with Lag() as lag:
                    struck_s = time.monotonic()
                    getattr(proxy, how)()
                    wait_for(lambda: not instrument.beam_on(), 8.0)
                took.append((instrument.went_off_s() - struck_s, lag.worst_s))
                assert took[-1][0] < 3.0 + lag.allowance_s(instrument.HANDS)
                while not (word := runner.word()).startswith("R HardwareFault"):
                    assert word.startswith(("E", "R"))
                proxy.mend()
                seen, moves = len(instrument.rows()), (instrument.ON, "unblank", "move", "tune")
                time.sleep(1.0)
                assert [row for row in instrument.rows(seen) if row["row"] in moves] == []
                assert "not reached" in str(clear_latches(NAME, "Ada", "the cable was loose", runner.state))
                runner.wait_for_beam()
            finally:
                proxy.mend()
                runner.clear()
    finally:
        wait_for(lambda: not instrument.beam_on())
        time.sleep(1.0)  # the last runner's second guard ends, which would latch where its cable went first
        proxy.close()
    tell(f"cable {how}", took)
    return took
