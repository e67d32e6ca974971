"""AutoScript TEM through a fake with the real quirks: what is not in the suite of every back end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import fakes_column
import numpy as np
import pytest
from fakes_autoscript import autoscript
from fakes_column import Column, Quirks

from configs.load import ConfigError
from instruments.drivers import registry
from instruments.errors import Disconnected, HardwareFault, InstrumentError, LimitError, NotCalibrated, NotSupported
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from instruments.powers import HasDiffraction, HasLoader, HasTilt, HasValves
from instruments.types import Exposure, StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes_autoscript import Client

LOOK = Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0)
POINTS = Exposure(field_of_view_nm=200.0, shape=(12, 12), dwell_us=30_000.0, signals=("BM-Ceta",))
SET = {
    "stage_to_image": [[1.0, 0.0], [0.0, 1.0]],
    "current_pA": 50.0,
    "patterns_px": {"BM-Ceta": 16},
    "camera_overhead_s": 0.02,
}


LIMITS = fakes_column.LIMITS.model_copy(update={"alpha_deg": (-60.0, 60.0)})


@contextmanager
def column(quirks: Quirks | None = None, **changes: Any) -> Iterator[tuple[Column, Client, Any]]:
    made = Column(quirks or Quirks())
    with autoscript(made) as (_, client):
        settings = registry.parse({"kind": "autoscript", **SET, **changes})
        yield made, client, registry.open_microscope(settings, seed=0, clock=made.clock)


def test_a_missing_client_is_said_to_come_with_the_column() -> None:
    settings = registry.parse({"kind": "autoscript"})
    with pytest.raises(ConfigError, match=r"autoscript_tem_microscope_client.*comes with Thermo Fisher's installer"):
        registry.open_microscope(settings, seed=0, clock=Column().clock)
    assert registry.needs("autoscript") == {"autoscript_tem_microscope_client": None}


def test_a_move_ends_where_the_stage_is_at_rest() -> None:
    """Half way it says once that it stands, and while it moves it is not ready for another."""
    with column() as (made, _, scope):
        assert scope.state().blanked is True
        outcome = scope.move(StagePosition(x_nm=400.0, y_nm=-300.0))
        assert (outcome.achieved.x_nm, outcome.achieved.y_nm) == pytest.approx((400.0, -300.0))
        made.go({"x_nm": 0.0})  # somebody at the hand panel
        assert scope.move(StagePosition(x_nm=100.0)).achieved.x_nm == pytest.approx(100.0)


def test_a_single_tilt_holder_has_no_beta_and_a_tilt_goes_the_safe_way() -> None:
    with column(Quirks(single_tilt=True)) as (made, _, scope):
        assert scope.state().stage.beta_deg is None
        assert scope.power(HasTilt).tilt_range_deg() == {"alpha_deg": pytest.approx((-70.0, 70.0))}
        with pytest.raises(NotSupported, match="beta_deg"):
            scope.move(StagePosition(beta_deg=1.0))
        assert scope.move(StagePosition(alpha_deg=10.0)).achieved.alpha_deg == pytest.approx(10.0)
        scope.move(StagePosition(z_nm=500.0))
        assert made.did == ["safe move", "move"]
    with column() as (_, _, scope):
        assert scope.move(StagePosition(beta_deg=-5.0)).achieved.beta_deg == pytest.approx(-5.0)


def test_a_tilt_that_stops_half_way_latches() -> None:
    with column(Quirks(touches=True)) as (made, _, scope):
        guard = Guard(scope, LIMITS, MemoryLedger(), made.clock, SIMULATED)
        with pytest.raises(HardwareFault, match="pole touch"):
            guard.move(StagePosition(alpha_deg=20.0))
        with pytest.raises(HardwareFault, match="latched"):
            guard.acquire(LOOK)


def test_patterns_are_taken_point_by_point_where_the_image_has_them() -> None:
    """Whole patterns, not the camera's corner, each of the point that the image shows there; blanked between points."""
    with column(longest_frame_s=1.0) as (_, _, scope):
        assert scope.power(HasDiffraction).patterns() == {"BM-Ceta": (16, 16)}
        image = scope.acquire(Exposure(field_of_view_nm=200.0, shape=(128, 128), dwell_us=40.0, signals=("HAADF",)))
        frame = scope.acquire(POINTS)
    patterns = frame.signals["BM-Ceta"]
    assert patterns.data.shape == (12, 12, 16, 16)
    assert [axis.name for axis in patterns.axes] == ["row", "column", "ky", "kx"]
    assert patterns.data[..., 7:9, 7:9].min() > 0
    seen = image.signals["HAADF"].data[:126, :126].astype(float)
    steps = (np.arange(12) + 0.5) * 128 / 12
    near = seen[np.ix_(steps.astype(int).clip(0, 125), steps.astype(int).clip(0, 125))]
    assert np.corrcoef(near.ravel(), patterns.data.sum(axis=(2, 3)).ravel())[0, 1] > 0.8


