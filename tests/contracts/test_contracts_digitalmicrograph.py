"""DigitalMicrograph behind a driver server, on a fake with the real quirks: what is not in every back end's suite."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes_column import Column, Quirks
from fakes_digitalmicrograph import IN_IMAGE, NM_PER_UNIT, START_FOCUS, TOKEN, DigitalMicrograph, gms

from configs.load import ConfigError
from instruments.clock import RealClock
from instruments.drivers import registry
from instruments.errors import (
    BusyError,
    Disconnected,
    InstrumentError,
    LimitError,
    NotCalibrated,
    NotSupported,
    Timeout,
)
from instruments.powers import HasTilt, HasValves
from instruments.server.digitalmicrograph import GatanDriver
from instruments.server.driver import DriverError
from instruments.server_link import Link
from instruments.types import Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOK = Exposure(field_of_view_nm=256.0, shape=(128, 128), dwell_us=4.0)
"""Pixels of the camera, binned by two."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@contextmanager
def column(folder: Path, quirks: Quirks | None = None, **changes: Any) -> Iterator[tuple[DigitalMicrograph, Any]]:
    with gms(folder, Column(quirks or Quirks())) as (dm, block):
        scope = registry.open_microscope(registry.parse({**block, **changes}), seed=0, clock=RealClock())
        try:
            yield dm, scope
        finally:
            scope.close()


def test_a_stage_is_reached_though_nothing_says_when(folder: Path) -> None:
    """Half way it stands for a moment; in its own axes it is turned and mirrored, and in µm."""
    with column(folder) as (dm, scope):
        reached = scope.move(StagePosition(x_nm=300.0, y_nm=-100.0)).achieved
        assert (reached.x_nm, reached.y_nm) == pytest.approx((300.0, -100.0))
        theirs = dm.Py_Microscope()
        (a, b), (c, d) = IN_IMAGE
        assert theirs.GetStageX() * 1e3 == pytest.approx(a * 300.0 + c * -100.0)  # its own inverse
        assert theirs.GetStageY() * 1e3 == pytest.approx(b * 300.0 + d * -100.0)
        assert scope.move(StagePosition(y_nm=50.0)).achieved.x_nm == pytest.approx(300.0)
        assert scope.move(StagePosition(z_nm=400.0)).achieved.z_nm == pytest.approx(400.0)


def test_a_stage_that_does_not_arrive_is_not_waited_for_without_end(folder: Path) -> None:
    with column(folder, Quirks(touches=True)) as (_, scope):
        assert scope.move(StagePosition(alpha_deg=10.0)).achieved.alpha_deg == pytest.approx(5.0)


def test_nothing_is_guessed_that_was_not_measured(folder: Path) -> None:
    names = ("stage_to_image", "defocus_nm_per_unit", "field_of_view_nm_at_1x")
    with column(folder, **dict.fromkeys(names)) as (dm, scope):
        assert scope.state().optics.defocus_nm is None
        for words, act in (
            ("stage_to_image", lambda: scope.move(StagePosition(x_nm=1.0))),
            ("no unit", lambda: scope.tune(Optics(defocus_nm=1.0))),
            ("field_of_view_nm_at_1x", lambda: scope.acquire(LOOK)),
        ):
            with pytest.raises(NotCalibrated, match=words):
                act()
        assert dm.column.did == []
        assert dm.column.lit_s == 0.0


def test_the_screen_is_looked_at_by_a_person_first(folder: Path) -> None:
    """Programs contradict each other on which number is up."""
    with column(folder, screen_up=None) as (dm, scope):
        with pytest.raises(NotCalibrated, match=r"reads the screen as 0.*look, and set screen_up"):
            scope.acquire(LOOK)
        assert dm.column.lit_s == 0.0
    with column(folder) as (dm, scope):
        dm.screen = 2
        with pytest.raises(BusyError, match="raise it"):
            scope.acquire(LOOK)
        dm.screen, dm.inserted = 0, False
        with pytest.raises(BusyError, match="insert it"):
            scope.acquire(LOOK)
        assert dm.column.lit_s == 0.0


def test_the_focus_is_a_number_with_a_scale(folder: Path) -> None:
    with column(folder) as (dm, scope):
        assert scope.tune(Optics(defocus_nm=100.0)).achieved.defocus_nm == pytest.approx(100.0)
        assert dm.Py_Microscope().GetFocus() == pytest.approx(START_FOCUS + 100.0 / NM_PER_UNIT)
        with pytest.raises(NotSupported, match="stig_a_nm"):
            scope.tune(Optics(stig_a_nm=1.0))


