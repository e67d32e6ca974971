"""What does ``adaptem flag`` find in folders where something is rare? Simulated overviews and recorded loops, as TIFFs.

    python -m benchmarks.flag_folders            three minutes on one core
    python -m benchmarks.flag_folders --quick    two specimens
    python -m benchmarks.flag_folders --only drawn

The specimens are those of ``benchmarks.flags``. A folder has all 64 overviews of a specimen, or 12 of them drawn; or
the four quarters of a recorded bright field, in cells of 32 pixels; or 12 drawn images of ``benchmarks.flag_nulls``
(other seeds), in one of which there is a larger ring, a rod or a bright square. A cell is true where a rare feature
reaches into it, and a feature is recalled where a cell that it reaches is flagged. before: by the distance of whole
cells and the null of surveys alone, as was flagged before cells of folders that hold little had to stand out beyond
the tail of their own folder, and objects were judged. Each interval is a bootstrap over specimens, 95 %, the last
line paired.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tifffile
import torch

from benchmarks.common import DATA, arguments
from benchmarks.flag_nulls import COLUMNS, KINDS, ROWS, SIDE_PX
from benchmarks.flagging_methods import Keeping, Shown
from benchmarks.flags import LOOPS, tell
from benchmarks.flags_flown import LOOP_SITE_PX, column, environment, loops
from envs.actions import LookAt
from envs.descriptors import describe_windows
from envs.novelty import NoveltyScorer
from envs.scorers import Window
from models.encoder import load_encoder
from surveys.folder import flag_images
from surveys.significance import q_values, single_tail
from training.evaluate import interval

if TYPE_CHECKING:
    from models.encoder import Encoder

Array: TypeAlias = npt.NDArray[np.float64]

SEED, SPECIMENS, RATE, CELL_PX, DRAWN = 41_000, 16, 0.1, 64, 12
DRAWN_KINDS, FOLDERS = ("8 discs, none touching", "one lattice, turned", "smooth film"), 20
MEASURES = ("flags", "right", "recall")


def overviews(seed: int) -> tuple[Shown, list[set[int]]]:
    """Every patch of a specimen, and the sites that each rare feature reaches."""
    made, scorer = column(("clustered", "uniform")[seed % 2], False, seed), Keeping()
    env = environment(made.scope, made.clock, made.task, scorer, seed)
    seen = [env.apply(env.catalogue.encode(LookAt(int(patch), 0))) for patch in made.task.tree.of_kind("patch")]
    return Shown.of(seen, scorer), [sites for _, sites in made.features]


def quarters(name: str) -> tuple[Shown, list[set[int]]]:
    """The overviews of a recorded bright field, and the sites that each loop reaches."""
    steps, scorer, _, features = loops(name)
    return Shown.of([step for step in steps if step.score and len(step.score.cells) > 1], scorer), [
        s for _, s in features
    ]


def drawn(kind: str, rare: str, seed: int) -> tuple[Shown, list[set[int]]]:
    """Twelve images of one kind; one rare thing lies in the first, within a cell or across some.

    A square is of 20 pixels and 180 counts brighter than what it lies on.
    """
    images, windows = {}, {}
    for number in range(DRAWN):
        rng = np.random.default_rng((SEED, seed, number))
        image = KINDS[kind](rng)
        if number == 0:
            row, column, turn = *rng.uniform(20, SIDE_PX - 20, 2), rng.uniform(0, np.pi)
            along = (ROWS - row) * np.cos(turn) + (COLUMNS - column) * np.sin(turn)
            across = (COLUMNS - column) * np.cos(turn) - (ROWS - row) * np.sin(turn)
            far = np.hypot(along, across)
            thing = {
                "ring": (far < 12) & (far > 8),
                "rod": (np.abs(along) < 18) & (np.abs(across) < 3),
                "bright square": (np.abs(along) < 10) & (np.abs(across) < 10),
            }[rare]
            image = image + (180 if rare == "bright square" else 25) * thing
        images[number] = rng.poisson(image).astype(np.float32)
        for place in range((SIDE_PX // CELL_PX) ** 2):
            top, left = (CELL_PX * n for n in divmod(place, SIDE_PX // CELL_PX))
            windows[number, 100 * number + place] = Window((top, top + CELL_PX), (left, left + CELL_PX))
    cells = {
        target
        for (number, target), window in windows.items()
        if number == 0 and thing[slice(*window.rows_px), slice(*window.columns_px)].sum() > 0.1 * thing.sum()
    }
    return Shown(images, windows), [cells]


def flagged(encoder: Encoder, seen: Shown, chosen: list[int], cell_px: int) -> dict[str, set[int]]:
    """Sites of these overviews that are flagged, and that were before."""
    sites = {key: window for key, window in seen.windows.items() if key[0] in chosen}
    with tempfile.TemporaryDirectory() as folder:
        paths = {Path(folder) / f"{number:04}.tif": number for number in chosen}
        for path, number in paths.items():
            tifffile.imwrite(path, seen.images[number])
        flags = flag_images(encoder, list(paths), rate=RATE, cell_px=cell_px).flags
    now = set()
    for flag in flags:
        beside = {
            target: abs(window.rows_px[0] - flag.row_px) + abs(window.columns_px[0] - flag.column_px)
            for (number, target), window in sites.items()
            if number == paths[flag.path]
        }
        now.add(min(beside, key=lambda target: beside[target]))
    rows, order = [], []
    for number in chosen:
        here = {target: window for (exposure, target), window in sites.items() if exposure == number}
        rows.append(describe_windows(seen.images[number], list(here.values()), 1.0))
        order += list(here)
    scorer = NoveltyScorer()
    scorer.observe("image", np.concatenate(rows))
    scores = scorer.completed().deviation("image", np.concatenate(rows))
    q = q_values(single_tail(scores).p_values(scores))
    return {"adaptem": now, "before": {target for target, value in zip(order, q, strict=True) if value <= RATE}}


def judged(called: set[int], features: list[set[int]], there: set[int]) -> Array:
    """(3,) in the order of ``MEASURES``, of a folder that shows the sites ``there``."""
    reached = [sites & there for sites in features if sites & there]
    recall = np.mean([bool(sites & called) for sites in reached]) if reached else np.nan
    return np.array([len(called), len(called & set[int]().union(*features)), recall], dtype=np.float64)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=("overviews", "loops", "drawn"), help="one kind of folder")
    options = parser.parse_args()
    sets = ("overviews", "loops", "drawn") if options.only is None else (options.only,)
    torch.set_num_threads(1)
    encoder = load_encoder()
    found: dict[tuple[str, str], list[Array]] = {}

    def judge(name: str, seen: Shown, features: list[set[int]], chosen: list[int], cell_px: int) -> None:
        there = {target for number, target in seen.windows if number in chosen}
        for method, called in flagged(encoder, seen, chosen, cell_px).items():
            found.setdefault((name, method), []).append(judged(called, features, there))

    for seed in range(SEED, SEED + (2 if options.quick else SPECIMENS)) if "overviews" in sets else ():
        seen, features = overviews(seed)
        every = sorted({number for number, _ in seen.windows})
        for many in (len(every), DRAWN):
            chosen = np.random.default_rng(seed).choice(every, many, replace=False).tolist()
            judge(f"{many} overviews", seen, features, sorted(chosen), CELL_PX)
    recorded = sorted(path.name for path in (DATA / LOOPS).glob("*.png")) if "loops" in sets else []
    for name in recorded[: 2 if options.quick else None]:
        seen, features = quarters(name)
        judge("dislocation loops", seen, features, sorted({number for number, _ in seen.windows}), LOOP_SITE_PX)
    for kind, rare in product(DRAWN_KINDS, ("ring", "rod", "bright square")) if "drawn" in sets else ():
        for seed in range(2 if options.quick else FOLDERS):
            seen, features = drawn(kind, rare, seed)
            judge(f"{kind}, and one {rare}", seen, features, list(range(DRAWN)), CELL_PX)
    rows = []
    for name in dict.fromkeys(name for name, _ in found):
        both = {method: np.array(found[name, method]) for method in ("adaptem", "before")}
        for method, values in (*both.items(), ("adaptem − before", both["adaptem"] - both["before"])):
            row: dict[str, Any] = {"images": f"{name} ({len(values)})", "method": method}
            for key, numbers in zip(MEASURES, values.T, strict=True):
                row[key], row[f"{key}_low"], row[f"{key}_high"] = interval(numbers)
            rows.append(row)
    tell(rows, options, f"flags of folders at a rate of {RATE:g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
