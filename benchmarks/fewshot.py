"""Classes from a handful of clicked chips, on a real image: agreement, accuracy against people, curves, open set.

    python -m benchmarks.fewshot            three minutes on one core
    python -m benchmarks.fewshot --quick    a tenth of the draws

The 1,024 chips of a recorded SrTiO3/Ge image, 15 of them clicked by its owners, five of each class; every setting is
chosen by leaving out one of these 15 at a time (the most right, then the widest margin). ``blind``: 200 chips drawn at
random and labelled in two passes by eye, without any label in sight (``benchmarks.chips``). Which of two labels of a
chip on which the passes differ is right nobody knows: accuracy is over both passes, a chip counting half for each.
Intervals are 95 %, bootstrap over chips, paired where methods are compared.

descriptors: our classical ones. fft, hog, moments: a training-free prototype classifier of the usual features.
untrained: the encoder's first weights. published: the labels of the image's owners' model, which saw these 15, too.
Curves: of so many of the 15, drawn as evenly over the classes as can be, mean over draws. Open set: one class is left
out of the examples; AUROC of telling its chips from the others' by the answer "none of these".

As shipped: ``adaptem classify`` as it comes, with fixed settings; of the blind chips the share that it tells rightly
where it may answer "none of these". Turned away: of chips whose class has examples; let in: of those whose class is
left out; both means over the class left out. Elsewhere: the same examples, and the blind chips counted anew with fewer
electrons or scaled to other pixels (nobody labels them anew; grey levels stand in for expected counts).
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from skimage.feature import hog
from skimage.transform import resize
from sklearn.metrics import roc_auc_score

from benchmarks.chips import CHIP_PX, CLASSES, agreement, chips, labelled, published, support
from benchmarks.common import arguments, finish, print_table
from envs.descriptors import describe_windows, transformed
from envs.scorers import Window
from models.encoder import Encoder, embedding, fused, load_encoder
from models.prototypes import Prototypes, Settings
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.chips import Chip

Array: TypeAlias = npt.NDArray[np.float64]

GRID = tuple(
    Settings(directions=d, ridge=r, unlabelled=u)
    for d, r, u in product((4, 8, 16, 32), (0.03, 0.3, 3.0), (True, False))
)
SHOTS = (3, 5, 9, 15)
ELSEWHERE: tuple[tuple[str, float | None, float], ...] = (
    ("as recorded", None, 1.0),
    ("10 electrons a pixel", 10.0, 1.0),
    ("3 electrons a pixel", 3.0, 1.0),
    ("1 electron a pixel", 1.0, 1.0),
    ("pixels 1.4 times as large", None, 0.7),
    ("pixels 0.7 times as large", None, 1.4),
    ("3 electrons a pixel, 1.4 times as large", 3.0, 0.7),
)
"""What it is called, electrons a pixel in the mean (None = as recorded), and size over the recorded one."""


def descriptors(images: Sequence[npt.NDArray[np.float32]]) -> Array:
    found = []
    for image in images:
        window = Window((0, image.shape[0]), (0, image.shape[1]))
        found.append(transformed(describe_windows(image, [window], CHIP_PX / image.shape[0])))
    return np.concatenate(found)


def usual(images: Sequence[npt.NDArray[np.float32]]) -> Array:
    """Radial power, histogram of oriented gradients, moments; each group standardised to count the same."""
    groups: list[list[Array]] = [[], [], []]
    rows, columns = np.indices((CHIP_PX, CHIP_PX)) - CHIP_PX // 2
    ring = np.rint(np.hypot(rows, columns)).astype(int)
    taper = np.outer(np.hanning(CHIP_PX), np.hanning(CHIP_PX))
    for given in images:
        image = resize(given, (CHIP_PX, CHIP_PX), anti_aliasing=True) if given.shape[0] != CHIP_PX else given
        even = (image - image.mean()) / (image.std() + 1e-9)
        power = np.abs(np.fft.fftshift(np.fft.fft2(even * taper))) ** 2
        groups[0].append(np.log(np.bincount(ring.ravel(), power.ravel())[1 : CHIP_PX // 2]))
        groups[1].append(hog(even, orientations=8, pixels_per_cell=(16, 16), cells_per_block=(1, 1)))
        groups[2].append(np.array([image.mean(), image.std(), (even**3).mean(), (even**4).mean()]))
    found = []
    for group in groups:
        values = np.array(group)
        found.append((values - values.mean(0)) / (values.std(0) + 1e-9) / np.sqrt(values.shape[1]))
    return np.concatenate(found, axis=1)


def left_out(rows: Array, said: list[str], rest: Array, settings: Settings) -> tuple[float, float]:
    """Share of the examples that the others tell rightly, and the mean margin of the right class."""
    right, margin = [], []
    for n in range(len(said)):
        others = [k for k in range(len(said)) if k != n]
        model = Prototypes.fitted(rows[others], [said[k] for k in others], rest, settings)
        like = model.likeness(rows[n : n + 1])[0]
        own = model.classes.index(said[n])
        margin.append(float(like[own] - np.delete(like, own).max()))
        right.append(margin[-1] > 0)
    return float(np.mean(right)), float(np.mean(margin))


def even_draw(said: list[str], count: int, rng: np.random.Generator) -> list[int]:
    """So many examples, as evenly over the classes as can be."""
    shuffled = {name: rng.permutation([n for n, each in enumerate(said) if each == name]).tolist() for name in CLASSES}
    order = rng.permutation(CLASSES).tolist()
    return [shuffled[order[n % len(order)]][n // len(order)] for n in range(count)]


def accuracy(told: dict[Chip, str], truth: dict[Chip, tuple[str, ...]]) -> Array:
    """Of each blind chip, the share of its labels that it is told."""
    return np.array([np.mean([told[chip] == label for label in labels]) for chip, labels in truth.items()])


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--draws", type=int, default=50, help="of examples, for the curves")
    options = parser.parse_args()
    draws = max(options.draws // 10, 2) if options.quick else options.draws
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, clicked, theirs, blind = chips(), support(), published(), labelled()
    places, known = list(images), list(clicked)
    asked = [chip for chip in places if chip not in clicked]
    said = [clicked[chip] for chip in known]
    methods: dict[str, Callable[[Sequence[npt.NDArray[np.float32]]], Array]] = {
        "encoder": partial(embedding, load_encoder()),
        "untrained": partial(embedding, fused(Encoder())),
        "descriptors": descriptors,
        "fft, hog, moments": usual,
    }
    rng, rows, settings = np.random.default_rng(0), [], {}
    of_theirs = accuracy(theirs, blind)
    for name, embed in methods.items():
        every = dict(zip(places, embed(list(images.values())), strict=True))
        mine, rest = np.array([every[chip] for chip in known]), np.array([every[chip] for chip in asked])
        best = max(GRID, key=lambda settings, mine=mine, rest=rest: left_out(mine, said, rest, settings))  # type: ignore[misc]
        told = dict(zip(asked, Prototypes.fitted(mine, said, rest, best).told(rest, open_set=False), strict=True))
        settings[name] = best
        row: dict[str, Any] = {"method": name, "left_out": left_out(mine, said, rest, best)[0]}
        row["published"] = float(np.mean([told[chip] == theirs[chip] for chip in asked]))
        if blind:
            ours = accuracy(told, blind)
            row["blind"], row["low"], row["high"] = interval(ours)
            row["more"], row["more_low"], row["more_high"] = interval(ours - of_theirs)
        for count in SHOTS:
            right = []
            for _ in range(draws if count < len(said) else 1):
                some = even_draw(said, count, rng)
                model = Prototypes.fitted(mine[some], [said[n] for n in some], rest, best)
                again = dict(zip(asked, model.told(rest, open_set=False), strict=True))
                right.append(accuracy(again, blind).mean() if blind else np.nan)
            row[f"{count}_shots"] = float(np.mean(right))
        row["open_set"] = open_set(mine, said, rest, asked, blind, best)
        model = Prototypes.fitted(mine, said, rest)
        row["shipped"] = float(accuracy(dict(zip(asked, model.told(rest), strict=True)), blind).mean())
        row["turned_away"], row["let_in"] = at_threshold(mine, said, rest, asked, blind)
        row["settings"] = f"{best.directions}, {best.ridge:g}, {'all' if best.unlabelled else 'examples'}"
        rows.append(row)
    if blind:
        mean, low, high = interval(of_theirs)
        rows.append(
            {**dict.fromkeys(rows[0], float("nan")), "method": "published", "blind": mean, "low": low, "high": high}
        )
        passes = [[labels[n] for labels in blind.values()] for n in range(2)]
        share, kappa = agreement(*passes)
        print(f"the two blind passes agree on {share:.1%} of {len(blind)} chips, kappa {kappa:.3f}")
    finish(rows, options, title=f"{len(known)} examples, {len(asked)} chips")
    if blind:
        shown = [images[chip] for chip in blind]
        clicks = [images[chip] for chip in known]
        print_table(
            elsewhere(methods, clicks, said, shown, list(blind.values()), settings), title=f"{len(blind)} chips"
        )
    return 0


def elsewhere(
    methods: dict[str, Callable[[Sequence[npt.NDArray[np.float32]]], Array]],
    clicks: Sequence[npt.NDArray[np.float32]],
    said: list[str],
    shown: Sequence[npt.NDArray[np.float32]],
    truth: Sequence[tuple[str, ...]],
    settings: dict[str, Settings],
) -> list[dict[str, Any]]:
    """Accuracy on the blind chips at other doses and magnifications, with its interval; the examples stay."""
    rows = []
    for name, electrons, size in ELSEWHERE:
        rng = np.random.default_rng(7)
        chips = [seen_again(image, electrons, size, rng) for image in shown]
        row: dict[str, Any] = {"the chips": name}
        for method, embed in methods.items():
            both = embed([*clicks, *chips])
            mine, rest = both[: len(clicks)], both[len(clicks) :]
            told = Prototypes.fitted(mine, said, rest, settings[method]).told(rest, open_set=False)
            right = np.array(
                [np.mean([each == one for one in labels]) for each, labels in zip(told, truth, strict=True)]
            )
            mean, low, high = interval(right)
            row[method] = f"{mean:.3f} ({low:.2f}–{high:.2f})"
        rows.append(row)
    return rows


def seen_again(
    image: npt.NDArray[np.float32], electrons: float | None, size: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """The same place on other pixels, and counted with so many electrons a pixel in the mean."""
    if size != 1.0:
        side = round(size * image.shape[0])
        image = resize(image, (side, side), anti_aliasing=size < 1).astype(np.float32)
    if electrons is None:
        return image
    return rng.poisson(electrons * image / max(float(image.mean()), 1e-9)).astype(np.float32)


def at_threshold(
    mine: Array, said: list[str], rest: Array, asked: list[Chip], blind: dict[Chip, tuple[str, ...]]
) -> tuple[float, float]:
    """Shares turned away of classes that have examples, and let in of one that has none; mean over the one left out."""
    sure = {chip: labels[0] for chip, labels in blind.items() if len(set(labels)) == 1}
    where = [n for n, chip in enumerate(asked) if chip in sure]
    away, let_in = [], []
    for name in CLASSES:
        kept = [n for n, each in enumerate(said) if each != name]
        within = Prototypes.fitted(mine[kept], [said[n] for n in kept], rest).belonging(rest[where]) >= 0
        strange = np.array([sure[asked[n]] == name for n in where])
        away.append(float(1 - within[~strange].mean()))
        let_in.append(float(within[strange].mean()))
    return float(np.mean(away)), float(np.mean(let_in))


def open_set(
    mine: Array, said: list[str], rest: Array, asked: list[Chip], blind: dict[Chip, tuple[str, ...]], best: Settings
) -> float:
    """Mean over the class that is left out."""
    sure = {chip: labels[0] for chip, labels in blind.items() if len(set(labels)) == 1}
    where = [n for n, chip in enumerate(asked) if chip in sure]
    found = []
    for name in CLASSES:
        kept = [n for n, each in enumerate(said) if each != name]
        model = Prototypes.fitted(mine[kept], [said[n] for n in kept], rest, best)
        strange = [sure[asked[n]] == name for n in where]
        found.append(roc_auc_score(strange, -model.belonging(rest[where])))
    return float(np.mean(found))


if __name__ == "__main__":
    raise SystemExit(main())
