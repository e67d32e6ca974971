"""Every kind of instrument by its name. A driver is imported when it is asked for, not before.

A laboratory adds its own by an entry point in the group ``adaptem.drivers``: the name is the ``kind``, the object is a
``Driver`` (an instance, or a module with the same two names).
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast

from configs.load import ConfigError, Settings
from instruments.calibration import applied, check_voltage
from instruments.drivers.vendor import installed, there

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from instruments.clock import Clock
    from instruments.protocol import Microscope

GROUP = "adaptem.drivers"

_BUILT_IN = {
    "simulated": "instruments.simulated.driver",
    "movie": "instruments.movie",
    "replay": "instruments.replay",
    "remote": "instruments.remote",
    "autoscript": "instruments.drivers.autoscript",
    "de": "instruments.drivers.de",
    "digitalmicrograph": "instruments.drivers.digitalmicrograph",
    "detwin": "instruments.drivers.detwin",
    "faulty": "instruments.faulty",
    "jeol": "instruments.drivers.jeol",
    "micromanager": "instruments.drivers.micromanager",
    "nion": "instruments.drivers.nion",
    "serialem": "instruments.drivers.serialem",
    "thermofisher": "instruments.drivers.thermofisher",
}


class Driver(Protocol):
    """What stands behind a kind."""

    @property
    def SETTINGS(self) -> type[Settings]:
        """Its settings; the field ``kind`` has this driver's name."""
        ...

    def open_microscope(self, settings: Any, *, seed: int, clock: Clock, truth: Path | None) -> Microscope: ...


def kinds() -> tuple[str, ...]:
    """Names of every driver that is installed."""
    return tuple(sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def parse(settings: Mapping[str, Any]) -> Settings:
    """Settings of the driver that ``settings["kind"]`` names.

    Raises:
        ConfigError: no such kind.
        pydantic.ValidationError: the driver's settings refuse the values.
    """
    return _driver(settings.get("kind")).SETTINGS.model_validate(dict(settings))


def block(value: Any) -> Settings:
    """A config's block ``instrument``, for a validator: its problems keep their place. Raises ValueError."""
    if isinstance(value, Settings):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"an instrument is a block that begins with its kind ({', '.join(kinds())})")
    try:
        return parse(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def open_microscope(settings: Settings, *, seed: int, clock: Clock, truth: Path | None = None) -> Microscope:
    """The instrument that ``settings`` describe.

    Args:
        settings: as ``parse`` gave them.
        seed: of a simulated world; others ignore it.
        clock: that waits and time stamps go by.
        truth: where a simulated world writes what really happened; others ignore it.

    What its calibration's file says is put into the settings.

    Raises:
        ConfigError: no such kind, or a calibration that cannot be read.
        NotCalibrated: a calibration of another instrument, of another high tension, or too old.
        InstrumentError: the instrument cannot be opened.
    """
    known, calibration = applied(settings, datetime.now(UTC))
    scope = _driver(getattr(settings, "kind", None)).open_microscope(known, seed=seed, clock=clock, truth=truth)
    if calibration is not None:
        try:
            check_voltage(calibration, scope.state())
        except BaseException:
            scope.close()
            raise
    return scope


def lacks(settings: Settings) -> Mapping[str, str]:
    """What this instrument is known to lack, and why: names of checks (``instruments.checks``), or capabilities.

    A driver declares it by a function ``lacks(settings)``; one without has nothing to declare.
    """
    declared = getattr(_driver(getattr(settings, "kind", None)), "lacks", None)
    return {} if declared is None else dict(declared(settings))


def simulated(settings: Settings) -> bool:
    """Whether there is no instrument behind it, and no beam that could be left on.

    A driver says so by a function ``simulated(settings)``; one without drives an instrument.
    """
    says = getattr(_driver(getattr(settings, "kind", None)), "simulated", None)
    return False if says is None else bool(says(settings))


def no_adviser(settings: Settings) -> str | None:
    """Why this instrument cannot be looked at beside its operator without a blank; None where it can, or once at most.

    A driver says so by ``NO_ADVISER``.
    """
    return getattr(_driver(getattr(settings, "kind", None)), "NO_ADVISER", None)


def needs(kind: str) -> dict[str, str | None]:
    """The packages that a driver needs beyond adaptem's own, with the version that is installed. Raises ConfigError.

    A driver whose ``NEEDS`` come with the vendor's software, not from a package index, says so by ``SUPPLIED_BY``.
    """
    driver = _driver(kind)
    version = installed if getattr(driver, "SUPPLIED_BY", None) is None else there
    return {package: version(package) for package in getattr(driver, "NEEDS", ())}


def comes_from(kind: str) -> str:
    """How to get what a driver needs. Raises ConfigError."""
    supplied_by: str | None = getattr(_driver(kind), "SUPPLIED_BY", None)
    return f"pip install 'adaptem[{kind}]'" if supplied_by is None else f"it comes with {supplied_by}"


def _driver(kind: object) -> Driver:
    if isinstance(kind, str):
        if kind in _BUILT_IN:
            return cast("Driver", importlib.import_module(_BUILT_IN[kind]))
        for point in entry_points(group=GROUP, name=kind):
            return cast("Driver", point.load())
    near = get_close_matches(str(kind), kinds(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"instrument.kind: {kind!r} is no driver that is installed ({', '.join(kinds())}){hint}")
