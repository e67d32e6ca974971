"""What was measured of an instrument, when and how: a file beside the config that its driver reads at opening.

    instrument: {kind: jeol, calibration: jeol.calibration.yaml}

``adaptem calibrate`` writes it. Every entry is named after the setting of a driver that it fills, and says how far it
may be off; an entry that a driver has no setting for is left alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AwareDatetime, Field, ValidationError

from configs.load import ConfigError, Settings, load
from instruments.drivers.orientation import Matrix, StageToImage
from instruments.errors import NotCalibrated

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.types import State

Ratio: TypeAlias = float
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
S = TypeVar("S", bound=Settings)

GOOD_FOR = timedelta(days=180)
"""After so long a calibration is measured again, unless the file says otherwise."""
_VOLTAGE: Ratio = 0.01
"""A column whose high tension is off by more than this part turns and magnifies in another way."""


class Entry(Settings):
    """What all measurements have in common."""

    measured_at: AwareDatetime
    how: str
    """In words: what was moved and imaged, how often."""
    voltage_kV: Positive | None = None
    """It was measured at, and is good for; None: not known."""


class StageEntry(Entry):
    """Where the stage moves the image, by moves that were seen in it."""

    matrix: StageToImage
    """((column per x, column per y), (row per x, row per y)), nm in the image per nm of the stage."""
    std: Annotated[Ratio, Field(ge=0)]
    """Of each of its numbers: standard error of the mean."""
    move_nm: Positive
    """How far the moves went."""
    check_nm: NotNegative
    """How far from where the matrix foretold it the image stood after a move that it was not made from."""


class BacklashEntry(Entry):
    """How far the specimen stays behind when a motion turns round."""

    x_nm: float
    y_nm: float
    std_nm: NotNegative


class FieldOfViewEntry(Entry):
    """How wide a frame really is, by something of known length in it."""

    asked_nm: Positive
    found_nm: Positive
    std_nm: NotNegative
    at_1x_nm: Positive | None = None
    """Field of view times magnification, for instruments that are told a magnification."""


class FocusEntry(Entry):
    """What a unit of the focus knob, a click, is in nm."""

    nm_per_unit: float
    """< 0 where turning it up is underfocus."""
    std_nm_per_unit: NotNegative


class StigmatorEntry(Entry):
    """What units of the two stigmators are in nm of two-fold astigmatism."""

    nm_per_unit: Matrix
    """((a per x, a per y), (b per x, b per y))."""
    std_nm_per_unit: NotNegative


class Calibration(Settings):
    """Everything that was measured of one instrument."""

    schema_version: Literal[1] = 1
    instrument: str
    """``kind`` of the config that it was measured with."""
    name: str | None = None
    """Of the column, where a laboratory has several of a kind."""
    adaptem: str
    """Version that measured."""
    good_until: AwareDatetime
    """From then on it is measured again before anything moves."""
    stage_to_image: StageEntry | None = None
    backlash: BacklashEntry | None = None
    fields_of_view: tuple[FieldOfViewEntry, ...] = ()
    focus: FocusEntry | None = None
    stigmators: StigmatorEntry | None = None

    def settings(self) -> dict[str, Any]:
        """Values by the name of the driver's setting."""
        found: dict[str, Any] = {}
        if self.stage_to_image is not None:
            found["stage_to_image"] = self.stage_to_image.matrix
        if self.focus is not None:
            found["defocus_nm_per_unit"] = self.focus.nm_per_unit
        if self.stigmators is not None:
            found["stig_nm_per_unit"] = self.stigmators.nm_per_unit
        at_1x = [entry.at_1x_nm for entry in self.fields_of_view if entry.at_1x_nm is not None]
        if at_1x:
            found["field_of_view_nm_at_1x"] = sum(at_1x) / len(at_1x)
        return found

    def entries(self) -> tuple[Entry, ...]:
        """All that was measured."""
        one = (self.stage_to_image, self.backlash, self.focus, self.stigmators)
        return (*(entry for entry in one if entry is not None), *self.fields_of_view)


