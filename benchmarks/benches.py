"""Every back end on this computer: started for whoever asks, on the loopback, and closed after.

The block ``instrument`` of ``configs/survey_backends.yaml`` is changed for the one that is given, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from instruments.types import Exposure

if TYPE_CHECKING:
    from collections.abc import Iterator

    Block = dict[str, Any]

STRAIGHT = [[1.0, 0.0], [0.0, 1.0]]


@dataclass(frozen=True)
class Bench:
    """A back end, and how it is looked at when it is checked."""

    start: Callable[[], AbstractContextManager[Block]]
    exposure: Exposure = field(default_factory=lambda: Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0))
    allow_defocus_nm: float = 400.0
    unchecked: frozenset[str] = frozenset()
    """Checks that cannot be made there."""


@contextmanager
def _detwin() -> Iterator[Block]:
    """Stained proteins: enough contrast for the stage, and a thing of phases, which shows its focus."""
    specimen = {"specimen": "Negative stain on carbon", "magnification": 10_000}
    yield {"kind": "detwin", "stage_to_image": STRAIGHT, **specimen}


@contextmanager
def _thermofisher() -> Iterator[Block]:
    """Our simulator behind temscript's own server, in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "instruments.drivers.served", "--seed", "3"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            port = json.loads(process.stdout.readline())["port"] if process.stdout else None
            yield {
                "kind": "thermofisher",
                "port": port,
                "field_of_view_nm_at_1x": 1e8,
                "defocus_nm_per_unit": 4000.0,
                "stage_to_image": STRAIGHT,
            }
        finally:
            if process.stdin:
                process.stdin.close()  # at which it ends
            process.wait(10)


@contextmanager
def _micromanager() -> Iterator[Block]:
    """Micro-Manager's demonstration: beads that follow the stage and the focus. Its µm are counted as nm."""
    yield {
        "kind": "micromanager",
        "properties": {"Camera": {"Mode": "Fluorescent Beads"}},
        "unit_nm": 1.0,
        "x_nm": [-5000.0, 5000.0],
        "y_nm": [-5000.0, 5000.0],
        "defocus_nm": [-500.0, 500.0],
        "stage_to_image": [[-1.0, 0.0], [0.0, -1.0]],
    }


@contextmanager
def _nion() -> Iterator[Block]:
    """nionswift-usim; the driver starts it, in a process of its own."""
    yield {"kind": "nion", "x_nm": [-2000.0, 2000.0], "y_nm": [-2000.0, 2000.0], "stage_to_image": STRAIGHT}


BENCHES: dict[str, Bench] = {
    "detwin": Bench(
        _detwin,
        exposure=Exposure(field_of_view_nm=256.0, shape=(128, 128), dwell_us=40.0),
        allow_defocus_nm=20_000.0,
    ),
    "micromanager": Bench(_micromanager, allow_defocus_nm=20.0),
    "nion": Bench(_nion, unchecked=frozenset({"focus responds"})),
    "thermofisher": Bench(_thermofisher),
}
