"""How many rare features an agent finds, against dose, time and area.

    python -m benchmarks.find             about 15 minutes on two cores
    python -m benchmarks.find --quick     4 small specimens

Simulated specimens whose rare features cover under 2 % of the area, clustered in one half of them and uniform in the
other. Every agent has the same atlas, skills, scorer and control sites, pays for all of them, and meets the same
specimens. Dose is in % of a full detail raster, area in % of the sites; half time: when the raster with the atlas has
spent half of its dose.

found: share of the features whose centre lies in a committed detail frame (navigation). flagged: share of those found
that the survey's flags name, and precision: share of the flags that name a feature (perception). over raster: found at
10 % of the dose, relative to the better of the two rasters. Lows and highs are 95 % intervals over specimens, paired
where two agents are compared. The oracle alone knows where the features are: it is the ceiling.

The planner's settings were fixed on seeds below 1000; the default seeds begin at 20000.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from agent.settings import PlannerSettings, RandomSettings, RasterSettings
from benchmarks.common import arguments, finish
from instruments.simulated.settings import SimulatedSettings, SpecimenSettings
from training.episode import ORACLE, EpisodeSettings, Trace
from training.evaluate import evaluate, found_at, interval, ratio_interval

if TYPE_CHECKING:
    from agent.settings import AgentSettings

ENTRANTS: dict[str, AgentSettings | str] = {
    "raster, no atlas": RasterSettings(overview=False),
    "raster": RasterSettings(),
    "random": RandomSettings(),
    "greedy atlas": RasterSettings(by_atlas=True),
    "planner": PlannerSettings(),
    ORACLE: ORACLE,
}
RASTERS = ("raster, no atlas", "raster")
AT_DOSE, MOST_DOSE = 0.10, 0.12
DOSES = np.array([0.05, 0.075, AT_DOSE, MOST_DOSE])
AT_AREA = 0.04
TARGET = 3.0
HALVES = ("clustered", "uniform")


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw found against dose into FILE (PNG)")
    parser.add_argument("--specimens", type=int, default=24, metavar="N", help="in each half")
    parser.add_argument("--seed", type=int, default=20_000, help="of the first specimen")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    options = parser.parse_args()
    count, sites = (2, 16) if options.quick else (options.specimens, 32)
    started_s, halves = time.monotonic(), {}
    for number, layout in enumerate(HALVES):
        instrument = SimulatedSettings(specimen=SpecimenSettings(rare_layout=layout))
        settings = EpisodeSettings(instrument=instrument, sites=sites, dose_ratio=MOST_DOSE)
        first = options.seed + 500 * number
        seeds = range(first, first + count)
        halves[layout] = evaluate(settings, ENTRANTS, seeds, workers=options.workers, on_trace=_told)
    rows = [row for layout, traces in halves.items() for row in judged(layout, traces)]
    finish(rows, options, title=f"rare features found, {count} + {count} specimens")
    for layout, traces in halves.items():
        features = [trace.features for trace in traces["planner"]]
        rare = np.mean([trace.rare_area for trace in traces["planner"]])
        found = {name: found_at(traces[name], "dose", np.array([AT_DOSE]))[:, 0] for name in ENTRANTS}
        more = interval(found["planner"] - found["greedy atlas"])
        print(
            f"{layout}: {min(features)} to {max(features)} features on {rare:.2%} of the area; at {AT_DOSE:.0%} of the "
            f"dose the planner finds {more[0]:+.3f} ({more[1]:+.3f} to {more[2]:+.3f}) more than the greedy atlas"
        )
    if options.figure:
        draw(options.figure, halves)
    ratio = next(row["over_raster"] for row in rows if row["half"] == "clustered" and row["agent"] == "planner")
    print(
        f"planner over raster, clustered: {ratio:.1f}, to be at least {TARGET:g}; {time.monotonic() - started_s:.0f} s"
    )
    return 0 if options.quick or ratio >= TARGET else 1


def judged(layout: str, traces: dict[str, list[Trace]]) -> list[dict[str, Any]]:
    """One row an agent."""
    at_dose = {name: found_at(made, "dose", np.array([AT_DOSE]))[:, 0] for name, made in traces.items()}
    raster = max((at_dose[name] for name in RASTERS), key=lambda found: float(np.nanmean(found)))
    half_s = float(np.median([np.interp(0.5 * MOST_DOSE, t.dose, t.time_s) for t in traces["raster"]]))
    rows = []
    for name, made in traces.items():
        by_dose = np.nanmean(found_at(made, "dose", DOSES), axis=0)
        _, low, high = interval(at_dose[name])
        over, over_low, over_high = ratio_interval(at_dose[name], raster)
        rows.append(
            {
                "half": layout,
                "agent": name,
                **{f"found_{100 * dose:g}_dose": float(share) for dose, share in zip(DOSES, by_dose, strict=True)},
                "low": low,
                "high": high,
                "found_half_time": interval(found_at(made, "time_s", np.array([half_s]))[:, 0])[0],
                f"found_{100 * AT_AREA:g}_area": interval(found_at(made, "area", np.array([AT_AREA]))[:, 0])[0],
                "over_raster": over,
                "over_low": over_low,
                "over_high": over_high,
                "flagged": interval(np.array([trace.flagged for trace in made]))[0],
                "precision": interval(np.array([trace.precision for trace in made]))[0],
            }
        )
    return rows


def draw(path: Path, halves: dict[str, dict[str, list[Trace]]]) -> None:
    """Found against dose, mean and 95 % interval."""
    mpl.use("Agg")
    figure, panels = plt.subplots(1, len(halves), figsize=(10, 4), sharey=True, layout="constrained")
    doses = np.linspace(0, MOST_DOSE, 49)
    for axes, (layout, traces) in zip(panels, halves.items(), strict=True):
        for name, made in traces.items():
            band = np.array([interval(column) for column in found_at(made, "dose", doses).T])
            (line,) = axes.plot(100 * doses, band[:, 0], label=name, lw=2.4 if name == "planner" else 1.2)
            axes.fill_between(100 * doses, band[:, 1], band[:, 2], color=line.get_color(), alpha=0.12, lw=0)
        axes.set(xlabel="dose, % of a full detail raster", title=f"rare features {layout}")
        axes.set(xlim=(0, 100 * MOST_DOSE), ylim=(0, 1))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("rare features found")
    panels[0].legend(frameon=False, fontsize="small", loc="upper left")
    figure.savefig(path, dpi=150)


def _told(trace: Trace) -> None:
    if sys.stderr.isatty():
        print(f"\r{trace.agent} on specimen {trace.seed}    ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
