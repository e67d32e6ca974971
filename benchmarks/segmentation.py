"""Defects from a few labelled frames, against experts, on frames not used.

    python -m benchmarks.segmentation            20 minutes of one core
    python -m benchmarks.segmentation --quick    one draw, a quarter of each frame

Recorded frames with experts' masks: ``loops``, dislocation loops in bright field (8 frames of 200 nm), and ``ti``,
defects in titanium heated from 20 to 596 °C (13 frames, a quarter of their width, no scale in the file: sizes are in
pixels). Of each set k frames are labelled, drawn at random, and the others asked; mean over draws, intervals 95 %,
bootstrap over frames, each with its mean over the draws that asked it. Dice: of pixels. F1: objects, one to one, right
where half of what the two cover is common to both. Count: of objects, those cut by the frame's rim as halves. Off:
mean over frames of its absolute difference from the experts', relative; bias: of the difference. r: correlation of the
counts over frames of a draw. In range: share of frames whose experts' count lies within the range that is stated.

threshold: smoothed and levelled, its width, sign and level the best on the labelled frames. forest: scikit-image's
trainable segmentation as its gallery has it. trees: those of ``adaptem measure``, on scikit-image's features and the
encoder's. density: its count (``models.counting``); titanium's frames are of one exposure, taken as recorded. chosen:
what ``adaptem measure`` takes of all its ways, by the labelled frames alone (``models.choosing``), titanium's counts as
with ``--movie`` by density; ways: which in each draw. experts: titanium's first three frames, nearly one picture
(correlation 0.98 and 0.96): outlines of one held against the next's.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from scipy import ndimage
from skimage.feature import multiscale_basic_features
from skimage.measure import label
from sklearn.ensemble import RandomForestClassifier

from benchmarks import titanium
from benchmarks.common import DATA, arguments, finish, print_table
from instruments.images import read_image
from models.agreement import agreement
from models.choosing import chosen as chosen_of
from models.counting import Counter, large_parts, mass, within
from models.description import Description, describe
from models.encoder import load_encoder
from models.segmentation import Both, Segmenter, measure
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Floats: TypeAlias = npt.NDArray[np.float32]
Objects: TypeAlias = npt.NDArray[np.integer]
Mask: TypeAlias = npt.NDArray[np.bool_]
Shown: TypeAlias = tuple[Mask | None, float, tuple[float, float]]
"""A frame's mask, its count, and the range of that; NaN where none is stated."""

SHOTS = (1, 3, 5)
METHODS = ("threshold", "forest", "trees", "density", "chosen")
OURS = METHODS[2:]
NO_RANGE = (float("nan"), float("nan"))


def loops() -> list[tuple[Floats, Objects]]:
    folder = DATA / "dislocation_loops"
    names = sorted(path.name for path in (folder / "imgs").glob("*.png"))
    known = [label(read_image(folder / "masks1" / n).data > 127) for n in names]
    return [(read_image(folder / "imgs" / n).data, each) for n, each in zip(names, known, strict=True)]


def heated() -> list[tuple[Floats, Objects]]:
    if not titanium.FOLDER.exists():
        return []
    return list(zip(titanium.images(), (titanium.objects(n) for n in titanium.table()[:, 0]), strict=True))


def judged(mine: Objects, theirs: Objects) -> dict[str, float]:
    """Objects of one frame against its experts'."""
    return dict(zip(("dice", "f1"), agreement(mine, theirs), strict=True))


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


def by_forest(labelled: Sequence[tuple[Floats, Mask]], asked: Sequence[Floats], seed: int) -> list[Mask]:
    """scikit-image's trainable segmentation, with the features and the forest of its gallery."""

    def rows(image: Floats) -> Floats:
        even = (image - image.min()) / max(float(np.ptp(image)), 1e-9)
        return np.asarray(multiscale_basic_features(even, sigma_min=1, sigma_max=16, workers=1), dtype=np.float32)

    known = np.concatenate([rows(image).reshape(image.size, -1) for image, _ in labelled])
    forest = RandomForestClassifier(n_estimators=50, max_depth=10, max_samples=0.05, random_state=seed)
    forest.fit(known, np.concatenate([mask.ravel() for _, mask in labelled]))
    return [forest.predict(rows(image).reshape(image.size, -1)).reshape(image.shape) for image in asked]


class Asked:
    """Trees, forest or counter, asked once of an image."""

    def __init__(self, known: Any) -> None:
        self._known, self._told = known, {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._known, name)

    def probabilities(self, image: Description) -> Floats:
        return self._once("probabilities", image)

    def number(self, image: Description) -> float:
        return self._once("number", image)

    def _once(self, what: str, image: Description) -> Any:
        if id(image) not in self._told:
            self._told[id(image)] = getattr(self._known, what)(image)
        return self._told[id(image)]


