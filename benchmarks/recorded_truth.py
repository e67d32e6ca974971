"""What is known of recorded images: which sites of a grid of targets hold what a person outlined."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import yaml

from benchmarks.common import DATA

if TYPE_CHECKING:
    from envs.targets import TargetTree

Mask: TypeAlias = npt.NDArray[np.bool_]
Ratio: TypeAlias = float

BOXES = Path(__file__).resolve().parent / "boxes" / "sto_ge_haadf.yaml"
COVERED: Ratio = 1 / 3
"""Of a site, for it to hold what the boxes hold."""


@dataclass(frozen=True, slots=True)
class Box:
    """A known feature, as half-open pixel ranges of the image."""

    name: str
    rows_px: tuple[float, float]
    columns_px: tuple[float, float]

    def holds(self, row_px: float, column_px: float) -> bool:
        return self.rows_px[0] <= row_px < self.rows_px[1] and self.columns_px[0] <= column_px < self.columns_px[1]


def drawn_boxes() -> list[Box]:
    """Of the recorded SrTiO3/Ge image, by hand."""
    described = yaml.safe_load(BOXES.read_text())
    return [Box(box["name"], tuple(box["rows_px"]), tuple(box["columns_px"])) for box in described["boxes"]]


def melt_pools(strip: str) -> list[Box]:
    """Of one of the recorded welds, by hand."""
    found = []
    with (DATA / "metal_strips" / "boxes.csv").open() as file:
        for box in csv.DictReader(file):
            if box["strip"] == strip:
                x, y, w, h = (round(float(box[k])) for k in ("column_px", "row_px", "width_px", "height_px"))
                found.append(Box("melt pool", (y, y + h), (x, x + w)))
    return found


def covered_sites(
    boxes: list[Box], tree: TargetTree, shape: tuple[int, int], pixel_nm: float, site_px: int
) -> list[int]:
    """Sites that the boxes cover by ``COVERED`` or more.

    Args:
        boxes: over an image of ``shape`` (H, W), whose centre is stage (0, 0).
        tree: its leaves are the sites.
        pixel_nm: of the image.
        site_px: side of a site, in pixels of the image.
    """
    covered: Mask = np.zeros(shape, dtype=bool)
    for box in boxes:
        rows, columns = (slice(round(ends[0]), round(ends[1])) for ends in (box.rows_px, box.columns_px))
        covered[rows, columns] = True
    return masked_sites(covered, tree, pixel_nm, site_px, COVERED)


def masked_sites(mask: Mask, tree: TargetTree, pixel_nm: float, site_px: int, least: Ratio) -> list[int]:
    """Sites of which a mask (H, W) covers ``least`` or more; as ``covered_sites`` otherwise."""
    found = []
    for site in tree.leaves.tolist():
        top = round(mask.shape[0] / 2 - tree.y_nm[site] / pixel_nm - site_px / 2)
        left = round(mask.shape[1] / 2 - tree.x_nm[site] / pixel_nm - site_px / 2)
        inside = mask[max(top, 0) : top + site_px, max(left, 0) : left + site_px]
        if inside.size and inside.mean() >= least:
            found.append(site)
    return found
