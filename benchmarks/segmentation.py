"""Defects from a few labelled frames, against experts, on frames not used.

    python -m benchmarks.segmentation            about ten minutes on one core
    python -m benchmarks.segmentation --quick    one draw, a quarter of each frame

Recorded frames with experts' masks: ``loops``, dislocation loops in bright field (8 frames of 200 nm), and ``ti``,
defects in titanium heated from 20 to 596 °C (13 frames, half size, no scale in the file: sizes are in pixels). Of each
set k frames are labelled, drawn at random, and the others asked; mean over draws, intervals 95 %, bootstrap over
frames, each with its mean over the draws that asked it. Dice: of pixels. F1: objects, right where they meet an expert's
that no other was matched to. Density and diameter: median over frames of the absolute difference from the experts',
relative; r: correlation of the counts over frames of a draw. In range: share of frames whose experts' count lies within
the range that is stated.

threshold: smoothed and levelled, its width, sign and level the best on the labelled frames. scikit-image: trees on its
features alone. with encoder: and on the encoder's. A second expert's masks of the same frames do not exist, so how
well experts agree is unknown.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.draw import polygon
from skimage.measure import label, regionprops

from benchmarks.common import DATA, arguments, finish
from instruments.images import read_image
from models.encoder import load_encoder
from models.segmentation import Segmenter, measure
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

SHOTS = (1, 3, 5)
TI_PX = 2048


def loops() -> list[tuple[Floats, Mask]]:
    folder = DATA / "dislocation_loops"
    names = sorted(path.name for path in (folder / "imgs").glob("*.png"))
    return [(read_image(folder / "imgs" / n).data, read_image(folder / "masks1" / n).data > 127) for n in names]


def titanium() -> list[tuple[Floats, Mask]]:
    found = []
    for path in sorted((DATA / "insitu_ti" / "frames").glob("*.jpg")):
        mask = np.zeros((TI_PX, TI_PX), dtype=bool)
        for line in (DATA / "insitu_ti" / "polygons" / f"{path.stem}.txt").read_text().splitlines():
            corners = np.array(line.split()[1:], dtype=float).reshape(-1, 2) * TI_PX
            mask[polygon(corners[:, 1], corners[:, 0], mask.shape)] = True
        image = read_image(path).data
        half = image.reshape(TI_PX // 2, 2, TI_PX // 2, 2).mean(axis=(1, 3))
        found.append((half, mask.reshape(TI_PX // 2, 2, TI_PX // 2, 2).mean(axis=(1, 3)) >= 0.5))
    return found


def judged(told: Mask, expert: Mask, count: tuple[float, float]) -> dict[str, float]:
    """One frame against its experts."""
    mine, theirs = label(told), label(expert)
    found, known = ([r for r in regionprops(each) if r.area >= 6] for each in (mine, theirs))
    pairs = np.zeros((int(mine.max()) + 1, int(theirs.max()) + 1))
    np.add.at(pairs, (mine.ravel(), theirs.ravel()), 1)
    pairs = pairs[np.ix_([r.label for r in found], [r.label for r in known])]
    matched = int((pairs[linear_sum_assignment(pairs, maximize=True)] > 0).sum()) if pairs.size else 0
    sizes = [
        float(np.median([r.equivalent_diameter_area for r in each])) if each else np.nan for each in (found, known)
    ]
    return {
        "dice": 2 * float((told & expert).sum()) / max(float(told.sum() + expert.sum()), 1.0),
        "f1": 2 * matched / max(len(found) + len(known), 1),
        "density_off": abs(len(found) - len(known)) / max(len(known), 1),
        "diameter_off": abs(sizes[0] - sizes[1]) / sizes[1],
        "in_range": float(count[0] <= len(known) <= count[1]),
        "count": float(len(found)),
        "expert_count": float(len(known)),
    }


def by_threshold(labelled: Sequence[tuple[Floats, Mask]], asked: Sequence[Floats]) -> list[Mask]:
    """The strongest simple rule: a Gaussian's width, a sign and a level against the surroundings."""

    def flat(image: Floats, width: float) -> Floats:
        return (
            np.asarray(ndimage.gaussian_filter(image, width) - ndimage.gaussian_filter(image, 8 * width)) / image.std()
        )

    best: tuple[float, float, float, float] = (-1.0, 1.0, 1.0, 0.0)
    for width, sign in product((1.0, 2.0, 4.0, 6.0), (-1, 1)):
        levels = np.linspace(0.1, 2.0, 20)
        shown = [sign * flat(image, width) for image, _ in labelled]
        for level in levels:
            dice = [
                2 * (m & (s > level)).sum() / max(m.sum() + (s > level).sum(), 1)
                for s, (_, m) in zip(shown, labelled, strict=True)
            ]
            best = max(best, (float(np.mean(dice)), width, sign, float(level)))
    _, width, sign, level = best
    return [sign * flat(image, width) > level for image in asked]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--draws", type=int, default=3, help="of the frames that are labelled")
    parser.add_argument("--only", choices=("loops", "ti"), help="this set alone")
    options = parser.parse_args()
    draws = 1 if options.quick else options.draws
    torch.set_num_threads(1)
    encoder, rows = load_encoder(), []
    for name, recorded in (("loops", loops), ("ti", titanium)):
        if options.only not in (None, name):
            continue
        frames = recorded()
        if not frames:
            print(f"no {name} under {DATA}: set ADAPTEM_DATA to the folder that has them")
            continue
        if options.quick:
            frames = [(image[:256, :256], mask[:256, :256]) for image, mask in frames][:6]
        rows += compared(name, frames, draws, encoder)
    finish(rows, options, title="defects from k labelled frames, on the others")
    return 0


