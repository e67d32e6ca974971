"""Places that may be visited, as a tree, and where a pixel of a frame lies on the specimen.

A place is written as the stage position that brings it to the frame's centre. On a calibrated instrument stage +x moves
features to +column and +y to +row, so an image is point-reflected against place coordinates. This file owns that sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.scorers import Window
from instruments.types import Footprint, StagePosition

if TYPE_CHECKING:
    from instruments.types import Exposure

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int32]
Ratio: TypeAlias = float

MAX_TARGETS = 100_000
"""More are a mistake in the area or a field of view: an observation holds every one of them."""

_ROUNDING: Ratio = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The rectangle of specimen to survey, by its centre and size, in coordinates of places."""

    x_nm: float
    y_nm: float
    width_nm: float
    height_nm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place that may be visited, with the rectangle it stands for."""

    id: int
    kind: str
    """patch, site, …"""
    parent: int | None
    """Id of the coarser target it lies in."""
    x_nm: float
    y_nm: float
    width_nm: float
    height_nm: float
    row: int
    """Within the grid of its kind; row and column grow with y_nm and x_nm."""
    column: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetTree:
    """N targets as arrays, coarse kinds first; a target's id is its index."""

    kinds: tuple[str, ...]
    """Coarse to fine."""
    level: Ints
    """(N,) index into ``kinds``."""
    parent: Ints
    """(N,) id of the parent, −1 = none."""
    x_nm: Floats
    """(N,) centres."""
    y_nm: Floats
    width_nm: Floats
    height_nm: Floats
    row: Ints
    column: Ints

    def __post_init__(self) -> None:
        for array in (self.level, self.parent, self.row, self.column):
            array.flags.writeable = False
        for size in (self.x_nm, self.y_nm, self.width_nm, self.height_nm):
            size.flags.writeable = False

    def __len__(self) -> int:
        return len(self.x_nm)

    def __getitem__(self, target_id: int) -> Target:
        if not 0 <= target_id < len(self):
            raise IndexError(f"target {target_id} does not exist: there are {len(self)}, numbered from 0")
        parent = int(self.parent[target_id])
        return Target(
            id=target_id,
            kind=self.kinds[self.level[target_id]],
            parent=None if parent < 0 else parent,
            x_nm=float(self.x_nm[target_id]),
            y_nm=float(self.y_nm[target_id]),
            width_nm=float(self.width_nm[target_id]),
            height_nm=float(self.height_nm[target_id]),
            row=int(self.row[target_id]),
            column=int(self.column[target_id]),
        )

    def of_kind(self, kind: str) -> Ints:
        """(K,) ids of this kind, ascending. Raises ValueError for a kind that the tree does not have."""
        if kind not in self.kinds:
            raise ValueError(f"this tree has no targets of kind {kind!r}, only {', '.join(self.kinds)}")
        return np.flatnonzero(self.level == self.kinds.index(kind)).astype(np.int32)

    @cached_property
    def leaves(self) -> Ints:
        """(K,) ids of the finest kind: the cells of the belief map."""
        return self.of_kind(self.kinds[-1])

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the grid of leaves."""
        return int(self.row[self.leaves].max()) + 1, int(self.column[self.leaves].max()) + 1

    @cached_property
    def cell(self) -> Ints:
        """(N,) flat index of each leaf in the belief map (row-major), −1 for coarser targets."""
        cell = np.full(len(self), -1, dtype=np.int32)
        cell[self.leaves] = self.row[self.leaves] * self.shape[1] + self.column[self.leaves]
        return cell

    @cached_property
    def _family(self) -> tuple[Ints, Ints]:
        """Ids sorted by parent, and where each parent's run begins."""
        order = np.argsort(self.parent, kind="stable").astype(np.int32)
        starts = np.searchsorted(self.parent[order], np.arange(len(self) + 1)).astype(np.int32)
        return order, starts

    def children(self, target_id: int) -> Ints:
        """(K,) ids of the targets directly below, ascending."""
        order, starts = self._family
        below: Ints = order[starts[target_id] : starts[target_id + 1]]
        return below


