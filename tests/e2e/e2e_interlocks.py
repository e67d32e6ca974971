"""Directed checks of what the guard reads just before the beam: AssertionError where it is exposed all the same."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest import mock

from e2e_bench import LOOK

from instruments import ledger_sqlite
from instruments.types import Footprint, Reading

if TYPE_CHECKING:
    from e2e_bench import Bench

GAS = Reading(value=2e-5, unit="Pa", age_s=0.0)
GUN = Reading(value=100.0, unit="µA", age_s=0.0)


def _stays_dark(bench: Bench, why: str) -> None:
    count, booked = len(bench.world.exposures()), bench.ledger.electrons()
    bench.act(lambda: bench.guard.acquire(LOOK))
    assert len(bench.world.exposures()) == count, f"exposed with {why}"
    assert bench.ledger.electrons() == booked, f"refused with {why}, and booked"


def emission_off(bench: Bench) -> None:
    """A gun that has tripped is waited for."""
    bench.arm("emission_off", 30.0)
    _stays_dark(bench, "the emission off")
    bench.clock.wait(31.0)
    assert bench.act(lambda: bench.guard.acquire(LOOK)) is None, "the gun is back"


def emission_unknown(bench: Bench) -> None:
    """Where there is such a reading, one that says nothing is as good as none."""
    bench.reads = {"emission": replace(GUN, value=None)}
    _stays_dark(bench, "an emission that does not read")


def tension_off(bench: Bench) -> None:
    """The high tension has tripped."""
    bench.reads = {"optics": replace(bench.world.optics, voltage_kV=0.0)}
    _stays_dark(bench, "the high tension off")


def vacuum_broken(bench: Bench) -> None:
    """A gauge that has failed is not a good vacuum."""
    bench.reads = {"vacuum": replace(GAS, valid=False)}
    _stays_dark(bench, "a vacuum gauge that has failed")


def vacuum_old(bench: Bench) -> None:
    """A reading that nobody has renewed for hours."""
    bench.reads = {"vacuum": replace(GAS, age_s=1e4)}
    _stays_dark(bench, "a vacuum read hours ago")


def emission_old(bench: Bench) -> None:
    """The same of the gun."""
    bench.reads = {"emission": replace(GUN, age_s=1e4)}
    _stays_dark(bench, "an emission read hours ago")


def disk_full(bench: Bench) -> None:
    """What can hardly be written down is not exposed."""
    with mock.patch.object(ledger_sqlite, "free_bytes", lambda folder: 1 << 20):
        _stays_dark(bench, "no room on the disk")


def wide_beam(bench: Bench) -> None:
    """A beam wider than the frame also hits what is beside it: booked there, and thinner for it."""
    bench.reads = {"lit_nm": 600.0}
    bench.guard.acquire(LOOK)  # not judged: this world's own beam is as wide as the frame
    beside = Footprint(x_nm=250.0, y_nm=0.0, width_nm=1.0, height_nm=1.0)
    assert bench.booked_fluence(beside) > 0, "lit, and not booked"
    whole = bench.booked_electrons() / (math.pi * 300.0**2 * 100.0)
    assert math.isclose(bench.booked_fluence(beside), whole, rel_tol=1e-6), "booked as if the frame had it all"


def narrow_beam(bench: Bench) -> None:
    """A beam narrower than the frame burns where it is."""
    bench.reads = {"lit_nm": 20.0}
    bench.act(lambda: bench.guard.acquire(LOOK))
    assert bench.booked_electrons() == 0, "more fluence than a place may have was let through"


SCENARIOS = (
    wide_beam, narrow_beam, emission_off, emission_unknown, tension_off, vacuum_broken, vacuum_old, emission_old,
    disk_full,
)  # fmt: skip
