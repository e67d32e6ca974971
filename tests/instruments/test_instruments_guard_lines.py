"""The lines into the guard's process: what it does when a watchdog is gone or silent, and when a hold comes."""

from __future__ import annotations

import socket
import time

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, guarded, nothing

from instruments.errors import Held
from instruments.guard_process import GuardProcess
from instruments.server import wire


def test_a_watchdog_that_is_killed_with_a_beat_unread_is_gone_like_any_other(scope: FakeMicroscope) -> None:
    """Its end of the line is reset then, not closed: the guard's process must blank, and not fall over it."""
    guard = guarded(scope)
    pairs = [socket.socketpair() for _ in range(4)]
    process = GuardProcess(guard, scope.clock, *(near for near, _ in pairs))
    watch, dog = pairs[2]
    watch.send(b".")
    dog.close()
    process.run()
    assert process._over == "the watchdog is gone"
    assert scope.calls[-1] == "close"
    for pair in pairs:
        for end in pair:
            end.close()


def test_a_hold_reaches_what_was_sent_a_moment_before(scope: FakeMicroscope) -> None:
    """The exposure that overtakes it is blanked as well, for as long as a request is under way."""
    guard = guarded(scope)
    pairs = [socket.socketpair() for _ in range(4)]
    process = GuardProcess(guard, scope.clock, *(near for near, _ in pairs))
    wire.send(pairs[0][1], {"op": "state"})
    process._unwatched = False
    process._seen_s = time.monotonic()
    process._hear()
    wire.send(pairs[1][1], {"op": "hold", "reason": "a person"})
    process._hear_urgent()
    scope.beam_on = True
    process._see_to_it()
    assert not scope.beam_on
    for end in (end for pair in pairs for end in pair):
        end.close()


def test_a_guard_that_hears_of_no_watchdog_exposes_nothing(
    scope: FakeMicroscope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None has spoken yet; one has; it is silent; it speaks again."""
    guard = guarded(scope)
    pairs = [socket.socketpair() for _ in range(4)]
    (_, far), (watch, dog) = pairs[0], pairs[2]
    watch.setblocking(False)
    process = GuardProcess(guard, scope.clock, *(near for near, _ in pairs))

    def asked() -> None:
        wire.send(far, {"op": "state"})
        process._hear()
        process._busy_until_s = None

    process.wait_until_watched(0.1)
    process._over = "the test wants no more than its beginning"
    process._work = nothing  # type: ignore[method-assign]
    monkeypatch.setattr(process, "_part", lambda worker: None)
    process.run()
    process._over = ""
    asked()
    with pytest.raises(Held, match="has not seen"):
        guard.acquire(EXPOSURE)
    dog.send(b"+")
    process.wait_until_watched(10.0)
    asked()
    guard.acquire(EXPOSURE)
    process._see_to_it()
    guard.acquire(EXPOSURE)
    process._seen_s -= 3.1
    process._see_to_it()
    asked()
    with pytest.raises(Held, match="has not seen"):
        guard.acquire(EXPOSURE)
    dog.send(b"+")
    process._look()
    asked()
    guard.acquire(EXPOSURE)
    for end in (end for pair in pairs for end in pair):
        end.close()


def test_who_holds_the_beam_off_for_good_is_not_forgotten_when_a_silence_ends(scope: FakeMicroscope) -> None:
    """The next request lets go of what was only for the one under way, not of what a person has said."""
    guard = guarded(scope)
    pairs = [socket.socketpair() for _ in range(4)]
    process = GuardProcess(guard, scope.clock, *(near for near, _ in pairs))
    process._unwatched = False
    (calls, far), (_, urgent) = pairs[0], pairs[1]
    for told, held in (("", False), ("a person", True)):
        if told:
            wire.send(urgent, {"op": "hold", "reason": told})
            process._hear_urgent()
        process._hold_off("the runner is silent")
        wire.send(far, {"op": "state"})
        process._hear()
        process._busy_until_s = None
        if held:
            with pytest.raises(Held, match="the runner is silent"):
                guard.acquire(EXPOSURE)
        else:
            guard.acquire(EXPOSURE)
    for pair in pairs:
        for end in pair:
            end.close()
    assert calls.fileno() == -1
