"""What ``adaptem doctor`` looks at."""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from archive.durable import write_atomically
from configs.load import ConfigError, load
from console.source import packaged
from instruments.calibration import in_words
from instruments.checks import EXPOSURE, CheckResult, check_microscope
from instruments.clock import RealClock, SimulatedClock
from instruments.crew import Plan
from instruments.drivers.registry import kinds, lacks, open_microscope
from instruments.guard import Guard
from instruments.guard_client import GuardClient
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from surveys.guarding import apart, waived
from surveys.settings import SurveySettings
from surveys.task import survey_looks

if TYPE_CHECKING:
    from instruments.clock import Clock
    from instruments.protocol import Guarded

FOLDERS = ("configs", "instruments", "envs", "models", "agent", "archive", "surveys", "training", "review", "console")
EXTRAS = {"formats": "rsciio", "train": "torch", "validate": "hyperspy"}
OLDEST_PYTHON = (3, 11)


def check_installation() -> list[CheckResult]:
    """Python, our packages and who shadows them, SQLite, the disk, the drivers."""
    return [
        _python(),
        _shadows(),
        CheckResult("sqlite", *_sqlite()),
        CheckResult("disk", *_disk()),
        CheckResult("drivers", True, ", ".join(kinds())),
        CheckResult("extras", True, ", ".join(_extra(name, module) for name, module in EXTRAS.items())),
    ]


def check_instrument(name: str | None, config: Path | None, defocus_nm: float = 400.0) -> list[CheckResult]:
    """The conformance suite on an instrument, through a guard, moving and exposing a little.

    With a config it exposes the overview look, and the stage goes an eighth of its width. ``defocus_nm``: how far the
    focus may go. Raises ConfigError, InstrumentError.
    """
    path = config or packaged("survey_demo.yaml")
    settings = load(path, SurveySettings)
    kind = getattr(settings.instrument, "kind", None)
    if name is not None and name != kind:
        raise ConfigError(
            f"instrument {name!r} was asked for, and {path} describes {kind!r}: give a config of {name} by --config"
        )
    exposure = EXPOSURE if config is None else survey_looks(settings)[0].exposure
    calibrated, told = in_words(settings.instrument, datetime.now(UTC))
    declared = lacks(settings.instrument)
    with tempfile.TemporaryDirectory() as folder:
        guard = _guarded(settings, Path(folder))
        try:
            found = _interlocks(settings, guard)
            found += check_microscope(guard, exposure=exposure, allow_defocus_nm=defocus_nm, lacks=declared)
        finally:
            guard.close()
    more = {what: why for what, why in declared.items() if what not in {result.name for result in found}}
    return [CheckResult("calibration", True, told, checked=calibrated), *found] + [
        CheckResult(what, True, f"lacking, as declared: {why}", checked=False) for what, why in more.items()
    ]


def _interlocks(settings: SurveySettings, guard: Guarded) -> list[CheckResult]:
    """What the instrument cannot tell, and who answers for it: where nobody does, no survey begins there."""
    try:
        without = waived(settings, guard.state)
    except ConfigError as error:
        return [CheckResult("interlocks", False, line) for line in error.problems]
    return [CheckResult(f"{name} waived", True, why, checked=False) for name, why in without.items()]


def _guarded(settings: SurveySettings, folder: Path) -> Guarded:
    """A guard where a survey's would be: latches are the instrument's, dose is booked for as long as this lasts."""
    if apart(settings):
        plan = Plan(
            instrument=settings.instrument,
            limits=settings.limits,
            ledger=folder / "ledger.sqlite",
            seed=settings.seed,
            truth=folder / "truth.jsonl",
            log=folder / "guard.log",
        )
        return GuardClient(plan)
    clock: Clock = SimulatedClock() if not getattr(settings.instrument, "real_time", True) else RealClock()
    microscope = open_microscope(settings.instrument, seed=settings.seed, clock=clock)
    return Guard(microscope, settings.limits, MemoryLedger(), clock, SIMULATED)


def _python() -> CheckResult:
    found = ".".join(map(str, sys.version_info[:3]))
    return CheckResult("python", sys.version_info >= OLDEST_PYTHON, f"{found} in {sys.prefix}")


def _shadows() -> CheckResult:
    """The folders' names are common words: another package of that name would be imported in our place."""
    home = Path(__file__).resolve().parent.parent
    wrong = [
        f"{name} is taken from {spec.origin if spec else 'nowhere'}"
        for name in FOLDERS
        if (spec := importlib.util.find_spec(name)) is None or home not in Path(spec.origin or "").resolve().parents
    ]
    told = "; ".join(wrong) + ": install adaptem in an environment of its own" if wrong else f"every folder from {home}"
    return CheckResult("packages", not wrong, told)


def _sqlite() -> tuple[bool, str]:
    with sqlite3.connect(":memory:") as database:
        options = {row[0] for row in database.execute("PRAGMA compile_options")}
    return "ENABLE_RTREE" in options, f"{sqlite3.sqlite_version}, " + (
        "with R*Tree" if "ENABLE_RTREE" in options else "without R*Tree: the dose ledger needs a SQLite that has it"
    )


def _disk() -> tuple[bool, str]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        start_s = time.perf_counter()
        for number in range(5):
            write_atomically(Path(folder) / f"probe-{number}", b"0" * 4096)
        each_ms = (time.perf_counter() - start_s) * 200
    return True, f"a durable write here takes {each_ms:.1f} ms"


def _extra(name: str, module: str) -> str:
    if importlib.util.find_spec(module) is None:
        return f"{name}: not installed"
    try:
        return f"{name}: {metadata.version('rosettasciio' if module == 'rsciio' else module)}"
    except metadata.PackageNotFoundError:
        return f"{name}: installed"
