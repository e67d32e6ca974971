"""What does ``adaptem flag`` find in folders where something is rare? Overviews of simulated specimens, as TIFF files.

    python -m benchmarks.flag_folders            three minutes on one core
    python -m benchmarks.flag_folders --quick    two specimens

The specimens are those of ``benchmarks.flags``. A folder has all 64 overviews, or 12 of them drawn. A cell is true
where a rare feature reaches into it, and a feature is recalled where a cell that it reaches is flagged. before: by the
distance of whole cells and the null of surveys alone, as was flagged before a cell had to stand out beyond the tail of
its own folder and objects were judged. Each interval is a bootstrap over specimens, 95 %, the last line paired.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tifffile
import torch

from benchmarks.common import arguments, finish
from benchmarks.flagging_methods import Keeping, Shown
from benchmarks.flags_flown import column, environment
from envs.actions import LookAt
from envs.descriptors import describe_windows
from envs.novelty import NoveltyScorer
from models.encoder import load_encoder
from surveys.folder import flag_images
from surveys.significance import q_values, single_tail
from training.evaluate import interval

if TYPE_CHECKING:
    from models.encoder import Encoder

Array: TypeAlias = npt.NDArray[np.float64]

SEED, SPECIMENS, RATE, CELL_PX, DRAWN = 41_000, 16, 0.1, 64, 12
MEASURES = ("flags", "right", "recall")


def overviews(seed: int) -> tuple[Shown, list[set[int]]]:
    """Every patch of a specimen, and the sites that each rare feature reaches."""
    made, scorer = column(("clustered", "uniform")[seed % 2], False, seed), Keeping()
    env = environment(made.scope, made.clock, made.task, scorer, seed)
    seen = [env.apply(env.catalogue.encode(LookAt(int(patch), 0))) for patch in made.task.tree.of_kind("patch")]
    return Shown.of(seen, scorer), [sites for _, sites in made.features]


def flagged(encoder: Encoder, shown: Shown, chosen: list[int]) -> dict[str, set[int]]:
    """Sites of these overviews that are flagged, and that were before."""
    sites = {key: window for key, window in shown.windows.items() if key[0] in chosen}
    with tempfile.TemporaryDirectory() as folder:
        paths = {Path(folder) / f"{number:04}.tif": number for number in chosen}
        for path, number in paths.items():
            tifffile.imwrite(path, shown.images[number])
        flags = flag_images(encoder, list(paths), rate=RATE, cell_px=CELL_PX).flags
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
        rows.append(describe_windows(shown.images[number], list(here.values()), 1.0))
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
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    encoder = load_encoder()
    found: dict[tuple[int, str], list[Array]] = {}
    for seed in range(SEED, SEED + (2 if options.quick else SPECIMENS)):
        shown, features = overviews(seed)
        every = sorted(shown.images)
        for many in (len(every), DRAWN):
            chosen = sorted(np.random.default_rng(seed).choice(every, many, replace=False).tolist())
            there = {target for number, target in shown.windows if number in chosen}
            for name, called in flagged(encoder, shown, chosen).items():
                found.setdefault((many, name), []).append(judged(called, features, there))
    rows = []
    for many in sorted({many for many, _ in found}, reverse=True):
        both = {name: np.array(found[many, name]) for name in ("adaptem", "before")}
        for name, values in (*both.items(), ("adaptem − before", both["adaptem"] - both["before"])):
            row: dict[str, Any] = {"images": many, "folders": len(values), "method": name}
            for key, numbers in zip(MEASURES, values.T, strict=True):
                row[key], row[f"{key}_low"], row[f"{key}_high"] = interval(numbers)
            rows.append(row)
    finish(rows, options, title=f"flags of folders of overviews at a rate of {RATE:g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
