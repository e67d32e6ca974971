"""A night's parts, put together: instrument, guard, record, specimens.

settings ─► guarding ─► Guard over a microscope, or GuardClient to its process ─► SurveyEnv ─► Session (one specimen)
folder   ─► lock ─► journal, frames, ledger ──────────────────────────────────────┘
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pydantic import ValidationError

from agent.factory import make_skills
from agent.prior import Prior
from archive.folder import Meta, SurveyFolder
from archive.journal import utc_now
from archive.reader import SurveyReader
from archive.recorder import SurveyRecorder
from configs.load import ConfigError
from envs.scoring import make_scorer
from envs.survey_env import Situation, SurveyEnv
from instruments.clock import Clock, RealClock
from instruments.errors import InstrumentError
from instruments.ledger_sqlite import free_bytes
from instruments.powers import HasDiffraction, HasLoader, HasSpectra
from instruments.protocol import Guarded
from surveys.calibrated import check_measured
from surveys.dryrun import Plan, plan
from surveys.guarding import open_guarded, waived
from surveys.learned import Learned, load_learned
from surveys.loading import bring
from surveys.requests import forget_stale
from surveys.resume import report_cut_off
from surveys.session import Session
from surveys.settings import SurveySettings, recorded
from surveys.signals import Interruption
from surveys.task import survey_task
from surveys.warm_start import begin_warm, go_on_warm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from instruments.limits import Interlock

Ratio: TypeAlias = float

_CURRENT_TOLERANCE: Ratio = 0.2
_BYTES_PER_VALUE = 4
"""Of a count in a spectrum or pattern, at most; before compression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """Everything ``run_survey`` works with."""

    settings: SurveySettings
    place: SurveyFolder
    record: SurveyRecorder
    reader: SurveyReader
    guard: Guarded
    clock: Clock
    """The instrument's."""
    people: Clock
    """The one that people live by: pauses and deadlines for answers."""
    stop: Interruption
    learned: Learned | None = None
    """What labels of earlier surveys taught; None = flags are ranked by surprise."""
    prior: Prior | None = None
    """What earlier surveys of like specimens left to the agent; None = it begins without."""

    @property
    def folder(self) -> Path:
        return self.place.path

    def begin(self, number: int) -> Session:
        """The specimen of this number, loaded, with all that the journal knows of it. Raises InstrumentError."""
        specimen = self.settings.specimens[number]
        if specimen.position is not None:
            bring(self.guard, specimen.position)
        settings = self.settings
        self._check_current()
        env = SurveyEnv(
            Situation(
                guard=self.guard,
                clock=self.clock,
                task=survey_task(settings, number),
                scorer=make_scorer(settings.scorer),
                skills=make_skills(settings.skills),
                recorder=self.record,
                decision_time_s=0.0 if getattr(settings.instrument, "real_time", True) else settings.decision_time_s,
                seed=settings.seed,
                specimen=specimen.name,
            )
        )
        session = Session(settings, number, env, self.record, self.learned, self.prior)
        report_cut_off(session, self.reader)
        return session

    def _check_current(self) -> None:
        """Raises InstrumentError where the probe current is not the one that was planned with."""
        planned, found = self.settings.current_pA, self.guard.state().optics.current_pA
        if planned is not None and found is not None and not abs(found - planned) <= _CURRENT_TOLERANCE * planned:
            raise InstrumentError(
                f"planned with current_pA {planned:g}, found a probe current of {found:g} pA: "
                "set the one or the other, so that dose and time come out as planned"
            )

    def event(self, kind: str, message: str, **data: object) -> None:
        """Write down a remark, with the instrument's time."""
        self.record.event(kind, message, time_s=self.clock.now_s(), data=data)

    def blank(self) -> None:
        """Blank; where that fails the guard has latched, and the fault is written down."""
        try:
            self.guard.blank()
        except InstrumentError as error:
            self.event("fault", f"blanking failed: {error}", error=type(error).__name__)
            self.event("reply", "latched: nothing moves or is exposed until a person has looked")

    def close(self) -> None:
        """Let go of instrument and folder, of each whatever the others raise. Safe twice."""
        with ExitStack() as parting:
            for close in (self.place.close, self.record.close, self.reader.close, self._let_go):  # the last comes first
                parting.callback(close)

    def _let_go(self) -> None:
        """Close the guard, which blanks; where that fails it has latched, and the night's end is told all the same."""
        try:
            self.guard.close()
        except InstrumentError as error:
            self.event("fault", f"letting go of the instrument failed: {error}", error=type(error).__name__)


class Filed(Protocol):
    """Of a config, what names the folders of its records."""

    @property
    def out(self) -> Path: ...

    @property
    def name(self) -> str: ...


def default_folder(settings: Filed) -> Path:
    """The first of NAME-001, NAME-002, … in ``settings.out`` of which nothing exists, a world's truth neither."""
    number = 1
    while (folder := settings.out / f"{settings.name}-{number:03d}").exists() or truth_beside(folder).exists():
        number += 1
    return folder


def truth_beside(folder: Path) -> Path:
    """Where a simulated world keeps its truth unless the settings say otherwise."""
    return folder.with_name(f"{folder.name}.truth.jsonl")