@pytest.mark.parametrize("exposure", [LOOK, POINTS])
def test_the_time_that_a_call_takes_beside_is_dose(exposure: Exposure) -> None:
    """The beam is on from unblanking to blanking: what was planned, or what it turns out to be if that is more."""
    for call_s, factor in ((0.0, 0.9), (0.02, 0.9), (0.3, 2.0)):
        with column(Quirks(call_s=call_s)) as (made, _, scope):
            made.lit_s = 0.0
            electrons = scope.acquire(exposure).electrons
            assert electrons >= made.electrons * 0.999
            assert electrons >= factor * exposure.electrons(50.0)
            assert made.blanked


def test_patterns_that_cannot_be_taken_are_refused_before_the_beam() -> None:
    with column(camera_overhead_s=None) as (made, _, scope), pytest.raises(NotCalibrated, match="camera_overhead_s"):
        scope.acquire(POINTS)
    with column() as (made, _, scope):
        made.lit_s = 0.0
        for error, changes in (
            (LimitError, {"dwell_us": 10_000.0}),
            (LimitError, {"shape": (13, 12)}),
            (NotSupported, {"signals": ("BM-Ceta", "HAADF")}),
            (NotSupported, {"signals": ("BM-Ceta", "Flucam")}),
        ):
            with pytest.raises(error):
                scope.acquire(
                    Exposure(
                        **{"field_of_view_nm": 200.0, "shape": (12, 12), "dwell_us": 3e4, "signals": ("BM-Ceta",)}
                        | changes
                    )
                )
        assert made.lit_s == 0.0


def test_what_is_clamped_or_left_out_in_silence_is_noticed() -> None:
    with column() as (made, _, scope):
        made.lit_s = 0.0
        with pytest.raises(LimitError, match=r"30000 nm was asked, the scan reads 20000 nm"):
            scope.acquire(Exposure(field_of_view_nm=3e4, shape=(128, 128), dwell_us=1.0))
        assert made.lit_s == 0.0
        made.quirks.lost = 1
        with pytest.raises(InstrumentError, match="dose is spent"):
            scope.acquire(LOOK)
        assert made.blanked
    with pytest.raises(NotSupported, match="'Dark'"), column(scanning=("HAADF", "Dark")):
        pass


def test_a_column_in_another_mode_is_not_driven() -> None:
    made = Column()
    with autoscript(made) as (_, client):
        client.optics.optical_mode = "Tem"
        with pytest.raises(NotSupported, match="switch it to Stem"):
            registry.open_microscope(registry.parse({"kind": "autoscript"}), seed=0, clock=made.clock)
        assert made.blanked


def test_valves_close_and_a_vacuum_that_is_not_ready_is_no_vacuum() -> None:
    with column() as (made, client, scope):
        scope.power(HasValves).close_valves()
        assert not made.valve_open
        assert scope.state().valve_open is False
        client.vacuum.state = "NotReady"
        vacuum = scope.state().vacuum
        assert vacuum is not None
        assert not vacuum.valid
        assert scope.power(HasLoader) is None


def test_the_current_is_read_on_the_screen_where_it_is_in() -> None:
    with column(current_pA=None) as (_, client, scope):
        assert scope.acquire(LOOK).electrons == 0.0  # not known: the guard books the largest
        client.screen.position = "Inserted"
        assert scope.acquire(LOOK).electrons == pytest.approx(LOOK.electrons(50.0), rel=0.5)


def test_a_server_that_is_gone_is_reconnected_to() -> None:
    with column() as (_, client, scope):
        lost = ConnectionResetError("reset by peer")

        class Gone:
            def __getattr__(self, name: str) -> Any:
                raise lost

        stage, client.specimen = client.specimen, Gone()
        client.reachable = False
        for words in ("reset by peer", "nobody listens at 127.0.0.1:9095"):
            with pytest.raises(Disconnected, match=words):
                scope.state()
        client.specimen, client.reachable = stage, True
        assert scope.state().blanked is True
        scope.close()
        scope.close()
        with pytest.raises(Disconnected, match="let go of"):
            scope.state()
