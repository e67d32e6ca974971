"""A recorded movie as an instrument: its time passes, and its holder reads what the log says."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from instruments.checks import check_microscope
from instruments.clock import SimulatedClock
from instruments.drivers import registry
from instruments.drivers.registry import open_microscope, parse
from instruments.errors import LimitError, NotSupported
from instruments.powers import HasHolder
from instruments.types import Exposure, Optics, StagePosition

LOOK = Exposure(field_of_view_nm=64.0, shape=(64, 64), dwell_us=1.0)


@pytest.fixture
def movie(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for n in range(3):
        image = np.clip(rng.normal(60 * (n + 1), 5, (128, 128)), 0, 255).astype(np.uint8)
        image[40:60, 80:90] = 250
        paths.append(tmp_path / f"{n}.png")
        Image.fromarray(image).save(paths[-1])
    (tmp_path / "log.csv").write_text("".join(f"{n},{20 + n}\n" for n in range(0, 301)))
    return {
        "kind": "movie",
        "frames": [str(path) for path in paths],
        "times_s": [0.0, 100.0, 200.0],
        "pixel_size_nm": 1.0,
        "log": str(tmp_path / "log.csv"),
    }


def opened(movie, **changes):
    clock = SimulatedClock()
    return open_microscope(parse(movie | changes), seed=0, clock=clock), clock


def test_what_was_missed_does_not_come_back(movie):
    scope, clock = opened(movie)
    middles = []
    for wait_s in (0.0, 90.0, 20.0, 200.0):
        clock.wait(wait_s)
        middles.append(float(np.median(scope.acquire(LOOK).signals["image"].data)))
    np.testing.assert_allclose(middles, [60, 60, 120, 180], atol=3)  # the last frame stays
    assert scope.ends_s == 200.0


def test_the_holder_reads_its_log_with_the_frame(movie):
    scope, clock = opened(movie)
    clock.wait(150.0)
    frame = scope.acquire(LOOK)
    assert frame.holder["temperature_K"].value == pytest.approx(20 + 150 + 273.15, abs=1.5)
    assert scope.power(HasHolder) is None
    late, clock = opened(movie, log_starts_s=50.0)
    assert not late.state().holder["temperature_K"].valid  # the log has not begun
    clock.wait(60.0)
    assert late.state().holder["temperature_K"].value == pytest.approx(303.15, abs=1.5)


def test_a_burst_goes_on_in_time(movie):
    scope, _ = opened(movie)
    burst = scope.acquire(Exposure(field_of_view_nm=64.0, shape=(64, 64), dwell_us=1.0, frames=3, interval_s=110.0))
    means = burst.signals["image"].data.mean(axis=(1, 2))
    assert means.shape == (3,)
    assert means[0] < means[1] < means[2]


def test_it_is_an_instrument(movie):
    scope, _ = opened(movie)
    for result in check_microscope(scope, exposure=LOOK, lacks=registry.lacks(parse(movie))):
        assert result.ok, result


def test_what_it_cannot_do_is_told(movie):
    scope, _ = opened(movie)
    with pytest.raises(LimitError, match="move inwards"):
        scope.acquire(Exposure(field_of_view_nm=300.0, shape=(64, 64), dwell_us=1.0))
    with pytest.raises(LimitError, match="stay inside"):
        scope.move(StagePosition(x_nm=1e3))
    with pytest.raises(NotSupported, match="x and y only"):
        scope.move(StagePosition(z_nm=1.0))
    with pytest.raises(NotSupported, match="no optics to set"):
        scope.tune(Optics(defocus_nm=3.0))
    with pytest.raises(NotSupported, match="'image' alone"):
        scope.acquire(Exposure(field_of_view_nm=64.0, shape=(64, 64), dwell_us=1.0, signals=("EELS",)))
    with pytest.raises(ConfigError, match="one time a frame"):
        opened(movie, times_s=[0.0, 1.0])
    with pytest.raises(ConfigError, match="must grow"):
        opened(movie, times_s=[0.0, 2.0, 1.0])
    with pytest.raises(ConfigError, match="no such file"):
        opened(movie, frames=["a.png", "b.png", "c.png"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frame,time_s\n0.png,0\n,40\n", "line 3: a frame or its time is missing"),
        ("time_s,frame\n0,0.png\n40\n", "line 3: a frame or its time is missing"),
        ("file,time_s\n0.png,0\n", "must have the columns frame and time_s"),
        ("frame,time_s\n", "must have the columns"),
        ("frame,time_s\n0.png,0\n1.png,soon\n", "times_s"),
    ],
)
def test_a_table_of_frames_that_says_too_little_is_refused_in_words(movie, tmp_path, text, said):
    (tmp_path / "movie.csv").write_text(text)
    asked = {name: value for name, value in movie.items() if name not in ("frames", "times_s")}
    with pytest.raises((ConfigError, ValueError), match=said):
        parse(asked | {"frames": str(tmp_path / "movie.csv")})


def test_a_table_names_frames_beside_it(movie, tmp_path):
    (tmp_path / "movie.csv").write_text("frame,time_s\n0.png,0\n1.png,100\n2.png,200\n")
    asked = {name: value for name, value in movie.items() if name not in ("frames", "times_s")}
    found = parse(asked | {"frames": str(tmp_path / "movie.csv")})
    assert [str(path) for path in found.frames] == movie["frames"]
    assert found.times_s == (0.0, 100.0, 200.0)
