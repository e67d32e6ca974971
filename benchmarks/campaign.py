"""Two laboratories share a campaign of 12 cells: none done twice, the answer of one laboratory, in half its time?

    python -m benchmarks.campaign              about 10 minutes of a core
    python -m benchmarks.campaign --quick

4 films × 3 temperatures. First with the simulator: every cell is a survey of three areas, behind the guard, on an
instrument whose gain is off by some percent. Then the exchange alone, on results that are drawn: bundles late, lost,
doubled, out of order, clocks that differ, a laboratory that falls silent, bundles that take longer than a term; and the
same without the rule of whose a cell is. Libraries, bundles and imports are the real ones throughout. Last, how well
the grid is known after some cells, by the posterior's proposals, in the file's order and in a random one.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from archive.campaign_entries import AreaValue
from benchmarks.campaign_exchange import Mail, Shared, share
from benchmarks.common import LIMITS, arguments, finish
from surveys.campaign_cell import survey_cell, together
from surveys.campaign_member import Measured
from surveys.campaign_posterior import Observation, Posterior, Prior
from surveys.campaign_settings import CampaignSettings
from surveys.settings import SurveySettings
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from surveys.campaign_member import Member

Array: TypeAlias = npt.NDArray[np.float64]
Truth: TypeAlias = tuple[Array, float]

FILMS, TEMPERATURES = ("film-a", "film-b", "film-c", "film-d"), ("as-made", "400K", "600K")
LABORATORIES = ("north", "south")
GAIN_OFF = 0.03
"""Standard deviation of the laboratories' calibrations, relative."""
NOISE = 0.05
AREAS = 3
WITHIN = NOISE * AREAS**0.5
"""Standard error of an area, where results are drawn."""
AREA_OFF = 0.08
"""Standard deviation of a specimen's areas, relative, where results are drawn."""
SURE = 1.96
REFERENCES = 3
"""Surveys on a calibrated instrument by which a cell's true value is known."""


def campaign(seed: int, laboratories: tuple[str, ...] = LABORATORIES, **changes: Any) -> CampaignSettings:
    """Of 12 cells; films and what annealing does to them are drawn."""
    random = np.random.default_rng((seed, 0xF1))
    densities, growth = random.uniform(300, 1000, 4), np.cumprod([1.0, *random.uniform(1.05, 1.3, 2)])
    data: dict[str, Any] = {
        "name": f"annealing-{seed}",
        "question": "does annealing coarsen the particles, and on which film the most?",
        "laboratories": laboratories,
        "specimens": [
            {"name": n, "simulated": {"heavy_per_um2": float(d)}} for n, d in zip(FILMS, densities, strict=True)
        ],
        "conditions": [
            {"name": n, "simulated": {"heavy_radius_nm": float(3 * g)}}
            for n, g in zip(TEMPERATURES, growth, strict=True)
        ],
        "looks": {
            "overview": {"sites": 2, "shape": [32, 32], "dwell_us": 2.0},
            "detail": {"field_of_view_nm": 50.0, "shape": [32, 32], "dwell_us": 10.0},
        },
        "areas": AREAS,
        "controls": {"count": 24},
        "budget": {"hours": 1.0, "electrons": 1e11, "detail_fraction": 0.4},
        "measure": {"descriptor": "mean_counts", "noise": NOISE},
        "terms": {"term_hours": 24.0, "lease_hours": 3.0},
    }
    return CampaignSettings.model_validate(data | changes)


def laboratory(seed: int, name: str, gain: float, out: Path) -> SurveySettings:
    """A laboratory's own config."""
    return SurveySettings.model_validate({
        "name": name,
        "seed": seed,
        "out": out,
        "instrument": {"kind": "simulated", "haadf": {"gain_counts_per_electron": 20.0 * gain}},
        "specimens": [
            {"name": film + after, "area": {"x_nm": x_nm, "width_nm": 400.0, "height_nm": 400.0}}
            for film in FILMS
            for after, x_nm in (("", 0.0), (".2", 2000.0), (".3", 4000.0))
        ],
        "current_pA": 50.0,
        "looks": {"detail": {"field_of_view_nm": 50.0}},
        "budget": {"hours": 2.0, "electrons": 1e12},
        "limits": LIMITS,
        "agent": {"kind": "raster", "refocus_every": 0},
    })  # fmt: skip