def by_ours(
    labelled: Sequence[tuple[Description, Objects]],
    asked: Sequence[Description],
    methods: Sequence[str],
    encoder: Any,
    alike: bool,
    seed: int,
) -> Iterator[tuple[str, list[Shown], str]]:
    """Trees, density and what of all is chosen, of one fit of each; last what was."""
    images, objects = [image for image, _ in labelled], [known for _, known in labelled]
    masks = [each > 0 for each in objects]
    ways = ("trees", "forest") if "chosen" in methods else ("trees",)
    alone = {name: Asked(Segmenter(images, masks, encoder, seed, name)) for name in ways}
    counter = Asked(Counter(images, objects, alike))
    if "trees" in methods:
        shown = []
        for image in asked:
            probabilities = alone["trees"].probabilities(image)
            seen = measure(probabilities, alone["trees"].threshold, 1.0)
            shown.append((probabilities > alone["trees"].threshold, seen.count, (seen.count_low, seen.count_high)))
        yield "trees", shown, ""
    if "density" in methods:
        told = [within(counter.number(image), counter.off, len(counter.errors)) for image in asked]
        yield "density", [(None, each.number, (each.low, each.high)) for each in told], ""
    if "chosen" in methods:
        measurer = chosen_of({"both": Both(list(alone.values()), masks)} | alone, counter, objects)
        found = [measurer.measure(image, 1.0) for image in asked]
        taken = f"{measurer.choice.outlined_by}, {measurer.choice.counted_by}"
        yield "chosen", [(mask, told.number, (told.low, told.high)) for mask, _, told in found], taken


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--draws", type=int, default=3, help="of the frames that are labelled")
    parser.add_argument("--only", choices=("loops", "ti"), help="this set alone")
    parser.add_argument("--shots", type=int, choices=SHOTS, help="labelled frames, these alone")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"of {', '.join(METHODS)}; by itself all")
    options = parser.parse_args()
    if unknown := set(options.methods.split(",")) - set(METHODS):
        parser.error(f"unknown method {min(unknown)}: give some of {', '.join(METHODS)}")
    draws = 1 if options.quick else options.draws
    torch.set_num_threads(1)
    encoder, rows = load_encoder(), []
    for name, recorded in (("loops", loops), ("ti", heated)):
        if options.only not in (None, name):
            continue
        frames = recorded()
        if not frames:
            print(f"no {name} under {DATA}: set ADAPTEM_DATA to the folder that has them")
            continue
        if name == "ti":
            agreed = titanium.experts_agree([image for image, _ in frames], judged)
            print_table(agreed, title="titanium's first three frames, experts' outlines of one against the next's")
        if options.quick:
            frames = [(image[:256, :256], known[:256, :256]) for image, known in frames][:6]
        shots = SHOTS if options.shots is None else (options.shots,)
        rows += compared(name, frames, shots, draws, encoder, options.methods.split(","))
    finish(rows, options, title="defects from k labelled frames, on the others")
    return 0


def compared(
    name: str,
    frames: list[tuple[Floats, Objects]],
    every_shots: Sequence[int],
    draws: int,
    encoder: Any,
    methods: Sequence[str],
) -> list[dict[str, Any]]:
    rows, seen = [], [describe(image) for image, _ in frames]
    usable = [n for n, (_, known) in enumerate(frames) if known.any()]
    for shots in every_shots:
        found: dict[str, list[list[dict[str, float]]]] = {}
        ways: dict[str, list[str]] = {}
        for draw in track(range(draws), f"{name}, k = {shots}", transient=True):
            chosen = np.random.default_rng((draw, shots)).choice(usable, shots, replace=False).tolist()
            objects, numbers = [frames[n] for n in chosen], [n for n in range(len(frames)) if n not in chosen]
            labelled, asked = [(image, known > 0) for image, known in objects], [frames[n][0] for n in numbers]
            results: list[tuple[str, list[Shown], str]] = []
            if "threshold" in methods:
                results.append(("threshold", [_plain(mask) for mask in by_threshold(labelled, asked)], ""))
            if "forest" in methods:
                results.append(("forest", [_plain(mask) for mask in by_forest(labelled, asked, draw)], ""))
            if ours := [method for method in methods if method in OURS]:
                known = [(seen[n], frames[n][1]) for n in chosen]
                results += by_ours(known, [seen[n] for n in numbers], ours, encoder, name == "ti", draw)
            for method, told, by in results:
                each = [_row(shown, frames[n][1], n) for shown, n in zip(told, numbers, strict=True)]
                found.setdefault(method, []).append(each)
                ways.setdefault(method, []).append(by)
        rows += [
            {"set": name, "k": shots, "method": method}
            | _summary(each)
            | {"ways": "; ".join(filter(None, ways[method]))}
            for method, each in found.items()
        ]
    return rows


def _plain(mask: Mask) -> Shown:
    return mask, float(mass(large_parts(mask)).sum()), NO_RANGE


def _row(shown: Shown, known: Objects, frame: int) -> dict[str, float]:
    mask, count, (low, high) = shown
    right = float(mass(known).sum())
    return (judged(label(mask), known) if mask is not None else {"dice": np.nan, "f1": np.nan}) | {
        "frame": float(frame),
        "count": count,
        "expert_count": right,
        "off": abs(count - right) / max(right, 1.0),
        "bias": (count - right) / max(right, 1.0),
        "in_range": float(low <= right <= high) if np.isfinite(low) else np.nan,
    }


def _summary(draws: list[list[dict[str, float]]]) -> dict[str, float]:
    every, row = [one for draw in draws for one in draw], {}
    for key in ("dice", "f1", "off", "bias"):
        stated = np.isfinite(every[0][key])
        row[key], row[f"{key}_low"], row[f"{key}_high"] = interval(_by_frame(every, key)) if stated else (np.nan,) * 3
    pairs = [zip(*((one["count"], one["expert_count"]) for one in draw), strict=True) for draw in draws]
    row["r"] = float(np.mean([_correlation(*each) for each in pairs]))
    ranged = [one["in_range"] for one in every if np.isfinite(one["in_range"])]
    row["in_range"] = float(np.mean(ranged)) if ranged else float("nan")
    return row


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
