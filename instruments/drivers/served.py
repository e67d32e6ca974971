"""Our simulated microscope behind temscript's own server: a Thermo Fisher column without the column.

    python -m instruments.drivers.served --seed 3     prints {"port": …, "blanker_port": …}; ends when its stdin closes

Two servers of temscript's on one column, each of which does one thing at a time: the second is for the blanker.

It keeps the quirks of the real thing: the stage clamps in silence, detectors that are not there are left out, a blanked
beam gives black frames, the focus is a knob from −1 to 1, and valves are not opened from afar.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from temscript import NullMicroscope
from temscript.server import MicroscopeServer

from instruments.clock import RealClock, SimulatedClock
from instruments.drivers.orientation import METRES_RADIANS as AXES
from instruments.drivers.orientation import Ratio
from instruments.powers import HasTilt, HasValves
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable

    from instruments.protocol import Microscope

FIELD_OF_VIEW_NM_AT_1X = 1e8
DEFOCUS_NM_PER_UNIT = 4000.0
FULL_PX = 2048


class ServedMicroscope(NullMicroscope):
    """temscript's base class over any ``Microscope`` of ours."""

    def __init__(self, scope: Microscope, reach_nm: float, lit: Callable[[bool], None]) -> None:
        """``lit`` is told when the beam comes on, scanning or not, and when it goes off."""
        super().__init__(wait_exposure=False)
        self._scope, self._reach_nm, self._lit = scope, reach_nm, lit
        self._beam_blanked = True
        self._pixels: dict[str, Any] = {"image_size": "FULL", "binning": 1, "dwell_time(s)": 1e-6}

    def get_family(self) -> str:
        return "TITAN"

    def get_voltage(self) -> float:
        return self._scope.state().optics.voltage_kV or 0.0

    def get_column_valves_open(self) -> bool:
        return self._scope.state().valve_open is not False

    def set_column_valves_open(self, state: bool) -> None:
        if (valves := self._scope.power(HasValves)) is not None and not state:
            valves.close_valves()

    def get_stage_limits(self) -> dict[str, tuple[float, float]]:
        tilt = self._scope.power(HasTilt)
        tilts = {} if tilt is None else tilt.tilt_range_deg()
        ends = dict.fromkeys(("x_nm", "y_nm", "z_nm"), (-self._reach_nm, self._reach_nm)) | dict(tilts)
        return {
            theirs: (ends.get(ours, (0.0, 0.0))[0] / unit, ends.get(ours, (0.0, 0.0))[1] / unit)
            for ours, (theirs, unit) in AXES.items()
        }

    def get_stage_position(self) -> dict[str, float]:
        stage = self._scope.state().stage
        return {theirs: (getattr(stage, ours) or 0.0) / unit for ours, (theirs, unit) in AXES.items()}

    def _set_stage_position(self, pos: dict[str, float], method: str = "GO", speed: float | None = None) -> None:
        limits = self.get_stage_limits()
        clamped = {axis: min(max(at, limits[axis][0]), limits[axis][1]) for axis, at in pos.items()}
        ours = {name: clamped[theirs] * unit for name, (theirs, unit) in AXES.items() if theirs in clamped}
        self._scope.move(StagePosition(**ours))

    def get_stem_detectors(self) -> dict[str, Any]:
        return {name: {"type": "STEM_DETECTOR", "binnings": [1, 2, 4, 8, 16, 32]} for name in ("HAADF", "BF")}

    def get_stem_acquisition_param(self) -> dict[str, Any]:
        return dict(self._pixels)

    def set_stem_acquisition_param(self, param: dict[str, Any], ignore_errors: bool = False) -> None:
        self._pixels.update(param)

    def acquire(self, *detectors: str) -> dict[str, np.ndarray[Any, Any]]:
        there = [name for name in detectors if name in self.get_stem_detectors()]
        side_px = FULL_PX // int(self._pixels["binning"])
        if self._beam_blanked or not there:
            return {name: np.zeros((side_px, side_px), dtype=np.uint16) for name in there}
        exposure = Exposure(
            field_of_view_nm=FIELD_OF_VIEW_NM_AT_1X / self._stem_magnification,
            shape=(side_px, side_px),
            dwell_us=self._pixels["dwell_time(s)"] * 1e6,
            rotation_deg=math.degrees(self._stem_rotation),
            signals=tuple(there),
        )
        return {name: signal.data for name, signal in self._scope.acquire(exposure).signals.items()}

    def get_defocus(self) -> Ratio:
        return (self._scope.state().optics.defocus_nm or 0.0) / DEFOCUS_NM_PER_UNIT

    def set_defocus(self, value: Ratio) -> None:
        self._scope.tune(Optics(defocus_nm=value * DEFOCUS_NM_PER_UNIT))

    def set_beam_blanked(self, mode: bool) -> None:
        was = self._beam_blanked
        super().set_beam_blanked(mode)
        if mode:
            self._scope.blank()
        if was != mode:
            self._lit(not mode)


def main(made: type[ServedMicroscope] = ServedMicroscope) -> None:
    """Serve until stdin closes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", default="{}", help="of the simulated microscope, as JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truth", type=Path, help="where the world writes what really happened")
    options = parser.parse_args()
    settings = SimulatedSettings.model_validate({"kind": "simulated", **json.loads(options.settings)})
    clock = RealClock() if settings.real_time else SimulatedClock()
    world = World(settings, options.seed, clock, options.truth)
    reach_nm = float(settings.stage.x_nm[1])
    column = made(SimulatedMicroscope(world), reach_nm, lambda lit: world.record("lit" if lit else "dark"))
    servers = [
        MicroscopeServer(("127.0.0.1", 0), lambda: column, allow_column_valves_open=False)
        for _ in ("column", "blanker")
    ]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    print(json.dumps({"port": servers[0].server_address[1], "blanker_port": servers[1].server_address[1]}), flush=True)
    sys.stdin.buffer.read()
    for server in servers:
        server.shutdown()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
