"""What judging one frame costs, on one thread: 256 × 256 pixels, 16 cells, as it arrives in a survey.

    python -m benchmarks.scoring
    python -m benchmarks.scoring --quick

descriptors: the classical scorer, which surveys use. network: the encoder's numbers of every 8 × 8 pixels, held against
256 places seen. both: ``surveys.seeing``, cell by cell. Each describes a new frame, holds it against what the survey
has shown, and takes it in; what is usual was fitted before (fitting it anew is a row of its own, and happens each time
a quarter more has been seen). By the processor's time; the fastest tenth tells what other programs add to the median.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.common import arguments, finish
from envs.descriptors import describe_windows
from envs.novelty import NoveltyScorer
from envs.scorers import Window
from models.anomaly import Anomaly
from models.encoder import features, load_encoder
from surveys.seeing import SeeingScorer

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Image = npt.NDArray[np.float32]

SIDE_PX, CELL_PX, LOOK = 256, 64, "overview"
CELLS = [
    Window((top, top + CELL_PX), (left, left + CELL_PX))
    for top in range(0, SIDE_PX, CELL_PX)
    for left in range(0, SIDE_PX, CELL_PX)
]
BEFORE = 64


def frames(count: int) -> list[Image]:
    """Particles on a grainy film, counted."""
    made = []
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    for seed in range(count):
        rng = np.random.default_rng(seed)
        shown = 20.0 + rng.normal(0, 1, (SIDE_PX // 8, SIDE_PX // 8)).repeat(8, 0).repeat(8, 1)
        for row, column in rng.uniform(0, SIDE_PX, (40, 2)):
            shown += 25 * (np.hypot(rows - row, columns - column) < 5)
        made.append(rng.poisson(shown.clip(0)).astype(np.float32))
    return made


def main() -> int:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    made = frames(BEFORE // 4 if options.quick else 2 * BEFORE)
    half = len(made) // 2
    encoder, watch, classical, both = load_encoder(), Anomaly(), NoveltyScorer(), SeeingScorer()
    taken_in = Anomaly()  # beside it: what is usual is not fitted anew while one frame is timed

    def row_of(image: Image) -> Any:
        return np.concatenate([describe_windows(image, CELLS, 1.0), both.seen(image, CELLS)], axis=1)

    for number, image in enumerate(made[:half]):
        watch.observe(number, features(encoder, image))
        rows = row_of(image)
        classical.observe(LOOK, rows[:, : len(classical.names)])
        both.observe(LOOK, rows)
    watch.refit()
    usual, known = classical.completed(), both.completed()
    usual.interest(LOOK, rows[:, : len(classical.names)])
    known.interest(LOOK, rows)

    def by_descriptors(image: Image) -> None:
        found = describe_windows(image, CELLS, 1.0)
        usual.interest(LOOK, found)
        classical.observe(LOOK, found)

    def by_network(image: Image) -> None:
        found = features(encoder, image)
        scores = watch.scores(found)
        for cell in CELLS:
            watch.cell(scores, cell.rows_px, cell.columns_px)
        taken_in.observe(0, found)

    def by_both(image: Image) -> None:
        found = row_of(image)
        known.interest(LOOK, found)
        both.observe(LOOK, found)

    def fit(_: Image) -> None:
        watch.refit()

    asked = made[half:]
    rows = [
        timed("descriptors", by_descriptors, asked),
        timed("network", by_network, asked),
        timed("both", by_both, asked),
        timed("network, fitted anew", fit, asked[:8]),
    ]
    finish(rows, options, title=f"milliseconds of one thread a frame; load {os.getloadavg()[0]:.1f}")
    return 0


def timed(name: str, judge: Callable[[Image], None], asked: list[Image]) -> dict[str, Any]:
    judge(asked[0])
    spent_ms = []
    for image in asked:
        began_s = time.thread_time()
        judge(image)
        spent_ms.append(1e3 * (time.thread_time() - began_s))
    fastest, median, slow = np.quantile(spent_ms, (0.1, 0.5, 0.95))
    return {"by": name, "fastest_tenth_ms": fastest, "median_ms": median, "slow_95_ms": slow, "frames": len(asked)}


if __name__ == "__main__":
    raise SystemExit(main())
