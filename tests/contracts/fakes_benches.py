"""Vendors' fakes as back ends of the contract suite: what no computer without the vendor's software can start."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fakes_autoscript import autoscript
from fakes_digitalmicrograph import gms
from fakes_jeol import BLOCK as JEOL
from fakes_jeol import pyjem
from fakes_serialem import serialem

from benchmarks.benches import BLANKER, EMISSION, STRAIGHT, VACUUM, Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.benches import Block


LATE = {"exposure_overhead_s": 10.0}
"""Fakes draw their frames, on a computer that may be busy."""


@contextmanager
def _autoscript() -> Iterator[Block]:
    with autoscript():
        block = {"kind": "autoscript", "scanning": ["HAADF", "BF"], "current_pA": 50.0, "stage_to_image": STRAIGHT}
        yield block | LATE


@contextmanager
def _serialem() -> Iterator[Block]:
    with serialem():
        yield {"kind": "serialem", "gun": True, "current_pA": 50.0, "stage_to_image": STRAIGHT}


@contextmanager
def _jeol() -> Iterator[Block]:
    with pyjem():
        yield JEOL | LATE


@contextmanager
def _digitalmicrograph() -> Iterator[Block]:
    with TemporaryDirectory() as folder, gms(Path(folder)) as (_, block):
        yield block


FAKES = {
    "autoscript": Bench(_autoscript, unchecked=frozenset({EMISSION})),
    "digitalmicrograph": Bench(_digitalmicrograph, unchecked=frozenset({EMISSION, VACUUM})),
    "jeol": Bench(_jeol, unchecked=frozenset({VACUUM})),
    "serialem": Bench(_serialem, unchecked=frozenset({VACUUM, BLANKER, "blank blanks"})),
}
