"""What a few masks show, found and measured in every image of a folder: a table of things, one of frames, pictures."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.segmentation import find_boundaries

from configs.errors import ConfigError
from instruments.images import read_single
from models.changes import Steady, step_at
from models.choosing import AUTO, Choice, check_ways, taught
from models.counting import Counted, parts
from models.description import describe
from models.encoder import Encoder, refusal
from models.segmentation import Measured
from surveys.pictures import by_stem, images_in, made_apart, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from instruments.images import RecordedImage
    from models.choosing import Measurer

Mask: TypeAlias = npt.NDArray[np.bool_]
Ratio: TypeAlias = float

_FRAMES = (
    "image labelled count count_low count_high density_per_um2 outlined covered_ratio covered_low covered_high "
    "outlined_by counted_by why"
)
_EMPTY = 10
"""Columns of a frame that is not measured, between its name and why."""
_INSIDE = 0.5
"""Of a mask's largest value, from which a pixel is inside."""
_BETWEEN, _SOLID = 0.15, 0.3
"""Values of a mask farther from its least and largest than this share are between them; where more than so many of
these lie among their like, they are labels."""
_SAME_SIZE = 0.02
_STEPS_FROM = 4
_LEARN = "what is learned is known in pixels alone; measure each magnification with masks of its own"


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One image, measured, or why not."""

    name: str
    measured: Measured | None
    labelled: bool
    """It was learned from: its numbers are no test."""
    scaled: bool
    """Whether lengths are in nm; in pixels where no file or person says how large those are."""
    why: str = ""
    counted: Counted | None = None
    """How many there are, by a density or the number of outlines."""
    choice: Choice | None = None
    """What outlines and what counts, in all images alike."""

    def __str__(self) -> str:
        if self.measured is None or self.counted is None:
            return f"{self.name}: not measured: {self.why}"
        found, number, unit = self.measured, self.counted, "nm" if self.scaled else "px"
        sizes = [thing.diameter_nm for thing in found.things if not thing.cut]
        median = f", median diameter {np.median(sizes):.3g} {unit}" if sizes else ""
        density = f", {number.number / found.area_um2:.3g} per µm²" if self.scaled else ""
        seen = " (labelled)" if self.labelled else ""
        within = f"{number.low:.3g} to {number.high:.3g}" if number.ranged else "range not known"
        return (
            f"{self.name}{seen}: {number.number:.4g} ({within})"
            f"{density}{median}, {found.covered:.2%} ({found.covered_low:.2%} to {found.covered_high:.2%}) covered"
        )


def measure_folder(
    encoder: Encoder,
    folder: Path,
    masks: Path,
    out: Path,
    pixel_size_nm: float | None = None,
    seed: int = 0,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
    alike: bool = False,
    outline: str = AUTO,
    count: str = AUTO,
) -> Iterator[FrameRow]:
    """Learn from the images that have a mask of the same name, measure all, write as it goes.

    Images come in the order of the numbers in their names. ``alike``: they are of one exposure and gain, so that
    contrast tells how many objects there are, by the density unless ``count`` says otherwise; else each is held against
    its own. ``outline`` and ``count``: by what, as ``models.choosing`` has it; how well each way told labelled images
    by the others goes to ``choice.csv``. The range of a count is left empty where labelled images do not tell it.

    An image whose pixels are of another size than those that were learned from is not measured. Raises ConfigError for
    masks that fit no image, are images themselves or show too little, labelled images whose pixels differ in size,
    sizes that differ from what was given, two images of one name, unknown ways, and an ``out`` that holds images or
    masks.
    """
    if pixel_size_nm is not None and not (0 < pixel_size_nm < math.inf):
        raise ConfigError(f"a pixel size of {pixel_size_nm} nm was asked; give a number above 0")
    try:
        check_ways(outline, count)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    paths = sorted(images_in(folder), key=lambda path: in_order(path.name))
    of_stem = by_stem(paths)
    known = masked(of_stem, folder, masks)
    made_apart(out, folder, masks)
    labelled = [_labelled(of_stem[stem], path) for stem, path in known.items()]
    sizes_nm = [size_nm(of_stem[stem], image, pixel_size_nm) for stem, (image, _) in zip(known, labelled, strict=True)]
    if odd := [stem for stem, size in zip(known, sizes_nm, strict=True) if not _as_large(size, sizes_nm[0])]:
        raise ConfigError(
            f"{of_stem[odd[0]].name} has pixels of another size than {of_stem[min(known)].name}: {_LEARN}"
        )
    shown = {of_stem[stem].name: each for stem, each in zip(known, labelled, strict=True)}
    measurer = _taught(shown, masks, encoder, alike, seed, outline, count)
    choice = measurer.choice
    _write_choice(choice, out / "choice.csv")
    with (out / "things.csv").open("w", newline="") as file, (out / "frames.csv").open("w", newline="") as summary:
        things, frames = csv.writer(file, lineterminator="\n"), csv.writer(summary, lineterminator="\n")
        unit: str | None = None
        unread: list[list[str | bool]] = []
        for path in progress(paths):
            try:
                image = read_single(path)
            except ConfigError as error:
                unread.append([path.name, path.stem in known, *[""] * _EMPTY, str(error)])
                yield FrameRow(path.name, None, path.stem in known, pixel_size_nm is not None, str(error))
                continue
            nm = size_nm(path, image, pixel_size_nm)
            now = "px" if nm is None else "nm"
            if unit is None:
                unit = now
                things.writerow(
                    f"image row_px column_px area_px diameter_{unit} diameter_low_{unit} diameter_high_{unit} "
                    "elongation_ratio probability cut".split()
                )
                frames.writerow(_FRAMES.split())
            if now != unit:
                raise ConfigError(f"{path.name} says how large its pixels are and others do not: give --pixel-size")
            why = refusal(image.data)
            if why is None and not _as_large(nm, sizes_nm[0]):
                why = f"its pixels are {nm:g} nm and the labelled images' {sizes_nm[0]:g}: {_LEARN}"
            if why is not None:
                frames.writerow([path.name, path.stem in known, *[""] * _EMPTY, why])
                yield FrameRow(path.name, None, path.stem in known, nm is not None, why)
                continue
            seen = describe(image.data)
            mask, found, counted = measurer.measure(seen, nm or 1.0)
            for thing in found.things:
                numbers = (thing.row_px, thing.column_px, thing.area_px, thing.diameter_nm, thing.diameter_low_nm,
                           thing.diameter_high_nm, thing.elongation, thing.probability)  # fmt: skip
                things.writerow([path.name, *(f"{number:.5g}" for number in numbers), thing.cut])
            density = "" if nm is None else f"{counted.number / found.area_um2:.5g}"
            shares = [f"{each:.5g}" for each in (found.covered, found.covered_low, found.covered_high)]
            by = (choice.outlined_by, choice.counted_by)
            ranged = (counted.low, counted.high) if counted.ranged else ()
            counts = [f"{each:.1f}" for each in (counted.number, *ranged)] + [""] * (2 - len(ranged))
            frames.writerow([path.name, path.stem in known, *counts, density, f"{found.count:g}", *shares, *by, ""])
            outlined(image.data, mask).save(out / f"{path.stem}.measured.png")
            yield FrameRow(path.name, found, path.stem in known, nm is not None, counted=counted, choice=choice)
        frames.writerows(unread)


def _labelled(image: Path, mask: Path) -> tuple[RecordedImage, npt.NDArray[np.integer]]:
    """An image and its objects. Raises ConfigError for a mask of another size, and for one that is the image itself."""
    shown, objects = read_single(image), read_objects(mask)
    if objects.shape != shown.data.shape:
        raise ConfigError(f"mask {mask} is {objects.shape}, its image {shown.data.shape}: they must be of one size")
    if np.array_equal(read_single(mask).data, shown.data):
        raise ConfigError(f"mask {mask} is its image once more: give a mask, white inside what is to be found")
    return shown, objects


def _taught(
    labelled: dict[str, tuple[RecordedImage, npt.NDArray[np.integer]]],
    masks: Path,
    encoder: Encoder,
    alike: bool,
    seed: int,
    outline: str,
    count: str,
) -> Measurer:
    """What outlines and what counts, from images described once. Raises ConfigError for what cannot teach."""
    images, objects = [], [each for _, each in labelled.values()]
    for name, (image, _) in labelled.items():
        try:
            images.append(describe(image.data))
        except ValueError as error:
            raise ConfigError(f"labelled image {name}: {error}") from error
    try:
        return taught(images, objects, encoder, alike, seed, outline, count)
    except ValueError as error:
        raise ConfigError(f"{masks}: {error}") from error


def _write_choice(choice: Choice, path: Path) -> None:
    """One row a way that was tried, with what it did on labelled images by the others; empty where they do not tell."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow("what by taken dice_ratio f1_ratio ln_off".split())
        for name in dict.fromkeys([*choice.dice, choice.outlined_by]):
            scores = [f"{each[name]:.4f}" if name in each else "" for each in (choice.dice, choice.f1)]
            table.writerow(["outlines", name, name == choice.outlined_by, *scores, ""])
        for name in dict.fromkeys([*choice.off, choice.counted_by]):
            off = f"{choice.off[name]:.4f}" if name in choice.off else ""
            table.writerow(["counts", name, name == choice.counted_by, "", "", off])


