"""The rig with the instrument behind temscript's own server: runner, guard, watchdog ► driver ► temscript ► world."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from guard_rig import ENV, Instrument

from instruments.drivers.served import DEFOCUS_NM_PER_UNIT, FIELD_OF_VIEW_NM_AT_1X

if TYPE_CHECKING:
    from pathlib import Path

SHORT_US = 85.0
"""Per pixel of 64 × 64: 0.35 s, which is allowed where a blank has to wait for a frame."""
SPECIMEN = {"heavy_per_um2": 0, "light_per_um2": 0}


class Temscript(Instrument):
    """A column that is a process of its own, behind temscript's servers; the driver server in front of them."""

    ON, OFF = "lit", "dark"
    """What the column's blanker does, whether it scans or not."""
    HANDS = 11
    """Two requests to temscript beside, each of a connection, a question and an answer."""

    def __init__(self, folder: Path, *, blanker: bool = True, column: str = "-m instruments.drivers.served") -> None:
        """``blanker``: whether it has a second server, for that alone."""
        words = [*column.split(), "--settings", json.dumps({"real_time": True, "specimen": SPECIMEN})]
        self.column = subprocess.Popen(
            [sys.executable, *words, "--truth", str(folder / "truth.jsonl")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENV,
        )
        assert self.column.stdout is not None
        ports = json.loads(self.column.stdout.readline())
        if not blanker:
            del ports["blanker_port"]
        scales = {"field_of_view_nm_at_1x": FIELD_OF_VIEW_NM_AT_1X, "defocus_nm_per_unit": DEFOCUS_NM_PER_UNIT}
        block: dict[str, Any] = {"kind": "thermofisher", **ports, **scales, "current_pA": 50.0}
        super().__init__(folder, instrument={**block, "exposure_overhead_s": 1.0})

    def close(self) -> None:
        super().close()
        for pipe in (self.column.stdin, self.column.stdout):
            assert pipe is not None
            pipe.close()
        self.column.wait(20)
