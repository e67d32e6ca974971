"""PyJEM through a fake with the real quirks: what is not in the suite of every back end."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fakes_column import Column, Quirks
from fakes_jeol import (
    BLOCK,
    BLOCK_S,
    DARK,
    EMISSION_UA,
    IN_IMAGE,
    NM_AT_1X,
    NM_PER_CLICK,
    START_CLICKS,
    STIG_NEUTRAL,
    STIG_NM,
    pyjem,
)

from configs.load import ConfigError, dump, load
from instruments.drivers import registry
from instruments.errors import (
    Disconnected,
    HardwareFault,
    InstrumentError,
    LimitError,
    NotCalibrated,
    NotSupported,
    ReachError,
    Timeout,
)
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.powers import CanStop, HasTilt, HasValves
from instruments.types import Exposure, Optics, Reading, StagePosition
from surveys.calibration import Wish, calibrate
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes_jeol import PyJEM

BARE = ("stage_to_image", "defocus_nm_per_unit", "stig_nm_per_unit", "field_of_view_nm_at_1x")
"""What has to be measured."""
LOOK = Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0)


@contextmanager
def column(quirks: Quirks | None = None, **changes: Any) -> Iterator[tuple[Column, PyJEM, Any]]:
    made = Column(quirks or Quirks())
    with pyjem(made) as vendor:
        settings = registry.parse({**BLOCK, **changes})
        yield made, vendor, registry.open_microscope(settings, seed=0, clock=made.clock)


def test_a_missing_pyjem_is_said_to_come_with_temcenter() -> None:
    with pytest.raises(ConfigError, match=r"PyJEM.*comes with JEOL's TEMCenter"):
        registry.open_microscope(registry.parse(BLOCK), seed=0, clock=Column().clock)


def test_places_are_absolute_and_reached_without_the_calls_that_trick() -> None:
    """What would go the other way, or block for half a minute, is not used."""
    with column() as (made, vendor, scope):
        for place in ((400.0, -300.0), (-150.0, 250.0)):
            start_s = made.clock.now_s()
            outcome = scope.move(StagePosition(x_nm=place[0], y_nm=place[1]))
            assert (outcome.achieved.x_nm, outcome.achieved.y_nm) == pytest.approx(place)
            assert (made.stage().x_nm, made.stage().y_nm) == pytest.approx(place)
            assert made.clock.now_s() - start_s < BLOCK_S
        before = vendor.modules()["PyJEM.TEM3"]["Stage3"]().GetPos()
        assert before[:2] == pytest.approx((-250.0, 150.0))  # of the stage's own axes, turned and mirrored


def test_one_axis_alone_leaves_the_other_where_it_is() -> None:
    with column() as (_, _, scope):
        scope.move(StagePosition(x_nm=100.0, y_nm=50.0))
        reached = scope.move(StagePosition(x_nm=-20.0)).achieved
        assert (reached.x_nm, reached.y_nm) == pytest.approx((-20.0, 50.0))


def test_a_move_of_two_axes_is_stopped_on_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other axis does not set off after the stop."""
    with column() as (made, _, scope):
        moving = made.moving

        def stopped() -> bool:
            monkeypatch.setattr(made, "moving", moving)
            scope.power(CanStop).stop()
            return moving()

        monkeypatch.setattr(made, "moving", stopped)
        with pytest.raises(ReachError, match="stopped"):
            scope.move(StagePosition(x_nm=500.0, y_nm=500.0))
        assert made.did == ["move"]


def test_nothing_is_guessed_that_was_not_measured() -> None:
    bare = dict.fromkeys(BARE)
    with column(**bare) as (made, vendor, scope):
        assert scope.state().optics.defocus_nm is None
        with pytest.raises(NotCalibrated, match="stage_to_image"):
            scope.move(StagePosition(x_nm=1.0))
        with pytest.raises(NotCalibrated, match="clicks"):
            scope.tune(Optics(defocus_nm=10.0))
        with pytest.raises(NotCalibrated, match="field_of_view_nm_at_1x"):
            scope.acquire(LOOK)
        assert (made.did, vendor.snapshots, made.blanked) == ([], 0, True)


def test_the_focus_is_whole_clicks_of_the_lens() -> None:
    with column() as (made, vendor, scope):
        reached = scope.tune(Optics(defocus_nm=100.0)).achieved
        assert vendor.clicks == START_CLICKS - 22
        assert reached.defocus_nm == pytest.approx(99.0)
        assert made.defocus_nm == pytest.approx(99.0)
        with pytest.raises(LimitError):
            scope.tune(Optics(defocus_nm=abs(NM_PER_CLICK) * 65536))
        vendor.coarse += 1  # somebody at the panel
        assert scope.state().optics.defocus_nm is None
        with pytest.raises(NotCalibrated, match="coarse focus was turned"):
            scope.tune(Optics(defocus_nm=0.0))
        assert vendor.clicks == START_CLICKS - 22