def compared(name: str, frames: list[tuple[Floats, Mask]], draws: int, encoder: Any) -> list[dict[str, Any]]:
    rows = []
    for shots in SHOTS:
        found: dict[str, list[list[dict[str, float]]]] = {}
        for draw in track(range(draws), f"{name}, k = {shots}", transient=True):
            rng = np.random.default_rng((draw, shots))
            usable = [n for n, (_, mask) in enumerate(frames) if mask.any()]
            chosen = rng.choice(usable, shots, replace=False).tolist()
            labelled = [frames[n] for n in chosen]
            asked = [frames[n] for n in range(len(frames)) if n not in chosen]
            simple = by_threshold(labelled, [image for image, _ in asked])
            told = {"threshold": [(mask, (np.nan, np.nan)) for mask in simple]}
            for method, with_encoder in (("scikit-image", None), ("with encoder", encoder)):
                model = Segmenter([i for i, _ in labelled], [m for _, m in labelled], with_encoder, seed=draw)
                told[method] = []
                for image, _ in asked:
                    probabilities = model.probabilities(model.columns(image))
                    seen = measure(probabilities, model.threshold, 1.0)
                    told[method].append((probabilities > model.threshold, (seen.count_low, seen.count_high)))
            for method, results in told.items():
                numbers = [n for n in range(len(frames)) if n not in chosen]
                found.setdefault(method, []).append(
                    [
                        judged(mask, frames[n][1], count) | {"frame": float(n)}
                        for (mask, count), n in zip(results, numbers, strict=True)
                    ]
                )
        for method, each in found.items():
            every = [one for draw in each for one in draw]
            row: dict[str, Any] = {"set": name, "k": shots, "method": method}
            for key in ("dice", "f1"):
                row[key], row[f"{key}_low"], row[f"{key}_high"] = interval(_by_frame(every, key))
            for key in ("density_off", "diameter_off"):
                known = [one[key] for one in every if np.isfinite(one[key])]
                row[key] = float(np.median(known)) if known else float("nan")
            row["r"] = float(
                np.mean([_correlation(*zip(*((o["count"], o["expert_count"]) for o in d), strict=True)) for d in each])
            )
            row["in_range"] = (
                float(np.mean([one["in_range"] for one in every])) if method != "threshold" else float("nan")
            )
            rows.append(row)
    return rows


def _by_frame(every: Sequence[dict[str, float]], key: str) -> npt.NDArray[np.float64]:
    """Of each frame the mean over the draws that asked it: draws of one frame are no samples of their own."""
    return np.array(
        [np.mean([one[key] for one in every if one["frame"] == n]) for n in sorted({one["frame"] for one in every})]
    )


def _correlation(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """NaN where one of the two is always the same."""
    known = len(ours) > 2 and np.std(ours) > 0 and np.std(theirs) > 0
    return float(np.corrcoef(ours, theirs)[0, 1]) if known else float("nan")


if __name__ == "__main__":
    raise SystemExit(main())
