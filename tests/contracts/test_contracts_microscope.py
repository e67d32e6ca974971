"""One contract, every back end: the conformance suite run on each, bare and behind a guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from instruments.checks import READS, check_microscope
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.replay import ReplayMicroscope, ReplaySettings
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.protocol import Microscope

EXPOSURE = Exposure(field_of_view_nm=200.0, shape=(128, 128), dwell_us=10.0)

LIMITS = Limits(
    x_nm=(-5e3, 5e3),
    y_nm=(-5e3, 5e3),
    alpha_deg=(-20.0, 20.0),
    off_axis_nm=0.0,
    backlash_nm=120.0,
    stage_uncertainty_nm=15.0,
    max_current_pA=60.0,
    max_electrons=1e9,
    max_fluence_e_per_A2=200.0,
    max_time_s=3600.0,
)


UNREAD = [check for name, check in READS.items() if name != "blanker"]
LACKS: dict[str, dict[str, str]] = {
    "simulated": {},
    "replay": dict.fromkeys(["focus responds", *UNREAD], "a recording has none"),
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A recorded image of 1024 × 1024 nm with something to see everywhere."""
    rng = np.random.default_rng(5)
    spectrum = np.fft.rfft2(rng.normal(size=(1024, 1024)))
    radius = np.hypot(np.fft.fftfreq(1024)[:, None], np.fft.rfftfreq(1024)[None, :])
    scene = np.fft.irfft2(spectrum * np.exp(-((radius / 0.05) ** 2)))
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, (1000 + 300 * scene / scene.std()).clip(0, 65535).astype(np.uint16))
    return path


def open_bare(kind: str, clock: SimulatedClock, image: Path) -> Microscope:
    if kind == "simulated":
        return SimulatedMicroscope(World(SimulatedSettings(), 11, clock))
    return ReplayMicroscope(ReplaySettings(image=image, pixel_size_nm=1.0), clock)


@pytest.mark.parametrize("kind", ["simulated", "replay"])
@pytest.mark.parametrize("behind", ["bare", "guard"])
def test_keeps_the_contract(kind: str, behind: str, image: Path) -> None:
    clock = SimulatedClock()
    scope = open_bare(kind, clock, image)
    if behind == "guard":
        scope = Guard(scope, LIMITS, MemoryLedger(), clock, SIMULATED)
    results = check_microscope(scope, exposure=EXPOSURE, lacks=LACKS[kind])
    assert [result for result in results if not result.ok] == []
    unchecked = {result.name for result in results if not result.checked}
    assert unchecked == ({"focus responds", *UNREAD} if kind == "replay" else set())


@pytest.mark.parametrize("kind", ["simulated", "replay"])
def test_the_conformance_suite_costs_what_it_says(kind: str, image: Path) -> None:
    """Six exposures, four where there is no focus; with less allowed, the guard refuses and the suite says so."""
    clock = SimulatedClock()
    ledger = MemoryLedger()
    known = LIMITS.model_copy(update={"detectors": ("HAADF", "BF") if kind == "simulated" else ("image",)})
    check_microscope(
        Guard(open_bare(kind, clock, image), known, ledger, clock, SIMULATED), exposure=EXPOSURE, lacks=LACKS[kind]
    )
    spent = ledger.electrons() / EXPOSURE.electrons(50.0)
    assert spent == pytest.approx(6.0 if kind == "simulated" else 4.0)
    tight = known.model_copy(update={"max_electrons": 3.5 * EXPOSURE.electrons(50.0)})
    guard = Guard(open_bare(kind, clock, image), tight, MemoryLedger(), clock, SIMULATED)
    results = check_microscope(guard, exposure=EXPOSURE, lacks=LACKS[kind])
    assert "electrons" in next(result.message for result in results if not result.ok)


def test_a_recorded_image_ends(image: Path) -> None:
    """Outside of what was recorded is refused before anything is read, also through a guard that allows more."""
    clock = SimulatedClock()
    guard = Guard(open_bare("replay", clock, image), LIMITS, MemoryLedger(), clock, SIMULATED)
    results = check_microscope(guard, exposure=EXPOSURE, allow_motion_nm=600.0, lacks=LACKS["replay"])
    assert "image ends" in next(result.message for result in results if not result.ok)
