"""temscript's second server, for the blanker alone: dead, the first blanks, and nothing is exposed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from instruments.clock import RealClock
from instruments.drivers.thermofisher import ThermofisherMicroscope, ThermofisherSettings
from instruments.errors import Disconnected
from instruments.hosted import Hosted
from instruments.server.serving import DriverServer
from instruments.types import Exposure

LOOK = Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=1.0)


class Behind:
    """What both servers reach. ``dead``: the ports at which nobody answers."""

    def __init__(self) -> None:
        self.blanked = False
        self.dead: set[int] = set()
        self.unblankings = 0

    def connect(self, address: tuple[str, int], transport: str, timeout_s: float) -> Any:
        zero = dict.fromkeys("xyzab", 0.0)

        def set_beam_blanked(mode: bool) -> None:
            self.blanked = reached(mode)
            self.unblankings += not mode

        def reached(answer: Any) -> Any:
            if address[1] in self.dead:
                raise ConnectionRefusedError("refused")
            return answer

        return SimpleNamespace(
            get_stem_detectors=lambda: {"HAADF": {}},
            get_stage_limits=lambda: dict.fromkeys("xyzab", (-1e-3, 1e-3)),
            get_stage_holder=lambda: "SINGLE_TILT",
            get_stage_position=lambda: reached(zero),
            get_defocus=lambda: 0.0,
            get_column_valves_open=lambda: True,
            get_voltage=lambda: 200.0,
            get_vacuum=lambda: {"status": "READY", "pvp_running": False},
            set_stem_magnification=lambda value: None,
            set_stem_rotation=lambda value: None,
            set_stem_acquisition_param=lambda values: None,
            acquire=lambda *names: {"HAADF": np.zeros((64, 64))},
            get_beam_blanked=lambda: reached(self.blanked),
            set_beam_blanked=set_beam_blanked,
        )


def test_the_first_server_blanks_where_the_second_is_dead_and_nothing_is_exposed() -> None:
    behind = Behind()
    settings = ThermofisherSettings(port=8080, blanker_port=8081, field_of_view_nm_at_1x=1e6)
    scope = ThermofisherMicroscope(settings, RealClock(), SimpleNamespace(RemoteMicroscope=behind.connect))
    scope.acquire(LOOK)
    assert (behind.unblankings, behind.blanked) == (1, True)
    server = DriverServer(Hosted(scope), "0" * 64, "column", say=lambda line: None)
    assert server._look() == {"blanked": True}
    behind.dead = {8081}
    for ask in (scope.state, lambda: scope.acquire(LOOK)):
        with pytest.raises(Disconnected, match="8081 cannot be reached"):
            ask()
    assert behind.unblankings == 1
    behind.blanked = False  # by hand
    scope.blank()
    assert behind.blanked is True
    assert "8081" in server._look()["message"]  # the watchdog hears that its look was none
    behind.dead = {8080, 8081}
    with pytest.raises(Disconnected, match="8080 cannot be reached"):
        scope.blank()
    behind.dead = set()
    scope.close()
    scope.blank()
    server._listener.close()
