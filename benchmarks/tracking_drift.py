"""What keeping places in view, or in focus, is worth while a specimen drifts: followed with it and without.

    python -m benchmarks.tracking_drift                 about 5 minutes of a core
    python -m benchmarks.tracking_drift --what focus
    python -m benchmarks.tracking_drift --quick

Rendered frames of the simulated microscope behind its guard, through the record, as `adaptem track` does: copper that
grows or dissolves in a liquid cell, and a front of oxide on a heated chip, 600 s. The holder was just put in: in each
axis it drifts by up to 1.2 µm, with a time constant of 400 s. in view: how much of a place's first view its last one
shows, by the world's truth, from when it showed 20 particles; 0: nothing. error: root mean square
over a process's parameters of (estimate − truth) ÷ width of the prior, as if the law were known; the truth is that of
what the holder reads. focus: copper that dissolves or ripens and a front of oxide, which show something to focus on
from the start; the lens wanders by up to 400 nm, as the simulator has it also before the start, and half of the
electrons is for sweeps. Intervals: 95 %, bootstrap over worlds; ratios are paired.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from agent.tracking import Tracker
from benchmarks.common import arguments, print_table, write
from benchmarks.tracking_judge import told_mean
from benchmarks.tracking_rendered import TRUTH
from envs.track_worlds import LOOKS, PLACES_NM, copper
from instruments.simulated.lenses import Lenses
from instruments.types import Optics
from models.kinetics import rate_factor
from surveys.tracking import run_tracking
from surveys.tracking_prepare import expected_conditions, prepare
from surveys.tracking_rows import read_rows, refold
from surveys.tracking_settings import TrackSettings
from training.evaluate import interval

if TYPE_CHECKING:
    from surveys.tracking_prepare import Following

PROCESSES = {"view": ("growth", "dissolution", "front"), "focus": ("dissolution", "front", "coarsening")}
DRIFT = {"insertion_drift_nm": 1200.0, "insertion_decay_s": 400.0}
WANDER = {"defocus_drift_nm": 400.0}
FOCUS = {"place": {"x_nm": 0.0, "y_nm": 2500.0}, "electrons": 2e8}
WIDE_nm = 400.0
FEWEST = 20


def following_of(
    what: str, process: str, seed: int, *, kept: bool, known: dict[tuple[str, bool], Following]
) -> Following:
    """``known``: standards by process, which no seed changes."""
    heated = process in ("front", "coarsening")
    instrument, focus = copper(process), what == "focus"
    stage = instrument.stage.model_copy(update={} if focus else DRIFT)
    column = instrument.column.model_copy(update=WANDER if focus else {})
    name = "temperature_K" if heated else "concentration_mM"
    settings = TrackSettings.model_validate(
        {
            "seed": seed,
            "instrument": instrument.model_copy(update={"stage": stage, "column": column}).model_dump(mode="json"),
            "limits": {
                "x_nm": (-4000, 4000),
                "y_nm": (-4000, 4000),
                "backlash_nm": 100,
                "stage_uncertainty_nm": 30,
                "max_current_pA": 60,
                "max_electrons": 8e8,
                "max_fluence_e_per_A2": 1e5,
                "max_time_s": 7200,
                "conditions": {name: (290, 900) if heated else (0, 5)},
            },
            "places": [{"x_nm": x, "y_nm": y} for x, y in PLACES_NM],
            "looks": {
                look.name: {n: getattr(look, n) for n in ("signal", "field_of_view_nm", "pixels", "dwell_us")}
                for look in LOOKS
                if look.signal == "HAADF"
            },
            "program": [{"at_s": 0, "condition": name, "value": 730.0 if heated else 1.0}],
            "expected": {"span_nm": 2000.0, **({"temperature_K": 730.0} if heated else {"supply": name})},
            "steady": {name: 2.0 if heated else 0.08},
            "keep_in_view": {} if kept or focus else None,
            "focus": FOCUS if kept and focus else None,
            "horizon_s": 600,
            "electrons": 4e8,
            "sets": 96,
            "rehearsals": 0,
        }
    )
    if (process, kept) not in known:
        known[process, kept] = prepare(settings)
    of_kind = known[process, kept]
    return replace(of_kind, settings=settings, mission=replace(of_kind.mission, seed=seed))


def one(what: str, process: str, seed: int, *, kept: bool, known: dict[tuple[str, bool], Following]) -> dict[str, Any]:
    following = following_of(what, process, seed, kept=kept, known=known)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        found = run_tracking(following, place, lambda _: None)
        if found["stopped"]:  # a signal ends it with what is known by then, which is no result
            raise SystemExit(f"{found['ended']}: what was flown to its end is in --keep, and a later call goes on")
        rows, truth = read_rows(place), place.with_name("run.truth.jsonl").read_text().splitlines()
    law, there = TRUTH[process]
    likeliest = max(found["probabilities"], key=found["probabilities"].get)
    again = Tracker(following.mission, lambda a, b: expected_conditions(following.settings, rows[-1]["held"], a, b))
    for row in rows:
        refold(row, following.mission, again, [], [])
    return {
        "in_view": in_view(rows, [json.loads(line) for line in truth]),
        "error": error_of(following, again, law, there, rows[-1]["held"]),
        "right": likeliest == law,
        "none": found["none_of_these"],
        "sure": 0 if found["drift"] is None else found["drift"]["sure"],
        "off_nm": off_focus_nm(following, rows),
        "sweeps": 0 if found["focus"] is None else found["focus"]["sweeps"],
        "looks": found["looks"],
    }


def in_view(rows: list[dict[str, Any]], truth: list[dict[str, Any]]) -> float:
    """Mean over places: the share of the first view that the last one shows."""
    there = {row["id"]: row["footprint"] for row in truth if row["row"] == "exposure"}
    shares = []
    for place in range(len(PLACES_NM)):
        here = [row for row in rows if row["place"] == place and row["exposures"] and row["values"][0] is not None]
        shown = [np.exp(row["values"][0]) * (WIDE_nm * 1e-3) ** 2 >= FEWEST for row in here]
        seen = [there[row["exposures"][0]] for row in here[shown.index(True) :]] if any(shown) else []
        if len(seen) > 1:
            off = [abs(seen[-1][axis] - seen[0][axis]) / WIDE_nm for axis in ("x_nm", "y_nm")]
            shares.append(float(np.prod([max(1 - each, 0.0) for each in off])))
    return float(np.mean(shares)) if shares else float("nan")


def off_focus_nm(following: Following, rows: list[dict[str, Any]]) -> float:
    """Root mean square over the looks of how far the lens was off, by what the simulator knows."""
    settings = following.settings
    lenses, asked_nm, off_nm = Lenses(settings.instrument.column, settings.seed), 0.0, []
    for row in rows:
        asked_nm += (row["focus"] or {}).get("moved_nm") or 0.0
        if row["look"]:
            off_nm.append(lenses.probe(Optics(defocus_nm=asked_nm), 0.0, row["t_s"]).defocus_nm)
    return float(np.sqrt(np.mean(np.square(off_nm))))


def error_of(following: Following, known: Tracker, name: str, there: dict[str, float], held: dict[str, float]) -> float:
    law = next(law for law in following.mission.laws if law.name == name)
    priors = {parameter.name: parameter for parameter in law.parameters}
    read = rate_factor(following.settings.priors(), np.array([1.5]), held)[0]
    off = []
    for each in known.filter.estimates(name):
        if each.name in there:
            truth, prior = there[each.name] / (1.0 if each.name == "start_nm" else read), priors[each.name]
            off.append((np.log(each.mean / truth) if prior.log else each.mean - truth) / prior.width)
    return float(np.sqrt(np.mean(np.square(off))))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--what", choices=list(PROCESSES), default="view")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="keeps every run, a line each; a later call goes on")
    options = parser.parse_args()
    known: dict[tuple[str, bool], Following] = {}
    processes = PROCESSES[options.what]
    results: dict[tuple[str, int, bool], dict[str, Any]] = {}
    if options.keep is not None and options.keep.exists():
        for line in options.keep.read_text().splitlines():
            process, seed, kept, found = json.loads(line)
            results[process, seed, kept] = found
    seeds = range(options.first, options.first + (1 if options.quick else options.seeds))
    every = [(p, s, k) for s in seeds for p in processes[: 1 if options.quick else None] for k in (True, False)]
    for process, seed, kept in track(every, "following", transient=True):
        if (process, seed, kept) in results:
            continue
        results[process, seed, kept] = found = one(options.what, process, seed, kept=kept, known=known)
        if options.keep is not None:
            with options.keep.open("a") as file:
                file.write(json.dumps([process, seed, kept, found]) + "\n")
    rows = []
    for process in (*processes, "all"):
        for kept in (True, False):
            mine = [v for (p, _, k), v in sorted(results.items()) if k is kept and process in (p, "all")]
            if mine:
                rows.append(
                    {
                        "process": process,
                        f"kept in {options.what}": "yes" if kept else "no",
                        "worlds": len(mine),
                        "in view at the end": told_mean([each["in_view"] for each in mine], ".2f"),
                        "off focus, nm": told_mean([each["off_nm"] for each in mine], ".0f"),
                        "sweeps": told_mean([each["sweeps"] for each in mine], ".1f"),
                        "error": told_mean([each["error"] for each in mine], ".2f"),
                        "right law": sum(each["right"] for each in mine),
                        "none of these": sum(each["none"] for each in mine),
                    }
                )
    print_table(rows, title="Following while the specimen drifts" + (" (quick: not a result)" if options.quick else ""))
    logs = [
        np.log(v["error"] / results[p, s, False]["error"])
        for (p, s, k), v in results.items()
        if k and (p, s, False) in results
    ]
    if len(logs) > 1:
        mean, low, high = np.exp(interval(np.array(logs)))
        print(f"error kept over error left: {mean:.2f} ({low:.2f}–{high:.2f}), {len(logs)} worlds")
    write(rows, options, title="tracking drift")


if __name__ == "__main__":
    main()
