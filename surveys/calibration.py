"""One calibration, from a config to what is stored: open, measure, put in words that a driver reads."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.load import ConfigError
from instruments import column
from instruments.calibration import (
    GOOD_FOR,
    BacklashEntry,
    Calibration,
    FieldOfViewEntry,
    FocusEntry,
    StageEntry,
    StigmatorEntry,
    missing,
)
from instruments.clock import RealClock, SimulatedClock
from instruments.crew import Plan
from instruments.drivers.orientation import STRAIGHT
from instruments.drivers.registry import open_microscope
from instruments.errors import NotSupported
from instruments.guard import Guard
from instruments.guard_client import GuardClient
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from instruments.types import Exposure
from surveys.calibrating import Say, StageFound, foretold, judged, measure_stage
from surveys.calibrating_focus import FocusFound, measure_focus
from surveys.calibrating_stigmators import StigmatorsFound, measure_stigmators
from surveys.calibrating_view import ViewFound, measure_view
from surveys.guarding import apart

if TYPE_CHECKING:
    from configs.load import Settings
    from instruments.clock import Clock
    from instruments.limits import Limits
    from instruments.protocol import Guarded
    from surveys.settings import SurveySettings

PRESUMED_NM_AT_1X = 1e8
"""Field of view at a magnification of 1, before it was measured: within a factor of two on the columns that we know."""
_UNSURE = 4.0
"""The fluence may be so many times what is booked while that is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be measured, and how."""

    exposure: Exposure
    """For the stage, and for a lattice."""
    close: Exposure
    """For the focus: fine structure shows."""
    approach_nm: float
    """More than the play of the stage."""
    repeats: int = 3
    period_nm: float | None = None
    """Of the lattice that is in view; None: the field of view is measured by the stage, where it is not known."""
    focus_units: float | None = None
    """How far the focus may go to either side; None: the focus is not measured."""
    stig_units: float | None = None
    """How far the stigmators are turned, each; None: they are not measured. They need ``focus_units``, too."""
    raise_nm: float = 300.0
    """How far the stage goes up for that."""
    name: str | None = None
    good_for: timedelta = GOOD_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of it."""

    calibration: Calibration
    stage: StageFound
    view: ViewFound | None
    focus: FocusFound | None
    electrons: float
    field_of_view_nm: float
    """Of the frames, as asked."""


def calibrate(
    settings: SurveySettings,
    wish: Wish,
    now: datetime,
    say: Say,
    before: Calibration | None = None,
    clock: Clock | None = None,
) -> Measured:
    """Measure through a guard, within a small box around where the stage stands.

    Args:
        settings: of a survey on this instrument: its guard and its limits hold here, too.
        wish: what is to be measured.
        now: the day's time, that the file tells.
        say: told what is being done.
        before: an earlier calibration, whose other entries are kept.
        clock: that is waited by, where the guard lives in this process; None: the instrument's own.

    Raises ConfigError, InstrumentError.
    """
    bare, assumed = _presumed(settings.instrument, before)
    with tempfile.TemporaryDirectory() as folder:
        guard = _opened(settings, bare, wish, assumed, Path(folder), clock)
        try:
            voltage_kV = guard.state().optics.voltage_kV
            view = None if wish.period_nm is None else measure_view(guard, wish.exposure, wish.period_nm)
            stage = measure_stage(guard, wish.exposure, approach_nm=wish.approach_nm, repeats=wish.repeats, say=say)
            focus = None
            if wish.focus_units is not None:
                focus = measure_focus(
                    guard,
                    wish.close,
                    reach_units=wish.focus_units,
                    raise_nm=wish.raise_nm,
                    approach_nm=wish.approach_nm,
                    say=say,
                )
            stig = None
            if wish.focus_units is not None and wish.stig_units is not None:
                reach = {"reach_units": wish.focus_units, "step_units": wish.stig_units}
                stig = measure_stigmators(guard, wish.close, say=say, **reach)
            electrons = guard.ledger.electrons()
        finally:
            guard.close()
    told = {"measured_at": now, "voltage_kV": voltage_kV}
    found = _entries(bare, assumed, told, wish, stage, view, focus)
    if stig is not None:
        found["stigmators"] = _stigmators(bare, told, wish, stig, found.get("focus"))
    kept = {} if before is None else {name: value for name, value in before.model_dump().items() if value}
    about = {"instrument": getattr(bare, "kind", ""), "adaptem": _version(), "good_until": now + wish.good_for}
    named = {"name": wish.name or kept.get("name")}
    calibration = Calibration.model_validate({**kept, **about, **named, **found})
    return Measured(
        calibration=calibration,
        stage=stage,
        view=view,
        focus=focus,
        electrons=electrons,
        field_of_view_nm=wish.exposure.field_of_view_nm,
    )


