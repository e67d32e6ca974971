"""One seed, one world, one clock: the same whenever it is made, and after it was cut off."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.load import ConfigError
from instruments.clock import SimulatedClock
from instruments.errors import LimitError, NotSupported
from instruments.powers import HasSpectra, HasTilt, HasValves
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings, SpecimenSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Footprint, Optics, StagePosition

if TYPE_CHECKING:
    from pathlib import Path

DETAIL = Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=4.0)
STILL = StageSettings(backlash_nm=0, reach_nm=0, readback_nm=0, creep_nm=0, drift_nm=0)


def make(
    seed: int = 1, truth: Path | None = None, settings: SimulatedSettings | None = None
) -> tuple[World, SimulatedMicroscope]:
    world = World(settings or SimulatedSettings(), seed, SimulatedClock(), truth)
    return world, SimulatedMicroscope(world)


def walk(scope: SimulatedMicroscope, steps: range) -> list[np.ndarray]:
    images = []
    for n in steps:
        scope.move(StagePosition(x_nm=70.0 * (n % 3), y_nm=-40.0 * n))
        if n % 2:
            scope.tune(Optics(defocus_nm=10.0 * n))
        images.append(scope.acquire(DETAIL).signals["HAADF"].data)
    return images


def test_same_seed_same_world() -> None:
    (one, first), (two, second) = make(), make()
    for a, b in zip(walk(first, range(5)), walk(second, range(5)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.exposures() == two.exposures()
    assert one.now_s() == two.now_s() > 5
    assert not np.array_equal(walk(make(seed=2)[1], range(1))[0], walk(make()[1], range(1))[0])


def test_asking_for_one_detector_changes_no_count() -> None:
    (_, first), (_, second) = make(), make()
    only = Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=4.0, signals=("BF",))
    both, one = first.acquire(DETAIL), second.acquire(only)
    assert set(both.signals) == {"HAADF", "BF"}
    assert set(one.signals) == {"BF"}
    np.testing.assert_array_equal(both.signals["BF"].data, one.signals["BF"].data)


def test_goes_on_from_its_truth(tmp_path: Path) -> None:
    whole = walk(make()[1], range(8))
    part = walk(make(truth=tmp_path / "truth.jsonl")[1], range(4))
    world, scope = make(truth=tmp_path / "truth.jsonl")  # the first was never closed, as after kill -9
    assert len(world.exposures()) == 4
    part += walk(scope, range(4, 8))
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a, b)


def test_truth_tells_what_was_done(tmp_path: Path) -> None:
    world, scope = make(truth=tmp_path / "truth.jsonl")
    scope.move(StagePosition(x_nm=50.0))
    frame = scope.acquire(Exposure(field_of_view_nm=100.0, shape=(32, 64), dwell_us=2.0, id=7))
    rows = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == ["boot", "move", "moved", "unblank", "blank", "exposure"]
    (done,) = world.exposures()
    assert done.id == rows[-1]["id"] == 7
    assert done.electrons == pytest.approx(frame.electrons)
    assert done.end_s is not None
    assert done.end_s - done.start_s == pytest.approx(32 * 64 * 2e-6)
    assert (done.footprint.width_nm, done.footprint.height_nm) == (100.0, 50.0)
    assert world.true_fluence_e_per_A2(done.footprint.x_nm, done.footprint.y_nm) == pytest.approx(
        frame.exposure.fluence_e_per_A2(50.0)
    )
    assert world.true_fluence_e_per_A2(done.footprint.x_nm + 51, done.footprint.y_nm) == 0
    assert not world.beam_on


def test_torn_row_is_dropped_and_the_file_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    walk(make(truth=path)[1], range(2))
    with path.open("ab") as file:
        file.write(b'{"row":"move","t_s":12')
    world, scope = make(truth=path)
    assert len(world.exposures()) == 2
    walk(scope, range(2, 3))
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_beam_left_on_counts_as_planned(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    _, scope = make(truth=path)
    scope.acquire(DETAIL)
    text = path.read_text()
    path.write_text(text[: text.rindex('{"row":"blank"')])  # died between unblank and blank
    world, _ = make(truth=path)
    (done,) = world.exposures()
    assert done.end_s is None
    assert done.electrons == pytest.approx(DETAIL.electrons(50.0))


def test_another_world_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    make(truth=path)
    with pytest.raises(ConfigError, match="seed 1"):
        make(seed=2, truth=path)
    other = SimulatedSettings(specimen=SpecimenSettings(film_nm=20.0))
    with pytest.raises(ConfigError, match="settings"):
        make(truth=path, settings=other)
    make(truth=path, settings=SimulatedSettings())
    (tmp_path / "notes.txt").write_text("to do\n")
    with pytest.raises(ConfigError, match="not a world's truth"):
        make(truth=tmp_path / "notes.txt")


def test_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    program = (
        "import os, pathlib\n"
        "from instruments.clock import SimulatedClock\n"
        "from instruments.drivers.registry import open_microscope, parse\n"
        "from instruments.types import Exposure\n"
        f"path = pathlib.Path({str(path)!r})\n"
        "scope = open_microscope(parse({'kind': 'simulated'}), seed=1, clock=SimulatedClock(), truth=path)\n"
        "for _ in range(3): scope.acquire(Exposure(field_of_view_nm=100.0, shape=(8, 8), dwell_us=4.0))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert len(make(truth=path)[0].exposures()) == 3


@pytest.mark.parametrize(("axis", "numpy_axis"), [("x_nm", 1), ("y_nm", 0)])
def test_stage_plus_moves_features_to_plus(axis: str, numpy_axis: int) -> None:
    bright = SimulatedSettings(stage=STILL)
    _, scope = make(settings=bright)
    exposure = Exposure(field_of_view_nm=200.0, shape=(128, 128), dwell_us=20.0)
    before = scope.acquire(exposure).signals["HAADF"].data.astype(float)
    scope.move(StagePosition(**{axis: 12.5}))  # 8 pixels
    after = scope.acquire(exposure).signals["HAADF"].data.astype(float)
    scores = [
        np.corrcoef(np.roll(before, n, numpy_axis)[16:-16, 16:-16].ravel(), after[16:-16, 16:-16].ravel())[0, 1]
        for n in range(-12, 13)
    ]
    assert int(np.argmax(scores)) - 12 == 8
    assert max(scores) > 0.9


@pytest.mark.parametrize("rotation_deg", [0.0, 30.0, -90.0])
def test_feature_is_where_the_truth_says(rotation_deg: float) -> None:
    """A feature dc columns right and dr rows below lies at stage − R·pixel·(dc, dr): one bright spot, looked for."""
    settings = SimulatedSettings(
        stage=STILL,
        specimen=SpecimenSettings(
            heavy_per_um2=0,
            light_per_um2=0,
            rare_kinds=("lattice",),
            rare_layout="uniform",
            rare_fraction=0.004,
            slope_nm_per_um=0,
        ),
    )
    world, scope = make(settings=settings)
    feature = world.features(Footprint(x_nm=0, y_nm=0, width_nm=3000, height_nm=3000))[0]
    scope.move(StagePosition(x_nm=feature.x_nm + 30, y_nm=feature.y_nm - 10))
    image = (
        scope.acquire(Exposure(field_of_view_nm=120.0, shape=(120, 120), dwell_us=20.0, rotation_deg=rotation_deg))
        .signals["HAADF"]
        .data.astype(float)
    )
    weight = np.clip(image - np.percentile(image, 97), 0, None)
    row, column = ((np.indices(image.shape) + 0.5 - 60) * weight).sum(axis=(1, 2)) / weight.sum()
    angle = np.radians(rotation_deg)
    x = feature.x_nm + 30 - (column * np.cos(angle) - row * np.sin(angle))
    y = feature.y_nm - 10 - (column * np.sin(angle) + row * np.cos(angle))
    assert (x, y) == (pytest.approx(feature.x_nm, abs=2), pytest.approx(feature.y_nm, abs=2))


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            axis: st.floats(allow_nan=True, allow_infinity=True)
            for axis in ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")
        },
    )
)
def test_moves_are_refused_or_reached(target: dict[str, float]) -> None:
    world, scope = make()
    before = world.stage.snapshot()
    limits = world.settings.stage
    try:
        scope.move(StagePosition(**target))
    except (LimitError, NotSupported):
        assert world.stage.snapshot() == before
        assert world.now_s() == 0
    else:
        x, y, z, alpha = world.stage.position(world.now_s())
        assert limits.x_nm[0] - 20 <= x <= limits.x_nm[1] + 20
        assert abs(y) <= 1e6 + 20
        assert abs(z) <= 2e5
        assert abs(alpha) <= 30
        for name, value in target.items():
            assert getattr(scope.state().stage, name) == pytest.approx(value, abs=5)


@pytest.mark.parametrize(
    "change",
    [
        {"field_of_view_nm": float("nan")},
        {"field_of_view_nm": 1e9},
        {"dwell_us": 0.0},
        {"dwell_us": float("inf")},
        {"shape": (0, 64)},
        {"shape": (100000, 100000)},
        {"frames": 0},
        {"interval_s": -1.0},
        {"rotation_deg": float("nan")},
        {"signals": ("EELS",)},
    ],
)
def test_exposures_out_of_range_are_refused_before_the_beam(change: dict[str, object]) -> None:
    world, scope = make()
    values = {"field_of_view_nm": 100.0, "shape": (64, 64), "dwell_us": 4.0} | change
    with pytest.raises((LimitError, NotSupported)):
        scope.acquire(Exposure(**values))
    assert world.exposures() == ()


def test_optics_out_of_range_are_refused() -> None:
    world, scope = make()
    for target in (Optics(defocus_nm=float("nan")), Optics(defocus_nm=1e5), Optics(current_pA=-1.0)):
        with pytest.raises(LimitError):
            scope.tune(target)
    with pytest.raises(NotSupported, match="voltage_kV"):
        scope.tune(Optics(voltage_kV=80.0))
    assert world.optics == World(SimulatedSettings(), 1, SimulatedClock()).optics


def test_powers_are_there_or_absent() -> None:
    world, scope = make()
    tilt, valves = scope.power(HasTilt), scope.power(HasValves)
    assert tilt is not None
    assert tilt.tilt_range_deg() == {"alpha_deg": (-30.0, 30.0)}
    assert scope.power(HasSpectra) is None
    assert make(settings=SimulatedSettings(stage=StageSettings(alpha_deg=None)))[1].power(HasTilt) is None
    assert valves is not None
    valves.close_valves()
    assert scope.state().valve_open is False
    frame = scope.acquire(DETAIL)
    assert world.exposures()[-1].electrons == 0
    assert frame.signals["HAADF"].data.mean() == pytest.approx(world.settings.haadf.offset_counts, abs=1)


def test_burst_is_one_exposure_with_frames() -> None:
    world, scope = make()
    burst = Exposure(field_of_view_nm=100.0, shape=(32, 32), dwell_us=4.0, frames=3, interval_s=2.0)
    signal = scope.acquire(burst).signals["HAADF"]
    assert signal.data.shape == (3, 32, 32)
    assert [axis.name for axis in signal.axes] == ["frame", "row", "column"]
    times = [(done.start_s, done.end_s) for done in world.exposures()]
    assert times[1][0] - (times[0][1] or 0) == pytest.approx(2.0)
    assert sum(done.electrons for done in world.exposures()) == pytest.approx(burst.electrons(50.0))


def test_close_is_safe_twice(tmp_path: Path) -> None:
    world, scope = make(truth=tmp_path / "truth.jsonl")
    scope.close()
    scope.close()
    scope.blank()
    assert not world.beam_on
