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


def unread(bench: Bench) -> None:
    """On an instrument, what says nothing at all is no better than what says that it is bad."""
    optics = replace(bench.world.optics, voltage_kV=None)
    for reads in ({"blanked": None}, {"valve_open": None}, {"vacuum": None}, {"emission": None}, {"optics": optics}):
        bench.boot()
        bench.reads = reads
        _stays_dark(bench, f"no reading of the {next(iter(reads))}")
    bench.limits = bench.limits.model_copy(update={"waived": {"emission": "Ada looks at it"}})
    bench.reads = {"emission": None}
    bench.boot()
    assert bench.act(lambda: bench.guard.acquire(LOOK)) is None, "a person has waived it"


def read_no_more(bench: Bench) -> None:
    """A waiver is for what never reads: a reading that was there and is gone is a sensor that has failed."""
    bench.limits = bench.limits.model_copy(update={"waived": {"emission": "Ada looks at it"}})
    bench.boot()
    assert bench.act(lambda: bench.guard.acquire(LOOK)) is None, "all is well"
    bench.reads = {"emission": None}
    _stays_dark(bench, "a reading that was there")


def overstays(bench: Bench) -> None:
    """Nobody knows how long the beam was on where no frame came: at the longest, until somebody else blanked."""
    bench.rig = replace(bench.rig, overhead_s=lambda: 0.1)
    bench.boot()
    before = bench.ledger.electrons()
    bench.arm("camera_timeout", 1.0)
    assert bench.act(lambda: bench.guard.acquire(LOOK)) is not None, "no frame came"
    longest = LOOK.electrons(50.0) * (LOOK.beam_on_s + 0.1) / LOOK.beam_on_s
    assert bench.ledger.electrons() - before >= longest * (1 - 1e-9), "the beam may have been on for longer"
    bench.clock.wait(10.0)
    before = bench.ledger.electrons()
    assert bench.act(lambda: bench.guard.acquire(replace(LOOK, id=None))) is None, "all is well again"
    spent = bench.ledger.electrons() - before
    assert math.isclose(spent, LOOK.electrons(50.0), rel_tol=1e-6), "what was not spent is free again"


def no_place_to_overstay(bench: Bench) -> None:
    """Where the exposure has room and a beam that stays on has not."""
    bench.rig = replace(bench.rig, overhead_s=lambda: 1.0)  # 300 e/Å² on this field of view, of 100 that are allowed
    bench.boot()
    _stays_dark(bench, "no room for a beam that stays on")


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
    wide_beam, narrow_beam, unread, read_no_more, overstays, no_place_to_overstay, emission_off, emission_unknown,
    tension_off, vacuum_broken, vacuum_old, emission_old, disk_full,
)  # fmt: skip
