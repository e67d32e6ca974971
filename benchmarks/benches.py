"""Every back end on this computer: started for whoever asks, on the loopback, and closed after.

The block ``instrument`` of ``configs/survey_backends.yaml`` is changed for the one that is given.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruments.checks import READS
from instruments.drivers.served import DEFOCUS_NM_PER_UNIT, FIELD_OF_VIEW_NM_AT_1X
from instruments.types import Exposure

if TYPE_CHECKING:
    from collections.abc import Iterator

    Block = dict[str, Any]

STRAIGHT = [[1.0, 0.0], [0.0, 1.0]]
EMISSION, VACUUM, VALVE, TENSION = (READS[name] for name in ("emission", "vacuum", "valve", "high_tension"))
BLANKER = READS["blanker"]


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
def served(module: str, *arguments: str) -> Iterator[Block]:
    """A server in a process of its own, until this ends; yields the ports that it tells."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[1],
    ) as process:  # fmt: skip
        try:
            lines = process.stdout or ()  # libraries say things, too, before the ports
            yield next(json.loads(line) for line in lines if line.startswith(b"{"))
        finally:
            if process.stdin:
                process.stdin.close()  # at which it ends
            process.wait(30)


@contextmanager
def _thermofisher() -> Iterator[Block]:
    """Our simulator behind temscript's own server."""
    scales = {"field_of_view_nm_at_1x": FIELD_OF_VIEW_NM_AT_1X, "defocus_nm_per_unit": DEFOCUS_NM_PER_UNIT}
    with served("instruments.drivers.served", "--seed", "3") as ports:
        late = {"exposure_overhead_s": 10.0}  # this one draws its frames, on a computer that may be busy
        yield {"kind": "thermofisher", **ports, **scales, **late, "stage_to_image": STRAIGHT}


@contextmanager
def _de() -> Iterator[Block]:
    """de-twin behind the vendor's own protocols, spoken by the vendor's own client."""
    reach = {"x_nm": [-5000.0, 5000.0], "y_nm": [-5000.0, 5000.0], "alpha_deg": [-30.0, 30.0]}
    with served("benchmarks.detwin_served") as ports:
        yield {"kind": "de", **ports, **reach, "current_pA": 600.0, "stage_to_image": STRAIGHT}


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
        unchecked=frozenset({EMISSION, VACUUM}),
    ),
    "micromanager": Bench(
        _micromanager, allow_defocus_nm=20.0, unchecked=frozenset({EMISSION, VACUUM, VALVE, TENSION})
    ),
    "nion": Bench(_nion, unchecked=frozenset({"focus responds", EMISSION, VACUUM, VALVE})),
    "thermofisher": Bench(_thermofisher, unchecked=frozenset({EMISSION})),
    "de": Bench(
        _de,
        exposure=Exposure(field_of_view_nm=256.0, shape=(128, 128), dwell_us=40.0),
        allow_defocus_nm=20_000.0,
        unchecked=frozenset({EMISSION, VACUUM}),
    ),
}
