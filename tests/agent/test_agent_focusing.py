from __future__ import annotations

import numpy as np
import pytest

from agent.focusing import Refocus, band_power, vertex
from agent.settings import RefocusSettings
from envs.step import Purpose
from instruments.clock import SimulatedClock
from instruments.errors import LimitError, NotSupported
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Axis, Exposure, Frame, Optics, Signal, StagePosition


class Column:
    """A simulated column at some place, with exposures counted."""

    def __init__(self, seed: int, x_nm: float = 0.0) -> None:
        self.world = World(SimulatedSettings(), seed, SimulatedClock())
        self.microscope = SimulatedMicroscope(self.world)
        self.microscope.move(StagePosition(x_nm=x_nm, y_nm=0.0))
        self.purposes: list[Purpose] = []

    def expose(self, exposure: Exposure, purpose: Purpose) -> Frame:
        self.purposes.append(purpose)
        return self.microscope.acquire(exposure)

    def defocus(self, true_nm: float) -> None:
        """Set the true defocus, which nobody at the instrument can read."""
        now_nm = self.microscope.state().optics.defocus_nm
        self.microscope.tune(Optics(defocus_nm=now_nm + true_nm - self.world.defocus_nm()))


def test_it_finds_the_focus_from_either_side():
    left = []
    for seed in range(6):
        for off_nm in (-70.0, 60.0):
            column = Column(seed)
            column.defocus(off_nm)
            result = Refocus(RefocusSettings()).run(column.microscope, column.expose)
            assert result.ok
            assert result.data["defocus_after_nm"] == column.microscope.state().optics.defocus_nm
            left.append(abs(column.world.defocus_nm()))
    assert np.median(left) < 10.0
    assert np.quantile(left, 0.9) < 30.0


def test_in_focus_it_stays_near_and_spends_little():
    column = Column(3)
    column.defocus(0.0)
    Refocus(RefocusSettings()).run(column.microscope, column.expose)
    assert abs(column.world.defocus_nm()) < 20.0
    assert len(column.purposes) <= 5
    assert set(column.purposes) == {Purpose.FOCUS}


def test_a_long_climb_costs_no_more_than_was_told():
    column, refocus = Column(3), Refocus(RefocusSettings())
    column.defocus(-150.0)
    refocus.run(column.microscope, column.expose)
    assert 5 < len(column.purposes) <= len(refocus.cost_exposures())


def test_it_stops_at_its_limit_and_says_so():
    column = Column(3)
    column.defocus(-150.0)
    start_nm = column.microscope.state().optics.defocus_nm
    result = Refocus(RefocusSettings(max_travel_nm=60.0)).run(column.microscope, column.expose)
    assert "end of the range" in result.message
    assert abs(column.microscope.state().optics.defocus_nm - start_nm) <= 60.0


def test_nothing_to_see_leaves_the_focus_alone():
    column = Column(1)
    flat = np.random.default_rng(0)

    def blank_frame(exposure: Exposure, purpose: Purpose) -> Frame:
        frame = column.microscope.acquire(exposure)
        signal = next(iter(frame.signals.values()))
        noise = Signal(flat.poisson(50, signal.data.shape).astype(np.uint16), signal.axes)
        return Frame(
            exposure=exposure,
            signals={"haadf": noise},
            stage=frame.stage,
            optics=frame.optics,
            start_s=0,
            end_s=1,
            electrons=1,
        )

    before_nm = column.microscope.state().optics.defocus_nm
    Refocus(RefocusSettings(min_gain=1.0)).run(column.microscope, blank_frame)
    assert column.microscope.state().optics.defocus_nm == before_nm


def test_a_fault_on_the_way_puts_the_focus_back():
    column = Column(2)
    start_nm = column.microscope.state().optics.defocus_nm

    def refuse_third(exposure: Exposure, purpose: Purpose) -> Frame:
        if len(column.purposes) == 2:
            raise LimitError("dose of this place is spent")
        return column.expose(exposure, purpose)

    with pytest.raises(LimitError):
        Refocus(RefocusSettings()).run(column.microscope, refuse_third)
    assert column.microscope.state().optics.defocus_nm == start_nm


def test_without_a_focus_it_says_so_and_changes_nothing():
    class Recorded:
        def state(self):
            return Column(0).microscope.state()

        def tune(self, target: Optics):
            raise NotSupported("a recorded image has no defocus")

    result = Refocus(RefocusSettings()).run(Recorded(), lambda *_: pytest.fail("no exposure is needed to know"))
    assert not result.ok and result.optics is None
    assert "recorded image" in result.message


def test_band_power_is_blind_to_noise():
    axes = tuple(Axis(name, 1.0, "nm") for name in ("frame", "row", "column"))
    generator = np.random.default_rng(0)

    def power(image: np.ndarray) -> float:
        burst = generator.poisson(np.stack([image, image])).astype(np.float64)
        exposure = Exposure(field_of_view_nm=10, shape=image.shape, dwell_us=1, frames=2)
        frame = Frame(
            exposure=exposure,
            signals={"haadf": Signal(burst, axes)},
            stage=StagePosition(),
            optics=Optics(),
            start_s=0,
            end_s=1,
            electrons=1,
        )
        return band_power(frame)

    flat = [power(np.full((96, 96), 20.0)) for _ in range(30)]
    assert abs(np.mean(flat)) < 3 * np.std(flat) / np.sqrt(30)
    waves = 20.0 + 5.0 * np.sin(np.arange(96) * 2 * np.pi * 0.1)[None, :].repeat(96, 0)
    assert power(waves) > 50 * np.std(flat)
    assert power(waves * 4) == pytest.approx(power(waves), rel=0.1), "brightness does not count as sharpness"


def test_values_that_count_for_nothing_give_no_peak():
    assert vertex({0.0: 1.0, 10.0: 1e-30, 20.0: 1e-31}, 0.0, 40.0) is None
