"""Classes from clicked examples: of every place of an image or of a survey, with "none of these", and a picture.

examples (chips in folders by class, or clicked places) ─► encoder ─► prototypes ─► class of each place ─► table, map
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import tifffile
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from archive.reader import SurveyReader
from configs.errors import ConfigError
from envs.novelty import image_of
from envs.targets import windows
from instruments.images import read_single
from models.encoder import SMALLEST_PX, Encoder, embedding, refusal
from models.prototypes import NONE, Prototypes
from surveys.pictures import PICTURES
from surveys.settings import recorded
from surveys.task import survey_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

Array: TypeAlias = npt.NDArray[np.float64]
Image2d: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float

MOST_CHIPS = 100_000
_TINT = 0.45


@dataclass(frozen=True, slots=True)
class Example:
    """A chip that a person says is of a class."""

    name: str
    said: str
    chip: Image2d


@dataclass(frozen=True, slots=True)
class Chip:
    """A place to be told."""

    of: str
    """The image, or the specimen."""
    row_px: int
    column_px: int
    """Upper left corner in the image."""
    pixels: Image2d
    x_nm: float | None = None
    y_nm: float | None = None
    target: int | None = None
    """Of a survey."""
    reach_nm: tuple[float, float] = (math.inf, math.inf)
    """How far it reaches from its middle along x and y."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was made of a place."""

    chip: Chip
    said: str
    """A class, ``NONE``, or "" where the chip says nothing."""
    probability: Ratio
    """Of that class among those given; of ``NONE``, that of the most alike one."""
    margin: Ratio
    """How far within reach of its class; below 0 is none of these."""
    why: str = ""
    """Where it could not be told."""