def grid_tree(area: Area, patch_nm: float, site_nm: float, site_overlap: Ratio = 0.0) -> TargetTree:
    """Cover an area with square patches, and all of it again with square sites.

    Each grid is evenly spaced and ends flush with the area, neighbours overlapping by what is too much; no frame of a
    target's size reaches outside. A site belongs to the patch whose centre is nearest, which holds the site's centre.
    ``site_overlap``: share of a site's width that it has in common with its neighbour at least.
    Raises ValueError where the area is smaller than a frame, a size is not a positive number, or sites overlap wholly.
    """
    sizes_nm = {"area width": area.width_nm, "area height": area.height_nm, "patch": patch_nm, "site": site_nm}
    for name, size_nm in sizes_nm.items():
        if not (math.isfinite(size_nm) and size_nm > 0):
            raise ValueError(f"the {name} is {size_nm} nm; a size must be a finite number above 0")
    if site_nm > patch_nm * (1 + _ROUNDING):
        raise ValueError(f"a site of {site_nm:g} nm is larger than its patch of {patch_nm:g} nm: lower the detail view")
    if not 0 <= site_overlap < 1:
        raise ValueError(f"sites that overlap by {site_overlap:g} of their width were asked: give 0 or more, under 1")
    patch_x_nm = _spread(area.x_nm, area.width_nm, patch_nm)
    patch_y_nm = _spread(area.y_nm, area.height_nm, patch_nm)
    site_x_nm = _spread(area.x_nm, area.width_nm, site_nm, site_overlap)
    site_y_nm = _spread(area.y_nm, area.height_nm, site_nm, site_overlap)
    patches, sites = len(patch_x_nm) * len(patch_y_nm), len(site_x_nm) * len(site_y_nm)
    if patches + sites > MAX_TARGETS:
        raise ValueError(
            f"{area.width_nm:g} × {area.height_nm:g} nm hold {sites} sites of {site_nm:g} nm, over {MAX_TARGETS}: "
            "survey a smaller area or raise the detail look's field_of_view_nm"
        )
    patch_row, patch_column = np.divmod(np.arange(patches, dtype=np.int32), len(patch_x_nm))
    site_row, site_column = np.divmod(np.arange(sites, dtype=np.int32), len(site_x_nm))
    above_row = _nearest(site_y_nm, patch_y_nm)[site_row]
    above_column = _nearest(site_x_nm, patch_x_nm)[site_column]
    parent = np.concatenate([np.full(patches, -1), above_row * len(patch_x_nm) + above_column])
    extent_nm = np.repeat(np.array([patch_nm, site_nm], dtype=np.float64), [patches, sites])
    return TargetTree(
        kinds=("patch", "site"),
        level=np.repeat(np.array([0, 1], dtype=np.int32), [patches, sites]),
        parent=parent.astype(np.int32),
        x_nm=np.concatenate([patch_x_nm[patch_column], site_x_nm[site_column]]),
        y_nm=np.concatenate([patch_y_nm[patch_row], site_y_nm[site_row]]),
        width_nm=extent_nm,
        height_nm=extent_nm.copy(),
        row=np.concatenate([patch_row, site_row]),
        column=np.concatenate([patch_column, site_column]),
    )


def _spread(centre_nm: float, length_nm: float, size_nm: float, overlap: Ratio = 0.0) -> Floats:
    """(K,) centres of the fewest evenly spaced intervals of ``size_nm`` that cover ``length_nm`` and stay inside it."""
    if size_nm > length_nm * (1 + _ROUNDING):
        raise ValueError(
            f"the area is {length_nm:g} nm across, smaller than one frame of {size_nm:g} nm: "
            "survey a larger area or lower the look's field_of_view_nm"
        )
    slack_nm = max(length_nm - size_nm, 0.0)
    count = math.ceil(slack_nm / (size_nm * (1 - overlap)) - _ROUNDING) + 1
    return centre_nm + np.linspace(-slack_nm / 2, slack_nm / 2, count) if count > 1 else np.array([float(centre_nm)])


def _nearest(places_nm: Floats, centres_nm: Floats) -> Ints:
    """(K,) index of the centre nearest to each place, the lower at a tie."""
    nearest: Ints = np.abs(places_nm[:, None] - centres_nm).argmin(axis=1).astype(np.int32)
    return nearest


def footprint(stage: StagePosition, exposure: Exposure) -> Footprint:
    """The rectangle that a frame taken at ``stage`` covers. Raises ValueError where x or y is unknown."""
    x_nm, y_nm = _known(stage)
    return Footprint(
        x_nm=x_nm,
        y_nm=y_nm,
        width_nm=exposure.field_of_view_nm,
        height_nm=exposure.height_nm,
        rotation_deg=exposure.rotation_deg,
    )


