"""The STO/Ge chips, their published labels, and sheets of 200 of them to be labelled blind.

    python -m benchmarks.chips sheets --order 1 --out FOLDER    contact sheets in random order, numbered, no labels
    python -m benchmarks.chips keep --order 1 --said said.txt   one letter a chip, in the order of the sheets: d, s, o

What was said is kept in ``benchmarks/labels/sto_ge_chips.csv``, one column a pass. Two passes have two orders, so that
the second cannot repeat the first by heart. The rule: d where the columns over most of the chip are single round
dots of one lattice, s where they are upright pairs (snowmen), o where no lattice shows over most of the chip. Which
200 of the chips are asked is drawn by a seed, and none of the 15 support chips is among them.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.common import DATA
from instruments.images import read_image

if TYPE_CHECKING:
    import numpy.typing as npt

Chip: TypeAlias = tuple[int, int]
"""Row and column among the 32 × 32, from 1 as the published files count them."""

FOLDER = DATA / "sto_ge_haadf"
LABELS = Path(__file__).parent / "labels" / "sto_ge_chips.csv"
CLASSES = ("dots", "snowmen", "other")
CHIP_PX, ACROSS = 95, 32
ASKED, SEED = 200, 2026
_SHOWN_PX, _A_ROW, _ROWS = 140, 10, 5
_LEAST_CONTRAST = 70.0
"""Grey levels from black to white of a sheet, at least: noise alone is not stretched to look like something."""


def chips() -> dict[Chip, npt.NDArray[np.float32]]:
    """All chips (95, 95), cut out of the recorded image."""
    image = read_image(FOLDER / "STO-Ge-HAADF.jpg").data
    return {
        (row + 1, column + 1): image[row * CHIP_PX : (row + 1) * CHIP_PX, column * CHIP_PX : (column + 1) * CHIP_PX]
        for row in range(ACROSS)
        for column in range(ACROSS)
    }


def support() -> dict[Chip, str]:
    """The class of each of the 15 chips that a person clicked."""
    return {_chip(path.stem): path.parent.name for path in sorted((FOLDER / "support_set").glob("*/*.png"))}


def published() -> dict[Chip, str]:
    """What a published few-shot model said of every chip."""
    with (FOLDER / "published_chip_predictions.csv").open() as file:
        return {_chip(Path(row[0]).stem): row[-1] for row in list(csv.reader(file))[1:]}


def asked() -> list[Chip]:
    """The chips to be labelled blind."""
    among = sorted(set(chips()) - set(support()))
    drawn = np.random.default_rng(SEED).choice(len(among), ASKED, replace=False)
    return [among[n] for n in sorted(drawn.tolist())]


def ordered(order: int) -> list[Chip]:
    """The same chips as a pass shows them."""
    found = asked()
    return [found[n] for n in np.random.default_rng((SEED, order)).permutation(len(found))]


def labelled() -> dict[Chip, tuple[str, ...]]:
    """What each pass said of each chip that was asked; empty before the first."""
    if not LABELS.exists():
        return {}
    with LABELS.open() as file:
        return {(int(row[0]), int(row[1])): tuple(row[2:]) for row in list(csv.reader(file))[1:]}


def _chip(stem: str) -> Chip:
    row, column = stem.split("_")[-2:]
    return int(row), int(column)


def sheets(order: int, out: Path) -> list[Path]:
    """Write the contact sheets of a pass."""
    out.mkdir(parents=True, exist_ok=True)
    found, shown, paths = chips(), ordered(order), []
    step = _SHOWN_PX + 6
    for first in range(0, len(shown), _A_ROW * _ROWS):
        sheet = Image.new("L", (_A_ROW * step, _ROWS * (step + 14)), 255)
        drawn = ImageDraw.Draw(sheet)
        for n, chip in enumerate(shown[first : first + _A_ROW * _ROWS]):
            x, y = n % _A_ROW * step, n // _A_ROW * (step + 14)
            sheet.paste(_grey(found[chip]), (x, y))
            drawn.text((x + 4, y + _SHOWN_PX), str(first + n + 1), fill=0)
        paths.append(out / f"order{order}_{first // (_A_ROW * _ROWS) + 1}.png")
        sheet.save(paths[-1])
    return paths


def _grey(chip: npt.NDArray[np.float32]) -> Image.Image:
    low, high = np.percentile(chip, (1, 99.5))
    middle, half = (low + high) / 2, max(high - low, _LEAST_CONTRAST) / 2
    grey = np.clip((chip - (middle - half)) / (2 * half), 0, 1) * 255
    return Image.fromarray(grey.astype(np.uint8)).resize((_SHOWN_PX, _SHOWN_PX), Image.Resampling.BICUBIC)


def keep(order: int, said: str) -> None:
    """Write a pass into the file. Raises SystemExit for what does not fit the sheets."""
    letters = [letter for letter in said.lower() if not letter.isspace()]
    names = {name[0]: name for name in CLASSES}
    wrong = sorted(set(letters) - set(names))
    if len(letters) != ASKED or wrong:
        raise SystemExit(f"{len(letters)} letters were given, {wrong or 'none'} unknown: give {ASKED} of d, s, o")
    before = labelled()
    now = dict(zip(ordered(order), (names[letter] for letter in letters), strict=True))
    LABELS.parent.mkdir(exist_ok=True)
    with LABELS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        passes = len(next(iter(before.values()), ()))
        columns = max(passes, order)
        writer.writerow(["row", "column", *(f"pass_{n + 1}" for n in range(columns))])
        for chip in asked():
            told = list(before.get(chip, ())) + [""] * (columns - passes)
            told[order - 1] = now[chip]
            writer.writerow([*chip, *told])


def agreement(first: list[str], second: list[str]) -> tuple[float, float]:
    """Share that agrees, and Cohen's kappa (1960), which takes off what chance would agree on."""
    share = float(np.mean([a == b for a, b in zip(first, second, strict=True)]))
    chance = sum(first.count(name) * second.count(name) for name in CLASSES) / len(first) ** 2
    return share, (share - chance) / (1 - chance) if chance < 1 else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sheets", "keep"))
    parser.add_argument("--order", type=int, required=True, metavar="N", help="number of the pass, from 1")
    parser.add_argument("--out", type=Path, default=Path("sheets"), metavar="FOLDER")
    parser.add_argument("--said", type=Path, metavar="FILE", help="letters in the order of the sheets; spaces are free")
    options = parser.parse_args()
    if options.what == "sheets":
        for path in sheets(options.order, options.out):
            print(path)
        return
    if options.said is None:
        raise SystemExit("which labels? name the file by --said")
    keep(options.order, options.said.read_text())
    told = list(labelled().values())
    if len(told[0]) > 1 and all(all(each) for each in told):
        share, kappa = agreement([each[0] for each in told], [each[1] for each in told])
        print(f"the passes agree on {share:.1%} of {len(told)} chips, kappa {kappa:.3f}")


if __name__ == "__main__":
    main()
