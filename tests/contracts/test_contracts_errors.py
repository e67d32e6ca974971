"""What stands between a config and an instrument has a name, and says what to do."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from benchmarks.benches import STRAIGHT, served
from configs.load import ConfigError
from instruments.clock import RealClock, SimulatedClock
from instruments.drivers import registry, vendor
from instruments.drivers.apart import open_apart
from instruments.errors import Disconnected, InstrumentError, LimitError, NotCalibrated, NotSupported
from instruments.types import Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from pathlib import Path

REACH = {"x_nm": [-1e3, 1e3], "y_nm": [-1e3, 1e3]}
BLOCKS: dict[str, dict[str, Any]] = {
    "detwin": {"process": "here"},
    "thermofisher": {},
    "micromanager": {**REACH, "defocus_nm": [-1e3, 1e3]},
    "de": REACH,
}
LOOK = Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0)


def open_block(kind: str, **changes: Any) -> Any:
    settings = registry.parse({"kind": kind, **BLOCKS.get(kind, {}), **changes})
    return registry.open_microscope(settings, seed=1, clock=RealClock())


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_missing_extra_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The config is read all the same: what a night would cost can be asked on any computer."""
    monkeypatch.setattr(vendor, "installed", lambda package: None)
    with pytest.raises(ConfigError, match=rf"not installed: pip install 'adaptem\[{kind}\]'"):
        open_block(kind)


@pytest.mark.parametrize(("kind", "found"), [("thermofisher", "1.0"), ("thermofisher", "3.0"), ("micromanager", "0.9")])
def test_a_wrong_version_is_named(kind: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "installed", lambda package: found)
    with pytest.raises(ConfigError, match=rf"or newer.*found {found}"):
        open_block(kind)


def test_an_instrument_that_cannot_be_reached_is_named(closed_port: int) -> None:
    with pytest.raises(Disconnected, match=f"127.0.0.1:{closed_port} cannot be reached.*tunnel"):
        open_block("thermofisher", port=closed_port)
    with pytest.raises(Disconnected, match=f"ports {closed_port}.*start them"):
        open_block("de", port=closed_port)


def test_a_configuration_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Micro-Manager cannot load"):
        open_block("micromanager", config=str(tmp_path / "none.cfg"))
    half = tmp_path / "half.cfg"
    half.write_text("Device,DHub,DemoCamera,DHub\nDevice,Camera,DemoCamera,DCam\nProperty,Core,Initialize,1\n"
                    "Property,Core,Camera,Camera\n")  # fmt: skip
    with pytest.raises(ConfigError, match="has not a shutter, an xy stage, a focus drive"):
        open_block("micromanager", config=str(half))


def test_what_is_not_calibrated_does_not_guess() -> None:
    """A column behind temscript with nothing measured: it is read, and blanked, and that is all."""
    with served("instruments.drivers.served", "--seed", "3") as ports:
        scope = open_block("thermofisher", **ports)
        state = scope.state()
        assert (state.optics.defocus_nm, state.optics.current_pA, state.blanked) == (None, None, True)
        with pytest.raises(NotCalibrated, match="defocus_nm_per_unit"):
            scope.tune(Optics(defocus_nm=10.0))
        with pytest.raises(NotCalibrated, match="field_of_view_nm_at_1x"):
            scope.acquire(LOOK)
        with pytest.raises(NotCalibrated, match="stage_to_image"):
            scope.move(StagePosition(y_nm=1.0))
        assert scope.state().stage == state.stage
        calibrated = open_block("thermofisher", **ports, field_of_view_nm_at_1x=1e8, stage_to_image=STRAIGHT)
        with pytest.raises(LimitError, match="scans squares of 2048, 1024"):
            calibrated.acquire(Exposure(field_of_view_nm=100.0, shape=(100, 100), dwell_us=1.0))
        with pytest.raises(LimitError, match="alpha_deg"):
            calibrated.move(StagePosition(alpha_deg=89.0))
        assert calibrated.move(StagePosition(alpha_deg=5.0)).achieved.alpha_deg == pytest.approx(5.0, abs=0.1)


