"""What measuring chooses from a few labelled frames, on drawn sets whose truth is known.

    python -m benchmarks.choosing            20 sets from seed 100 on, 1 and 3 labelled frames each
    python -m benchmarks.choosing --quick    2 sets

A set is of one kind of object (disc, ring, line, bright and dark halves, another texture, square, faint disc), with its
own number, size, contrast, noise, bend contours, film and other things; frames differ in number, contrast and
brightness, and some masks are loose or miss a fifth, as people's are. k frames are labelled, four others asked. Dice of
pixels, F1 of objects as in ``benchmarks.segmentation``; off: mean of the absolute ln(counted ÷ drawn), of one frame at
most 1.5; in range: share of frames whose number lies within what is stated. Intervals 95 %, bootstrap over sets.

The rule (``models.choosing``) was settled on 16 other sets drawn likewise, before any recorded frame was scored by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from scipy.ndimage import gaussian_filter
from skimage.measure import label

from benchmarks.common import arguments, finish
from benchmarks.segmentation import Asked
from models.agreement import agreement
from models.choosing import chosen
from models.counting import Counter, mass
from models.description import describe
from models.encoder import load_encoder
from models.segmentation import Both, Segmenter
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.choosing import Measurer
    from models.description import Description

Array: TypeAlias = npt.NDArray[np.float64]
Objects: TypeAlias = npt.NDArray[np.integer]

KINDS = ("disc", "ring", "line", "halves", "texture", "square", "faint")
FIRST = 100
SIDE_PX = 144
ASKED = 4
MOST_OFF = 1.5


def drawn(seed: int, frames: int) -> list[tuple[npt.NDArray[np.float32], Objects]]:
    """A set: images (H, W), and a number for each object that is labelled."""
    rng = np.random.default_rng((seed, 77))
    kind = KINDS[seed % len(KINDS)]
    number = float(np.exp(rng.uniform(np.log(4), np.log(50))))
    size, sign = float(rng.uniform(2.5, 7.0)), float(rng.choice([-1, 1]))
    noise = float(np.exp(rng.uniform(np.log(0.15), np.log(0.8)))) / (3 if kind == "faint" else 1)
    bend, film, others = float(rng.choice([0, 0.5, 1.5])), float(rng.choice([0, 0.3])), float(rng.choice([0, 0, 0.5]))
    vary, missed, loose = float(rng.uniform(0, 0.3)), float(rng.choice([0, 0, 0.2])), float(rng.uniform(-0.8, 0.8))
    apart, trend = bool(rng.random() < 0.5), float(rng.uniform(0, 1.2))
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX].astype(float)
    found = []
    for frame in range(frames):
        count = max(int(rng.poisson(number * np.exp(rng.normal(0, trend / 2)))), 0 if frame else 2)
        shown, known = np.zeros(rows.shape), np.zeros(rows.shape, dtype=int)
        contrast = sign * np.exp(rng.normal(0, vary)) * (0.35 if kind == "faint" else 1)
        for row, column in _places(rng, count, size, apart):
            turn = rng.uniform(0, np.pi)
            along = (rows - row) * np.cos(turn) + (columns - column) * np.sin(turn)
            across = (columns - column) * np.cos(turn) - (rows - row) * np.sin(turn)
            light, mask = _object(kind, along, across, size * rng.uniform(0.6, 1.4), loose, rng)
            shown += contrast * light
            if rng.random() >= missed:
                known[mask] = known.max() + 1
        for row, column in rng.uniform(0, SIDE_PX, (int(others * count), 2)):
            far = np.hypot(rows - row, columns - column)
            shown -= 0.8 * contrast * np.exp(-((far / (1.2 * size)) ** 2))
        way, shift = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 2)
        line = rows * np.cos(way) + columns * np.sin(way) + 12 * np.sin(columns / 40 + shift[1])
        shown += bend * np.sin(np.pi * line / rng.uniform(25, 60) + shift[0]) ** 5
        shown += 3 * film * gaussian_filter(rng.normal(size=rows.shape), 2)
        shown = gaussian_filter(shown, 0.6) + rng.normal(0, noise, rows.shape)
        image = (500 + 100 * np.exp(rng.normal(0, vary)) * shown).astype(np.float32)
        found.append((image, np.unique(known, return_inverse=True)[1].reshape(known.shape)))
    return found


def _places(rng: np.random.Generator, count: int, size: float, apart: bool) -> list[Array]:
    places: list[Array] = []
    for _ in range(count):
        for _ in range(20):
            place = rng.uniform(-size, SIDE_PX + size, 2)
            if not apart or all(np.hypot(*(place - other)) > 2.6 * size for other in places):
                break
        places.append(place)
    return places


def _object(
    kind: str, along: Array, across: Array, radius: float, loose: float, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """What it adds to the image, and its mask."""
    far = np.hypot(along, across / rng.uniform(0.6, 1))
    if kind == "ring":
        return np.exp(-(((far - radius) / 1.2) ** 2)), far < radius + 1.2 + loose
    if kind == "line":
        length = np.abs(along) < 2 * radius
        return np.exp(-((across / 1.3) ** 2)) * length, (np.abs(across) < 2 + loose) & length
    if kind == "halves":
        return 1.5 * np.exp(-((far / radius) ** 2)) * along / radius, far < 1.3 * radius + loose
    if kind == "texture":
        return (far < radius) * rng.normal(0, 0.9, far.shape), far < radius + loose
    if kind == "square":
        wide = np.maximum(np.abs(along), np.abs(across))
        return (wide < radius) * (0.7 + 0.3 * np.sign(along)), wide < radius + loose
    return 1 / (1 + np.exp((far - radius) / 0.6)), far < radius + loose


def judged(measurer: Measurer, asked: Sequence[Description], known: Sequence[Objects]) -> dict[str, float]:
    """Means over the asked frames that show any object."""
    rows = []
    for image, objects in zip(asked, known, strict=True):
        right = float(mass(objects).sum())
        if right:
            mask, _, told = measurer.measure(image, 1.0)
            off = min(abs(np.log(max(told.number, 0.1) / right)), MOST_OFF)
            rows.append(
                (*agreement(label(mask), objects), off, told.low <= right <= told.high if told.ranged else np.nan)
            )
    return dict(zip(("dice", "f1", "off", "in_range"), np.mean(rows, axis=0).tolist(), strict=True)) if rows else {}


def compared(seed: int, shots: int, encoder: Any) -> dict[str, dict[str, float]]:
    """Each way by itself, and what is chosen."""
    frames = drawn(seed, shots + ASKED)
    seen, known = [describe(image) for image, _ in frames], [objects for _, objects in frames]
    images, objects = seen[:shots], known[:shots]
    masks = [each > 0 for each in objects]
    alone = {name: Asked(Segmenter(images, masks, encoder, seed, name)) for name in ("trees", "forest")}
    counter, ways = Asked(Counter(images, objects, seed=seed)), {"both": Both(list(alone.values()), masks)} | alone
    asked, found = (seen[shots:], known[shots:]), {}
    for name, way in ways.items():
        found[name] = judged(chosen({name: way}, None, objects, "outlines"), *asked)
    found["density"] = judged(chosen({"both": ways["both"]}, counter, objects, "density"), *asked)
    measurer = chosen(ways, counter, objects)
    taken = {f"by_{measurer.choice.outlined_by}": 1.0, "by_outlines": float(measurer.choice.counted_by == "outlines")}
    found["chosen"] = judged(measurer, *asked) | taken
    return found


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--first", type=int, default=FIRST, help="seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder, rows = load_encoder(), []
    seeds = range(options.first, options.first + (2 if options.quick else options.sets))
    for shots in (1, 3):
        found = [compared(seed, shots, encoder) for seed in track(seeds, f"k = {shots}", transient=True)]
        for name in found[0]:
            each = [one[name] for one in found if "dice" in one[name]]
            row: dict[str, Any] = {"k": shots, "by": name, "sets": len(each)}
            for key in ("dice", "f1", "off"):
                row[key], row[f"{key}_low"], row[f"{key}_high"] = interval(np.array([one[key] for one in each]))
            ranged = [one["in_range"] for one in each if np.isfinite(one["in_range"])]
            row["in_range"] = float(np.mean(ranged)) if ranged else float("nan")
            for key in ("by_trees", "by_forest", "by_outlines"):
                row[key] = sum(one.get(key, 0.0) for one in each)
            rows.append(row)
    finish(rows, options, title="chosen by labelled frames, on drawn sets")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