def step_told(rows: Sequence[FrameRow], false_alarms: Ratio = 0.05) -> str:
    """Where the number of objects steps over frames in time order, or that nothing says it does."""
    known = [(row.name, row.counted) for row in rows if row.counted is not None]
    if len(known) < _STEPS_FROM:
        return f"{len(known)} frames were counted: {_STEPS_FROM} at least tell where the number steps"
    steady = Steady(len(known), false_alarms)
    if not any(steady.learn(each.number, each.sd) for _, each in known):
        return f"the number stays as it is, at a rate of false alarms of {false_alarms:g}"
    told = step_at(np.array([each.number for _, each in known]))
    place = int(np.argmax(told))
    return f"the number steps between {known[place][0]} and {known[place + 1][0]}, as likely as {told[place]:.2f}"


def outlined(image: npt.NDArray[np.float32], mask: Mask) -> Image.Image:
    """The image with the rims of what was found in red."""
    low, high = np.percentile(image, (0.5, 99.5))
    grey = (np.clip((image - low) / max(float(high - low), 1e-9), 0, 1) * 255).astype(np.uint8)
    shown = np.repeat(grey[..., None], 3, axis=2)
    shown[find_boundaries(mask, mode="outer")] = (230, 60, 60)
    return Image.fromarray(shown)


