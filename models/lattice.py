"""The lattice that an image shows: its vectors, its columns, and how each place is strained and turned, with errors.

    power spectrum ─► two reciprocal vectors ─► columns as local maxima ─► each fitted with its neighbours ─► strain

The frame's own mean lattice is the reference: a strain is told against it. x runs along columns of pixels and y
upwards, so that angles and turns count counter-clockwise as the image is seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.intp]
Ratio: TypeAlias = float

_OVER_RING = 40.0
"""Power of a spot over the mean of its ring; of 10⁵ independent frequencies the highest is at 12."""
_SPOTS, _SPLIT_CYCLES = 16, 4
"""The strongest are heeded; those nearer to each other are one, split by grains that are turned a little."""
_TOLD: Ratio = 0.9
"""Part of the spots' power that the two vectors have to index."""
_OFF_CYCLES, _OFF = 1.2, 0.05
"""Across the image, and of its own frequency: how far a spot may be from where its indices put it."""
_FEWEST_CYCLES, _FINEST = 5.0, 0.45
"""Across the image, and per pixel: what is slower is shape, what is faster is pixels."""
_APART: Ratio = 0.35
"""Of the shortest vector: columns are no nearer to each other."""
_SMOOTH: Ratio = 0.12
_NEAR, _NEXT = 2.4, 1.1
"""Shortest and longest vectors: how far neighbours lie, at least, that tell how a place is strained."""
_FEWEST_NEIGHBOURS, FEWEST_COLUMNS = 8, 20
_ASTRAY: Ratio = 0.25
"""Of a vector, how far a column may be from where its neighbour says it is."""
_MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True)
class Lattice:
    """Of one image, in pixels; N columns."""

    vectors_px: Array
    """(2, 2): the two shortest, as rows (x, y); the first is the nearer to the x axis."""
    vectors_sd_px: Array
    """(2, 2)"""
    columns_px: Array
    """(N, 2) row and column."""
    position_sd_px: float
    """Of one column along one axis: how far columns scatter about what their neighbours say."""
    strain: Array
    """(N, 3): xx, yy and xy (half of the shear angle), against the frame's mean lattice."""
    strain_sd: Array
    """(N, 3)"""
    turn_deg: Array
    """(N,) rotation against the mean lattice."""
    turn_sd_deg: Array
    """(N,)"""

    @property
    def spacings_px(self) -> tuple[Array, Array]:
        """(2,) lengths of the vectors, and their standard deviations."""
        lengths = np.linalg.norm(self.vectors_px, axis=1)
        along = self.vectors_px / lengths[:, None]
        return lengths, np.sqrt(((along * self.vectors_sd_px) ** 2).sum(1))

    @property
    def orientation_deg(self) -> tuple[float, float]:
        """Of the first vector from the x axis, −90 to 90, and its standard deviation."""
        x, y = self.vectors_px[0]
        across = np.array([-y, x]) / math.hypot(x, y)
        sd = math.degrees(math.sqrt(float(((across * self.vectors_sd_px[0]) ** 2).sum())) / math.hypot(x, y))
        return math.degrees(math.atan2(y, x)), sd

    @property
    def angle_deg(self) -> float:
        """Between the two vectors."""
        first, second = self.vectors_px
        return math.degrees(abs(math.atan2(first[0] * second[1] - first[1] * second[0], float(first @ second))))


