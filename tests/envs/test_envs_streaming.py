"""Streams behind the guard: read as the sum of their frames, with what lies around an event kept as one burst."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from agent.watching import StreamWatch
from envs.streaming import Streaming, streamed, summed
from envs.track_worlds import copper
from instruments.clock import SimulatedClock
from instruments.drivers.registry import open_microscope, parse
from instruments.errors import BudgetError, LimitError
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.powers import HasStream
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.world import World
from instruments.types import Exposure

STREAM = Exposure(field_of_view_nm=200.0, shape=(64, 64), dwell_us=2.0, frames=40, signals=("HAADF",))
LIMITS = {
    "x_nm": (-500, 500),
    "y_nm": (-500, 500),
    "backlash_nm": 100,
    "stage_uncertainty_nm": 30,
    "max_current_pA": 60,
    "max_electrons": 1e9,
    "max_fluence_e_per_A2": 1e5,
    "max_time_s": 3600,
}


def guarded(**limits):
    clock = SimulatedClock()
    world = World(copper("dissolution"), 3, clock)
    return Guard(
        SimulatedMicroscope(world), Limits.model_validate(LIMITS | limits), MemoryLedger(), clock, SIMULATED
    ), world


def watched(sums: int = 20) -> Streaming:
    return Streaming(watcher=lambda: StreamWatch(sums, 0.01), every=4, before=6, after=5)


def test_a_stream_is_one_exposure_and_its_sum_is_that_of_a_burst():
    guard, world = guarded()
    frame, events = streamed(guard.power(HasStream), STREAM, watched())
    assert guard.ledger.electrons() == pytest.approx(frame.electrons) == pytest.approx(STREAM.electrons(50.0))
    assert world.unblankings == 40
    assert guard.state().blanked
    assert events == ()
    other, _ = guarded()
    burst = summed(other.acquire(STREAM))
    np.testing.assert_array_equal(frame.signals["HAADF"].data, burst.signals["HAADF"].data)
    assert frame.signals["HAADF"].calibration == burst.signals["HAADF"].calibration
    assert frame.signals["HAADF"].axes == burst.signals["HAADF"].axes


def test_what_cannot_be_paid_exposes_nothing():
    guard, world = guarded(max_electrons=1e6)
    with pytest.raises(BudgetError):
        streamed(guard.power(HasStream), STREAM, watched())
    assert world.unblankings == 0
    assert guard.ledger.electrons() == 0
    guard, world = guarded()
    with pytest.raises(LimitError, match="a stream is of one"):
        guard.power(HasStream).stream(Exposure(field_of_view_nm=200.0, shape=(8, 8), dwell_us=1.0, frames=2), print)
    assert world.unblankings == 0


@pytest.fixture
def movie(tmp_path):
    """A recorded movie of 20 frames in which a spot vanishes at the eleventh, 1 s a frame."""
    paths, rng = [], np.random.default_rng(0)
    for n in range(20):
        image = rng.poisson(40.0, (64, 64))
        if n < 10:
            image[20:32, 20:32] += 60
        paths.append(tmp_path / f"{n:02d}.png")
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(paths[-1])
    settings = {"kind": "movie", "frames": [str(p) for p in paths], "times_s": [float(n) for n in range(20)]}
    return parse(settings | {"pixel_size_nm": 1.0, "overhead_s": 0.0})


def test_an_event_of_a_movie_keeps_the_window_around_it(movie):
    clock = SimulatedClock()
    limits = Limits.model_validate(LIMITS | {"max_electrons": 1e11, "max_fluence_e_per_A2": 1e9})
    guard = Guard(open_microscope(movie, seed=0, clock=clock), limits, MemoryLedger(), clock, SIMULATED)
    asked = Exposure(field_of_view_nm=64.0, shape=(64, 64), dwell_us=1e6 / 64**2, frames=19, signals=("image",))
    how = Streaming(watcher=lambda: StreamWatch(19, 0.01), every=1, before=6, after=5)
    frame, events = streamed(guard.power(HasStream), asked, how)
    (event,) = events
    assert 9 <= event.frame <= 11
    burst = frame.signals[event.signal]
    assert burst.data.shape == (12, 64, 64) == (event.frames, 64, 64)
    assert event.lost == 0
    assert event.first == event.frame - 6
    assert burst.axes[0].offset == pytest.approx(event.first * 1.0)
    spot = burst.data[:, 20:32, 20:32].mean(axis=(1, 2))
    assert spot[0] > 80 > 60 > spot[-1]  # before, and after it
    assert event.after_s == pytest.approx(event.frame + 1.0)


def test_an_event_near_the_end_tells_what_never_came(movie):
    clock = SimulatedClock()
    scope = open_microscope(movie, seed=0, clock=clock)
    asked = Exposure(field_of_view_nm=64.0, shape=(64, 64), dwell_us=1e6 / 64**2, frames=13, signals=("image",))
    how = Streaming(watcher=lambda: StreamWatch(13, 0.01), every=1, before=20, after=20)
    _, (event,) = streamed(scope.power(HasStream), asked, how)
    assert event.first == 0
    assert event.frames == 13
    assert event.lost == event.frame + 20 + 1 - 13
