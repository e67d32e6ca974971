"""Focus found in others' simulators, by estimators recalibrated there from a few measured steps.

    python -m benchmarks.focusing_elsewhere            both, ten starts each, about five minutes on one core
    python -m benchmarks.focusing_elsewhere --quick    two starts each

nionswift-usim 5.4: Ronchigrams, ``models.focus_ronchigram``. Its scanned images do not change with focus. de-twin 0.3:
a carbon film beside a gold particle under the wide beam, with its camera's offset, gain, noise and references,
``models.focus_rings``. Neither estimator was fitted to them: each control is stepped once and what is found after it,
less what is found before, says how the control acts; how sure that is counts in the deviations. Start and end are what
each simulator itself holds for true, of hidden defocus and astigmatism, in usim with hidden coma, three-fold
astigmatism and C30 as well. One that is not installed is left out; usim is GPL, so nothing of ours imports it but this.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.common import arguments, finish
from models.focus_rings import Rings, phase_contrast, ring_fit
from models.focus_ronchigram import Shadow, shadow_fit

Array: TypeAlias = npt.NDArray[np.float64]

ROUNDS = 3
"""Of two exposures each; a round that is sure to ``ENOUGH`` ends it."""
SEED = 20000


class Found(NamedTuple):
    values_nm: Array
    """(3,) C10, C12a, C12b at the controls as they stand."""
    std_nm: Array
    settled: bool
    reason: str


class Bench(Protocol):
    """A column whose defocus and stigmators are turned through three controls of its own units."""

    name: str
    steps: Array
    """(3,) of each control, by which it is calibrated."""

    def hide(self, rng: np.random.Generator) -> None:
        """Put the column out of focus by what only ``truth_nm`` knows, at another place; controls go to 0."""

    def turn(self, controls: Array) -> None: ...

    def find(self, number: int) -> Found:
        """From the exposures of round ``number``."""

    def truth_nm(self) -> Array:
        """(3,)"""


class Usim:
    """Nion Swift's simulator: angles follow from ray optics, positions on a specimen of gold balls from angles."""

    name = "nionswift-usim, Ronchigram"
    steps = np.array([80e-9, 50e-9, 50e-9])
    binning, c30_nm = 4, 2000.0
    """The second is the half width of what its hidden C30 is drawn from."""
    series_nm = ((500.0, 700.0), (-100.0, 100.0), (-140.0, 120.0))
    """First so far to one side that no pattern is near focus, then about it."""

    def __init__(self) -> None:
        from nion.instrumentation import stem_controller
        from nion.usim_device import DeviceConfiguration
        from nion.utils import Geometry

        self.geometry = Geometry
        # the configuration holds what the Swift application would register; its threads end with the process
        self.whole = DeviceConfiguration.AcquisitionContextConfiguration(
            set_configuration_location=False, sample_index=2
        )
        self.column = self.whole.instrument
        self.camera = self.whole.ronchigram_camera_device.simulator
        self.area = Geometry.IntRect.from_tlbr(0, 0, 2048, 2048)
        self.scan = stem_controller.ScanContext(Geometry.IntSize(256, 256), Geometry.FloatPoint(), 100.0, 0.0)
        self.hidden_m, self.controls = np.zeros(3), np.zeros(3)
        scale = self.camera.get_dimensional_calibrations(self.area, Geometry.IntSize(1, 1))[0].scale
        self.mrad_per_px = scale * 1e3 * self.binning

    def hide(self, rng: np.random.Generator) -> None:
        self.hidden_m = rng.uniform(-1, 1, 3) * (400e-9, 30e-9, 30e-9)
        for name, most_m in (("stage_position_m", 200e-9), ("C21", 100e-9), ("C23", 100e-9)):
            y, x = rng.uniform(-most_m, most_m, 2)
            self.column.SetVal2D(name, self.geometry.FloatPoint(y=y, x=x))
        self.column.SetVal("C30", rng.uniform(-1, 1) * self.c30_nm * 1e-9)
        self.turn(np.zeros(3))

    def turn(self, controls: Array) -> None:
        self.controls = controls
        c10, x, y = controls + self.hidden_m
        self.column.SetVal("C10", c10)
        self.column.SetVal2D("C12", self.geometry.FloatPoint(y=y, x=x))

    def find(self, number: int) -> Found:
        changes_nm = np.array(self.series_nm[number])
        patterns = []
        for change_nm in changes_nm:
            self.turn(self.controls + np.array([change_nm * 1e-9, 0, 0]))
            frame = self.camera.get_frame_data(
                self.area,
                self.geometry.IntSize(self.binning, self.binning),
                0.01,
                self.scan,
                self.geometry.FloatPoint(0.5, 0.5),
            )
            patterns.append(frame.data.astype(np.float64))
            self.turn(self.controls - np.array([change_nm * 1e-9, 0, 0]))
        return _told(
            shadow_fit(
                np.array(patterns),
                changes_nm,
                mrad_per_px=self.mrad_per_px,
                aperture_mrad=40.0,
                c30_std_nm=self.c30_nm / np.sqrt(3),
                c10_nm=450.0,
                c12_nm=120.0,
            )
        )

    def truth_nm(self) -> Array:
        pair = self.column.GetVal2D("C12Control")
        return np.array([self.column.GetVal("C10Control"), pair.x, pair.y]) * 1e9


