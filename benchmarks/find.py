"""How many rare features an agent finds, against dose, time and area.

    python benchmarks/find.py [--quick] [--json FILE] [--figure FILE]

Simulated specimens whose rare features cover under 2 % of the area, clustered in one half of the specimens and uniform
in the other. Every agent has the same atlas, skills, scorer and control sites, pays for all of them, and meets the same
specimens (paired). A feature is found when its centre lies in a committed detail frame (navigation); whether the
survey then flags it is told apart (perception). The oracle alone knows where the features are.

The planner's settings were fixed on seeds below 1000; the default seeds here start at 20000.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.settings import PlannerSettings, RandomSettings, RasterSettings
from instruments.simulated.settings import SimulatedSettings, SpecimenSettings
from training.episode import ORACLE, EpisodeSettings, Trace
from training.evaluate import Entrants, evaluate, found_at, interval, ratio_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

ENTRANTS: Entrants = {
    "raster, no atlas": RasterSettings(overview=False),
    "raster": RasterSettings(),
    "random": RandomSettings(),
    "greedy atlas": RasterSettings(by_atlas=True),
    "planner": PlannerSettings(),
    ORACLE: ORACLE,
}
RASTERS = ("raster, no atlas", "raster")
DOSES = (0.025, 0.05, 0.075, 0.10, 0.12)
AT_DOSE = 0.10
AREAS = (0.02, 0.04)
TARGET = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument("--figure", type=Path, help="draw found against dose here (PNG)")
    parser.add_argument(
        "--quick", action="store_true", help="2 + 2 small specimens: shows that it runs, proves nothing"
    )
    parser.add_argument("--specimens", type=int, default=24, help="in each half")
    parser.add_argument("--seed", type=int, default=20_000, help="of the first specimen")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args(arguments)
    count, sites = (2, 16) if asked.quick else (asked.specimens, 32)

    started_s, results = time.monotonic(), {}
    for half, layout in enumerate(("clustered", "uniform")):
        specimen = SpecimenSettings(rare_layout=layout)
        settings = EpisodeSettings(instrument=SimulatedSettings(specimen=specimen), sites=sites, dose_ratio=max(DOSES))
        seeds = range(asked.seed + half * 500, asked.seed + half * 500 + count)
        traces = evaluate(settings, ENTRANTS, seeds, workers=asked.workers, on_trace=_progress)
        results[layout] = summary(traces)
        show(layout, results[layout])
        if asked.figure:
            draw(asked.figure, traces, half, layout)
    print(f"\n{time.monotonic() - started_s:.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    low = results["clustered"]["planner_over_best_raster"]
    print(f"target: planner / best raster ≥ {TARGET:g} at {AT_DOSE:.0%} of the dose, clustered: {low[0]:.1f}")
    return 0 if asked.quick or low[0] >= TARGET else 1


def summary(traces: dict[str, list[Trace]]) -> dict[str, Any]:
    """Numbers of one half, each as [estimate, low, high] with a 95 % interval over specimens."""
    first = next(iter(traces.values()))
    at = {name: found_at(made, "dose", np.array([AT_DOSE]))[:, 0] for name, made in traces.items()}
    time_s = float(np.median([trace.time_s[-1] for trace in traces["raster"]])) / 2
    best = max(RASTERS, key=lambda name: float(np.nanmean(at[name])))
    agents = {
        name: {
            "found_at_dose": {
                f"{dose:g}": interval(column)
                for dose, column in zip(DOSES, found_at(made, "dose", np.array(DOSES)).T, strict=True)
            },
            "found_at_area": {
                f"{area:g}": interval(column)
                for area, column in zip(AREAS, found_at(made, "area", np.array(AREAS)).T, strict=True)
            },
            "found_at_time": interval(found_at(made, "time_s", np.array([time_s]))[:, 0]),
            "flagged_of_found": interval(np.array([trace.flagged for trace in made])),
            "flags_that_are_rare": interval(np.array([trace.precision for trace in made])),
            "faults": sum(trace.faults for trace in made),
        }
        for name, made in traces.items()
    }
    return {
        "specimens": len(first),
        "seeds": [first[0].seed, first[-1].seed],
        "features": [trace.features for trace in first],
        "rare_area_ratio": float(np.mean([trace.rare_area for trace in first])),
        "time_s": time_s,
        "agents": agents,
        "best_raster": best,
        "planner_over_best_raster": ratio_interval(at["planner"], at[best]),
        "planner_minus_greedy_atlas": interval(at["planner"] - at["greedy atlas"]),
        "planner_over_oracle": ratio_interval(at["planner"], at[ORACLE]),
    }


def show(layout: str, result: dict[str, Any]) -> None:
    print(
        f"\n{layout}: {result['specimens']} specimens, {np.mean(result['features']):.0f} rare features each on "
        f"{result['rare_area_ratio']:.2%} of the area; share found, mean and 95 % interval"
    )
    doses = [f"{dose:g}" for dose in DOSES]
    header = [f"dose {float(dose):.1%}" for dose in doses]
    print(f"{'':18}" + "".join(f"{text:>20}" for text in [*header, f"{result['time_s']:.0f} s", "area 4 %", "flagged"]))
    for name, agent in result["agents"].items():
        cells = [*(agent["found_at_dose"][dose] for dose in doses), agent["found_at_time"]]
        cells += [agent["found_at_area"]["0.04"], agent["flagged_of_found"]]
        print(f"{name:18}" + "".join(f"{_text(cell):>20}" for cell in cells))
    print(
        f"at {AT_DOSE:.0%} of the dose: planner / {result['best_raster']} = {_text(result['planner_over_best_raster'])}"
    )
    print(f"   planner - greedy atlas = {_text(result['planner_minus_greedy_atlas'])}")
    print(f"   planner / oracle = {_text(result['planner_over_oracle'])}", flush=True)


def draw(path: Path, traces: dict[str, list[Trace]], half: int, layout: str) -> None:
    """Found against dose; the second half is drawn beside the first."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure("find", figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot(1, 2, half + 1)
    doses = np.linspace(0, max(DOSES), 49)
    for name, made in traces.items():
        found = found_at(made, "dose", doses)
        error = 1.96 * np.nanstd(found, axis=0, ddof=1) / np.sqrt(len(found))
        mean = np.nanmean(found, axis=0)
        (line,) = axes.plot(100 * doses, mean, label=name, lw=2.2 if name == "planner" else 1.2)
        axes.fill_between(100 * doses, mean - error, mean + error, color=line.get_color(), alpha=0.12, lw=0)
    axes.set(xlabel="dose, % of a full detail raster", ylabel="rare features found", title=f"rare features {layout}")
    axes.set(ylim=(0, 1), xlim=(0, 100 * max(DOSES)))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small", loc="upper left")
    figure.savefig(path, dpi=150)


def _text(cell: Sequence[float]) -> str:
    return f"{cell[0]:.2f} ({cell[1]:.2f}–{cell[2]:.2f})"


def _progress(trace: Trace) -> None:
    if sys.stderr.isatty():
        print(f"\r{trace.agent} on specimen {trace.seed}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