def test_what_counts_as_in_focus_stays_while_gms_serves(folder: Path) -> None:
    """Also for a guard that was started anew, out of focus: its limits are about the same zero."""
    with gms(folder) as (dm, block):
        for defocus_nm, found_nm in ((100.0, 0.0), (-50.0, 100.0)):
            scope = registry.open_microscope(registry.parse(block), seed=0, clock=RealClock())
            assert scope.state().optics.defocus_nm == pytest.approx(found_nm)
            scope.tune(Optics(defocus_nm=defocus_nm))
            scope.close()
        told = registry.parse({**block, "focus_zero": dm.Py_Microscope().GetFocus()})
        scope = registry.open_microscope(told, seed=0, clock=RealClock())
        assert scope.state().optics.defocus_nm == 0.0
        scope.close()


def test_a_server_that_was_started_anew_is_told_what_was_measured(folder: Path) -> None:
    with gms(folder) as (dm, block):
        port = block["port"]
        scope = registry.open_microscope(registry.parse({**block, "answer_s": 2.0}), seed=0, clock=RealClock())
        assert scope.state().stage.x_nm is not None
        scope.tune(Optics(defocus_nm=300.0))
        focus = dm.Py_Microscope().GetFocus()
    with pytest.raises((Disconnected, Timeout)):
        scope.state()
    with gms(folder, dm.column, port=port) as (again, _):
        again.Py_Microscope().SetFocus(focus)  # where the column was left
        give_up_s = time.monotonic() + 10.0
        while True:
            try:
                found = scope.state()
                break
            except (Disconnected, Timeout):
                assert time.monotonic() < give_up_s
                time.sleep(0.05)
        assert found.stage.x_nm is not None
        assert found.optics.defocus_nm == pytest.approx(300.0)
        scope.move(StagePosition(z_nm=10.0))
        scope.close()


def test_a_frame_has_the_cameras_pixels_or_is_refused(folder: Path) -> None:
    with column(folder) as (dm, scope):
        dm.column.lit_s = 0.0
        frame = scope.acquire(replace(LOOK, frames=2, interval_s=0.01))
        signal = frame.signals["camera"]
        assert signal.data.shape == (2, 128, 128)
        assert [axis.name for axis in signal.axes] == ["frame", "row", "column"]
        assert frame.electrons >= 0.999 * replace(LOOK, frames=2).electrons(50.0)
        assert scope.state().blanked is True
        dm.column.lit_s = 0.0
        for error, changes in (
            (LimitError, {"field_of_view_nm": 200.0}),
            (LimitError, {"shape": (512, 512), "field_of_view_nm": 1024.0}),
            (NotSupported, {"rotation_deg": 5.0}),
            (NotSupported, {"signals": ("HAADF",)}),
        ):
            with pytest.raises(error):
                scope.acquire(replace(LOOK, **changes))
        assert dm.column.lit_s == 0.0
        dm.column.quirks.lost = 1
        with pytest.raises(InstrumentError, match="dose is spent"):
            scope.acquire(LOOK)
        assert dm.column.blanked


def test_powers_are_those_of_the_holder(folder: Path) -> None:
    with column(folder) as (dm, scope):
        assert scope.power(HasTilt).tilt_range_deg() == {"alpha_deg": (-30.0, 30.0)}
        assert scope.power(HasValves) is None
        dm.column.valve_open = False
        assert scope.state().valve_open is False
    with column(folder, alpha_deg=None) as (_, scope):
        assert scope.power(HasTilt) is None
        with pytest.raises(NotSupported, match="alpha_deg"):
            scope.move(StagePosition(alpha_deg=1.0))


def test_who_comes_without_what_was_measured_can_only_look(folder: Path) -> None:
    """As `kind: remote`, the same server tells no place, and moves nothing."""
    with gms(folder) as (dm, block):
        plain = {"kind": "remote", "port": block["port"], "token_file": block["token_file"]}
        plain["name"] = "digitalmicrograph"
        scope = registry.open_microscope(registry.parse(plain), seed=0, clock=RealClock())
        state = scope.state()
        assert (state.stage.x_nm, state.blanked) == (None, True)
        with pytest.raises(NotCalibrated, match="kind: digitalmicrograph"):
            scope.move(StagePosition(z_nm=1.0))
        scope.close()
        assert dm.column.did == []


def test_a_server_that_hears_nobody_blanks(folder: Path) -> None:
    with gms(folder) as (dm, block):
        pilot = Link(block["port"], TOKEN, "pilot", "somebody")  # who says hello and then nothing
        dm.column.blanked = False  # somebody at the panel
        give_up_s = time.monotonic() + 10.0
        while not dm.column.blanked and time.monotonic() < give_up_s:
            time.sleep(0.05)
        assert dm.column.blanked
        pilot.close()


def test_what_is_wrong_at_the_start_is_named(folder: Path) -> None:
    blind = DigitalMicrograph(Column())
    blind.has_blanker = False
    with pytest.raises(DriverError, match="set up its blanker"):
        GatanDriver(blind)
    with gms(folder) as (_, block), pytest.raises(ConfigError, match="token_file"):
        settings = registry.parse({**block, "token_file": str(folder / "none.txt")})
        registry.open_microscope(settings, seed=0, clock=RealClock())
