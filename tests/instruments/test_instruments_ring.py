"""The ring beside a fast camera: what lies around an event is kept whole, and what is lost is said."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from instruments.ring import FrameRing


def frame(n, shape=(8, 8)):
    return np.full(shape, n % 251, dtype=np.uint8)


def test_the_frames_before_and_after_an_event_are_one_burst():
    ring = FrameRing(100, (8, 8), np.uint8, before=10, after=5)
    for n in range(60):
        ring.push(frame(n))
        if n == 50:
            ring.event()
    found = ring.burst(1.0)
    assert (found.event, found.first, found.lost) == (50, 40, 0)
    assert found.frames[:, 0, 0].tolist() == list(range(40, 56))
    assert ring.burst(0.01) is None


def test_a_window_waits_for_its_last_frame_and_the_first_begin_at_nought():
    ring = FrameRing(50, (8, 8), np.uint8, before=10, after=5)
    for n in range(4):
        ring.push(frame(n))
    ring.event()
    assert ring.burst(0.01) is None
    threading.Timer(0.05, lambda: [ring.push(frame(n)) for n in range(4, 10)]).start()
    found = ring.burst(2.0)
    assert found.first == 0
    assert len(found.frames) == 9


def test_what_was_overwritten_is_told():
    ring = FrameRing(40, (8, 8), np.uint8, before=10, after=5)
    for n in range(200):
        ring.push(frame(n))
        if n == 30:
            ring.event()
    assert ring.burst(1.0).lost == 16


def test_a_ring_that_is_closed_gives_what_there_is():
    ring = FrameRing(50, (8, 8), np.uint8, before=3, after=10)
    for n in range(10):
        ring.push(frame(n))
    ring.event()
    ring.close()
    found = ring.burst(1.0)
    assert len(found.frames) == 4
    assert found.lost == 10
    assert ring.burst(0.01) is None


def test_the_decimated_stream_shows_each_so_manieth():
    ring = FrameRing(50, (8, 8), np.uint8, before=3, after=3, every=10)
    assert ring.glance() is None
    for n in range(25):
        ring.push(frame(n))
    number, seen = ring.glance()
    assert number == 20
    assert seen[0, 0] == 20


def test_nothing_is_lost_while_a_camera_runs_on():
    ring, stop = FrameRing(600, (64, 64), np.uint8, before=50, after=20), threading.Event()

    def camera():
        while not stop.is_set():
            ring.push(frame(ring.pushed, (64, 64)))
            time.sleep(0.0005)

    thread = threading.Thread(target=camera)
    thread.start()
    try:
        for _ in range(5):
            time.sleep(0.08)
            ring.event()
            found = ring.burst(5.0)
            assert found.lost == 0
            assert (found.frames[:, 0, 0] == (found.first + np.arange(len(found.frames))) % 251).all()
    finally:
        stop.set()
        thread.join()


def test_a_ring_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="twice a window"):
        FrameRing(20, (8, 8), np.uint8, before=10, after=5)