class DeTwin:
    """Direct Electron's digital twin at 100,000 times, of a column without corrector."""

    name = "de-twin, wide-beam image"
    steps = np.array([0.2, 0.05, 0.05])
    """µm, and two of the stigmator's own units."""
    series_nm = ((-300.0, 300.0), (-300.0, 300.0), (-500.0, 400.0))
    exposure_s = 0.5

    def __init__(self) -> None:
        from de_twin import DigitalTwin
        from de_twin.clock import ManualClock

        self.twin = DigitalTwin("Dense Au on holey C", camera="DESim", clock=ManualClock(), seed=1)
        self.column = self.twin.column
        self.column.set("Magnification", 100_000)
        self.twin.start_on_specimen()
        stage = self.column.state().stage
        self.film_um = np.array([stage.x_um + 0.2, stage.y_um])
        self.controls = np.zeros(3)

    def hide(self, rng: np.random.Generator) -> None:
        x, y = self.film_um + rng.uniform(-0.02, 0.02, 2)
        self.column.move_stage(x=x, y=y)
        self.twin.optics_config.defocus_offset_um = rng.uniform(-1, 1)
        self.twin.optics_config.objective_stig_zero = tuple(rng.uniform(-0.1, 0.1, 2))
        self.turn(np.zeros(3))

    def turn(self, controls: Array) -> None:
        self.controls = controls
        self.column.set_defocus_um(float(controls[0]))
        self.column.set_objective_stig(float(controls[1]), float(controls[2]))

    def find(self, number: int) -> Found:
        changes_nm, images = np.array(self.series_nm[number]), []
        for change_nm in changes_nm:
            self.turn(self.controls + np.array([change_nm * 1e-3, 0, 0]))
            images.append(self.twin.snap(self.exposure_s))
            self.turn(self.controls - np.array([change_nm * 1e-3, 0, 0]))
        settings = np.zeros((len(images), 8))
        settings[:, 0] = changes_nm
        optics = self.twin.optics(self.twin.request())
        lens = phase_contrast(
            200.0, illumination_mrad=optics.illumination_mrad, amplitude_contrast=0.1, c30_nm=optics.cs_mm * 1e6
        )
        return _told(
            ring_fit(
                np.array(images),
                settings,
                lens,
                optics.specimen_pixel_nm,
                c10_nm=1500.0,
                c12_nm=180.0,
                step_nm=60.0,
                highest_per_nm=2.5,
                tile_px=512,
                turn_std_rad=0.05,
            )
        )

    def truth_nm(self) -> Array:
        held = self.twin.optics(self.twin.request()).image_aberrations
        return np.array([held["C1"].real, held["A1"].real, held["A1"].imag])


def _told(found: Rings | Shadow) -> Found:
    return Found(found.found_nm, found.std_nm, found.settled, found.reason)


def response(bench: Bench) -> tuple[Array, Array]:
    """(3, 3) nm of C10, C12a, C12b (rows) by which each control (columns) was seen to act, per its unit; and how sure.

    The second are standard deviations.
    """
    before, columns, deviations = bench.find(0), [], []
    for step in np.diag(bench.steps):
        bench.turn(step)
        after = bench.find(0)
        if not (before.settled and after.settled):
            raise RuntimeError(f"{bench.name} cannot be calibrated here: {before.reason}; {after.reason}")
        columns.append((after.values_nm - before.values_nm) / step.max())
        deviations.append(np.hypot(after.std_nm, before.std_nm) / step.max())
    bench.turn(np.zeros(3))
    return np.stack(columns, axis=1), np.stack(deviations, axis=1)


def tried(bench: Bench, starts: int) -> list[dict[str, Any]]:
    """One row a start, after a calibration in a place and focus of its own."""
    rng = np.random.default_rng(SEED)
    for _ in range(5):
        bench.hide(rng)
        try:
            acts, doubt = response(bench)
            break
        except RuntimeError as error:
            print(error, file=sys.stderr)
    else:
        raise SystemExit(f"{bench.name} was not calibrated in five places")
    print(f"{bench.name}: nm of C10, C12a, C12b per unit of each control\n{acts.round(3)}")
    rows = []
    for _ in range(starts):
        bench.hide(rng)
        start_nm, controls, rounds = bench.truth_nm(), np.zeros(3), 0
        std_nm = np.full(3, np.nan)
        for number in range(ROUNDS):
            found = bench.find(number)
            rounds += 1
            if found.settled:
                change = np.linalg.solve(acts, found.values_nm)
                std_nm = np.sqrt(found.std_nm**2 + doubt**2 @ change**2)
                controls = controls - change
                bench.turn(controls)
                if number:
                    break
        end_nm = bench.truth_nm()
        rows.append(
            {
                "simulator": bench.name,
                "start_C10_nm": float(start_nm[0]),
                "end_C10_nm": float(end_nm[0]),
                "start_C12_nm": float(np.hypot(*start_nm[1:])),
                "end_C12_nm": float(np.hypot(*end_nm[1:])),
                "C10_std_nm": float(std_nm[0]),
                "C12_std_nm": float(np.hypot(*std_nm[1:])),
                "exposures": 2 * rounds,
                "found": "yes" if np.isfinite(std_nm[0]) else f"refused: {found.reason}",
            }
        )
        print({k: v for k, v in rows[-1].items() if k != "simulator"}, flush=True)
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=("usim", "detwin"), help="one simulator")
    options = parser.parse_args()
    benches = {"usim": ("nion.usim_device", Usim), "detwin": ("de_twin", DeTwin)}
    rows: list[dict[str, Any]] = []
    for key, (module, make) in benches.items():
        if options.only in (None, key):
            if importlib.util.find_spec(module.split(".")[0]) is None:
                print(f"{module} is not installed: left out", file=sys.stderr)
                continue
            rows += tried(make(), 2 if options.quick else 10)
    finish(rows, options, title="Others' simulators brought to focus")
    sys.stdout.flush()
    os._exit(0)  # usim's camera threads never end


if __name__ == "__main__":
    main()
