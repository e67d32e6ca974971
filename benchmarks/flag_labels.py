"""Is the probability right once a person has said of a few places whether they are unusual?

    python -m benchmarks.flag_labels            five minutes on one core
    python -m benchmarks.flag_labels --quick    two specimens of each

Places of surveys, one of each specimen (recorded images in cells of 32 pixels), whose truth is known, by the function
that ``adaptem flag --said`` uses (``surveys.significance.probability_unusual``). The p-values of a folder's cells are
others, and no command measures their probabilities. So many places are looked at, half of them the most unusual and
half drawn at random, and said to be what they are. ``said``: expected calibration error over the places of which
nothing was said, ten bins, one specimen at a time, mean over ten draws; intervals are bootstraps over specimens, 95
%. ``constant``: that of one who knows nothing and says 0.07 of every place, about the share of rare ones on simulated
specimens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.common import DATA, arguments, print_table, write
from benchmarks.flags import LOOPS, RATE, calibration_error, shown
from benchmarks.flags_flown import Flown, flown, loops, strip
from surveys.folder_said import to_say
from surveys.judging import judge_places
from surveys.significance import probability_unusual
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Callable

Array: TypeAlias = npt.NDArray[np.float64]

SAID, DRAWS, SPECIMENS, SEED = (0, 5, 10, 20, 40), 10, 8, 41_000
CONSTANT = 0.07


def places(fly: Callable[[], Flown]) -> tuple[Array, Array]:
    """(N,) p-values of the places of one specimen, and (N,) whether each is unusual in truth."""
    steps, scorer, tree, features = fly()
    judged = judge_places(steps, scorer.completed(), RATE, tree)
    true = set[int]().union(*(sites for _, sites in features))
    return (
        np.array([place.p_value for place in judged.places.values()]),
        np.array([float(target in true) for target in judged.places]),
    )


def error_after(p: Array, truth: Array, count: int) -> float:
    """Calibration error over the rest, when ``count`` places were said to be what they are; mean over the draws."""
    errors = []
    for draw in range(DRAWS if count else 1):
        chosen = to_say(p, count, seed=draw)
        said = np.full(len(p), np.nan)
        said[chosen] = truth[chosen]
        rest = np.isnan(said)
        errors.append(calibration_error(probability_unusual(p, said)[rest], truth[rest]))
    return float(np.mean(errors))


def main() -> int:
    options = arguments(__doc__).parse_args()
    some = 2 if options.quick else None
    sets: dict[str, list[Callable[[], Flown]]] = {
        "simulated, rare features": [
            partial(flown, ("clustered", "uniform")[n % 2], False, SEED + n) for n in range(some or SPECIMENS)
        ]
    }
    for name, fly, folder in (("dislocation loops", loops, LOOPS), ("metal strips", strip, "metal_strips")):
        if images := sorted(path.name for path in (DATA / folder).glob("*.png")):
            sets[name] = [partial(fly, each) for each in images[:some]]
        else:
            print(f"no {name} under {DATA}: set ADAPTEM_DATA to the folder that has them")
    rows = []
    for name, jobs in sets.items():
        found = [places(job) for job in jobs]
        row: dict[str, Any] = {
            "specimens": f"{name} ({len(found)})",
            "rare": float(np.mean([truth.mean() for _, truth in found])),
        }
        row["constant"] = float(np.mean([abs(CONSTANT - truth.mean()) for _, truth in found]))
        for count in SAID:
            errors = np.array([error_after(p, truth, count) for p, truth in found])
            row[f"said {count}"], row[f"said {count}_low"], row[f"said {count}_high"] = interval(errors)
        rows.append(row)
    title = "expected calibration error after so many places were said to be what they are"
    write(rows, options, title=title)
    print_table([shown(row) for row in rows], title=title)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