def measure_lattice(image: npt.NDArray[np.generic]) -> Lattice:
    """Of an image (H, W). Raises ValueError where it shows no lattice, or too little of one to measure."""
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim != 2 or not np.isfinite(pixels).all():
        raise ValueError(f"a lattice is measured in an image (H, W) of finite numbers; got one of shape {pixels.shape}")
    vectors = _reduced(np.asarray(np.linalg.inv(_reciprocal(pixels)).T, dtype=np.float64))
    shortest, longest = np.sort(np.linalg.norm(vectors, axis=1)).tolist()
    reach = max(_NEAR * shortest, _NEXT * longest)
    columns = _columns(pixels, shortest)
    places = np.column_stack([columns[:, 1], -columns[:, 0]])
    local, inverse, residual, told = _fitted(places, vectors, reach)
    if told.sum() < FEWEST_COLUMNS:
        raise ValueError(f"{int(told.sum())} columns lie on a lattice, too few to measure it: show more of it")
    places, columns, local, inverse = places[told], columns[told], local[told], inverse[told]
    sd = float(_MAD_TO_SD * np.median(np.abs(residual)))
    mean = np.median(local, axis=0)
    # neighbours share columns: so many are independent
    spread = _MAD_TO_SD * np.median(np.abs(local - mean), axis=0)
    a_neighbourhood = math.pi * reach**2 / abs(float(np.linalg.det(vectors)))
    mean_sd = spread / math.sqrt(max(len(places) / a_neighbourhood, 1.0))
    back = np.linalg.inv(mean.T)
    deformed = local.transpose(0, 2, 1) @ back
    # var of F_ij = sd² · row j of back', through the covariance of the two vectors
    variance = sd**2 * np.einsum("aj,nab,bj->nj", back, inverse, back)
    shear_sd = np.sqrt(variance.sum(axis=1)) / 2
    strain = np.column_stack(
        [deformed[:, 0, 0] - 1, deformed[:, 1, 1] - 1, (deformed[:, 0, 1] + deformed[:, 1, 0]) / 2]
    )
    return Lattice(
        vectors_px=mean,
        vectors_sd_px=mean_sd,
        columns_px=columns,
        position_sd_px=sd,
        strain=strain,
        strain_sd=np.column_stack([np.sqrt(variance), shear_sd]),
        turn_deg=np.degrees((deformed[:, 1, 0] - deformed[:, 0, 1]) / 2),
        turn_sd_deg=np.degrees(shear_sd),
    )