def check_calibration(settings: SurveySettings, exposure: Exposure, approach_nm: float) -> float:
    """One move with what is stored: how far off it ended, in nm. Raises CannotCalibrate where it does not hold."""
    wish = Wish(exposure=exposure, close=exposure, approach_nm=approach_nm)
    with tempfile.TemporaryDirectory() as folder:
        guard = _opened(settings, settings.instrument, wish, set(), Path(folder), None)
        try:
            return foretold(guard, exposure, approach_nm)
        finally:
            guard.close()


def _presumed(instrument: Settings, before: Calibration | None) -> tuple[Settings, set[str]]:
    """The instrument with its stage's own axes, and values to begin with where none are known; which those are."""
    if "stage_to_image" not in type(instrument).model_fields:
        raise NotSupported(
            f"{getattr(instrument, 'kind', 'this')} speaks in the image's axes already: nothing to calibrate here"
        )
    raw = instrument.model_copy(update={"stage_to_image": None, "calibration": None})
    told = set() if before is None else {name for name in before.settings() if getattr(raw, name, None) is None}
    known = raw if before is None else raw.model_copy(update={name: before.settings()[name] for name in told})
    assumed = set(missing(known)) - {"stage_to_image"}
    begin: dict[str, Any] = {
        "field_of_view_nm_at_1x": PRESUMED_NM_AT_1X,
        "defocus_nm_per_unit": 1.0,
        "stig_nm_per_unit": STRAIGHT,
    }
    values = {name: begin[name] for name in assumed if name in begin}
    return known.model_copy(update={**values, "stage_to_image": STRAIGHT}), assumed & set(values)


def _opened(
    settings: SurveySettings, bare: Settings, wish: Wish, assumed: set[str], folder: Path, clock: Clock | None
) -> Guarded:
    """A guard over it, with limits that hold in the stage's own axes."""
    if clock is None:
        clock = RealClock() if getattr(bare, "real_time", True) else SimulatedClock()
    with column.held(bare):
        scope = open_microscope(bare, seed=settings.seed, clock=clock)
        try:
            limits = _box(settings.limits, wish, assumed, scope.state())
            if not apart(settings):
                return Guard(scope, limits, MemoryLedger(), clock, SIMULATED)
        except BaseException:
            scope.close()
            raise
        scope.close()
    plan = Plan(
        instrument=bare,
        limits=limits,
        ledger=folder / "ledger.sqlite",
        seed=settings.seed,
        truth=folder / "truth.jsonl",
        log=folder / "guard.log",
    )
    return GuardClient(plan)


def _box(limits: Limits, wish: Wish, assumed: set[str], state: Any) -> Limits:
    """The survey's limits are in the image's axes, which nobody knows yet: a box around the start takes their place."""
    if state.stage.x_nm is None or state.stage.y_nm is None:
        raise NotSupported("a stage was to be calibrated that does not read x and y: see to the stage")
    # short moves are a twelfth of the view, long ones half of it at the most: where it is half as wide as is said
    reach_nm = wish.exposure.field_of_view_nm + 2 * wish.approach_nm + limits.backlash_nm
    box: dict[str, Any] = {
        "x_nm": (state.stage.x_nm - reach_nm, state.stage.x_nm + reach_nm),
        "y_nm": (state.stage.y_nm - reach_nm, state.stage.y_nm + reach_nm),
    }
    if "field_of_view_nm_at_1x" in assumed:
        box["max_fluence_e_per_A2"] = limits.max_fluence_e_per_A2 / _UNSURE
    if "defocus_nm_per_unit" in assumed and wish.focus_units is not None:
        start = state.optics.defocus_nm or 0.0
        box["defocus_nm"] = (start - wish.focus_units, start + wish.focus_units)
    if "stig_nm_per_unit" in assumed and wish.stig_units is not None:
        box["stig_nm"] = (-2 * wish.stig_units, 2 * wish.stig_units)
    return limits.model_copy(update=box)


