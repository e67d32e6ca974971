"""Does what earlier surveys found make the next survey find more?

    python -m benchmarks.warm_start             about 15 minutes of a core
    python -m benchmarks.warm_start --quick     one small specimen a row

The same planner, cold and with earlier surveys of other specimens (other seeds) to begin with, on the same specimens,
paired. The earlier surveys are flown by the cold planner and flagged, and go through the same functions as those of a
library. found: share of the rare features whose centre lies in a detail frame when 10 % of the dose of a full detail
raster is spent, atlas, focus and controls included. ratio: warm ÷ cold, with a 95 % interval that draws specimens.

flagged: earlier surveys as the machine left them. reviewed: people have judged their flags. all judged: people have
judged every close look; they err as in benchmarks.learning_nights. The known kinds are those of
benchmarks.find, one library of both.
Not known: a film like those in the library whose rare features are of other kinds; a film with holes, where the
library knows only films without. forced: a library of another film that is heard although it is unlike, and one whose
outcomes were dealt out anew at random; both mislead on purpose. The oracle knows every feature: the ceiling.

Places are rendered once and shown to every agent alike (``training.measured``). Settings were fixed on other seeds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent.factory import make_agent
from agent.prior import EarlierSurvey, Prior
from agent.scripted import ScriptedAgent, at_truth, in_serpentine
from agent.settings import PlannerSettings, WarmSettings
from archive.library_overview import overview_of
from benchmarks.common import arguments, finish, write
from benchmarks.learning_nights import OTHER_VERDICTS, WANTED_VERDICTS
from envs.scoring import make_scorer
from envs.step import Kind, Purpose
from instruments.simulated.settings import HoleSettings, SimulatedSettings, SpecimenSettings
from surveys.flagging import flag_survey
from surveys.warm_start import earlier
from training.episode import ORACLE, EpisodeSettings
from training.evaluate import interval, ratio_interval
from training.measured import MeasuredSpecimen, flown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.protocol import Agent
    from envs.actions import Catalogue
    from envs.skills import Skill
    from envs.step import Step
    from envs.tasks import SurveyTask

Ratio: TypeAlias = float

KINDS = {
    "clustered": SpecimenSettings(),
    "uniform": SpecimenSettings(rare_layout="uniform"),
    "voids and cracks": SpecimenSettings(rare_layout="uniform", rare_kinds=("void", "crack")),
    "rods, clusters, lattices": SpecimenSettings(rare_layout="uniform", rare_kinds=("rod", "cluster", "lattice")),
    "film with holes": SpecimenSettings(holes=HoleSettings()),
}
AT_DOSE, EARLIER_DOSE = 0.10, 0.15
AT_ONCE = 5
TITLE = f"rare features found at {AT_DOSE:.0%} of the dose of a full detail raster"
FIRST_EARLIER, FIRST = 4_000_000, 5_000_000
ALIKE = WarmSettings()
FORCED = WarmSettings(alike_spreads=9.0, least_likeness=0.0)
WARM_TARGET, LOSS_TARGET = 1.3, 0.95


@dataclass(frozen=True, slots=True)
class Entrant:
    """An agent that begins with some library."""

    library: tuple[EarlierSurvey, ...] = ()
    warm: WarmSettings = ALIKE


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One earlier specimen, as its survey left it, and after people have judged its flags, and all its close looks."""

    flagged: EarlierSurvey
    reviewed: EarlierSurvey
    all_judged: EarlierSurvey


def settings(kind: str, sites: int, dose_ratio: Ratio) -> EpisodeSettings:
    return EpisodeSettings(instrument=SimulatedSettings(specimen=KINDS[kind]), sites=sites, dose_ratio=dose_ratio)


