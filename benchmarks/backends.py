"""The same small survey, by the same agent, on every back end: only the config's block ``instrument`` changes.

    python -m benchmarks.backends                     each started for it, on this computer, and closed
    python -m benchmarks.backends --only nion         one of them; may be repeated
    python -m benchmarks.backends --guard process     only with the guard in a process of its own, with its watchdog
    python -m benchmarks.backends --quick             fewer close looks

Each survey is run twice: with the guard in this process, and in its own; a driver of instruments (thermofisher, de) has
it in its own only. Frames per second are by the clock on the wall, of the survey alone: of the back end, mostly, and of
this computer.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.benches import BENCHES
from benchmarks.common import arguments, finish
from configs.load import load
from instruments.checks import READS, check_microscope
from instruments.clock import RealClock, SimulatedClock
from instruments.drivers import registry
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from benchmarks.benches import Bench
    from configs.load import Settings
    from instruments.checks import CheckResult
    from instruments.limits import Interlock

GUARDS = ("inside", "process")
OF_A_SURVEY = ("ending", "steps", "frames", "frames_per_s", "guard_denials")
NO_INSTRUMENT = "what stands behind this is simulated, and has none"
CONFIG = Path(__file__).parents[1] / "configs" / "survey_backends.yaml"


def survey(instrument: Settings, detail_fraction: float | None = None, guard: str = "auto") -> dict[str, Any]:
    """Run the survey; what came of it. ``guard``: inside, or process, as on an instrument, or auto, as it must be."""
    settings = load(CONFIG, SurveySettings)
    budget = settings.budget
    if detail_fraction is not None:
        budget = budget.model_copy(update={"detail_fraction": detail_fraction})
    limits = settings.limits.model_copy(update={"waived": waived(instrument)})
    changes = {"instrument": instrument, "budget": budget, "limits": limits, "guard": guard}
    settings = settings.model_copy(update=changes)
    steps, frames = 0, 0

    def on_step(step: Any, progress: object) -> None:
        nonlocal steps, frames
        steps += 1
        frames += sum(record.committed for record in step.exposures)

    with tempfile.TemporaryDirectory() as parent:
        night = open_night(settings, Path(parent) / "survey")
        start_s = time.perf_counter()
        summary = run_survey(night, on_step)
        spent_s = time.perf_counter() - start_s
    return {
        "ending": str(summary.reason),
        "steps": steps,
        "frames": frames,
        "frames_per_s": frames / spent_s,
        "guard_denials": night.guard.denials,
    }


def waived(instrument: Settings) -> dict[Interlock, str]:
    """What stands behind these is simulated: the interlocks that it does not tell, there are none."""
    return {name: NO_INSTRUMENT for name, check in READS.items() if check in registry.lacks(instrument)}


def conformance(about: Bench, instrument: Settings) -> list[CheckResult]:
    """The suite through a guard, as ``adaptem doctor`` runs it, with limits that let this bench's focus be tried."""
    more = {"defocus_nm": (-5e4, 5e4), "waived": waived(instrument)}
    limits = load(CONFIG, SurveySettings).limits.model_copy(update=more)
    clock = RealClock() if getattr(instrument, "real_time", True) else SimulatedClock()
    scope = registry.open_microscope(instrument, seed=3, clock=clock)
    return check_microscope(
        Guard(scope, limits, MemoryLedger(), clock, SIMULATED),
        exposure=about.exposure,
        allow_defocus_nm=about.allow_defocus_nm,
        lacks=registry.lacks(instrument),
    )


def row(name: str, *, quick: bool, guards: tuple[str, ...]) -> dict[str, Any]:
    """One back end."""
    found: dict[str, Any] = {}
    for guard in guards:
        with BENCHES[name].start() as block:
            instrument = registry.parse(block)
            if guard == "process" or registry.simulated(instrument):
                one = survey(instrument, 0.2 if quick else None, guard)
            else:
                one = dict.fromkeys(OF_A_SURVEY, "–")
        found |= {f"{guard}_{key}": value for key, value in one.items()}
    with BENCHES[name].start() as block:
        results = conformance(BENCHES[name], registry.parse(block))
    passed = sum(result.ok and result.checked for result in results)
    failed = [result.name for result in results if not result.ok]
    lacking = [result.name for result in results if not result.checked]
    told = f"{passed} pass" + (f", FAILED: {', '.join(failed)}" if failed else "")
    return {
        "back_end": name,
        **found,
        "conformance": told + (f"; not checked: {', '.join(lacking)}" if lacking else ""),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", action="append", choices=list(BENCHES), help="this back end only")
    parser.add_argument("--guard", choices=GUARDS, help="the guard there only")
    options = parser.parse_args()
    guards = (options.guard,) if options.guard else GUARDS
    with tempfile.TemporaryDirectory() as state:
        os.environ["ADAPTEM_STATE"] = state  # latches of these, and of nobody's instrument
        rows = [row(name, quick=options.quick, guards=guards) for name in options.only or BENCHES]
    finish(rows, options, title="One survey, every back end")


if __name__ == "__main__":
    main()