def _entries(
    bare: Settings,
    assumed: set[str],
    told: dict[str, Any],
    wish: Wish,
    stage: StageFound,
    view: ViewFound | None,
    focus: FocusFound | None,
) -> dict[str, Any]:
    """What was found, by the names of a calibration's entries."""
    width_nm, at_1x_nm = wish.exposure.field_of_view_nm, getattr(bare, "field_of_view_nm_at_1x", None)
    by_stage = view is None and "field_of_view_nm_at_1x" in assumed
    judged(stage, pixels_known=not by_stage and view is None)
    longer = 1.0  # how much longer pixels are than the driver was told
    found: dict[str, Any] = {}
    if at_1x_nm is not None and (by_stage or view is not None):
        longer = 1 / stage.scale if view is None else view.found_nm / view.asked_nm
        std_nm = width_nm * longer * stage.std if view is None else view.std_nm
        how = "by the stage's moves" if view is None else f"by a lattice of {wish.period_nm:g} nm"
        entry = FieldOfViewEntry(
            **told, how=how, asked_nm=width_nm, found_nm=width_nm * longer, std_nm=std_nm, at_1x_nm=at_1x_nm * longer
        )
        found["fields_of_view"] = (entry,)
    elif view is not None:
        how = f"by a lattice of {wish.period_nm:g} nm"
        entry = FieldOfViewEntry(**told, how=how, asked_nm=width_nm, found_nm=view.found_nm, std_nm=view.std_nm)
        found["fields_of_view"] = (entry,)
    (a, b), (c, d) = (stage.matrix * longer).tolist()
    how = f"{wish.repeats} times there and back along each axis, in frames {width_nm:g} nm wide"
    try:
        found["stage_to_image"] = StageEntry(
            **told, how=how, matrix=((a, b), (c, d)), std=stage.std, move_nm=stage.move_nm, check_nm=stage.check_nm
        )
    except ValueError as error:
        raise ConfigError(f"the field of view and the stage contradict each other: {error}") from error
    x_nm, y_nm = stage.backlash_nm
    how = f"coming from {wish.approach_nm:g} nm above, and from as far below"
    found["backlash"] = BacklashEntry(**told, how=how, x_nm=x_nm, y_nm=y_nm, std_nm=stage.backlash_std_nm)
    if focus is not None:
        per_unit = getattr(bare, "defocus_nm_per_unit", None) or 1.0
        how = f"by raising the stage by {focus.raised_nm:.4g} nm, at most {wish.focus_units:g} units away"
        found["focus"] = FocusEntry(
            **told,
            how=how,
            nm_per_unit=focus.nm_per_unit * per_unit,
            std_nm_per_unit=focus.std_nm_per_unit * abs(per_unit),
        )
    return found


def _stigmators(
    bare: Settings, told: dict[str, Any], wish: Wish, stig: StigmatorsFound, focus: FocusEntry | None
) -> StigmatorEntry:
    """In nm: the focus that they were measured against counts units where it was not calibrated before."""
    known = getattr(bare, "defocus_nm_per_unit", None)
    nm = 1.0 if focus is None or not known else focus.nm_per_unit / known
    matrix = stig.matrix * nm @ np.array(getattr(bare, "stig_nm_per_unit", None) or STRAIGHT)
    (a, b), (c, d) = matrix.tolist()
    how = f"by sweeps of the focus along four directions, the stigmators turned by {wish.stig_units:g} units"
    return StigmatorEntry(**told, how=how, nm_per_unit=((a, b), (c, d)), std_nm_per_unit=stig.std * abs(nm))


def _version() -> str:
    try:
        return metadata.version("adaptem")
    except metadata.PackageNotFoundError:
        return "from source"
