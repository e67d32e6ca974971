"""The watchdog by itself; with the others it is in tests/e2e and tests/crash."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from instruments import watchdog


def said(capfd: Any) -> str:
    watchdog._log().flush()
    return str(capfd.readouterr().err)


def test_a_watchdog_says_what_keeps_it_from_blanking(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(watchdog, "_KEEP_TRYING_S", 0.3)
    ends = [socket.socketpair(), socket.socketpair()]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ends[0][0].setblocking(False)
    dog = watchdog.Watchdog(ends[0][1], ends[1][1], 0, port, "0" * 64, "a guard")
    dog._blank("the guard is gone")
    dog._look(dog._reached_s + 0.1)  # a look that works makes up for one that did not, for a while
    with pytest.raises(BlockingIOError):
        ends[0][0].recv(1)
    monkeypatch.setattr(dog, "_ask", lambda wish: {"blanked": False})
    dog._blank("the guard is gone")
    told = said(capfd)
    assert "is not reached to blank" in told
    assert "blanking has failed" in told
    monkeypatch.setattr(watchdog, "_KEEP_TRYING_S", 600.0)
    monkeypatch.setattr(watchdog, "_UNKNOWN_S", 0.3)
    asked: list[object] = []
    monkeypatch.setattr(dog, "_ask", lambda wish: asked.append(wish) or {"blanked": None})
    dog._blank("the guard is gone")  # comes to an end: some blankers never read
    assert len(asked) > 1
    assert "the blanker does not read" in said(capfd)
    monkeypatch.setattr(dog, "_ask", lambda wish: {"taken_over": True})
    dog._blank("the guard is gone")
    assert "another survey has the instrument" in said(capfd)
    for pair in ends:
        for end in pair:
            end.close()
    assert dog._hear() == b""