def surveyed(job: tuple[str, int, int]) -> Surveyed:
    """An earlier specimen, flown cold and flagged."""
    kind, sites, seed = job
    specimen = MeasuredSpecimen(settings(kind, sites, EARLIER_DOSE), seed)
    steps, scorer = flown(specimen, partial(_agent, Entrant(), None))
    specimen.close()
    flags = flag_survey(steps, scorer, specimen.settings.flagging, specimen.task.tree)
    regions = [{site.target for site in flag.sites} for flag in flags]
    flagged = frozenset[int]().union(*regions)
    rng = np.random.default_rng(seed)
    said: dict[int, float] = {}
    for region in regions:
        said |= dict.fromkeys(region, _verdict(bool(region & specimen.rare), rng))
    close = {step.target for step in steps if step.target is not None and step.kind is Kind.LOOK}
    everything = {target: _verdict(target in specimen.rare, rng) for target in sorted(close)}

    def told(verdicts: dict[int, float]) -> EarlierSurvey:
        overview = overview_of(steps, make_scorer(specimen.settings.scorer), flagged, verdicts)
        if overview is None:
            raise ValueError(f"the survey of specimen {seed} has seen no site both ways: give it a larger dose")
        return earlier(f"{kind} {seed}", overview)

    return Surveyed(told({}), told(said), told(everything))


def _verdict(wanted: bool, rng: np.random.Generator) -> float:
    verdicts = WANTED_VERDICTS if wanted else OTHER_VERDICTS
    return float(rng.choice(list(verdicts), p=list(verdicts.values())))


def judged(job: tuple[str, int, int, dict[str, Entrant]]) -> dict[str, float]:
    """What each entrant, and the oracle, finds on one specimen; NaN where there is nothing to find."""
    kind, sites, seed, entrants = job
    specimen = MeasuredSpecimen(settings(kind, sites, AT_DOSE + 0.005), seed)
    found = {name: _found(specimen, flown(specimen, partial(_agent, one, None))[0]) for name, one in entrants.items()}
    places = np.array([(f.x_nm, f.y_nm) for f in specimen.features]).reshape(-1, 2)
    found[ORACLE] = _found(specimen, flown(specimen, partial(_agent, Entrant(), places))[0])
    specimen.close()
    return found


def _agent(
    entrant: Entrant, places: Any, task: SurveyTask, catalogue: Catalogue, skills: tuple[Skill, ...], seed: int
) -> Agent:
    """``places``: of the rare features, for the oracle."""
    if places is not None:
        site_nm = float(task.tree.width_nm[task.tree.leaves].mean())
        return ScriptedAgent(ORACLE, catalogue, task.looks, (in_serpentine(0), at_truth(places, site_nm)), 0)
    scorer_names = make_scorer(EpisodeSettings().scorer).names
    prior = Prior(scorer_names, entrant.library) if entrant.library else None
    return make_agent(PlannerSettings(warm=entrant.warm), task, catalogue, skills, seed, prior)


def _found(specimen: MeasuredSpecimen, steps: list[Step]) -> Ratio:
    """Share of the features in a detail frame of the policy's when ``AT_DOSE`` is spent."""
    spent, found = 0.0, set[int]()
    for step in steps:
        spent += step.electrons
        if spent > AT_DOSE * specimen.settings.full_electrons():
            break
        for record in step.exposures if step.kind is Kind.LOOK else ():
            if record.committed and record.purpose is Purpose.DETAIL:
                found |= {n for n, f in enumerate(specimen.features) if record.footprint.contains(f.x_nm, f.y_nm)}
    return len(found) / len(specimen.features) if specimen.features else float("nan")


def shuffled(surveys: tuple[EarlierSurvey, ...]) -> tuple[EarlierSurvey, ...]:
    """The same sites with each other's outcomes."""
    rng = np.random.default_rng(0)
    return tuple(replace(one, outcome=rng.permutation(one.outcome)) for one in surveys)