def test_stigmators_are_clicks_of_the_condenser() -> None:
    with column() as (_, vendor, scope):
        reached = scope.tune(Optics(stig_a_nm=50.0)).achieved
        assert (reached.stig_a_nm, reached.stig_b_nm) == pytest.approx((50.0, 0.0))
        assert vendor.stig == (STIG_NEUTRAL[0] + 100, STIG_NEUTRAL[1])
        reached = scope.tune(Optics(stig_b_nm=20.0, defocus_nm=-45.0)).achieved
        assert (reached.stig_a_nm, reached.stig_b_nm, reached.defocus_nm) == pytest.approx((50.0, 20.0, -45.0))
        before = (vendor.stig, vendor.clicks)
        with pytest.raises(LimitError, match="clicks"):
            scope.tune(Optics(stig_a_nm=1e5, defocus_nm=0.0))
        with pytest.raises(LimitError):
            scope.tune(Optics(stig_b_nm=float("nan"), defocus_nm=0.0))
        assert (vendor.stig, vendor.clicks) == before


def test_a_scan_is_one_scan_at_the_step_that_was_asked() -> None:
    with column() as (made, vendor, scope):
        made.lit_s = 0.0
        frame = scope.acquire(LOOK)
        assert list(frame.signals) == ["ADF1"]
        assert vendor.snapshots == 1
        assert vendor.settings["frameIntegration"] == 1  # it stood at 4
        assert made.electrons == pytest.approx(LOOK.electrons(50.0))
        assert scope.acquire(replace(LOOK, field_of_view_nm=256.0)).signals["ADF1"].data.mean() > 0
        made.lit_s = 0.0
        for error, changes in (
            (LimitError, {"field_of_view_nm": 130.0}),
            (LimitError, {"shape": (128, 64)}),
            (LimitError, {"dwell_us": 0.5}),  # set to 1 in silence
            (LimitError, {"dwell_us": 2000.0}),
            (NotSupported, {"rotation_deg": 10.0}),
            (NotSupported, {"signals": ("ADF1", "BF")}),
            (NotSupported, {"signals": ("no such",)}),
        ):
            with pytest.raises(error):
                scope.acquire(replace(LOOK, **changes))
        assert made.lit_s == 0.0


def test_a_selector_with_other_steps_than_set_exposes_nothing() -> None:
    with column(magnifications=[781_250.0, 390_625.0]) as (made, _, scope):
        made.lit_s = 0.0
        with pytest.raises(NotCalibrated, match=r"step 0 of the selector .* set instrument.magnifications"):
            scope.acquire(LOOK)
        assert made.lit_s == 0.0
    with column(magnifications=[]) as (made, _, scope), pytest.raises(LimitError, match=r"this column has 512 nm"):
        scope.acquire(LOOK)


def test_an_image_that_is_cut_off_is_dose_and_no_frame() -> None:
    with column(Quirks(lost=1)) as (made, _, scope):
        with pytest.raises(InstrumentError, match=r"100 bytes.*dose is spent"):
            scope.acquire(LOOK)
        assert made.blanked


def test_tilts_valves_and_a_touch() -> None:
    with column() as (made, _, scope):
        assert scope.power(HasTilt).tilt_range_deg() == {"alpha_deg": (-30.0, 30.0)}
        assert scope.move(StagePosition(alpha_deg=10.0)).achieved.alpha_deg == pytest.approx(10.0)
        assert scope.state().stage.beta_deg is None
        with pytest.raises(NotSupported, match="beta_deg"):
            scope.move(StagePosition(beta_deg=1.0))
        scope.power(HasValves).close_valves()
        assert not made.valve_open
        assert scope.state().valve_open is False
    with column(alpha_deg=None) as (_, _, scope):
        assert scope.power(HasTilt) is None
    with column(Quirks(touches=True)) as (made, _, scope):
        limits = Limits(
            x_nm=(-1e5, 1e5), y_nm=(-1e5, 1e5), alpha_deg=(-30.0, 30.0), off_axis_nm=0.0, backlash_nm=0.0,
            stage_uncertainty_nm=10.0, max_current_pA=1e2, max_electrons=1e9, max_fluence_e_per_A2=1e6, max_time_s=1e6,
        )  # fmt: skip
        guard = Guard(scope, limits, MemoryLedger(), made.clock, SIMULATED)
        with pytest.raises(HardwareFault, match="pole touch"):
            guard.move(StagePosition(alpha_deg=20.0))