def surveyed(seed: int, folder: Path, references: int) -> tuple[Shared, Shared, Truth]:
    """(two laboratories, the first alone, true values and their standard error) with a survey for every cell."""
    gains = 1 + np.random.default_rng((seed, 0x6A)).normal(0, GAIN_OFF, len(LABORATORIES))
    instruments: dict[str, Callable[[Member, str], Measured]] = {}
    for name, gain in zip(LABORATORIES, gains, strict=True):
        own = laboratory(seed, name, float(gain), folder / f"surveys-{name}")
        instruments[name] = partial(_survey, own)
    mail = Mail(cell_h=0.022)
    both = share(campaign(seed), instruments, mail, folder / "both", seed)
    one = {LABORATORIES[0]: instruments[LABORATORIES[0]]}
    alone = share(campaign(seed, LABORATORIES[:1]), one, mail, folder / "alone", seed)
    right = {"right": partial(_survey, laboratory(seed, "right", 1.0, folder / "surveys-right"))}
    truths = []
    for again in range(references):
        settings = campaign(seed, ("right",)).model_copy(update={"name": f"reference-{again}"})
        reference = share(settings, right, mail, folder / f"reference-{again}", seed)
        results = [reference.standing.results[cell][0] for cell in settings.grid]
        truths.append([[area.value for area in result.areas or ()] for result in results])
    areas = np.concatenate(truths, axis=1)
    return both, alone, (np.log(np.exp(areas).mean(axis=1)), _standard_error(areas))


def _standard_error(areas: Array) -> float:
    """Of a cell's mean over its areas (C, A), by the scatter in all cells."""
    return float(np.sqrt(areas.var(axis=1, ddof=1).mean() / areas.shape[1]))


def _survey(own: SurveySettings, member: Member, cell: str) -> Measured:
    return survey_cell(member, cell, own)


def drawn(seed: int, mail: Mail, folder: Path, laboratories: tuple[str, ...], **changes: Any) -> tuple[Shared, Truth]:
    """(what came of it, true values) with results that are drawn: truth, calibration, noise, and hours of their own."""
    random = np.random.default_rng((seed, 0xD0))
    settings = campaign(seed, laboratories, **changes)
    truth = (random.normal(0, 0.4, 4)[:, None] + random.normal(0, 0.2, 3) + random.normal(0, 0.05, (4, 3))).ravel()
    offsets = dict(zip(LABORATORIES, random.normal(0, GAIN_OFF, 2), strict=True))
    off = {name: _areas(random, 12) for name in LABORATORIES}
    hours = random.lognormal(0.0, 0.3, 12).clip(0.4, 2.5)
    place = list(settings.grid)

    def instrument(member: Member, cell: str) -> Measured:
        n, who = place.index(cell), member.laboratory
        told = truth[n] + offsets[who] + off[who][n]
        areas = tuple(AreaValue(value=float(each), std=WITHIN, n=8) for each in told)
        value, std = together(areas)
        return Measured(value=value, std=std, n=24, areas=areas, hours=float(hours[n]), electrons=1e9)

    return share(settings, dict.fromkeys(laboratories, instrument), mail, folder, seed), (truth, 0.0)


def _areas(random: np.random.Generator, cells: int) -> Array:
    """(cells, AREAS) by which areas differ from their cell, as they are and as they are measured."""
    return random.normal(0, AREA_OFF, (cells, AREAS)) + random.normal(0, WITHIN, (cells, AREAS))


def rows_of(what: str, found: list[tuple[Shared, Shared, Truth]]) -> dict[str, Any]:
    """One row: two laboratories against the first alone, over the seeds."""
    times, inside, truth, joint, grid = [], [], [], [], []
    for both, alone, (true, doubt) in found:
        times.append(both.hours / alone.hours)
        ours, theirs = both.standing.posterior(), alone.standing.posterior()
        inside.append(np.abs(ours.means - theirs.means) <= SURE * theirs.stds)
        truth.append(np.abs(ours.means - true) <= SURE * np.hypot(ours.stds, doubt))
        joint.append(float(np.mean(ours.stds / theirs.stds)))
        mean, std = ours.total()
        grid.append(abs(mean - true.mean()) <= SURE * np.hypot(std, doubt / len(true) ** 0.5))
    return {
        "what": what,
        "seeds": len(found),
        "done_twice": sum(both.twice for both, _, _ in found),
        "time_over_one's": _told(times),
        "worst_time": f"{max(times):.2f}",
        "within_one's_95_%": f"{np.mean(inside):.3f}",
        "95_%_hold_the_truth": f"{np.mean(truth):.3f}",
        "grid_mean's_hold": f"{np.mean(grid):.2f}",
        "width_over_one's": _told(joint),
    }


def _told(values: list[float]) -> str:
    mean, low, high = interval(np.array(values))
    return f"{mean:.2f} ({low:.2f}–{high:.2f})"


