"""What a few masks show, found and measured in every image of a folder: a table of things, one of frames, pictures."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.segmentation import find_boundaries

from configs.errors import ConfigError
from instruments.images import read_single
from models.encoder import Encoder, refusal
from models.segmentation import Measured, Segmenter, measure
from surveys.pictures import by_stem, images_in, made_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from instruments.images import RecordedImage

Mask: TypeAlias = npt.NDArray[np.bool_]

_FRAMES = "image labelled count count_low count_high density_per_um2 covered_ratio covered_low covered_high why"
_INSIDE = 0.5
"""Of a mask's largest value, from which a pixel is inside."""
_BETWEEN, _SOLID = 0.15, 0.3
"""Values of a mask farther from its least and largest than this share are between them; where more than so many of
these lie among their like, they are labels."""
_SAME_SIZE = 0.02
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

    def __str__(self) -> str:
        if self.measured is None:
            return f"{self.name}: not measured: {self.why}"
        found, unit = self.measured, "nm" if self.scaled else "px"
        sizes = [thing.diameter_nm for thing in found.things]
        median = f", median diameter {np.median(sizes):.3g} {unit}" if sizes else ""
        density = f", {found.density_per_um2:.3g} per µm²" if self.scaled else ""
        seen = " (labelled)" if self.labelled else ""
        return (
            f"{self.name}{seen}: {len(found.things)} ({found.count_low:.0f} to {found.count_high:.0f})"
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
) -> Iterator[FrameRow]:
    """Learn from the images that have a mask of the same name, measure all, write as it goes.

    An image whose pixels are of another size than those that were learned from is not measured. Raises ConfigError for
    masks that fit no image, labelled images whose pixels differ in size, sizes that differ from what was given, two
    images of one name, and an ``out`` that holds images or masks.
    """
    if pixel_size_nm is not None and not (0 < pixel_size_nm < math.inf):
        raise ConfigError(f"a pixel size of {pixel_size_nm} nm was asked; give a number above 0")
    paths = images_in(folder)
    of_stem, known = by_stem(paths), by_stem(images_in(masks))
    made_apart(out, folder, masks)
    if strange := sorted(set(known) - set(of_stem)):
        raise ConfigError(f"mask {known[strange[0]]} has no image of its name in {folder}: name masks as their images")
    labelled = [(read_single(of_stem[stem]), read_mask(path)) for stem, path in sorted(known.items())]
    sizes_nm = [
        size_nm(of_stem[stem], image, pixel_size_nm) for stem, (image, _) in zip(sorted(known), labelled, strict=True)
    ]
    if odd := [stem for stem, size in zip(sorted(known), sizes_nm, strict=True) if not _as_large(size, sizes_nm[0])]:
        raise ConfigError(
            f"{of_stem[odd[0]].name} has pixels of another size than {of_stem[min(known)].name}: {_LEARN}"
        )
    try:
        model = Segmenter([image.data for image, _ in labelled], [mask for _, mask in labelled], encoder, seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with (out / "things.csv").open("w", newline="") as file, (out / "frames.csv").open("w", newline="") as summary:
        things, frames = csv.writer(file, lineterminator="\n"), csv.writer(summary, lineterminator="\n")
        unit: str | None = None
        unread: list[list[str | bool]] = []
        for path in progress(paths):
            try:
                image = read_single(path)
            except ConfigError as error:
                unread.append([path.name, path.stem in known, *[""] * 7, str(error)])
                yield FrameRow(path.name, None, path.stem in known, pixel_size_nm is not None, str(error))
                continue
            nm = size_nm(path, image, pixel_size_nm)
            now = "px" if nm is None else "nm"
            if unit is None:
                unit = now
                things.writerow(
                    f"image row_px column_px area_px diameter_{unit} diameter_low_{unit} diameter_high_{unit} "
                    "elongation_ratio probability".split()
                )
                frames.writerow(_FRAMES.split())
            if now != unit:
                raise ConfigError(f"{path.name} says how large its pixels are and others do not: give --pixel-size")
            why = refusal(image.data)
            if why is None and not _as_large(nm, sizes_nm[0]):
                why = f"its pixels are {nm:g} nm and the labelled images' {sizes_nm[0]:g}: {_LEARN}"
            if why is not None:
                frames.writerow([path.name, path.stem in known, *[""] * 7, why])
                yield FrameRow(path.name, None, path.stem in known, nm is not None, why)
                continue
            probabilities = model.probabilities(model.columns(image.data))
            found = measure(probabilities, model.threshold, nm or 1.0)
            for thing in found.things:
                numbers = (thing.row_px, thing.column_px, thing.area_px, thing.diameter_nm, thing.diameter_low_nm,
                           thing.diameter_high_nm, thing.elongation, thing.probability)  # fmt: skip
                things.writerow([path.name, *(f"{number:.5g}" for number in numbers)])
            density = "" if nm is None else f"{found.density_per_um2:.5g}"
            shares = [f"{each:.5g}" for each in (found.covered, found.covered_low, found.covered_high)]
            counts = [len(found.things), f"{found.count_low:.1f}", f"{found.count_high:.1f}"]
            frames.writerow([path.name, path.stem in known, *counts, density, *shares, ""])
            outlined(image.data, probabilities > model.threshold).save(out / f"{path.stem}.measured.png")
            yield FrameRow(path.name, found, path.stem in known, nm is not None)
        frames.writerows(unread)


def outlined(image: npt.NDArray[np.float32], mask: Mask) -> Image.Image:
    """The image with the rims of what was found in red."""
    low, high = np.percentile(image, (0.5, 99.5))
    grey = (np.clip((image - low) / max(float(high - low), 1e-9), 0, 1) * 255).astype(np.uint8)
    shown = np.repeat(grey[..., None], 3, axis=2)
    shown[find_boundaries(mask, mode="outer")] = (230, 60, 60)
    return Image.fromarray(shown)


def read_mask(path: Path) -> Mask:
    """Inside is above a half of the largest value, or of an image of labels, one number an object, above the least."""
    data = read_single(path).data
    low, high = float(data.min()), max(float(data.max()), 1e-12)
    between = (data > low + _BETWEEN * (high - low)) & (data < high - _BETWEEN * (high - low))
    alike = np.zeros(data.shape, dtype=bool)
    alike[1:-1, 1:-1] = (data[1:-1, 1:-1] == data[:-2, 1:-1]) & (data[1:-1, 1:-1] == data[2:, 1:-1])
    alike[1:-1, 1:-1] &= (data[1:-1, 1:-1] == data[1:-1, :-2]) & (data[1:-1, 1:-1] == data[1:-1, 2:])
    if (alike & between).sum() > _SOLID * max(
        int(between.sum()), 1
    ):  # a softened rim has no two pixels alike all round
        return np.asarray(data > low)
    return np.asarray(data > _INSIDE * high)


def _as_large(one_nm: float | None, other_nm: float | None) -> bool:
    """Whether pixels are of one size, or of none that is known."""
    return one_nm is None or other_nm is None or math.isclose(one_nm, other_nm, rel_tol=_SAME_SIZE)


def size_nm(path: Path, image: RecordedImage, given: float | None) -> float | None:
    """What an image or a person says of its pixels; None where neither does. Raises ConfigError where they disagree."""
    told = image.pixel_size_nm
    if given is not None and told is not None and not math.isclose(given, told, rel_tol=_SAME_SIZE):
        raise ConfigError(f"{path.name} says {told:g} nm a pixel, {given:g} was given by --pixel-size: leave one out")
    return given if given is not None else told