def test_what_pyjem_raises_is_told_in_our_words() -> None:
    with column() as (made, vendor, scope):
        for raised, error in (
            (ConnectionError("gone"), Disconnected),
            (TimeoutError(), Timeout),
            (KeyError("x"), InstrumentError),
        ):

            def fail(raised: Exception = raised) -> None:
                raise raised

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(scope._stage), "GetPos", lambda _: fail())
                with pytest.raises(error, match="PyJEM"):
                    scope.state()
        scope.close()
        with pytest.raises(Disconnected, match="open the instrument again"):
            scope.state()
        vendor.mode = 0
        with pytest.raises(NotSupported, match="switch it to STEM"):
            registry.open_microscope(registry.parse(BLOCK), seed=0, clock=made.clock)
        with pytest.raises(NotSupported, match="EELS"):
            vendor.mode = 1
            registry.open_microscope(registry.parse({**BLOCK, "scanning": ["EELS"]}), seed=0, clock=made.clock)


def test_a_column_of_which_nothing_is_known_is_calibrated(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stage, field of view and focus, from nothing; the file is then all that the driver needs."""
    monkeypatch.setattr(registry, "simulated", lambda _: True)  # this column is: its own clock, and no other process
    bare = dict.fromkeys(BARE)
    block = {**BLOCK, **bare, "magnifications": [100_000.0, 195_312.5, 390_625.0, 781_250.0], "z_nm": [-1e5, 1e5]}
    settings = load(root / "configs" / "survey_backends.yaml", SurveySettings)
    limits = settings.limits.model_copy(update={"z_nm": (-1e4, 1e4), "field_of_view_nm": (100.0, 1000.0)})
    now = datetime.now(UTC)
    made = Column()
    with pyjem(made):
        settings = settings.model_copy(update={"instrument": registry.parse(block), "limits": limits})
        look = Exposure(field_of_view_nm=512.0, shape=(192, 192), dwell_us=4.0)
        wish = Wish(
            exposure=look,
            close=replace(LOOK, shape=(192, 192)),
            approach_nm=0.0,
            repeats=2,
            focus_units=120.0,
            stig_units=250.0,
        )
        found = calibrate(settings, wish, now, lambda _: None, clock=made.clock).calibration
        path = tmp_path / "jeol.yaml"
        path.write_text(dump(found), encoding="utf-8")
        known = registry.parse({**BLOCK, **bare, "calibration": str(path)})
        scope = registry.open_microscope(known, seed=0, clock=made.clock)
        reached = scope.move(StagePosition(x_nm=100.0, y_nm=-50.0)).achieved
    assert found.good_until == now + timedelta(days=180)
    assert found.stage_to_image is not None
    for row, expected in zip(found.stage_to_image.matrix, IN_IMAGE, strict=True):
        assert row == pytest.approx(expected, abs=0.01)
    assert found.settings()["field_of_view_nm_at_1x"] == pytest.approx(NM_AT_1X, rel=0.01)
    assert found.focus is not None
    assert found.focus.nm_per_unit == pytest.approx(NM_PER_CLICK, rel=0.1)
    assert found.stigmators is not None
    (a, b), (c, d) = found.stigmators.nm_per_unit
    assert (a, d) == pytest.approx(STIG_NM, rel=0.15)
    assert (b, c) == pytest.approx((0.0, 0.0), abs=0.1)
    assert reached.x_nm == pytest.approx(100.0, abs=2.0)


def test_an_images_numbers_have_a_sign() -> None:
    """Dark pixels lie a little below zero, and are not white."""
    with column() as (made, _, scope):
        made.valve_open = False
        dark = scope.acquire(LOOK).signals["ADF1"].data
        assert (dark.min(), dark.max()) == (-DARK, -DARK)
    with column(signed=False) as (made, _, scope):
        made.valve_open = False
        assert scope.acquire(LOOK).signals["ADF1"].data.min() == 65536 - DARK


def test_the_emission_is_read_where_the_gun_is_a_fields() -> None:
    with column() as (made, _, scope):
        assert scope.state().emission == Reading(value=float(EMISSION_UA), unit="µA", age_s=0.0)
        made.quirks.emits = False
        assert scope.state().emission.value == 0.0
        assert "the emission is read" not in registry.lacks(registry.parse(BLOCK))
    with column(emission=False) as (_, _, scope):
        assert scope.state().emission is None
        assert "the emission is read" in registry.lacks(registry.parse({**BLOCK, "emission": False}))
