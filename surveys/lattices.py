"""The lattice of every image of a folder: a table of lattices, one of columns with their strains, a map of each."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from configs.errors import ConfigError
from instruments.images import read_single
from models.encoder import refusal
from models.lattice import Lattice, measure_lattice
from surveys.measuring import size_nm
from surveys.pictures import by_stem, images_in, made_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

_MOST_TURN_DEG, _SHOWN_PX, _BAR_PX = 2.0, 768, 44
_LATTICES = (
    "image columns first_{u} first_sd_{u} second_{u} second_sd_{u} angle_deg orientation_deg orientation_sd_deg "
    "position_sd_{u} why"
)
_COLUMNS = (
    "image row_px column_px strain_xx_ratio strain_xx_sd_ratio strain_yy_ratio strain_yy_sd_ratio strain_xy_ratio "
    "strain_xy_sd_ratio turn_deg turn_sd_deg"
)


@dataclass(frozen=True, slots=True)
class LatticeRow:
    """One image, measured, or why not."""

    name: str
    lattice: Lattice | None
    pixel_size_nm: float | None
    why: str = ""

    def __str__(self) -> str:
        if self.lattice is None:
            return f"{self.name}: not measured: {self.why}"
        unit, by = ("px", 1.0) if self.pixel_size_nm is None else ("nm", self.pixel_size_nm)
        lengths, sd = self.lattice.spacings_px
        turned, turned_sd = self.lattice.orientation_deg
        spacings = " and ".join(f"{a * by:.5g} ± {s * by:.2g}" for a, s in zip(lengths, sd, strict=True))
        strained = np.median(np.abs(self.lattice.strain).max(axis=1))
        return (
            f"{self.name}: {len(self.lattice.columns_px)} columns, {spacings} {unit} at {self.lattice.angle_deg:.2f}°, "
            f"the first at {turned:.2f} ± {turned_sd:.2g}°; columns known to {self.lattice.position_sd_px * by:.2g} "
            f"{unit}, largest strain of a place {strained:.2%} in the median "
            f"(± {np.median(self.lattice.strain_sd):.2%})"
        )


def measure_lattices(
    folder: Path,
    out: Path,
    pixel_size_nm: float | None = None,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Iterator[LatticeRow]:
    """Measure every image of a folder, write as it goes; what shows no lattice says so.

    Raises ConfigError for pixel sizes that differ from what was given, where some images have one and others none, for
    two images of one name, and for an ``out`` that holds the images.
    """
    paths = images_in(folder)
    by_stem(paths)
    made_apart(out, folder)
    with (out / "columns.csv").open("w", newline="") as one, (out / "lattices.csv").open("w", newline="") as other:
        columns, lattices = csv.writer(one, lineterminator="\n"), csv.writer(other, lineterminator="\n")
        columns.writerow(_COLUMNS.split())
        scaled: bool | None = None
        unread: list[list[str]] = []
        for path in progress(paths):
            try:
                image = read_single(path)
            except ConfigError as error:
                unread.append([path.name, *[""] * 9, str(error)])
                yield LatticeRow(path.name, None, None, str(error))
                continue
            nm = size_nm(path, image, pixel_size_nm)
            if scaled is None:
                scaled = nm is not None
                lattices.writerow(_LATTICES.format(u="nm" if scaled else "px").split())
            if (nm is not None) != scaled:
                raise ConfigError(f"{path.name} says how large its pixels are and others do not: give --pixel-size")
            row = _row(path, image.data, nm)
            lattices.writerow(_summary(row))
            columns.writerows(_places(row))
            if row.lattice is not None:
                turn_picture(image.data, row.lattice).save(out / f"{path.stem}.lattice.png")
            yield row
        if scaled is None:
            raise ConfigError(f"{folder}: none of its {len(paths)} images can be read: {unread[0][-1]}")
        lattices.writerows(unread)


def _row(path: Path, image: npt.NDArray[np.float32], nm: float | None) -> LatticeRow:
    if (why := refusal(image)) is not None:
        return LatticeRow(path.name, None, nm, why)
    try:
        return LatticeRow(path.name, measure_lattice(image), nm)
    except ValueError as error:
        return LatticeRow(path.name, None, nm, str(error))


def _summary(row: LatticeRow) -> list[str | int]:
    found = row.lattice
    if found is None:
        return [row.name, *[""] * 9, row.why]
    by = row.pixel_size_nm or 1.0
    (first, second), (first_sd, second_sd) = found.spacings_px
    numbers = (first * by, first_sd * by, second * by, second_sd * by, found.angle_deg, *found.orientation_deg)
    told = [f"{number:.6g}" for number in (*numbers, found.position_sd_px * by)]
    return [row.name, len(found.columns_px), *told, ""]


def _places(row: LatticeRow) -> Iterator[list[str]]:
    found = row.lattice
    if found is None:
        return
    strains = np.stack([found.strain, found.strain_sd], axis=2).reshape(len(found.strain), 6)
    for place, strain, *turn in zip(found.columns_px, strains, found.turn_deg, found.turn_sd_deg, strict=True):
        yield [row.name, *(f"{number:.6g}" for number in (*place, *strain, *turn))]


def turn_picture(image: npt.NDArray[np.float32], lattice: Lattice) -> Image.Image:
    """The image with its columns coloured by how the lattice is turned there, and a scale of the colours."""
    low, high = np.percentile(image, (0.5, 99.5))
    grey = (np.clip((image - low) / max(float(high - low), 1e-9), 0, 1) * 255).astype(np.uint8)
    by = _SHOWN_PX / max(grey.shape)
    size = (round(grey.shape[1] * by), round(grey.shape[0] * by))
    shown = Image.new("RGB", (size[0], size[1] + _BAR_PX), "white")
    shown.paste(Image.fromarray(grey).resize(size).convert("RGB"))
    drawn, font, colours = ImageDraw.Draw(shown), ImageFont.load_default(14), colormaps["coolwarm"]
    most = float(np.clip(np.percentile(np.abs(lattice.turn_deg), 95), 0.1, _MOST_TURN_DEG))
    reach = max(0.16 * by * float(lattice.spacings_px[0].min()), 1.5)
    for (row, column), turn in zip(lattice.columns_px, lattice.turn_deg, strict=True):
        x, y = (column + 0.5) * by, (row + 0.5) * by
        drawn.ellipse((x - reach, y - reach, x + reach, y + reach), fill=_rgb(colours(0.5 + turn / most / 2)))
    for n in range(200):
        drawn.line((10 + n, size[1] + 8, 10 + n, size[1] + 22), fill=_rgb(colours(n / 199)))
    told = f"turned by {-most:.2g}° to {most:.2g}° against the mean; one place is known to {_typical(lattice):.2g}°"
    drawn.text((10, size[1] + 24), told, fill="black", font=font)
    return shown


def _typical(lattice: Lattice) -> float:
    return float(np.median(lattice.turn_sd_deg))


def _rgb(colour: tuple[float, ...]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colour[:3])
    return red, green, blue