def examples_in(folder: Path) -> list[Example]:
    """One folder a class, with its chips as images. Raises ConfigError for what cannot be read, naming the file."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give one with a folder of chips for each class")
    found = []
    for place in sorted(each for each in folder.iterdir() if each.is_dir()):
        for path in sorted(each for each in place.iterdir() if each.suffix.lower() in PICTURES):
            chip = read_single(path).data
            if (why := refusal(chip)) is not None:
                raise ConfigError(f"example {path}: {why}; leave it out or give another")
            found.append(Example(str(path), place.name, chip))
    if not found:
        raise ConfigError(f"{folder}: holds no folder with images; give one folder a class, such as dots/ and other/")
    return found


def examples_at(path: Path, clicks: Iterable[tuple[str, int, int]], chip_px: int) -> list[Example]:
    """Chips of an image about clicked places: class, column, row in pixels. Raises ConfigError beyond its edge."""
    image, found = read_single(path).data, []
    for said, column, row in clicks:
        top, left = row - chip_px // 2, column - chip_px // 2
        if top < 0 or left < 0 or top + chip_px > image.shape[0] or left + chip_px > image.shape[1]:
            raise ConfigError(
                f"a chip of {chip_px} pixels about column {column}, row {row} reaches beyond {path.name} of "
                f"{image.shape[1]} × {image.shape[0]}: click farther inside, or give smaller chips by --chip"
            )
        chip = image[top : top + chip_px, left : left + chip_px]
        if (why := refusal(chip)) is not None:
            raise ConfigError(f"the example {said} at column {column}, row {row}: {why}; click elsewhere")
        found.append(Example(f"{path.name} at column {column}, row {row}", said, chip))
    return found


def chips_of_image(path: Path, chip_px: int) -> list[Chip]:
    """An image cut into squares, left to right and down; what is left over at its edges is not told."""
    if chip_px < SMALLEST_PX:
        raise ConfigError(f"chips of {chip_px} pixels were asked; {SMALLEST_PX} at least say something")
    image = read_single(path).data
    rows, columns = (size // chip_px for size in image.shape)
    if not 0 < rows * columns <= MOST_CHIPS:
        raise ConfigError(
            f"{path.name} of {image.shape[1]} × {image.shape[0]} pixels makes {rows * columns} chips of {chip_px}: "
            f"give a size that makes 1 to {MOST_CHIPS}"
        )
    return [
        Chip(path.name, top, left, image[top : top + chip_px, left : left + chip_px])
        for top in range(0, rows * chip_px, chip_px)
        for left in range(0, columns * chip_px, chip_px)
    ]


def chips_of_survey(folder: Path, look: str = "overview", specimen: str | None = None) -> list[Chip]:
    """Every place that a survey's looks of one kind showed, as the latest shows it.

    ``specimen``: of this one alone. Raises ArchiveError for a folder that is no survey, ConfigError where no such look
    was made, or the survey has no such specimen.
    """
    found: dict[tuple[str, int], Chip] = {}
    made: set[str] = set()
    with SurveyReader(folder) as reader:
        settings = recorded(reader.meta.config)
        trees = {one.name: survey_task(settings, n).tree for n, one in enumerate(settings.specimens)}
        if specimen is not None and specimen not in trees:
            raise ConfigError(f"{folder} has no specimen {specimen!r}; it has {', '.join(trees)}")
        for step in reader.steps():
            shown = step.shown
            if shown is None or not shown.committed or step.score is None or step.target is None or step.look is None:
                continue
            made.add(step.look)
            if step.look != look or specimen not in (None, step.specimen):
                continue
            frame = reader.recorded(shown.exposure.id or 0)
            image, tree = image_of(frame, settings.scorer.signal), trees[step.specimen]
            for cell, window in windows(tree, step.target, frame.exposure, frame.stage):
                (top, bottom), (left, right) = window.rows_px, window.columns_px
                place = tree[cell]
                reach_nm = place.width_nm / 2, place.height_nm / 2
                pixels = image[top:bottom, left:right]
                found[step.specimen, cell] = Chip(
                    step.specimen, top, left, pixels, place.x_nm, place.y_nm, cell, reach_nm
                )
    if not found:
        raise ConfigError(f"{folder} has no places shown by look {look!r}; it made {', '.join(sorted(made)) or 'none'}")
    return list(found.values())


def examples_among(chips: Sequence[Chip], clicks: Iterable[tuple[str, float, float]]) -> list[Example]:
    """The chips that hold places on the stage: class, x_nm, y_nm.

    Raises ConfigError where none does, and where the chips are of several specimens, whose places are not told apart.
    """
    found, specimens = [], sorted({chip.of for chip in chips})
    for said, x_nm, y_nm in clicks:
        if len(specimens) > 1:
            raise ConfigError(f"--at {said}: the survey has {', '.join(specimens)}; say by --specimen which is meant")
        off = [math.hypot((chip.x_nm or 0.0) - x_nm, (chip.y_nm or 0.0) - y_nm) for chip in chips]
        chip = chips[int(np.argmin(off))]
        far = (abs((chip.x_nm or 0.0) - x_nm), abs((chip.y_nm or 0.0) - y_nm))
        if any(each > reach * (1 + 1e-6) for each, reach in zip(far, chip.reach_nm, strict=True)):
            raise ConfigError(
                f"--at {said}: x {x_nm:g} nm, y {y_nm:g} nm lies in no place that was seen; the nearest is at "
                f"x {chip.x_nm:g} nm, y {chip.y_nm:g} nm"
            )
        if (why := refusal(chip.pixels)) is not None:
            raise ConfigError(f"the example {said} at x {x_nm:g} nm, y {y_nm:g} nm: {why}; click elsewhere")
        found.append(Example(f"x {chip.x_nm:g} nm, y {chip.y_nm:g} nm", said, chip.pixels))
    return found


def keep_examples(examples: Sequence[Example], folder: Path) -> None:
    """Write chips as measured, for ``examples_in``. Raises ConfigError where a class is no name of a folder."""
    for name in sorted({each.said for each in examples}):
        if not name.replace("_", "").replace("-", "").replace(" ", "").isalnum():
            raise ConfigError(f"a class is called {name!r}: letters, digits, '-', '_' and spaces make a folder's name")
    for number, each in enumerate(examples, start=1):
        (folder / each.said).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / each.said / f"{number:03d}.tif", np.asarray(each.chip, dtype=np.float32))


def tell(
    encoder: Encoder,
    examples: Sequence[Example],
    chips: Sequence[Chip],
    *,
    open_set: bool = True,
    progress: Callable[[Sequence[Chip]], Iterable[Chip]] = iter,
) -> list[Told]:
    """The class of each chip; chips that say nothing say why. Raises ConfigError where examples tell nothing apart."""
    rows = embedding(encoder, [example.chip for example in examples])
    reasons = [refusal(chip.pixels) for chip in chips]
    good = [chip for chip, why in zip(chips, reasons, strict=True) if why is None]
    found = np.concatenate([embedding(encoder, [chip.pixels]) for chip in progress(good)]) if good else rows[:0]
    try:
        model = Prototypes.fitted(rows, [example.said for example in examples], found)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    said = iter(
        zip(model.told(found, open_set=open_set), model.scores(found).max(axis=1), model.belonging(found), strict=True)
    )
    told = []
    for chip, why in zip(chips, reasons, strict=True):
        if why is None:
            name, probability, margin = next(said)
            told.append(Told(chip, name, float(probability), float(margin)))
        else:
            told.append(Told(chip, "", math.nan, math.nan, why))
    return told


def write_table(told: Sequence[Told], path: Path) -> None:
    """CSV, one row a place."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("of row_px column_px height_px width_px x_nm y_nm class probability margin why".split())
        for each in told:
            chip = each.chip
            place = ["" if value is None else f"{value:.6g}" for value in (chip.x_nm, chip.y_nm)]
            size = chip.pixels.shape
            numbers = ["" if math.isnan(value) else f"{value:.4f}" for value in (each.probability, each.margin)]
            writer.writerow([chip.of, chip.row_px, chip.column_px, *size, *place, each.said, *numbers, each.why])


