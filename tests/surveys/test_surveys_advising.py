"""An adviser on a column behind its driver server is no pilot: it reads, and the operator's beam stays on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from instruments.clock import RealClock
from instruments.errors import NotSupported
from instruments.remote import RemoteSettings
from instruments.server.serving import DriverServer
from instruments.types import StagePosition
from surveys.guarding import looked_at

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "0123456789abcdef" * 4


class Column:
    """Somebody is at work on it."""

    def __init__(self) -> None:
        self.blanks = 0

    def state(self) -> dict[str, Any]:
        return {"time_s": time.monotonic(), "stage": {"x_nm": 0.0, "y_nm": 0.0}, "optics": {}, "blanked": False}

    def blank(self) -> None:
        self.blanks += 1

    def blanked(self) -> bool:
        return False

    def close(self) -> None:
        pass


def test_an_adviser_leaves_the_beam_to_the_operator(tmp_path: Path) -> None:
    """As it comes, while it thinks for longer than a pilot may, and as it goes."""
    (tmp_path / "token").write_text(TOKEN)
    column = Column()
    server = DriverServer(column, TOKEN, "rig", silence_s=0.2, say=lambda line: None)
    settings = RemoteSettings(port=server.listen(), token_file=tmp_path / "token", name="rig")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        scope = looked_at(settings, RealClock())
        before = column.blanks  # the server's own, as it starts
        assert scope.state().blanked is False
        time.sleep(0.5)
        with pytest.raises(NotSupported):
            scope.move(StagePosition(x_nm=1.0))
        assert scope.state().stage.x_nm == 0.0
        scope.close()
        time.sleep(0.2)
        assert column.blanks == before
    finally:
        server.stop("the test is over")
        thread.join(10.0)
