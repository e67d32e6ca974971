"""What a driver cannot read is unknown, and what the column says of itself reaches the guard."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from instruments.clock import SimulatedClock
from instruments.drivers.nion import NionMicroscope, NionSettings
from instruments.drivers.thermofisher import ThermofisherMicroscope, ThermofisherSettings
from instruments.errors import BusyError
from instruments.guard_checks import check_beam_path, check_idle
from instruments.limits import Limits
from instruments.types import StagePosition

LIMITS = Limits(
    x_nm=(-1e3, 1e3), y_nm=(-1e3, 1e3), backlash_nm=0.0, stage_uncertainty_nm=10.0, max_current_pA=100.0,
    max_electrons=1e9, max_fluence_e_per_A2=100.0, max_time_s=1e3,
)  # fmt: skip


class Swift:
    """Its controls, of which some do not read."""

    def __init__(self) -> None:
        self.values = {"SShft.x": 1e-7, "SShft.y": 2e-7, "C_Blank": 0.0, "C10": -5e-8, "EHT": 1e5}
        self.scan_device = SimpleNamespace(channel_count=0)

    def TryGetVal(self, name: str) -> tuple[bool, float | None]:
        return name in self.values, self.values.get(name)

    def SetValAndConfirm(self, name: str, value: float, tolerance: float, timeout_ms: int) -> bool:
        self.values[name] = value
        return True


def test_a_stage_that_does_not_read_is_nowhere() -> None:
    """Not at (0, 0): dose would be booked there."""
    swift = Swift()
    settings = NionSettings(x_nm=(-1e3, 1e3), y_nm=(-1e3, 1e3))
    scope = NionMicroscope(settings.model_copy(update={"channels": ()}), SimulatedClock(), swift, swift, tuple)
    assert scope.state().stage == StagePosition(x_nm=pytest.approx(100.0), y_nm=pytest.approx(200.0))
    del swift.values["SShft.y"]
    assert scope.state().stage == StagePosition()


class Column:
    """Of ``temscript.RemoteMicroscope`` what a state needs."""

    def __init__(self, vacuum: dict[str, Any]) -> None:
        self._answers = {
            "get_stem_detectors": {"HAADF": {}}, "get_stage_limits": dict.fromkeys("xyzab", (-1e-3, 1e-3)),
            "get_stage_holder": "SINGLE_TILT", "get_stage_position": dict.fromkeys("xyzab", 0.0),
            "get_beam_blanked": True, "get_defocus": 0.0, "get_column_valves_open": True, "get_voltage": 200.0,
            "get_vacuum": vacuum,
        }  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self._answers.get(name)


@pytest.mark.parametrize(
    ("status", "pumps", "refusal"), [("READY", False, None), ("BUSY", False, "vacuum"), ("READY", True, "busy")]
)
def test_a_thermo_fisher_column_tells_of_its_vacuum(status: str, pumps: bool, refusal: str | None) -> None:
    """As ``get_vacuum`` of temscript has it: not ready, or the pre-vacuum pump shaking, and nothing is exposed."""
    column = Column({"status": status, "pvp_running": pumps, "column_valves_open": True, "gauges(Pa)": {}})
    temscript = SimpleNamespace(RemoteMicroscope=lambda *_: column)
    state = ThermofisherMicroscope(ThermofisherSettings(), SimulatedClock(), temscript).state()
    if refusal is None:
        check_idle(state)
        check_beam_path(state, LIMITS, set(), has_valves=True)
        return
    with pytest.raises(BusyError, match=refusal):
        check_idle(state)
        check_beam_path(state, LIMITS, set(), has_valves=True)
