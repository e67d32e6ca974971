"""Where the guard lives: in this process for simulation and replay, in its own for an instrument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from configs.load import ConfigError
from instruments import column
from instruments.checks import READS
from instruments.clock import Clock, RealClock, SimulatedClock
from instruments.crew import Plan
from instruments.drivers import registry
from instruments.drivers.registry import open_microscope
from instruments.guard import Guard
from instruments.guard_checks import unread
from instruments.guard_client import GuardClient
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import SIMULATED
from instruments.remote import RemoteMicroscope, RemoteSettings, token_in
from surveys.readonly import HandsOff, ReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archive.folder import SurveyFolder
    from configs.load import Settings
    from instruments.limits import Interlock, Limits
    from instruments.protocol import Guarded, Microscope
    from instruments.types import State
    from surveys.settings import SurveySettings


def in_own_process(settings: SurveySettings) -> bool:
    """Whether a survey's guard gets a process of its own. An adviser touches nothing, so it needs none."""
    return settings.autonomy != "advise" and apart(settings)


def apart(settings: SurveySettings) -> bool:
    """Whether whoever moves and exposes, survey or not, does so through a guard in a process of its own."""
    return settings.guard == "process" or not registry.simulated(settings.instrument)


def waived(settings: SurveySettings, state: Callable[[], State]) -> dict[Interlock, str]:
    """What this instrument cannot tell, and why its survey does without; nothing for a world that is no instrument.

    Raises ConfigError where an interlock neither reads nor is waived.
    """
    if settings.autonomy == "advise" or registry.simulated(settings.instrument):
        return {}
    silent, reasons = sorted(unread(state())), settings.limits.waived
    if missing := [name for name in silent if name not in reasons]:
        lacks, kind = registry.lacks(settings.instrument), getattr(settings.instrument, "kind", "")
        raise ConfigError(
            *(
                f"limits.waived.{name}: {kind} tells nothing of this interlock"
                f"{f' ({lacks[READS[name]]})' if READS[name] in lacks else ''}: write here who sees to it instead, and "
                "why that is enough"
                for name in missing
            )
        )
    return {name: reasons[name] for name in silent}


def looked_at(instrument: RemoteSettings, clock: Clock) -> RemoteMicroscope:
    """An instrument behind its driver server, to be read: for a pilot, who comes or is silent, the server blanks."""
    return RemoteMicroscope(instrument, token_in(instrument.token_file), clock, role="adviser")


class Guardable(Protocol):
    """Of a config, what a guard in a process of its own is begun with."""

    @property
    def instrument(self) -> Settings: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def seed(self) -> int: ...


def open_apart(settings: Guardable, place: SurveyFolder, truth: Path, start_s: float) -> tuple[Guarded, Clock]:
    """A guard in a process of its own, and the instrument's clock. Raises InstrumentError."""
    plan = Plan(
        instrument=settings.instrument,
        limits=settings.limits,
        ledger=place.ledger,
        seed=settings.seed,
        truth=truth,
        log=place.path / "guard.log",
    )
    client = GuardClient(plan, start_s)
    return client, client.clock


def open_guarded(settings: SurveySettings, place: SurveyFolder, truth: Path, start_s: float) -> tuple[Guarded, Clock]:
    """The guard that the settings ask for, and the instrument's clock. Raises InstrumentError, ConfigError."""
    if in_own_process(settings):
        return open_apart(settings, place, truth, start_s)
    clock: Clock = (RealClock if getattr(settings.instrument, "real_time", True) else SimulatedClock)(start_s)
    advises = settings.autonomy == "advise"
    if advises and (why := registry.no_adviser(settings.instrument)) is not None:
        raise ConfigError(f"autonomy: advise was asked, and {why}: use kind: remote to look, or autonomy: confirm")
    held = column.take(settings.instrument)
    try:
        if advises and isinstance(settings.instrument, RemoteSettings):
            microscope: Microscope = looked_at(settings.instrument, clock)
        else:
            microscope = open_microscope(settings.instrument, seed=settings.seed, clock=clock, truth=truth)
    except BaseException:
        held.release()
        raise
    try:
        ledger = SqliteLedger(place.ledger)
        if advises:
            return HandsOff(
                ReadOnly(microscope, held), settings.limits, ledger, clock, SIMULATED
            ), clock  # exposes nothing
        return Guard(microscope, settings.limits, ledger, clock, SIMULATED), clock
    except BaseException:
        if not advises:  # closing blanks, and the beam is the operator's
            microscope.close()
        held.release()
        raise
