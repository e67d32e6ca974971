"""A flag's second number: is it right as often as it says, and does it know what is new?

Earlier surveys of simulated specimens without rare features fill a library. Then new surveys of the same kind are held
against it, some without and some with rare features (voids, rods, clusters, …) whose places are known. Every close look
is judged, not only flagged ones. On ordinary places the p-value must be uniform, 0.1 of them at most 0.1, up to how far
surveys differ; on places with a rare feature it should be small. A site is true where a rare feature reaches into it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archive.library import Library
from archive.library_filling import add_survey, looks_of
from archive.library_from_survey import survey_experiments
from archive.library_places import histories, survey_places
from archive.reader import SurveyReader
from benchmarks.common import LIMITS, arguments, finish
from instruments.clock import SimulatedClock
from instruments.simulated.world import World
from instruments.types import Footprint
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

SITES, SITE_NM = 8, 50.0
FIRST_SEED = 70_000


def settings(seed: int, rare_fraction: float) -> SurveySettings:
    """A raster over 8 × 8 sites of one kind of specimen; density and grain are the specimen's own."""
    random = np.random.default_rng(seed)
    specimen = {
        "rare_layout": "uniform" if rare_fraction else "none",
        "heavy_per_um2": float(random.uniform(500, 700)),
        "light_per_um2": float(random.uniform(150, 250)),
    } | ({"rare_fraction": rare_fraction} if rare_fraction else {})
    return SurveySettings.model_validate({
        "name": "history", "seed": seed, "who": {"elements": ["Pt", "C"]},
        "instrument": {"kind": "simulated", "specimen": specimen},
        "specimens": [{"name": "a", "area": {"width_nm": SITES * SITE_NM, "height_nm": SITES * SITE_NM}}],
        "current_pA": 50.0, "budget": {"hours": 2.0, "electrons": 1e12}, "limits": LIMITS,
        "looks": {"overview": {"sites": 2, "shape": [64, 64], "dwell_us": 2.0},
                  "detail": {"field_of_view_nm": SITE_NM, "shape": [64, 64], "dwell_us": 10.0}},
        "agent": {"kind": "raster", "corner": 0, "refocus_every": 0}, "controls": {"count": 2},
    })  # fmt: skip


def ran(folder: Path, seed: int, rare_fraction: float) -> Path:
    """One survey, recorded."""
    run_survey(open_night(settings(seed, rare_fraction), folder))
    return folder


def rare_places(seed: int, rare_fraction: float) -> list[tuple[float, float, float]]:
    """(x, y, size) in nm of the rare features of that world."""
    world = World(settings(seed, rare_fraction).instrument, seed, SimulatedClock())  # type: ignore[arg-type]
    side_nm = SITES * SITE_NM
    area = Footprint(x_nm=0.0, y_nm=0.0, width_nm=side_nm, height_nm=side_nm)
    return [(feature.x_nm, feature.y_nm, feature.size_nm) for feature in world.features(area)]


def judged(library: Library, folder: Path, features: list[tuple[float, float, float]]) -> Iterator[tuple[float, bool]]:
    """(p-value, true) of every close look of a survey that the library does not hold."""
    with SurveyReader(folder) as reader:
        close = looks_of("detail", (experiment for experiment, _ in survey_experiments(reader)))
        places = survey_places(reader, "a")
        prints = {row.id: row.footprint for row in reader.exposures()}
        for place, history in zip(places, histories(library, close["a"], places), strict=True):
            at = prints[place.exposure]
            true = any(max(abs(at.x_nm - x), abs(at.y_nm - y)) < SITE_NM / 2 + size / 4 for x, y, size in features)
            if history.p_value is not None:
                yield history.p_value, true


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    earlier, new = (3, 1) if options.quick else (8, 6)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place, Library(Path(place) / "library.sqlite") as library:
        for number in range(earlier):
            with SurveyReader(ran(Path(place) / f"earlier-{number}", FIRST_SEED + number, 0.0)) as reader:
                add_survey(library, reader)
        for name, rare_fraction, first in (("no rare feature", 0.0, 100), ("rare features", 0.015, 200)):
            shares: dict[bool, list[np.ndarray[Any, np.dtype[np.float64]]]] = {True: [], False: []}
            for number in range(new):
                seed = FIRST_SEED + first + number
                features = rare_places(seed, rare_fraction) if rare_fraction else []
                found = list(judged(library, ran(Path(place) / f"{first}-{number}", seed, rare_fraction), features))
                for kind in (True, False):
                    shares[kind].append(np.array([p for p, true in found if true is kind]))
            for kind, label in ((False, "ordinary places"), (True, "places with a rare feature")):
                values = [p for p in shares[kind] if len(p)]
                if not values:
                    continue
                every, each = np.concatenate(values), [float((p <= 0.1).mean()) for p in values]
                rows.append({
                    "new surveys": f"{name} ({new})", "of": label, "places": len(every),
                    "p_at_most_0.05": float((every <= 0.05).mean()), "p_at_most_0.1": float((every <= 0.1).mean()),
                    "by_survey": f"{min(each):.2f}-{max(each):.2f}", "median_p": float(np.median(every)),
                })  # fmt: skip
    finish(rows, options, title=f"A flag's second number, against {earlier} earlier surveys of like specimens")


if __name__ == "__main__":
    main()
