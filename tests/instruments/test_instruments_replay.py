"""A recorded image as a world: places, magnifications, borders."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from configs.load import ConfigError
from instruments.clock import SimulatedClock
from instruments.errors import LimitError, NotSupported
from instruments.powers import HasTilt
from instruments.replay import ReplayMicroscope, ReplaySettings
from instruments.types import Exposure, Optics, StagePosition

DATA = Path(os.environ.get("ADAPTEM_DATA", Path(__file__).parents[3] / "shared" / "data"))
HEIGHT, WIDTH = 90, 120
PIXEL_NM = 0.5
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "noise.png"
    Image.fromarray(PIXELS).save(path)
    return path


def make(path: Path, seed: int = 0, **values: object) -> tuple[ReplayMicroscope, SimulatedClock]:
    clock = SimulatedClock()
    chosen = ReplaySettings.model_validate({"image": path, "pixel_size_nm": PIXEL_NM} | values)
    return ReplayMicroscope(chosen, clock, seed), clock


def look(scope: ReplayMicroscope, field_of_view_nm: float, shape: tuple[int, int]) -> np.ndarray:
    exposure = Exposure(field_of_view_nm=field_of_view_nm, shape=shape, dwell_us=1.0)
    return np.asarray(scope.acquire(exposure).signals["image"].data)


@settings(max_examples=40, deadline=None)
@given(st.integers(-40, 40), st.integers(-25, 25))
def test_pixels_come_back_from_their_places(path: Path, across: int, down: int) -> None:
    """Place x of column c is −(c − W/2)·pixel, so a stage at +x looks at columns to the left."""
    scope, _ = make(path)
    scope.move(StagePosition(x_nm=-across * PIXEL_NM, y_nm=-down * PIXEL_NM))
    image = look(scope, 40 * PIXEL_NM, (40, 40))
    top, left = HEIGHT // 2 + down - 20, WIDTH // 2 + across - 20
    np.testing.assert_allclose(image, PIXELS[top : top + 40, left : left + 40], atol=1e-3)


@pytest.mark.parametrize("times", [2, 3, 5])
def test_larger_pixels_are_means_of_the_area(path: Path, times: int) -> None:
    scope, _ = make(path)
    image = look(scope, WIDTH * PIXEL_NM, (HEIGHT // times, WIDTH // times))
    expected = PIXELS.reshape(HEIGHT // times, times, WIDTH // times, times).mean(axis=(1, 3))
    np.testing.assert_allclose(image, expected, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.floats(5.0, 40.0), st.floats(-9, 9), st.floats(-2, 2), st.integers(2, 60))
def test_the_mean_is_kept_at_any_magnification(
    path: Path, field_nm: float, x_nm: float, y_nm: float, size: int
) -> None:
    """A frame of one pixel is the exact mean that a finer frame of the same area also has."""
    scope, _ = make(path)
    scope.move(StagePosition(x_nm=x_nm, y_nm=y_nm))
    assert look(scope, field_nm, (size, size)).min() >= PIXELS.min()
    if field_nm / size >= PIXEL_NM:
        assert look(scope, field_nm, (size, size)).mean() == pytest.approx(
            float(look(scope, field_nm, (1, 1))[0, 0]), abs=1e-2
        )


def test_smaller_pixels_are_interpolated(path: Path) -> None:
    scope, _ = make(path)
    scope.move(StagePosition(x_nm=-0.25, y_nm=-0.25))  # the middle of a pixel
    fine = look(scope, 4 * PIXEL_NM, (40, 40))
    assert fine[19:21, 19:21].mean() == pytest.approx(PIXELS[HEIGHT // 2, WIDTH // 2], abs=8)
    between = fine[20, 19:30].astype(float)
    assert np.abs(np.diff(between, 2)).max() < 1e-3 + np.abs(np.diff(between)).max()
    assert fine.min() >= PIXELS.min()


def test_stage_plus_moves_features_to_plus(path: Path) -> None:
    scope, _ = make(path)
    before = look(scope, 20.0, (40, 40))
    scope.move(StagePosition(x_nm=2.0, y_nm=1.0))
    after = look(scope, 20.0, (40, 40))
    np.testing.assert_allclose(after[2:, 4:], before[:-2, :-4], atol=1e-3)


def test_what_was_not_recorded_is_a_limit(path: Path) -> None:
    scope, clock = make(path)
    with pytest.raises(LimitError, match="stay inside"):
        scope.move(StagePosition(x_nm=31.0))
    for bad in (float("nan"), float("inf")):
        with pytest.raises(LimitError):
            scope.move(StagePosition(y_nm=bad))
    assert clock.now_s() == 0
    scope.move(StagePosition(x_nm=20.0))
    look(scope, 20.0, (40, 40))  # just fits
    with pytest.raises(LimitError, match="reaches over the recorded 60 × 45 nm"):
        look(scope, 20.1, (40, 40))
    for change in (
        {"field_of_view_nm": float("nan")},
        {"dwell_us": 0.0},
        {"shape": (0, 5)},
        {"interval_s": -1.0},
        {"frames": 0},
    ):
        with pytest.raises(LimitError):
            scope.acquire(Exposure(**{"field_of_view_nm": 10.0, "shape": (8, 8), "dwell_us": 1.0} | change))
    assert scope.state().blanked is True


def test_what_an_image_does_not_have_is_not_supported(path: Path) -> None:
    scope, _ = make(path)
    for call in (
        lambda: scope.move(StagePosition(z_nm=1.0)),
        lambda: scope.move(StagePosition(alpha_deg=1.0)),
        lambda: scope.tune(Optics(defocus_nm=1.0)),
        lambda: scope.acquire(Exposure(field_of_view_nm=10.0, shape=(8, 8), dwell_us=1.0, rotation_deg=5.0)),
        lambda: scope.acquire(Exposure(field_of_view_nm=10.0, shape=(8, 8), dwell_us=1.0, signals=("HAADF",))),
    ):
        with pytest.raises(NotSupported):
            call()
    assert scope.power(HasTilt) is None
    assert scope.state().optics == Optics(current_pA=50.0)
    scope.blank()
    scope.close()
    scope.close()


def test_time_passes_and_the_read_back_is_exact(path: Path) -> None:
    scope, clock = make(path)
    outcome = scope.move(StagePosition(x_nm=-30.0))
    assert outcome.achieved == StagePosition(x_nm=-30.0, y_nm=0.0) == scope.state().stage
    assert clock.now_s() == pytest.approx(0.5 + 10 * 30 / 60)
    scope.move(StagePosition(x_nm=0.0))
    before_s = clock.now_s()
    frame = scope.acquire(Exposure(field_of_view_nm=10.0, shape=(8, 8), dwell_us=100.0, frames=3, interval_s=1.0))
    assert frame.signals["image"].data.shape == (3, 8, 8)
    assert clock.now_s() - before_s == pytest.approx(0.5 + 2 + 3 * 64 * 1e-4)


def test_noise_has_the_statistics_of_the_dose_and_the_seed(path: Path) -> None:
    exposure = Exposure(field_of_view_nm=40.0, shape=(80, 80), dwell_us=0.5)
    frames = [make(path, seed, noise=True)[0].acquire(exposure).signals["image"].data for seed in (1, 1, 2)]
    np.testing.assert_array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])
    clean = look(make(path)[0], 40.0, (80, 80))
    electrons = exposure.electrons(50.0) / 6400  # per pixel, and as many as at the brightest
    expected = (clean * 255 / electrons).mean()
    assert np.mean((frames[0] - clean) ** 2) == pytest.approx(expected, rel=0.1)
    assert frames[0].mean() == pytest.approx(clean.mean(), rel=0.01)


def test_a_pixel_size_is_asked_for(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set instrument\.pixel_size_nm"):
        make(path, pixel_size_nm=None)


def test_real_micrograph_at_two_magnifications() -> None:
    path = DATA / "sto_ge_haadf" / "STO-Ge-HAADF.jpg"
    if not path.exists():
        pytest.skip(f"real data not found: {path} (set ADAPTEM_DATA)")
    scope, _ = make(path, pixel_size_nm=0.02)
    whole = look(scope, 60.8, (256, 256))
    scope.move(StagePosition(x_nm=-10.0, y_nm=5.0))
    part = look(scope, 15.2, (256, 256))
    coarse = part.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    row, column = 128 + int(-5.0 / 60.8 * 256) - 32, 128 + int(10.0 / 60.8 * 256) - 32
    same = whole[row : row + 64, column : column + 64]
    assert np.corrcoef(same.ravel(), coarse.ravel())[0, 1] > 0.8
