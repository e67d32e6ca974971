"""A trained policy on recorded images, which nobody simulated: no retraining, no setting changed.

    python -m benchmarks.zero_shot            50 starts on each of six images, fifty minutes of a core
    python -m benchmarks.zero_shot --quick    2 starts on one image

A recorded image stands in for the specimen. Every start has another place of the stage and other control
sites, the same for all agents, who have the same atlas, scorer, looks and dose: a tenth of what a detail look at every
site takes. Greedy, raster and oracle, which hardly depend on the start, get the first ten.
found: share of the sites that a person outlined which had a detail look in the end; where a box covers a third of a
site, the site counts. named: share of those sites that are found and flagged. learned more: paired by start; lows and
highs are 95 % intervals over starts, of one image. A recorded image has no focus, so the policy's skill is left out.

SrTiO3/Ge: the threading defect and the interface of a real dark-field image, boxes drawn before any flagger was
written. metal strips: four images of welds with their melt pools. de-twin: gold on a holey film, rendered by Direct
Electron's simulator, which nobody here wrote; its own scene says where the largest particles are
(``benchmarks.detwin_picture``). The oracle is told the sites.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.factory import make_agent
from agent.scripted import ScriptedAgent, at_truth, in_serpentine
from agent.settings import LearnedSettings, PlannerSettings, RasterSettings
from benchmarks.common import DATA, arguments, print_table, write
from benchmarks.detwin_picture import PIXEL_NM as TWIN_PIXEL_NM
from benchmarks.detwin_picture import SITE_PX as TWIN_SITE_PX
from benchmarks.kept import Job, done
from benchmarks.recorded_truth import Box, covered_sites, drawn_boxes, melt_pools
from benchmarks.survey_policy import asked_of
from envs.actions import Look
from envs.novelty import NoveltySettings
from envs.scoring import make_scorer
from envs.situation import Situation
from envs.step import Kind, Purpose, Step
from envs.survey_env import SurveyEnv
from envs.targets import Area, TargetTree, grid_tree
from envs.tasks import Budget, SurveyTask
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.images import read_image
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.replay import ReplayMicroscope
from instruments.replay_settings import ReplaySettings
from instruments.types import Exposure, StagePosition
from models.checkpoint import find_policy
from surveys.controls import ControlSettings
from surveys.flagging import FlaggingSettings, flag_survey
from training.episode import ORACLE, survey_steps
from training.evaluate import interval

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from agent.protocol import Agent
    from agent.settings import AgentSettings

SITES_PER_PATCH, DOSE = 8, 0.10
CURRENT_PA = 50.0
FIRST_SEED, FEW = 60_000, 10
PAIRED = ("learned", "planner")
LEARNED = PAIRED[0]
AGENTS: dict[str, AgentSettings | str] = {
    "planner": PlannerSettings(),
    "greedy atlas": RasterSettings(by_atlas=True),
    "raster": RasterSettings(),
    ORACLE: ORACLE,
}


@dataclass(frozen=True)
class Picture:
    """A recorded image and what is known of it."""

    name: str
    path: Path
    boxes: tuple[Box, ...]
    site_px: int
    pixel_nm: float


def pictures(folder: Path) -> list[Picture]:
    """Those that are there; what is rendered first is written into ``folder``."""
    found = [Picture("SrTiO3/Ge", DATA / "sto_ge_haadf" / "STO-Ge-HAADF.jpg", tuple(drawn_boxes()), 95, 0.00781)]
    strips = sorted((DATA / "metal_strips").glob("*.png"))
    # the files tell no pixel size: 1 nm it is called
    found += [Picture(path.stem, path, tuple(melt_pools(path.name)), 64, 1.0) for path in strips]
    found = [picture for picture in found if picture.path.exists()]
    return [*found, _twin(folder / "de-twin.tif")] if find_spec("de_twin") is not None else found


def _twin(path: Path) -> Picture:
    """By a process of its own: it loads libraries under the GPL."""
    command = [sys.executable, "-m", "benchmarks.detwin_picture", str(path)]
    sites = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["sites"]
    boxes = tuple(Box("large", (row, row + TWIN_SITE_PX), (column, column + TWIN_SITE_PX)) for row, column in sites)
    return Picture("de-twin", path, boxes, TWIN_SITE_PX, TWIN_PIXEL_NM)


def task_of(picture: Picture, shape: tuple[int, int]) -> SurveyTask:
    """An atlas of overviews, then sites of which a tenth can be paid for."""
    site_nm = picture.site_px * picture.pixel_nm
    patch_nm = SITES_PER_PATCH * site_nm
    high, wide = (pixels * picture.pixel_nm for pixels in shape)
    tree = grid_tree(Area(x_nm=0.0, y_nm=0.0, width_nm=wide, height_nm=high), patch_nm, site_nm)
    overview = Exposure(field_of_view_nm=patch_nm, shape=(256, 256), dwell_us=2.0)
    detail = Exposure(field_of_view_nm=site_nm, shape=(256, 256), dwell_us=4.0)
    return SurveyTask(
        tree=tree,
        looks=(
            Look(name="overview", exposure=overview, level="patch", purpose=Purpose.SURVEY),
            Look(name="detail", exposure=detail, level="site", purpose=Purpose.DETAIL),
        ),
        budget=Budget(time_s=1e8, electrons=DOSE * len(tree.leaves) * detail.electrons(CURRENT_PA)),
        stage_speed_nm_per_s=SITES_PER_PATCH * site_nm,
        settle_s=0.5,
    )


def opened(picture: Picture, seed: int) -> tuple[SurveyEnv, list[int]]:
    """The environment at the start of this seed, and the sites that hold something."""
    clock = SimulatedClock()
    settings = ReplaySettings(image=picture.path, pixel_size_nm=picture.pixel_nm, current_pA=CURRENT_PA)
    shape = read_image(picture.path).data.shape
    task = task_of(picture, (shape[0], shape[1]))
    anywhere = (-1e9, 1e9)
    limits = Limits(
        x_nm=anywhere, y_nm=anywhere, field_of_view_nm=(1e-3, 1e9), max_electrons=1e15, max_time_s=1e9,
        max_current_pA=CURRENT_PA, max_fluence_e_per_A2=1e15, max_exposures_per_min=10**9, backlash_nm=0.0,
        stage_uncertainty_nm=0.0, reach_tolerance_nm=0.01,
    )  # fmt: skip
    guard = Guard(ReplayMicroscope(settings, clock, seed), limits, MemoryLedger(), clock, SIMULATED)
    sites = task.tree.leaves
    start = int(np.random.default_rng(seed).choice(sites))
    guard.move(StagePosition(x_nm=float(task.tree.x_nm[start]), y_nm=float(task.tree.y_nm[start])))
    situation = Situation(guard=guard, clock=clock, task=task, scorer=make_scorer(NoveltySettings()), seed=seed)
    true = covered_sites(list(picture.boxes), task.tree, (shape[0], shape[1]), picture.pixel_nm, picture.site_px)
    return SurveyEnv(situation), true


def flown(picture: Picture, agent: AgentSettings | str, seed: int) -> dict[str, float]:
    """One start of one agent: share of the outlined sites found, found and named, and how many looks it took."""
    env, true = opened(picture, seed)
    task = env.situation.task
    if isinstance(agent, str):
        places = np.column_stack([task.tree.x_nm[true], task.tree.y_nm[true]])
        orders = (in_serpentine(0), at_truth(places, picture.site_px * picture.pixel_nm))
        player: Agent = ScriptedAgent(ORACLE, env.catalogue, task.looks, orders, refocus_every=0)
    else:
        player = make_agent(agent, task, env.catalogue, (), seed)
    steps = survey_steps(env, player, ControlSettings(), seed)
    faults = [step.fault.message for step in steps if step.fault is not None]
    if faults:
        raise RuntimeError(f"{picture.name}: {len(faults)} of {len(steps)} looks failed, the first: {faults[0]}")
    seen = _seen(steps, task.tree)
    flags = flag_survey(steps, env.situation.scorer, FlaggingSettings(), task.tree)
    named = {site.target for flag in flags for site in flag.sites}
    env.close()
    outlined = set(true)
    return {
        "found": len(seen & outlined) / len(outlined),
        "named": len(seen & outlined & named) / len(outlined),
        "looks": float(len(seen)),
        "outlined": len(outlined) / len(task.tree.leaves),
    }


def _seen(steps: list[Step], tree: TargetTree) -> set[int]:
    """Sites that the agent looked at in detail; controls are not its doing."""
    leaves = set(tree.leaves.tolist())
    return {s.target for s in steps if s.kind is Kind.LOOK and s.fault is None and s.target is not None} & leaves


def flights(
    here: list[Picture], entrants: dict[str, AgentSettings | str], starts: int
) -> list[tuple[Picture, str, Job]]:
    """Start by start on all images, each with who flies it: cut off, it leaves fewer starts, and not fewer images."""
    who = {name: asked_of(agent) for name, agent in entrants.items()}
    return [
        (
            picture,
            name,
            Job(
                {"image": picture.name, "agent": who[name], "seed": FIRST_SEED + start},
                partial(flown, picture, agent, FIRST_SEED + start),
            ),
        )
        for start in range(starts)
        for picture in here
        for name, agent in entrants.items()
        if name in PAIRED or start < FEW
    ]


def rows_of(picture: Picture, made: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    rows = []
    fewest = min(len(made[name]) for name in PAIRED if name in made)
    for name, flights_of in made.items():
        each = flights_of[:fewest]
        values = {key: np.array([one[key] for one in each]) for key in ("found", "named", "looks", "outlined")}
        learned = {key: np.array([one[key] for one in made[LEARNED][: len(each)]]) for key in ("found", "named")}
        row: dict[str, Any] = {"image": picture.name, "agent": name, "starts": len(each)}
        for key in ("found", "named"):
            row[key], row[f"{key}_low"], row[f"{key}_high"] = interval(values[key])
            more, low, high = interval(learned[key] - values[key])
            row |= {f"learned_more_{key}": more, f"more_{key}_low": low, f"more_{key}_high": high}
        row |= {"looks": float(values["looks"].mean()), "outlined": float(values["outlined"].mean())}
        rows.append(row)
    return rows


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--policy", default="survey", help="FILE.safetensors, or the name of a shipped one")
    parser.add_argument("--starts", type=int, default=50, metavar="N", help="on each image")
    parser.add_argument(
        "--agents", default=",".join(AGENTS), metavar="NAMES", help=f"beside it, of {', '.join(AGENTS)}"
    )
    parser.add_argument("--images", metavar="NAMES", help="only these, by name, with commas")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keeps every flight; a later call goes on")
    parser.add_argument("--seconds", type=float, metavar="S", help="begin no flight later; tell what was flown by then")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        here = pictures(Path(folder))
        if not here:
            print(f"no recorded image under {DATA}: set ADAPTEM_DATA to the folder that has them, or install de-twin")
            return 0
        return told(here, parser, options)


def told(here: list[Picture], parser: ArgumentParser, options: Namespace) -> int:
    asked = options.agents.split(",")
    if unknown := set(asked) - set(AGENTS):
        parser.error(f"--agents {', '.join(sorted(unknown))}: choose among {', '.join(AGENTS)}")
    if options.images is not None:
        if unknown := set(options.images.split(",")) - {picture.name for picture in here}:
            parser.error(f"--images {', '.join(sorted(unknown))}: choose among {', '.join(p.name for p in here)}")
        here = [picture for picture in here if picture.name in options.images.split(",")]
    learned = LearnedSettings(weights=str(find_policy(options.policy)))
    entrants: dict[str, AgentSettings | str] = {LEARNED: learned} | {name: AGENTS[name] for name in asked}
    here, starts = (here[:1], 2) if options.quick else (here, options.starts)
    jobs = flights(here, entrants, starts)
    results = done([job for _, _, job in jobs], options.workers, options.keep, options.seconds)
    made: dict[str, dict[str, list[dict[str, float]]]] = {}
    for (picture, name, _), result in zip(jobs, results, strict=False):
        made.setdefault(picture.name, {}).setdefault(name, []).append(result)
    whole = [picture for picture in here if all(made.get(picture.name, {}).get(name) for name in entrants)]
    rows = [row for picture in whole for row in rows_of(picture, made[picture.name])]
    if len(results) < len(jobs):
        print(f"stopped after {len(results)} of {len(jobs)} flights: starts says how many are told")
    if not rows:
        return 1
    title = "outlined sites found and named at a tenth of the dose" + (
        " (quick: not a result)" if options.quick else ""
    )
    print_table(rows, title=title)
    write(rows, options, title=title)
    behind = [row["image"] for row in rows if row["agent"] == "planner" and row["more_found_high"] < 0]
    print(f"surely behind the planner on: {', '.join(behind) or 'none'}; such a policy is no default")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