def in_order(name: str) -> list[tuple[int, str]]:
    """What to sort names by, so that their numbers count.

    >>> sorted(["frame-10.png", "frame-9.png"], key=in_order)
    ['frame-9.png', 'frame-10.png']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def read_objects(path: Path) -> npt.NDArray[np.integer]:
    """(H, W) a number for each object, 0 outside.

    Inside is above a half of the largest value, each connected part an object; an image of labels, one number an
    object, is taken as it is.
    """
    data = read_single(path).data
    low, high = float(data.min()), max(float(data.max()), 1e-12)
    between = (data > low + _BETWEEN * (high - low)) & (data < high - _BETWEEN * (high - low))
    alike = np.zeros(data.shape, dtype=bool)
    alike[1:-1, 1:-1] = (data[1:-1, 1:-1] == data[:-2, 1:-1]) & (data[1:-1, 1:-1] == data[2:, 1:-1])
    alike[1:-1, 1:-1] &= (data[1:-1, 1:-1] == data[1:-1, :-2]) & (data[1:-1, 1:-1] == data[1:-1, 2:])
    if (alike & between).sum() > _SOLID * max(
        int(between.sum()), 1
    ):  # a softened rim has no two pixels alike all round
        return np.unique(data, return_inverse=True)[1].reshape(data.shape)
    return parts(data > _INSIDE * high)


def _as_large(one_nm: float | None, other_nm: float | None) -> bool:
    """Whether pixels are of one size, or of none that is known."""
    return one_nm is None or other_nm is None or math.isclose(one_nm, other_nm, rel_tol=_SAME_SIZE)


def size_nm(path: Path, image: RecordedImage, given: float | None) -> float | None:
    """What an image or a person says of its pixels; None where neither does. Raises ConfigError where they disagree."""
    told = image.pixel_size_nm
    if given is not None and told is not None and not math.isclose(given, told, rel_tol=_SAME_SIZE):
        raise ConfigError(f"{path.name} says {told:g} nm a pixel, {given:g} was given by --pixel-size: leave one out")
    return given if given is not None else told