def check_no_truth(truth: Path) -> None:
    """Raises ConfigError where a world keeps its truth already: a new one would go on where that one ended."""
    if truth.exists():
        raise ConfigError(f"{truth}: another survey's world keeps its truth here; remove it, or use another folder")


def open_night(
    settings: SurveySettings,
    folder: Path,
    *,
    people: Clock | None = None,
    free_bytes: Callable[[Path], int] = free_bytes,
    planned: Plan | None = None,
) -> Night:
    """Begin a survey in a new folder. Nothing moves yet.

    ``planned``: the plan of these very settings, where it was made before.

    Raises ConfigError for a budget that cannot pay for one look, FolderError, InstrumentError; a folder that was made
    for a survey that cannot begin is taken away again.
    """
    planned = planned or plan(settings)
    check_measured(settings)
    truth = settings.truth or truth_beside(folder)
    before = set(folder.iterdir()) if folder.is_dir() else None
    meta = Meta.new(
        created=utc_now(),
        seed=settings.seed,
        config=settings.model_dump(mode="json"),
        who=settings.who.model_dump(mode="json"),
    )
    place = SurveyFolder.create(folder, meta, room_bytes=planned.first_look_bytes)
    free = not truth.exists()
    try:
        check_no_truth(truth)
        return _assemble(settings, place, people, free_bytes, fresh=True)
    except BaseException:
        place.close()
        _take_away(folder, before)
        if free:
            truth.unlink(missing_ok=True)
        raise


def _take_away(folder: Path, before: set[Path] | None) -> None:
    """Remove what was just made in ``folder``, and the folder too where it was not there before."""
    for path in set(folder.iterdir()) - (before or set()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if before is None:
        folder.rmdir()


def resume_night(folder: Path, *, people: Clock | None = None) -> Night:
    """Go on with the survey in ``folder``. Raises FolderError, JournalError, ConfigError, InstrumentError."""
    place = SurveyFolder.open(folder)
    try:
        return _assemble(recorded(place.meta.config), place, people, free_bytes, fresh=False)
    except ValidationError as error:
        place.close()
        lines = (f"{folder / 'survey.json'}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(*lines) from error
    except BaseException:
        place.close()
        raise


def _assemble(
    settings: SurveySettings,
    place: SurveyFolder,
    people: Clock | None,
    free_bytes: Callable[[Path], int],
    *,
    fresh: bool,
) -> Night:
    with ExitStack() as undone:  # unless all of it opens
        record = SurveyRecorder(place, free_bytes=free_bytes)
        undone.callback(record.close)
        start_s = record.rows.last_s()  # a clock never runs backwards, not over a resume either
        guard, clock = open_guarded(settings, place, settings.truth or truth_beside(place.path), start_s)
        undone.callback(guard.close)
        if any(specimen.position for specimen in settings.specimens) and guard.power(HasLoader) is None:
            raise ConfigError(
                "specimens have a position, but this instrument has no loader: leave it out, load by hand"
            )
        _tell_waived(record, waived(settings, guard.state), clock.now_s())
        record.expect(_large_signals(guard))
        forget_stale(record)
        _tell_damages(record, clock.now_s())
        learned = _learned(settings, record, clock.now_s())
        prior = begin_warm(settings, place.path, record, clock.now_s()) if fresh else go_on_warm(place.path, record)
        undone.pop_all()
    return Night(
        settings=settings,
        place=place,
        record=record,
        reader=SurveyReader(place.path),
        guard=guard,
        clock=clock,
        people=people or RealClock(),
        stop=Interruption(),
        learned=learned,
        prior=prior,
    )


def _learned(settings: SurveySettings, record: SurveyRecorder, now_s: float) -> Learned | None:
    """As it is now, whatever becomes of its folder in the night; which version it was is in the record."""
    if settings.flagging.learned is None:
        return None
    found = load_learned(settings.flagging.learned)
    told = f"flags are ranked by {settings.flagging.learned}, version {found.version}"
    record.event("learned", told, time_s=now_s, data={"version": found.version, "hash": found.hash})
    return found


def _large_signals(guard: Guarded) -> dict[str, int]:
    """Bytes at one pixel of the signals that are read only where they are named."""
    spectra, diffraction = guard.power(HasSpectra), guard.power(HasDiffraction)
    channels = {} if spectra is None else dict(spectra.channels())
    patterns = {} if diffraction is None else diffraction.patterns()
    values = channels | {name: rows * columns for name, (rows, columns) in patterns.items()}
    return {name: count * _BYTES_PER_VALUE for name, count in values.items()}


def _tell_waived(record: SurveyRecorder, without: Mapping[Interlock, str], now_s: float) -> None:
    """What the instrument does not tell, and who answers for it: in the record before anything moves."""
    for name, reason in without.items():
        record.event("waived", f"{name} does not read: {reason}", time_s=now_s, data={"interlock": name})


def _tell_damages(record: SurveyRecorder, now_s: float) -> None:
    """Committed frames that are missing or changed: found at the start, and never passed over in silence."""
    told = {event.message for event in record.rows.events("fault")}
    for damage in record.recovery.damaged:
        if damage not in told:
            record.event("fault", damage, time_s=now_s, data={"error": "DamagedFrame"})
            record.event("reply", "left as it is: what was read out of it before stays", time_s=now_s, data={})
