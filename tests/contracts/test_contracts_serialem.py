"""SerialEM through a fake with the real quirks: what is not in the suite of every back end."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fakes_column import Column, Quirks
from fakes_serialem import serialem

from configs.load import ConfigError
from instruments.drivers import registry
from instruments.errors import Disconnected, InstrumentError, LimitError, NotSupported, Timeout
from instruments.powers import HasBlanker, HasTilt, HasValves
from instruments.types import Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes_serialem import SerialEM

LOOK = Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0)
SET = {"stage_to_image": [[1.0, 0.0], [0.0, 1.0]], "current_pA": 50.0}
TILTS = {"alpha_deg": [-60, 60], "beta_deg": [-20, 20], "z_nm": [-1e5, 1e5]}


@contextmanager
def column(quirks: Quirks | None = None, **changes: Any) -> Iterator[tuple[Column, SerialEM, Any]]:
    made = Column(quirks or Quirks())
    with serialem(made) as (_, sem):
        settings = registry.parse({"kind": "serialem", **SET, **changes})
        yield made, sem, registry.open_microscope(settings, seed=0, clock=made.clock)


def test_a_missing_module_is_said_to_come_with_serialem() -> None:
    with pytest.raises(ConfigError, match=r"module serialem .*pip does not find it, it comes with SerialEM"):
        registry.open_microscope(registry.parse({"kind": "serialem"}), seed=0, clock=Column().clock)
    assert registry.comes_from("serialem") == "it comes with SerialEM (its folder PythonModules)"


def test_a_version_whose_transfers_can_hang_is_refused() -> None:
    made = Column()
    with serialem(made):
        del sys.modules["serialem"].SetBufferImageTimeout
        with pytest.raises(NotSupported, match="older than December 2024"):
            registry.open_microscope(registry.parse({"kind": "serialem"}), seed=0, clock=made.clock)


@pytest.mark.parametrize("tuples", [True, False])
def test_reads_and_sets_in_its_units(tuples: bool) -> None:
    with column(**TILTS) as (made, sem, scope):
        sem.tuples = tuples
        scope.move(StagePosition(x_nm=1500.0, y_nm=-250.0, alpha_deg=12.0))
        scope.move(StagePosition(beta_deg=-3.0))
        scope.move(StagePosition(z_nm=2000.0))
        scope.tune(Optics(defocus_nm=-700.0))
        state = scope.state()
        stage = state.stage
        found = [stage.x_nm, stage.y_nm, stage.z_nm, stage.alpha_deg, stage.beta_deg]
        assert found == pytest.approx([1500.0, -250.0, 2000.0, 12.0, -3.0])
        assert (state.optics.defocus_nm, state.optics.voltage_kV) == pytest.approx((-700.0, 200.0))
        assert (state.blanked, state.valve_open, state.busy_until_s) == (None, True, None)
        assert made.defocus_nm == pytest.approx(-700.0)  # < 0 is underfocus at both ends
        assert set(scope.power(HasTilt).tilt_range_deg()) == {"alpha_deg", "beta_deg"}
        scope.power(HasValves).close_valves()
        assert scope.state().valve_open is False


def test_a_holder_or_a_column_that_lacks_it_is_not_asked() -> None:
    """On a JEOL column the command for the valve turns the filament off."""
    with column(column_valve=False) as (made, _, scope):
        assert scope.state().stage.beta_deg is None
        assert scope.state().valve_open is None
        assert scope.power(HasTilt) is None
        assert scope.power(HasValves) is None
        with pytest.raises(NotSupported, match="alpha_deg"):
            scope.move(StagePosition(alpha_deg=1.0))
        assert made.valve_open


def test_an_error_does_not_end_the_script() -> None:
    """What SerialEM itself refuses; the next call is answered all the same."""
    with column(x_nm=[-5e6, 5e6]) as (made, _, scope):
        with pytest.raises(InstrumentError, match="cannot go there"):
            scope.move(StagePosition(x_nm=2e6))
        assert scope.state().stage.x_nm == 0.0
        assert made.blanked


def test_an_image_that_hangs_is_asked_for_again_and_not_exposed_again() -> None:
    with column(Quirks(lost=2)) as (made, _, scope):
        made.lit_s = 0.0
        frame = scope.acquire(LOOK)
        assert frame.signals["camera"].data.mean() > 1
        assert made.lit_s == pytest.approx(LOOK.beam_on_s, rel=0.01)  # no beam while the image is handed over
        made.quirks.lost, made.lit_s = 9, 0.0
        with pytest.raises(Timeout, match=r"3 tries.*its dose is spent"):
            scope.acquire(LOOK)
        assert made.lit_s == pytest.approx(LOOK.beam_on_s, rel=0.01)
        assert made.blanked


def test_what_the_shutter_takes_longer_is_dose() -> None:
    with column(Quirks(call_s=0.5)) as (made, _, scope):
        made.lit_s = 0.0
        assert scope.acquire(LOOK).electrons == pytest.approx(made.electrons, rel=0.01)
        assert made.lit_s > 5 * LOOK.beam_on_s


def test_every_stem_detector_has_its_buffer() -> None:
    with column(stem_detectors={"HAADF": 0, "BF": 1}) as (_, _, scope):
        both = scope.acquire(LOOK).signals
        assert set(both) == {"HAADF", "BF"}
        assert both["HAADF"].data.mean() != both["BF"].data.mean()
        assert set(
            scope.acquire(Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0, signals=("BF",))).signals
        ) == {"BF"}


def test_pixels_are_those_of_the_magnification() -> None:
    with column() as (made, sem, scope):
        made.lit_s = 0.0
        with pytest.raises(LimitError, match="has pixels of"):
            scope.acquire(Exposure(field_of_view_nm=130.0, shape=(128, 128), dwell_us=4.0))
        assert made.lit_s == 0.0
        record = sys.modules["serialem"].Record

        def zoomed() -> None:
            record()
            sem._taken_nm *= 2  # somebody turned the knob

        sys.modules["serialem"].Record = zoomed  # type: ignore[attr-defined]
        with pytest.raises(InstrumentError, match=r"of 1 nm were asked, \(128, 128\) of 2 nm came"):
            scope.acquire(LOOK)


def test_while_dewars_fill_it_asks_to_be_left_alone() -> None:
    with column(autofill=True) as (_, sem, scope):
        assert scope.state().busy_until_s is None
        sem.filling = 1
        state = scope.state()
        assert state.busy_until_s == state.time_s + 60.0


def test_no_state_of_the_blanker_is_pretended() -> None:
    """What it was told last is no reading: somebody may unblank by hand, and SerialEM would not tell."""
    with column() as (made, _, scope):
        blanker = scope.power(HasBlanker)
        assert blanker is not None
        for blanked in (True, False):
            made.blank(blanked)
            assert (scope.state().blanked, blanker.blanked()) == (None, None)
        assert {"the blanker is read", "blank blanks"} <= set(registry.lacks(registry.parse({"kind": "serialem"})))


def test_one_that_has_gone_is_there_again_when_it_is_back() -> None:
    with column() as (made, sem, scope):
        sem.listens = False
        for _ in range(2):
            with pytest.raises(Disconnected, match=r"127.0.0.1:48888 cannot be reached"):
                scope.state()
        made.blank(False)
        sem.listens = True
        scope.blank()
        assert made.blanked
        assert scope.state().stage.x_nm == 0.0
        scope.close()
        scope.close()
        with pytest.raises(Disconnected, match="let go of"):
            scope.state()