MEASURED = ("stage_to_image", "field_of_view_nm_at_1x", "defocus_nm_per_unit", "stig_nm_per_unit")
"""Settings of drivers that a calibration fills; None: not yet measured."""


def missing(settings: Settings) -> list[str]:
    """What this driver needs measured and does not know yet; settings that need not all of it say so by ``needs()``."""
    needed = getattr(settings, "needs", lambda: [name for name in MEASURED if name in type(settings).model_fields])()
    return [name for name in needed if getattr(settings, name) is None]


def in_words(settings: Settings, now: datetime) -> tuple[bool, str]:
    """Whether all is measured that this instrument needs, and when that was, or what is wrong."""
    try:
        known, calibration = applied(settings, now)
    except (ConfigError, NotCalibrated) as error:
        return False, f"no: {error}"
    lacking = missing(known)
    told = "yes" if not lacking else "not " + ", ".join(lacking)
    if calibration is None:
        return not lacking, told
    when = max((entry.measured_at for entry in calibration.entries()), default=calibration.good_until)
    return not lacking, f"{told}, of {when:%Y-%m-%d}, good until {calibration.good_until:%Y-%m-%d}"


def read(path: Path) -> Calibration:
    """Raises ConfigError: no such file, not a calibration, or one whose numbers cannot be right."""
    if not path.exists():
        raise ConfigError(
            f"instrument.calibration: {path}: there is no such file; measure it: adaptem calibrate CONFIG"
        )
    try:
        return load(path, Calibration)
    except ConfigError as error:
        hint = "measure it anew: adaptem calibrate CONFIG"
        raise ConfigError(*(f"instrument.calibration: {problem}; {hint}" for problem in error.problems)) from error


def applied(settings: S, now: datetime) -> tuple[S, Calibration | None]:
    """The settings with what their calibration's file says, and the calibration; as they are where they name none.

    Raises:
        ConfigError: the file cannot be read, or says again what the config says.
        NotCalibrated: it is of another instrument, or too old.
    """
    path: Path | None = getattr(settings, "calibration", None)
    if path is None:
        return settings, None
    found, kind = read(path), getattr(settings, "kind", None)
    name = getattr(settings, "name", None)
    if found.instrument != kind or (found.name is not None and name is not None and found.name != name):
        raise NotCalibrated(
            f"{path} was measured on {found.instrument} {found.name or ''}, this instrument is {kind} {name or ''}: "
            "give it its own, by adaptem calibrate"
        )
    if now > found.good_until:
        when = max((entry.measured_at for entry in found.entries()), default=found.good_until)
        raise NotCalibrated(
            f"{path} was measured on {when:%d %B %Y} and was good until {found.good_until:%d %B %Y}: measure again "
            "(adaptem calibrate), or, where nothing has changed, set its good_until to a later day"
        )
    return filled(settings, found), found


def filled(settings: S, calibration: Calibration) -> S:
    """The settings with what was measured. Raises ConfigError where they say it themselves, or refuse it."""
    values = {name: value for name, value in calibration.settings().items() if name in type(settings).model_fields}
    path = getattr(settings, "calibration", None)
    if twice := [name for name in values if getattr(settings, name) is not None]:
        raise ConfigError(f"instrument: {', '.join(twice)} stands in the config and in {path}: leave it out of one")
    try:
        return type(settings).model_validate({**settings.model_dump(), **values, "calibration": None})
    except ValidationError as error:
        raise ConfigError(*(f"{path}: {line['msg']}" for line in error.errors(include_url=False))) from error


def check_voltage(calibration: Calibration, state: State) -> None:
    """Raises NotCalibrated where the column stands at another high tension than the calibration is for."""
    found_kV = state.optics.voltage_kV
    for entry in calibration.entries():
        if found_kV and entry.voltage_kV and abs(found_kV / entry.voltage_kV - 1) > _VOLTAGE:
            raise NotCalibrated(
                f"the calibration was measured at {entry.voltage_kV:g} kV, the column stands at {found_kV:g} kV, where "
                "images turn and magnify in another way: calibrate at this one, and keep a file for each"
            )
