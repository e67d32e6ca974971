"""A driver for the instrument's own computer, complete: replace what ``Practice`` does by your vendor's calls.

Python 3.8 and numpy. Try it, in the folder of the driver server:

    python -m server --driver plain_driver.py --token-file token.txt --port 7654 --name practice

then, on the computer that runs adaptem, `ssh -L 7654:127.0.0.1:7654 user@instrument`, copy token.txt, and

    instrument: {kind: remote, port: 7654, token_file: token.txt, name: practice}
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from server.driver import DriverError

RANGE_NM = 50_000.0
SPOT_NM = 5.0
CURRENT_PA = 50.0
ELECTRONS_PER_PA_S = 6.241509e6


class Practice:
    """What stands for the vendor: a stage, a focus, and bright spots every 40 nm, a little off a square grid."""

    def __init__(self) -> None:
        self.x_nm = self.y_nm = self.defocus_nm = 0.0
        self.beam_on = False
        self.scans = 0

    # It stands for gauges, too. Yours are asked each time; where there is none, its line goes, here and in ``state``.
    def valve_is_open(self) -> bool:
        return True

    def pressure_pa(self) -> float:
        return 2e-5

    def emission_ua(self) -> float:
        return 100.0

    def tension_kv(self) -> float:
        return 200.0

    def scan(self, rows: int, columns: int, pixel_nm: float, electrons: float) -> np.ndarray:
        """Counts of one frame, ``(H, W)``."""
        # +x moves features to +column: the place at column c is x - (c - W/2) * pixel, as everywhere in adaptem.
        x = self.x_nm - (np.arange(columns) + 0.5 - columns / 2) * pixel_nm
        y = self.y_nm - (np.arange(rows) + 0.5 - rows / 2) * pixel_nm
        wide_nm = math.hypot(SPOT_NM, 0.05 * self.defocus_nm)
        image = np.zeros((rows, columns))
        for i in range(math.floor(x.min() / 40) - 1, math.ceil(x.max() / 40) + 2):
            for j in range(math.floor(y.min() / 40) - 1, math.ceil(y.max() / 40) + 2):
                at_x, at_y = 40 * i + 14 * math.sin(7 * i + 3 * j), 40 * j + 14 * math.cos(5 * i - 2 * j)
                spot = np.exp(-((y - at_y)[:, None] ** 2 + (x - at_x)[None, :] ** 2) / (2 * wide_nm**2))
                image += spot * (SPOT_NM / wide_nm) ** 2
        self.scans += 1
        return np.random.default_rng(self.scans).poisson(electrons * (0.05 + 0.5 * image)).astype(np.uint32)


class PlainDriver:
    """Everything that ``server.driver.Driver`` lists."""

    def __init__(self, scope: Practice) -> None:
        self._scope = scope
        self._blanks = 0

    def state(self) -> dict[str, Any]:
        return {
            "time_s": time.monotonic(),
            "stage": {"x_nm": self._scope.x_nm, "y_nm": self._scope.y_nm},
            "optics": self._optics(),
            "blanked": not self._scope.beam_on,
            # What the guard sees to before each exposure, as read now. Leave out what your instrument does not tell (a
            # laboratory then waives it by name): a value that is written down here could never refuse.
            "valve_open": self._scope.valve_is_open(),
            "vacuum": {"value": self._scope.pressure_pa(), "unit": "Pa", "age_s": 0.0, "valid": True},
            "emission": {"value": self._scope.emission_ua(), "unit": "µA", "age_s": 0.0, "valid": True},
        }

    def move(self, target: dict[str, Any]) -> dict[str, Any]:
        for axis, value in target.items():
            if axis not in ("x_nm", "y_nm"):
                raise DriverError("NotSupported", f"{axis} was asked; this stage moves x and y")
            if not abs(value) <= RANGE_NM:  # NaN is refused by this, too
                raise DriverError("LimitError", f"{axis} = {value} was asked, the range is {RANGE_NM} nm")
        for axis, value in target.items():
            setattr(self._scope, axis, value)
        return {"x_nm": self._scope.x_nm, "y_nm": self._scope.y_nm}

    def tune(self, target: dict[str, Any]) -> dict[str, Any]:
        for name, value in target.items():
            if name != "defocus_nm":
                raise DriverError("NotSupported", f"{name} was asked; here the defocus can be set")
            if not abs(value) <= 5000.0:
                raise DriverError("LimitError", f"defocus_nm = {value} was asked, allowed are 5000")
        self._scope.defocus_nm = target.get("defocus_nm", self._scope.defocus_nm)
        return self._optics()

    def acquire(self, exposure: dict[str, Any]) -> Any:
        rows, columns = exposure["shape"]
        frames, dwell_us = exposure.get("frames", 1), exposure["dwell_us"]
        if not (0 < dwell_us <= 1000 and 0 < exposure["field_of_view_nm"] <= 1e4 and 0 < rows * columns <= 2**24):
            raise DriverError("LimitError", f"{exposure} was asked, which this scan does not do")
        if exposure.get("signals") not in (None, ["HAADF"]) or frames != 1:
            raise DriverError("NotSupported", "one frame of HAADF is all there is")
        pixel_nm, electrons = exposure["field_of_view_nm"] / columns, CURRENT_PA * ELECTRONS_PER_PA_S * dwell_us * 1e-6
        start_s, blanks = time.monotonic(), self._blanks
        self._scope.beam_on = True
        try:
            while self._blanks == blanks and time.monotonic() - start_s < rows * columns * dwell_us * 1e-6:
                time.sleep(0.01)  # your vendor's call blocks here, or is polled
            image = self._scope.scan(rows, columns, pixel_nm, electrons)
        finally:
            self._scope.beam_on = False
        axes = [{"name": name, "scale": pixel_nm, "unit": "nm"} for name in ("row", "column")]
        frame = {
            "stage": self.state()["stage"],
            "optics": self._optics(),
            "start_s": start_s,
            "end_s": time.monotonic(),
            "electrons": electrons * rows * columns,
            "signals": [{"name": "HAADF", "axes": axes, "unit": "counts", "calibration": {}}],
        }
        return frame, [image]

    def blank(self) -> None:
        self._blanks += 1
        self._scope.beam_on = False

    def blanked(self) -> bool:
        return not self._scope.beam_on

    def use(self, power: str, verb: str, values: list[Any]) -> bool:
        return False  # no optional powers

    def close(self) -> None:
        self.blank()

    def _optics(self) -> dict[str, Any]:
        return {"defocus_nm": self._scope.defocus_nm, "current_pA": CURRENT_PA, "voltage_kV": self._scope.tension_kv()}


def open_driver(settings: dict[str, Any]) -> PlainDriver:
    """For the server."""
    return PlainDriver(Practice())
