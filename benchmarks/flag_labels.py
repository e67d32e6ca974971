"""Is the probability right once a person has said of a few places whether they are unusual?

    python -m benchmarks.flag_labels              two minutes on one core
    python -m benchmarks.flag_labels --folders    cells of folders instead, as long
    python -m benchmarks.flag_labels --quick      two specimens of each

Places of surveys, one of each specimen (recorded images in cells of 32 pixels), or cells of folders as ``adaptem flag``
judges them, whose truth is known, by the function that its ``--said`` and ``--earlier`` use
(``surveys.unusual.probability_unusual``). So many places are looked at, half of them the most unusual and half drawn at
random, and said to be what they are. ``said``: expected calibration error over the places of which nothing was said,
ten bins, one specimen at a time, mean over ten draws; intervals are bootstraps over specimens, 95 %. and of the others:
with 40 answers about each of the other specimens of the set besides. ``constant``: error of one who knows nothing and
says 0.07 of every place, about the share of rare ones on simulated specimens.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tifffile
import torch
from skimage.measure import label

from benchmarks.common import DATA, arguments
from benchmarks.flag_folders import CELL_PX, overviews
from benchmarks.flags import LOOPS, RATE, calibration_error, tell
from benchmarks.flags_flown import LOOP_COVERED, LOOP_SITE_PX, Flown, flown, loops, strip
from instruments.images import read_image
from models.encoder import load_encoder
from surveys.folder import flag_images
from surveys.folder_said import to_say
from surveys.judging import judge_places
from surveys.unusual import Answered, probability_unusual
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Judged: TypeAlias = tuple[Array, Array]
"""(N,) p-values of the places of one specimen, and (N,) whether each is unusual in truth."""

SAID, DRAWS, SPECIMENS, SEED = (0, 5, 10, 20, 40), 10, 8, 41_000
CONSTANT = 0.07


def places(fly: Callable[[], Flown]) -> Judged:
    """Of a survey."""
    steps, scorer, tree, features = fly()
    judged = judge_places(steps, scorer.completed(), RATE, tree)
    true = set[int]().union(*(sites for _, sites in features))
    return (
        np.array([place.p_value for place in judged.places.values()]),
        np.array([float(target in true) for target in judged.places]),
    )


def loop_cells(names: Sequence[str], cell_px: int) -> Judged:
    """Of a folder of recorded bright fields; a cell is true where one loop covers a tenth of it."""
    p_values = flag_images(load_encoder(), [DATA / LOOPS / name for name in names], cell_px=cell_px).p_values
    marked = {name: label(read_image(DATA / "dislocation_loops" / "masks1" / name).data > 127) for name in names}

    def true(name: str, row: int, column: int) -> bool:
        here = marked[name][row : row + cell_px, column : column + cell_px]
        return bool(np.bincount(here.ravel(), minlength=2)[1:].max() >= LOOP_COVERED * cell_px**2)

    return np.array(list(p_values.values())), np.array([float(true(*cell)) for cell in p_values])


def overview_cells(seed: int) -> Judged:
    """Of a folder of all overviews of a simulated specimen; a cell is true where a rare feature reaches into it."""
    seen, features = overviews(seed)
    true = set[int]().union(*features)
    with tempfile.TemporaryDirectory() as folder:
        paths = {Path(folder) / f"{number:04}.tif": number for number in seen.images}
        for path, number in paths.items():
            tifffile.imwrite(path, seen.images[number])
        p_values = flag_images(load_encoder(), list(paths), cell_px=CELL_PX).p_values

    def rare(name: str, row: int, column: int) -> bool:
        beside = {
            target: abs(window.rows_px[0] - row) + abs(window.columns_px[0] - column)
            for (number, target), window in seen.windows.items()
            if number == int(name[:4])
        }
        return min(beside, key=lambda target: beside[target]) in true

    return np.array(list(p_values.values())), np.array([float(rare(*cell)) for cell in p_values])


def error_after(judged: Judged, count: int, others: Sequence[Judged] = (), draws: int = DRAWS) -> float:
    """Calibration error over the rest, when ``count`` places were said to be what they are; mean over ``draws``.

    ``others``: specimens of each of which 40 were, before.
    """
    errors, (p, truth) = [], judged
    for draw in range(draws if count or others else 1):
        earlier = []
        for number, (p_there, truth_there) in enumerate(others):
            chosen = to_say(p_there, seed=DRAWS * (number + 1) + draw)
            earlier.append(Answered(p_there[chosen], truth_there[chosen]))
        said = np.full(len(p), np.nan)
        chosen = to_say(p, count, seed=draw)
        said[chosen] = truth[chosen]
        rest = np.isnan(said)
        errors.append(calibration_error(probability_unusual(p, said, earlier)[rest], truth[rest]))
    return float(np.mean(errors))


def surveyed(some: int | None) -> dict[str, list[Callable[[], Judged]]]:
    """Specimens by set."""
    seeds = range(SEED, SEED + (some or SPECIMENS))
    sets: dict[str, list[Callable[[], Judged]]] = {
        "simulated, rare features": [
            partial(places, partial(flown, ("clustered", "uniform")[seed % 2], False, seed)) for seed in seeds
        ]
    }
    for name, fly, folder in (("dislocation loops", loops, LOOPS), ("metal strips", strip, "metal_strips")):
        if images := _recorded(folder):
            sets[name] = [partial(places, partial(fly, each)) for each in images[:some]]
    return sets


def in_folders(some: int | None) -> dict[str, list[Callable[[], Judged]]]:
    """Folders by set."""
    seeds = range(SEED, SEED + (some or SPECIMENS))
    sets: dict[str, list[Callable[[], Judged]]] = {
        f"simulated, 64 overviews a folder, cells of {CELL_PX}": [partial(overview_cells, seed) for seed in seeds]
    }
    images = _recorded(LOOPS)[:some]
    for cell_px in (LOOP_SITE_PX, 2 * LOOP_SITE_PX) if images else ():
        sets[f"loops, all in one folder, cells of {cell_px}"] = [partial(loop_cells, images, cell_px)]
        sets[f"loops, an image a folder, cells of {cell_px}"] = [
            partial(loop_cells, [each], cell_px) for each in images
        ]
    return sets


def _recorded(folder: str) -> list[str]:
    images = sorted(path.name for path in (DATA / folder).glob("*.png"))
    if not images:
        print(f"no {folder} under {DATA}: set ADAPTEM_DATA to the folder that has them")
    return images


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--folders", action="store_true", help="cells of folders of images")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, jobs in (in_folders if options.folders else surveyed)(2 if options.quick else None).items():
        found = [job() for job in jobs]
        for about in ("itself", "and of the others") if len(found) > 1 else ("itself",):
            row: dict[str, Any] = {
                "specimens": f"{name} ({len(found)})",
                "answers": about,
                "rare": float(np.mean([truth.mean() for _, truth in found])),
                "constant": float(np.mean([abs(CONSTANT - truth.mean()) for _, truth in found])),
            }
            for count in SAID:
                errors = np.array(
                    [
                        error_after(one, count, [] if about == "itself" else [*found[:n], *found[n + 1 :]])
                        for n, one in enumerate(found)
                    ]
                )
                row[f"said {count}"], low, high = interval(errors)
                if len(found) > 1:
                    row |= {f"said {count}_low": low, f"said {count}_high": high}
            rows.append(row)
    tell(rows, options, "expected calibration error after so many places were said to be what they are")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