MAILS: dict[str, Mail] = {
    "bundles twice a cell": Mail(),
    "bundles once in two cells": Mail(every=2.0),
    "… and up to 3 cells late": Mail(every=2.0, delay=(0.5, 3.0)),
    "… twice a cell, 6 of 10 lost": Mail(lost=0.6),
    "… late, doubled, out of order, lost, clocks 4 min apart": Mail(
        delay=(0.0, 3.0), doubled=0.5, lost=0.3, clock_s=240.0
    ),
    "no bundle ever arrives within the term": Mail(delay=(100.0, 100.0)),
    "south falls silent after 2 cells": Mail(silent_after=2),
    "bundles take longer than a term (4 h)": Mail(delay=(8.0, 20.0)),
    "no rule, bundles ten times a cell": Mail(every=0.1, rights=False),
    "no rule, bundles twice a cell": Mail(rights=False),
    "no rule, up to 3 cells late": Mail(every=2.0, delay=(0.5, 3.0), rights=False),
}


def exchange_rows(seeds: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Of the exchange alone."""
    alone = {seed: drawn(seed, Mail(), folder / f"alone-{seed}", LABORATORIES[:1]) for seed in range(seeds)}
    for number, (what, mail) in enumerate(MAILS.items()):
        changes = {"terms": {"term_hours": 4.0, "lease_hours": 3.0}} if "4 h)" in what else {}
        found = []
        for seed in range(seeds):
            both, true = drawn(seed, mail, folder / f"{number}-{seed}", LABORATORIES, **changes)
            found.append((both, alone[seed][0], true))
        yield rows_of(what, found)


def order_rows(seeds: int, sure: float = 0.12) -> Iterator[dict[str, Any]]:
    """Error of the whole grid after some cells, and cells until none is less sure than ``sure``, by the order taken."""
    cells = [(row, column) for row in range(4) for column in range(3)]
    orders = ("proposed", "file's order", "random")
    errors: dict[str, list[list[float]]] = {name: [] for name in orders}
    counts: dict[str, list[float]] = {name: [] for name in orders}
    for seed in range(seeds):
        random = np.random.default_rng((seed, 0xB1))
        rows, columns, both = random.normal(0, 0.4, 4), random.normal(0, 0.3, 3), random.normal(0, 0.03, (4, 3))
        truth = (rows[:, None] + columns + both).ravel()
        value = truth[:, None] + _areas(random, 12)
        shuffled = random.permutation(12).tolist()
        for name in orders:
            path = list(_posteriors(cells, value, name, shuffled))
            errors[name].append([float(np.sqrt(np.mean((each.means - truth) ** 2))) for each in path])
            counts[name].append(next((n for n, each in enumerate(path, 1) if each.stds.max() <= sure), 12))
    for name in orders:
        after = np.array(errors[name])
        yield {
            "order": name,
            "seeds": seeds,
            **{f"error_after_{n}": _told(after[:, n - 1].tolist()) for n in (4, 6, 8, 12)},
            f"cells_until_±{sure}": _told(counts[name]),
        }


def _posteriors(cells: list[tuple[int, int]], value: Any, order: str, shuffled: list[int]) -> Iterator[Posterior]:
    """After 1, 2, … 12 cells of one laboratory."""
    prior = Prior(0.5, 0.05, AREA_OFF, NOISE, AREAS)
    seen: list[Observation] = []
    posterior = Posterior(cells, 1, seen, prior)
    while len(seen) < len(cells):
        left = sorted(set(range(len(cells))) - {each.cell for each in seen})
        gains = {n: posterior.gain(n, 0) for n in left}
        pick = {"proposed": max(left, key=gains.__getitem__), "file's order": left[0]}.get(order)
        pick = next(n for n in shuffled if n in left) if pick is None else pick
        areas = tuple((float(each), WITHIN) for each in value[pick])
        seen.append(Observation(cell=pick, laboratory=0, areas=areas))
        posterior = Posterior(cells, 1, seen, prior)
        yield posterior


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=("surveys", "exchange", "order"), help="one of the three")
    parser.add_argument("--seeds", type=int, default=4, help="campaigns with surveys")
    parser.add_argument("--exchanges", type=int, default=8, help="campaigns of each row of the exchange alone")
    options = parser.parse_args()
    seeds, exchanges, references = (1, 1, 1) if options.quick else (options.seeds, options.exchanges, REFERENCES)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        if options.only in (None, "surveys"):
            flown = [surveyed(seed, Path(folder) / f"flown-{seed}", references) for seed in range(seeds)]
            rows.append(rows_of("surveys, bundles twice a cell", flown))
        if options.only in (None, "exchange"):
            rows += exchange_rows(exchanges, Path(folder) / "drawn")
    if rows:
        finish(rows, options, title="Two laboratories share a campaign of 12 cells")
        options.json = None  # the file holds this table
    if options.only in (None, "order"):
        rows = list(order_rows(2 if options.quick else 60))
        finish(rows, options, title="Root mean square error of the grid (ln) after so many cells")


if __name__ == "__main__":
    main()
