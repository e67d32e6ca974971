"""The instrument of docs/drivers.md: our simulator behind lines of text, a connection for each wish."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from instruments.clock import SimulatedClock
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from instruments.protocol import Microscope


class LineInstrument:
    def __init__(self, scope: Microscope) -> None:
        self.scope, self.blanked = scope, True

    def answer(self, wish: str) -> bytes:
        verb, *values = wish.split()
        numbers = [float(value) for value in values]
        if verb == "STATE?":
            state = self.scope.state()
            stage, focus = state.stage, state.optics.defocus_nm
            assert stage.x_nm is not None and stage.y_nm is not None and focus is not None
            told = f"{stage.x_nm / 1e3} {stage.y_nm / 1e3} {focus / 1e3} {int(self.blanked)}"
        elif verb == "STAGE":
            self.scope.move(StagePosition(x_nm=numbers[0] * 1e3, y_nm=numbers[1] * 1e3))
            told = "OK"
        elif verb == "FOCUS":
            self.scope.tune(Optics(defocus_nm=numbers[0] * 1e3))
            told = "OK"
        elif verb == "BLANK":
            self.blanked = bool(numbers[0])
            told = "OK"
        elif verb == "SCAN":
            shape = (int(numbers[0]), int(numbers[1]))
            if self.blanked:
                return np.zeros(shape, "<f4").tobytes()
            exposure = Exposure(field_of_view_nm=numbers[3] * 1e3, shape=shape, dwell_us=numbers[2], signals=("HAADF",))
            return self.scope.acquire(exposure).signals["HAADF"].data.astype("<f4").tobytes()
        else:
            told = f"ERROR no such wish: {verb}"
        return f"{told}\n".encode()


@contextmanager
def serving() -> Iterator[int]:
    """Its port on the loopback."""
    instrument = LineInstrument(SimulatedMicroscope(World(SimulatedSettings(), 11, SimulatedClock())))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(instrument.answer(self.rfile.readline().decode()))

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