def entrants_of(kind: str, known: dict[str, list[Surveyed]]) -> dict[str, Entrant]:
    """Who flies on a kind of specimen, the cold planner first."""

    def library(which: str, *kinds: str) -> tuple[EarlierSurvey, ...]:
        return tuple(getattr(one, which) for each in kinds for one in known[each])

    made = {"cold": Entrant()}
    match kind:
        case "clustered" | "uniform":
            both = ("clustered", "uniform")
            flagged = library("flagged", *both)
            made["same kind, flagged"] = Entrant(flagged)
            made["same kind, reviewed"] = Entrant(library("reviewed", *both))
            made["same kind, all judged"] = Entrant(library("all_judged", *both))
            made["film with holes"] = Entrant(library("flagged", "film with holes"))
            made["film with holes, forced"] = Entrant(library("flagged", "film with holes"), FORCED)
            made["same kind, outcomes shuffled"] = Entrant(shuffled(flagged))
        case "film with holes":
            made["clustered and uniform"] = Entrant(library("flagged", "clustered", "uniform"))
            made["same kind, flagged"] = Entrant(library("flagged", kind))
            made["same kind, reviewed"] = Entrant(library("reviewed", kind))
            made["same kind, all judged"] = Entrant(library("all_judged", kind))
        case _:
            made["voids and cracks"] = Entrant(library("flagged", "voids and cracks"))
    return made


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--specimens", type=int, default=25, metavar="N", help="of each known kind")
    parser.add_argument("--others", type=int, default=15, metavar="N", help="of each other kind")
    parser.add_argument("--earlier", type=int, default=8, metavar="N", help="surveys of each kind in the library")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    options = parser.parse_args()
    sites, count, others, before = (
        (20, 1, 1, 1) if options.quick else (24, options.specimens, options.others, options.earlier)
    )
    began_s = time.monotonic()
    taught = ("clustered", "uniform", "voids and cracks", "film with holes")
    with pool(options.workers) as run:
        jobs = [(kind, sites, FIRST_EARLIER + 1_000 * n + m) for n, kind in enumerate(taught) for m in range(before)]
        made = list(run(surveyed, jobs))
        known = {kind: made[n * before : (n + 1) * before] for n, kind in enumerate(taught)}
        _tell(f"{len(jobs)} earlier surveys", began_s)
        wanted = {"clustered": count, "uniform": count, "rods, clusters, lattices": others, "film with holes": others}
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in wanted}
        for first in range(0, max(wanted.values()), AT_ONCE):  # in rounds: what there is when it is stopped is of all
            for n, (kind, most) in enumerate(wanted.items()):
                entrants = entrants_of(kind, known)
                seeds = range(FIRST + 1_000 * n + first, FIRST + 1_000 * n + min(first + AT_ONCE, most))
                found[kind] += run(judged, [(kind, sites, seed, entrants) for seed in seeds])
            write(rows_of(found), options, title=TITLE)
            _tell(f"{first + AT_ONCE} specimens of each kind", began_s)
    finish(rows_of(found), options, title=TITLE)
    rows = rows_of(found)
    reviewed = next(row for row in rows if row["library"] == "same kind, reviewed")
    other = next(row for row in rows if row["library"] == "voids and cracks")
    print(f"known kinds, reviewed: {reviewed['ratio']:.2f} times the cold planner, to be at least {WARM_TARGET:g}")
    print(f"other rare features: {other['ratio']:.2f}, to be at least {LOSS_TARGET:g}")
    return 0 if options.quick or (reviewed["ratio"] >= WARM_TARGET and other["ratio"] >= LOSS_TARGET) else 1


def rows_of(found: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """One row a kind and library; the known kinds first together."""
    both = [*found["clustered"], *found["uniform"]]
    rows = []
    for kind, made in ({"clustered and uniform": both} | found).items():
        cold = np.array([one["cold"] for one in made])
        for name in made[0]:
            own = np.array([one[name] for one in made])
            ratio, low, high = ratio_interval(own, cold)
            rows.append({
                "specimens": f"{kind} ({len(made)})", "library": name, "found": interval(own)[0],
                "ratio": ratio, "low": low, "high": high, "more": interval(own - cold)[0],
            })  # fmt: skip
    return rows


@contextlib.contextmanager
def pool(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """``map`` over fresh processes of one thread each, or in this one."""
    if workers <= 1:
        yield map
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(workers, get_context("spawn")) as made:
        yield made.map


def _tell(what: str, began_s: float) -> None:
    print(f"{what}, {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