def place_of_pixel(
    stage: StagePosition,
    pixel_size_nm: float,
    rows_below_px: float,
    columns_right_px: float,
    stage_to_image: Floats | None = None,
) -> tuple[float, float]:
    """The place (x_nm, y_nm) of a feature seen below and right of the frame's centre.

    ``stage_to_image``: (2, 2), image motion (columns, rows) per stage motion (x, y), dimensionless; None = calibrated
    (the unit matrix). Raises ValueError where the stage is unknown or the matrix is singular.
    """
    x_nm, y_nm = _known(stage)
    (a, b), (c, d) = _matrix(stage_to_image)
    determinant = a * d - b * c
    if not abs(determinant) > _ROUNDING:
        raise ValueError(f"stage_to_image {stage_to_image} cannot be inverted: calibrate the stage again")
    across_nm, down_nm = pixel_size_nm * columns_right_px, pixel_size_nm * rows_below_px
    return x_nm - (d * across_nm - b * down_nm) / determinant, y_nm - (a * down_nm - c * across_nm) / determinant


def pixel_of_place(
    stage: StagePosition, pixel_size_nm: float, x_nm: float, y_nm: float, stage_to_image: Floats | None = None
) -> tuple[float, float]:
    """(rows below, columns right) of the frame's centre where a place is seen: the inverse of ``place_of_pixel``."""
    stage_x_nm, stage_y_nm = _known(stage)
    (a, b), (c, d) = _matrix(stage_to_image)
    dx_px, dy_px = (stage_x_nm - x_nm) / pixel_size_nm, (stage_y_nm - y_nm) / pixel_size_nm
    return c * dx_px + d * dy_px, a * dx_px + b * dy_px


def windows(
    tree: TargetTree,
    target_id: int,
    exposure: Exposure,
    stage: StagePosition | None = None,
    stage_to_image: Floats | None = None,
) -> list[tuple[int, Window]]:
    """The cells of a target in its frame: the whole frame for a leaf, else each child that shows, cut to the frame.

    ``stage``: where the frame was really taken; None = at the target's centre. A scan rotation is taken into account;
    the window of a turned cell is its bounding box.
    """
    height_px, width_px = exposure.shape
    children = tree.children(target_id)
    if not len(children):
        return [(target_id, Window((0, height_px), (0, width_px)))]
    if stage is None:
        stage = StagePosition(x_nm=float(tree.x_nm[target_id]), y_nm=float(tree.y_nm[target_id]))
    matrix = _turned(exposure.rotation_deg) @ _matrix(stage_to_image)
    pixel_nm = exposure.pixel_size_nm
    cells: list[tuple[int, Window]] = []
    for child in children.tolist():
        below_px, right_px = pixel_of_place(stage, pixel_nm, tree.x_nm[child], tree.y_nm[child], matrix)
        half_px = np.abs(matrix) @ np.array([tree.width_nm[child], tree.height_nm[child]]) / (2 * pixel_nm)
        columns_px = _cut(width_px / 2 + right_px, float(half_px[0]), width_px)
        rows_px = _cut(height_px / 2 + below_px, float(half_px[1]), height_px)
        if columns_px and rows_px:
            cells.append((child, Window(rows_px, columns_px)))
    return cells


def _cut(centre_px: float, half_px: float, size_px: int) -> tuple[int, int] | None:
    """The half-open range of whole pixels of centre ± half that lies in 0 … size; None where there is none."""
    first, last = max(round(centre_px - half_px), 0), min(round(centre_px + half_px), size_px)
    return (first, last) if first < last else None


def _turned(rotation_deg: float) -> Floats:
    """(2, 2) what a scan turned counter-clockwise does to (columns, rows): the image turns the other way."""
    cosine, sine = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    return np.array([[cosine, sine], [-sine, cosine]])


def _matrix(stage_to_image: Floats | None) -> Floats:
    return np.eye(2) if stage_to_image is None else np.asarray(stage_to_image, dtype=np.float64)


def _known(stage: StagePosition) -> tuple[float, float]:
    if stage.x_nm is None or stage.y_nm is None:
        raise ValueError(f"the stage read back {stage}: without x and y a frame has no place; read the stage again")
    return stage.x_nm, stage.y_nm
