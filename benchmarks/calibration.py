"""How well `adaptem calibrate` finds what it is not told, on simulators whose truth is known.

    python -m benchmarks.calibration            ours, turned and mirrored by the seed, and de-twin's realistic column
    python -m benchmarks.calibration --quick    two of ours

Ours miss their targets by up to 3 nm, creep, drift and have play. De-twin's truth is asked for in a process of its own.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import arguments, finish
from instruments.types import Exposure
from surveys.calibration import Wish, calibrate
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from surveys.calibration import Measured

TRUTH = """
import json, sys
from instruments.clock import SimulatedClock
from instruments.drivers.detwin import DetwinSettings, make_twin
twin = make_twin(DetwinSettings.model_validate(json.loads(sys.argv[1])), int(sys.argv[2]), SimulatedClock())
twin.column.set("Magnification", json.loads(sys.argv[1])["magnification"])
found = twin.calibration_truth()
print("TRUTH", json.dumps({name: found[name] for name in
    ("nominal_pixel_nm", "true_pixel_nm", "image_rotation_deg", "backlash_um")}))
twin.close()
"""


def settings(instrument: dict[str, Any], seed: int, backlash_nm: float, uncertainty_nm: float = 15.0) -> SurveySettings:
    """A survey's, for its limits: the looks of these benches are in the wish."""
    return SurveySettings.model_validate(
        {
            "instrument": instrument,
            "seed": seed,
            "guard": "inside",
            "specimens": [{"area": {"width_nm": 4096, "height_nm": 4096}}],
            "looks": {"detail": {"field_of_view_nm": 128}},
            "budget": {"hours": 1, "electrons": 1e14},
            "limits": {
                "z_nm": [-3000, 3000],
                "backlash_nm": backlash_nm,
                "stage_uncertainty_nm": uncertainty_nm,
                "reach_tolerance_nm": 500,
                "max_current_pA": 1000,
                "max_fluence_e_per_A2": 1e6,
            },
        }
    )


def row(name: str, found: Measured, truth: np.ndarray, backlash_nm: float) -> dict[str, Any]:
    """What was found against what is."""
    stage, entries = found.stage, found.calibration
    wrong_deg = (stage.turned_deg - math.degrees(math.atan2(truth[1, 0], truth[0, 0])) + 180) % 360 - 180
    return {
        "instrument": name,
        "mirrored_found": stage.mirrored is bool(np.linalg.det(truth) < 0),
        "matrix_off": float(np.abs(stage.matrix - truth).max()),
        "matrix_std": stage.std,
        "turned_off_deg": wrong_deg,
        "backlash_off_nm": max(abs(each - backlash_nm) for each in stage.backlash_nm),
        "nm_per_unit_of_focus": None if entries.focus is None else entries.focus.nm_per_unit,
        "stigmators_off": None
        if entries.stigmators is None
        else float(np.abs(np.array(entries.stigmators.nm_per_unit) - np.eye(2)).max()),
        "frames": stage.frames,
        "electrons": found.electrons,
    }


def ours(seed: int) -> dict[str, Any]:
    """A simulated stage, turned, mirrored and with play as the seed says. Its focus and stigmators count nm."""
    rng = np.random.default_rng(seed)
    turned_deg, mirrored, backlash_nm = float(rng.uniform(0, 360)), bool(rng.integers(2)), float(rng.uniform(20, 250))
    stage = {"turned_deg": turned_deg, "mirrored": mirrored, "backlash_nm": backlash_nm, "approach": False}
    asked = settings({"kind": "simulated", "stage": stage}, seed, 300.0)
    wish = Wish(
        exposure=Exposure(field_of_view_nm=1000.0, shape=(256, 256), dwell_us=2.0),
        close=Exposure(field_of_view_nm=128.0, shape=(256, 256), dwell_us=2.0),
        approach_nm=300.0,
        focus_units=500.0,
        stig_units=100.0,
    )
    found = calibrate(asked, wish, datetime.now(UTC), lambda _: None)
    instrument: Any = asked.instrument
    told = f"simulated, {turned_deg:.0f}°{', mirrored' if mirrored else ''}, {backlash_nm:.0f} nm of play"
    return row(told, found, np.array(instrument.stage.in_image), backlash_nm)


def detwin(seed: int = 3) -> dict[str, Any]:
    """De-twin as a realistic column: it turns its image, its pixels are longer than it says, its stage has play."""
    block = {"kind": "detwin", "specimen": "Dense Au on holey C", "magnification": 2000.0, "realistic": True}
    command = [sys.executable, "-c", TRUTH, json.dumps(block), str(seed)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    truth = next(json.loads(line[6:]) for line in said.splitlines() if line.startswith("TRUTH "))
    wish = Wish(
        exposure=Exposure(field_of_view_nm=2560.0, shape=(256, 256), dwell_us=10.0),
        close=Exposure(field_of_view_nm=640.0, shape=(128, 128), dwell_us=10.0),
        approach_nm=600.0,
        repeats=2,
    )
    found = calibrate(settings(block, seed, 600.0, 200.0), wish, datetime.now(UTC), lambda _: None)
    scale, turned = truth["nominal_pixel_nm"] / truth["true_pixel_nm"], math.radians(-truth["image_rotation_deg"])
    matrix = scale * np.array([[math.cos(turned), -math.sin(turned)], [math.sin(turned), math.cos(turned)]])
    return row("detwin, realistic", found, matrix, truth["backlash_um"] * 1e3)


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows = [ours(seed) for seed in range(2 if options.quick else 8)]
    if not options.quick:
        rows.append(detwin())
    finish(rows, options, title="Found by adaptem calibrate, against the truth")


if __name__ == "__main__":
    main()