def picture(image: Image2d, told: Sequence[Told]) -> Image.Image:
    """The image with its places tinted by class, and a legend that counts them."""
    low, high = np.percentile(image, (0.5, 99.5))
    grey = np.clip((image - low) / max(float(high - low), 1e-9), 0, 1)
    shown = np.repeat(grey[..., None], 3, axis=2)
    names = sorted({each.said for each in told if each.said not in ("", NONE)})
    colours = _colours(names)
    for each in told:
        chip = each.chip
        height, width = chip.pixels.shape
        where = np.s_[chip.row_px : chip.row_px + height, chip.column_px : chip.column_px + width]
        if each.said:
            shown[where] = (1 - _TINT) * shown[where] + _TINT * colours[each.said]
    made = Image.fromarray((shown * 255).astype(np.uint8))
    made = made.resize((round(made.width * min(1, 1024 / made.width)), round(made.height * min(1, 1024 / made.width))))
    return _with_legend(made, {n: sum(each.said == n for each in told) for n in (*names, NONE)}, colours)


def map_picture(told: Sequence[Told]) -> Image.Image:
    """Where on the stage each class lies, one square a place, as the image would show it: x grows to the left."""
    known = [each for each in told if each.chip.x_nm is not None and each.chip.y_nm is not None]
    xs = sorted({-(each.chip.x_nm or 0.0) for each in known})
    ys = sorted({-(each.chip.y_nm or 0.0) for each in known})
    size = max(2, 768 // max(len(xs), len(ys), 1))
    names = sorted({each.said for each in told if each.said not in ("", NONE)})
    colours = _colours(names)
    shown = Image.new("RGB", (size * len(xs), size * len(ys)), (210, 210, 210))
    drawn = ImageDraw.Draw(shown)
    for each in known:
        left, top = size * xs.index(-(each.chip.x_nm or 0.0)), size * ys.index(-(each.chip.y_nm or 0.0))
        if each.said:
            drawn.rectangle((left, top, left + size - 2, top + size - 2), fill=_as_rgb(colours[each.said]))
    return _with_legend(shown, {n: sum(each.said == n for each in told) for n in (*names, NONE)}, colours)


def _colours(names: Sequence[str]) -> dict[str, Array]:
    return {name: np.array(colormaps["tab10"](n % 10)[:3]) for n, name in enumerate(names)} | {NONE: np.zeros(3)}


def _as_rgb(colour: Array) -> tuple[int, int, int]:
    red, green, blue = (int(255 * part) for part in colour)
    return red, green, blue


def _with_legend(made: Image.Image, counts: Mapping[str, int], colours: Mapping[str, Array]) -> Image.Image:
    line, font = 26, ImageFont.load_default(16)
    whole = Image.new("RGB", (max(made.width, 360), made.height + line * len(counts) + 8), "white")
    whole.paste(made)
    drawn = ImageDraw.Draw(whole)
    for n, (name, count) in enumerate(counts.items()):
        top = made.height + 6 + n * line
        drawn.rectangle((8, top, 26, top + 18), fill=_as_rgb(colours[name]))
        drawn.text((36, top), f"{name}: {count}", fill="black", font=font)
    return whole