def _reciprocal(pixels: Array) -> Array:
    """Two reciprocal vectors as rows (x, y) in cycles per pixel: the largest cell of them that indexes the spots."""
    height, width = pixels.shape
    taper = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fftshift(np.fft.fft2((pixels - pixels.mean()) * taper))) ** 2
    rows, columns = (np.fft.fftshift(np.fft.fftfreq(n)) for n in power.shape)
    frequency = np.hypot(rows[:, None], columns[None, :])
    ring = np.rint(frequency * min(power.shape)).astype(np.intp)
    # the median of an exponential law is ln 2 of its mean: spots themselves do not lift it
    level = ndimage.median(power, ring, np.arange(ring.max() + 1)) / math.log(2)
    over = np.where(
        (frequency * min(power.shape) >= _FEWEST_CYCLES) & (frequency <= _FINEST) & (rows[:, None] >= 0),
        power / np.maximum(level[ring], 1e-300),
        0.0,
    )
    spots = peak_local_max(
        over, min_distance=_SPLIT_CYCLES, threshold_abs=_OVER_RING, num_peaks=_SPOTS, exclude_border=False
    )
    if len(spots) < 2:
        raise ValueError(f"{len(spots)} spots stand out of the power spectrum, two are needed: it shows no lattice")
    weight = power[tuple(spots.T)]
    exact = np.array([_top(np.log(power), *spot) for spot in spots])
    found = np.column_stack([(exact[:, 1] - width // 2) / width, -(exact[:, 0] - height // 2) / height])  # y upwards
    may_be_off = _OFF_CYCLES / min(power.shape) + _OFF * np.linalg.norm(found, axis=1)
    best: tuple[float, Array] | None = None
    for a, b in combinations(range(min(len(found), 10)), 2):
        pair = found[[a, b]]
        area = abs(float(np.linalg.det(pair)))
        if area < 0.25 * float(np.prod(np.linalg.norm(pair, axis=1))):
            continue
        index = np.rint(found @ np.linalg.inv(pair))
        on = np.linalg.norm(found - index @ pair, axis=1) < may_be_off
        if weight[on].sum() < _TOLD * weight.sum() or (best is not None and area <= 1.02 * best[0]):
            continue
        whole = index[on]
        by = weight[on, None] ** 0.5
        best = area, np.linalg.lstsq(whole * by, found[on] * by, rcond=None)[0]
    if best is None:
        raise ValueError("no two spots of the power spectrum index the others: it shows several lattices, or none")
    return best[1]


def _top(values: Array, row: int, column: int) -> tuple[float, float]:
    """Where between pixels a local maximum is, by a parabola along each axis."""
    place = []
    for at, line in ((row, values[:, column]), (column, values[row])):
        if not 0 < at < len(line) - 1:
            place.append(float(at))
            continue
        before, here, after = line[at - 1 : at + 2]
        bend = before - 2 * here + after
        place.append(at + (float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0))
    return place[0], place[1]


def _reduced(vectors: Array) -> Array:
    """The two shortest vectors of a lattice (Lagrange), the first the nearer to the x axis and to its right."""
    first, second = vectors
    while True:
        if first @ first > second @ second:
            first, second = second, first
        times = round(float(first @ second / (first @ first)))
        if not times:
            break
        second = second - times * first
    pair = sorted((first, second), key=lambda v: -abs(float(v[0])) / float(np.linalg.norm(v)))
    first = pair[0] if pair[0][0] > 0 else -pair[0]
    return np.array([first, pair[1] if pair[1][1] > 0 else -pair[1]])


def _columns(pixels: Array, shortest: float) -> Array:
    """(N, 2) row and column of local maxima, each the top of a paraboloid about it."""
    smooth = ndimage.gaussian_filter(pixels, max(_SMOOTH * shortest, 0.8))
    around = ndimage.gaussian_filter(pixels, shortest)
    reach = max(round(0.3 * shortest), 1)
    found = peak_local_max(smooth, min_distance=max(int(_APART * shortest), 1), exclude_border=reach + 1)
    found = found[(smooth - around)[tuple(found.T)] > 0]
    if not len(found):
        return np.zeros((0, 2))
    dr, dc = (each.ravel() for each in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    inside = np.hypot(dr, dc) <= reach + 0.5
    dr, dc = dr[inside], dc[inside]
    terms = np.column_stack([np.ones(len(dr)), dr, dc, dr**2, dc**2, dr * dc])
    near = smooth[found[:, :1] + dr, found[:, 1:] + dc]
    _, r, c, rr, cc, rc = np.linalg.pinv(terms) @ near.T
    bend = 4 * rr * cc - rc**2
    peaked = (bend > 0) & (rr < 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.column_stack([(rc * c - 2 * cc * r) / bend, (rc * r - 2 * rr * c) / bend])
    good = peaked & (np.abs(off) <= reach).all(axis=1)
    return np.asarray((found + off)[good], dtype=np.float64)


def _fitted(places: Array, vectors: Array, reach: float) -> tuple[Array, Array, Array, npt.NDArray[np.bool_]]:
    """Of N places the two vectors (N, 2, 2) that neighbours within ``reach`` tell, and (X'X)⁻¹ (N, 2, 2) of that fit.

    And residuals of columns from these fits (M,), and which of the N have neighbours enough. A neighbour counts where
    it lies on the lattice as seen from the place: columns of another kind within the cell do not.
    """
    n = len(places)
    local, inverse = np.full((n, 2, 2), np.nan), np.full((n, 2, 2), np.nan)
    told = np.zeros(n, dtype=bool)
    residuals: list[Array] = [np.zeros(0)]
    if not n:
        return local, inverse, residuals[0], told
    back = np.linalg.inv(vectors)
    for at, near in enumerate(cKDTree(places).query_ball_point(places, reach)):
        apart = places[near] - places[at]
        index = apart @ back
        whole = np.rint(index)
        on = (np.abs(index - whole).max(axis=1) < _ASTRAY) & (np.array(near) != at)
        if on.sum() < _FEWEST_NEIGHBOURS:
            continue
        terms = np.column_stack([np.ones(on.sum() + 1), np.vstack([[0.0, 0.0], whole[on]])])
        square = terms.T @ terms
        if np.linalg.matrix_rank(square) < 3:
            continue
        solved = np.linalg.inv(square)
        there = np.vstack([[0.0, 0.0], apart[on]])
        fit = solved @ terms.T @ there
        left = there - terms @ fit
        free = len(there) - 3
        residuals.append((left[0] * math.sqrt(len(there) / free)).ravel())
        local[at], inverse[at], told[at] = fit[1:], solved[1:, 1:], True
    return local, inverse, np.concatenate(residuals), told