def test_what_a_server_refuses_leaves_no_socket_open() -> None:
    """temscript closes no answer that it does not read, and an error may live as long as its frame does."""

    def refused(scope: Any) -> None:
        try:
            with scope._column() as column:
                column.get_stem_detector_param("nonesuch")
        except InstrumentError as error:
            kept = error  # frame → error → frame: freed by the collector alone
            assert "did not do what it was asked" in str(kept)
        else:
            pytest.fail("the server knows a detector of this name")

    with served("instruments.drivers.served", "--seed", "3") as ports, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        refused(open_block("thermofisher", **ports))
        gc.collect()
    assert not told, [str(one.message) for one in told]


def test_a_magnification_without_whole_pixels_names_those_there_are() -> None:
    scope = open_block("micromanager", unit_nm=1.0)
    try:
        with pytest.raises(NotCalibrated, match="stage_to_image"):
            scope.move(StagePosition(x_nm=10.0))
        assert scope.state().stage == StagePosition(x_nm=0.0, y_nm=0.0)
        with pytest.raises(LimitError, match=r"has pixels of 1, 2, 3, 4, 5, 6, 7, 8 nm"):
            scope.acquire(Exposure(field_of_view_nm=192.0, shape=(128, 128), dwell_us=4.0))
        with pytest.raises(LimitError, match="the camera has 512"):
            scope.acquire(Exposure(field_of_view_nm=1024.0, shape=(1024, 1024), dwell_us=4.0))
    finally:
        scope.close()


def test_a_stage_that_lies_turned_and_mirrored_is_set_right() -> None:
    """The demonstration's beads, told that the stage lies otherwise: the read-back follows, in our axes."""
    turned = [[0.0, -1.0], [-1.0, 0.0]]
    scope = open_block("micromanager", unit_nm=1.0, stage_to_image=turned)
    try:
        reached = scope.move(StagePosition(x_nm=30.0)).achieved
        assert (reached.x_nm, reached.y_nm) == pytest.approx((30.0, 0.0), abs=0.02)
        assert scope._core.getXYPosition() == pytest.approx((0.0, -30.0), abs=0.02)
    finally:
        scope.close()
    with pytest.raises(ValueError, match=r"determinant 0\.25"):
        registry.parse({"kind": "nion", **REACH, "stage_to_image": [[0.5, 0.0], [0.0, 0.5]]})


def test_an_error_of_a_driver_in_its_own_process_keeps_its_name() -> None:
    with pytest.raises(NotSupported, match=r"channels.*HAADF"):
        open_block("nion", **REACH, channels=["nonesuch"])


def test_a_world_in_its_own_process_goes_by_our_clock() -> None:
    clock = SimulatedClock(100.0)
    scope = open_apart("instruments.hosted", registry.parse({"kind": "simulated"}), 5, clock)
    try:
        assert scope.state().time_s == pytest.approx(clock.now_s())
        clock.wait(50.0)
        assert scope.state().time_s == pytest.approx(150.0)
        before_s = clock.now_s()
        frame = scope.acquire(LOOK)
        assert clock.now_s() == pytest.approx(frame.end_s)
        assert clock.now_s() > before_s
    finally:
        scope.close()
        scope.close()
    scope.blank()


def test_a_driver_in_its_own_process_ends_with_ours() -> None:
    """Killed without a word: the driver's process blanks and ends."""
    program = (
        "import time; from instruments.clock import SimulatedClock; from instruments.drivers import apart, registry;"
        "s = apart.open_apart('instruments.hosted', registry.parse({'kind': 'simulated'}), 5, SimulatedClock());"
        "print(s._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as ours:
        assert ours.stdout is not None
        theirs = psutil.Process(int(ours.stdout.readline()))
        os.kill(ours.pid, signal.SIGKILL)
        give_up_s = time.monotonic() + 20.0
        while theirs.is_running() and theirs.status() != psutil.STATUS_ZOMBIE and time.monotonic() < give_up_s:
            time.sleep(0.05)
        assert not theirs.is_running() or theirs.status() == psutil.STATUS_ZOMBIE
