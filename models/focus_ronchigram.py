"""Focus and two-fold astigmatism from Ronchigrams: patterns of a still probe, which far from focus are shadow images.

A ray that leaves at angle θ met the specimen at ∇χ(θ), to first order H θ with H = ((C10 + C12a, C12b), (C12b,
C10 − C12a)) (Lupini et al., J. Electron Microsc. 57 (2008) 195). Two patterns between which the defocus was changed
by a known amount show the same specimen through two such matrices: one warped into the other, and shifted by the drift,
must agree, which scales the answer in nm without knowing the specimen. Ray optics holds where |C10| α² is many
wavelengths; nearer to focus, or on a lattice, interference hides the shadow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, optimize

from models.focus_mismatch import widened
from models.focus_optics import Array

Ratio: TypeAlias = float

ACROSS_PX = 64
"""Patterns are fitted with so many pixels across the aperture: shadows are smooth."""
SMOOTH_PX = 0.7
"""Of these pixels, standard deviation of what is averaged over."""
FOLLOWED = 4
LEAST_AGREEMENT = 0.3
"""Correlation of the patterns as fitted below which they are not taken for the same place."""
UNDETERMINED = 0.25
"""A standard deviation above this part of the range searched is no finding."""
LEAST_OVERLAP = 0.3
"""Least part of a pattern that another must show too."""
LEAST_FIELD = 0.25
"""Least width of what one pattern sees of the specimen over what another sees: a shadow magnified more shows too little
for its agreement with others to mean anything."""
CLEAR = 0.05
"""By which the best correlation must exceed that at another focus."""
TILES = 4
"""Of a pattern's side, whose pulls are compared to see what ray optics misses."""
PER_BLOB_PX = 12.0
"""Pixels that count as one measurement: smoothing and the specimen's own blobs tie neighbours together."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """C10, C12a and C12b before any of the changes were applied, and how sure they are."""

    found_nm: Array
    """(3,)"""
    covariance_nm2: Array
    """(3, 3)"""
    settled: bool
    """False: do not act on it; ``reason`` says why."""
    reason: str
    agreement: Ratio
    """Correlation of the patterns, each warped as found."""

    @property
    def std_nm(self) -> Array:
        return np.sqrt(np.diag(self.covariance_nm2))


def shadow_fit(
    patterns: npt.ArrayLike,
    changes_nm: npt.ArrayLike,
    *,
    mrad_per_px: float,
    aperture_mrad: float,
    c10_nm: float,
    c12_nm: float = 0.0,
    centre_px: tuple[float, float] | None = None,
    c30_std_nm: float = 0.0,
) -> Shadow:
    """C10 and C12 under which Ronchigrams (K, H, W) of one place were taken with changes (K,) of C10 in nm.

    Searched: C10 within ±``c10_nm``, C12 within ±``c12_nm`` (0: not fitted). Angles beyond ``aperture_mrad`` are
    left out; angle 0 lies at ``centre_px`` (row, column), the middle of the pattern unless given. A C30 that is unknown
    within ``c30_std_nm`` adds to the variance of C10 what it looks like: 2/3 C30 α², as the straight line nearest to
    C30 θ³ over the aperture. Raises ValueError for patterns that do not fit, or fewer than two different changes.
    """
    stack, changes = np.asarray(patterns, dtype=np.float64), np.asarray(changes_nm, dtype=np.float64)
    if (
        stack.ndim != 3
        or changes.shape != (len(stack),)
        or not (np.isfinite(stack).all() and np.isfinite(changes).all())
    ):
        raise ValueError(f"patterns {stack.shape} and changes {changes.shape}: give finite (K, H, W) and (K,)")
    if np.ptp(changes) == 0:
        raise ValueError(f"changes were all {changes[:1]} nm: a second pattern of another defocus tells the scale")
    rows, columns = stack.shape[1:]
    middle = centre_px or ((rows - 1) / 2, (columns - 1) / 2)
    shadows = _Patterns.of(stack, changes, mrad_per_px, aperture_mrad, middle)
    pairs = _pairs(c12_nm)
    grid = np.array([[c10, *pair] for c10 in _foci(c10_nm, changes) for pair in pairs])
    starts = [shadows.registered(place) for place in grid]
    free = 3 if c12_nm else 1
    apart_nm = 0.1 * float(np.ptp(changes))
    followed: list[int] = []
    for i in sorted(range(len(grid)), key=lambda i: -starts[i].agreement):
        if len(followed) < FOLLOWED and all(np.abs(grid[i] - grid[j]).max() > apart_nm for j in followed):
            followed.append(i)
    places = [shadows.refined(grid[i], starts[i].shifts_px, free) for i in followed]
    places.sort(key=lambda place: -place.agreement)
    found = _judged(shadows, places, free, np.array([c10_nm, c12_nm, c12_nm]), apart_nm)
    unknown = np.diag([(2 / 3 * c30_std_nm * (aperture_mrad * 1e-3) ** 2) ** 2, 0.0, 0.0])
    return replace(found, covariance_nm2=found.covariance_nm2 + unknown)


def _pairs(c12_nm: float) -> Array:
    """(N, 2) C12a and C12b that fill a disc coarsely, 0 first."""
    rings = [(0.0, 1), (0.35 * c12_nm, 6), (0.8 * c12_nm, 10)] if c12_nm else [(0.0, 1)]
    turns = [(size, 2 * math.pi * n / count) for size, count in rings for n in range(count)]
    return np.array([[size * math.cos(turn), size * math.sin(turn)] for size, turn in turns])


def _foci(c10_nm: float, changes: Array) -> Array:
    """Steps by which a shadow's magnification changes by less than what two pixels at the edge tell.

    (C + a) / (C + b) changes by (b − a) dC / (C + b)²: wide steps far from focus, narrow ones near.
    """
    span, found, c10 = float(np.ptp(changes)), [], -c10_nm
    while c10 <= c10_nm:
        found.append(c10)
        widest = float(np.abs(c10 + changes).min()) + span
        c10 += min(3 / ACROSS_PX * widest**2 / span, 0.25 * span)
    return np.array(found)


class _Start(NamedTuple):
    agreement: Ratio
    shifts_px: Array


class _Place(NamedTuple):
    agreement: Ratio
    found_nm: Array
    covariance_nm2: Array


@dataclass(frozen=True, slots=True)
class _Patterns:
    """K patterns on one grid of angles over the aperture, of mean 0 and variance 1 inside it."""

    images: Array
    """(K, n, n)"""
    inside: Array
    """(n, n) 1 within the aperture."""
    changes: Array

    @classmethod
    def of(
        cls,
        stack: Array,
        changes: Array,
        mrad_per_px: float,
        aperture_mrad: float,
        middle: tuple[float, float],
    ) -> _Patterns:
        reach = aperture_mrad / mrad_per_px
        at = (np.arange(ACROSS_PX) + 0.5 - ACROSS_PX / 2) * (2 * reach / ACROSS_PX)
        inside = (np.hypot(at[:, None], at[None, :]) < 0.97 * reach).astype(np.float64)
        grid = np.meshgrid(at + middle[0], at + middle[1], indexing="ij")
        images = []
        for image in stack:
            smooth = ndimage.gaussian_filter(image, SMOOTH_PX * 2 * reach / ACROSS_PX)
            seen = ndimage.map_coordinates(smooth, grid, order=1, mode="nearest") * inside
            even = (seen - seen.sum() / inside.sum()) * inside
            images.append(even / max(float(np.sqrt((even**2).sum() / inside.sum())), 1e-12))
        return cls(np.stack(images), inside, changes)

    def matrices(self, found_nm: Array) -> Array:
        """(K, 2, 2) from angles (row, column) to places, in nm per rad."""
        c10, c12a, c12b = found_nm
        shape = np.array([[c10 - c12a, c12b], [c12b, c10 + c12a]])
        return np.asarray(shape + self.changes[:, None, None] * np.eye(2))

    def warped(self, found_nm: Array, k: int, reference: int, shift_px: Array) -> tuple[Array, Array]:
        """Pattern k, and where it is known, as the reference's angles see it."""
        lens = self.matrices(found_nm)
        turn = np.linalg.solve(lens[k] + 1e-9 * np.eye(2), lens[reference])
        middle = np.full(2, (ACROSS_PX - 1) / 2)
        offset = middle + turn @ (shift_px - middle)
        away = np.indices(self.inside.shape) + (shift_px - middle)[:, None, None]
        known = np.hypot(*np.tensordot(turn, away, 1)) < 0.97 * ACROSS_PX / 2 - 1
        return ndimage.affine_transform(self.images[k], turn, offset, order=1), known

    def reference(self, found_nm: Array) -> int:
        """The pattern that sees the least of the specimen: all it sees, the others see too."""
        return int(np.argmin(np.abs(np.linalg.det(self.matrices(found_nm)))))

    def registered(self, found_nm: Array) -> _Start:
        """Mean correlation of the other patterns with the reference at their best shifts (K, 2)."""
        r, k_all = self.reference(found_nm), range(len(self.images))
        shifts, scores = np.zeros((len(self.images), 2)), []
        base = fft.rfft2(self.images[r])
        for k in k_all:
            if k == r:
                continue
            other, known = self.warped(found_nm, k, r, np.zeros(2))
            other = other * known
            cross = fft.irfft2(base * fft.rfft2(other).conj(), s=self.inside.shape)
            power = float(np.sqrt((self.images[r] ** 2).sum() * (other**2).sum()))
            peak = np.unravel_index(int(np.argmax(cross)), cross.shape)
            # the reference lies this much further: so much is taken off its angles
            shifts[k] = [-((p + n // 2) % n - n // 2) for p, n in zip(peak, cross.shape, strict=True)]
            scores.append(float(cross.max()) / max(power, 1e-12))
        return _Start(float(np.mean(scores)), shifts)

    def rest(self, parameters: Array, reference: int, free: int) -> Array:
        """(N,) differences of the reference from the warped patterns at their best contrast and brightness."""
        found, shifts = np.zeros(3), parameters[free:].reshape(-1, 2)
        found[:free] = parameters[:free]
        parts, base, row = [], self.images[reference], 0
        for k in range(len(self.images)):
            if k == reference:
                continue
            other, known = self.warped(found, k, reference, shifts[row])
            mask = self.inside * known
            weight = float(mask.sum())
            if weight < LEAST_OVERLAP * self.inside.sum():
                parts.append(base * self.inside)  # nothing is explained
            else:
                mine, theirs = ((part - float((part * mask).sum()) / weight) * mask for part in (base, other))
                contrast = max(float((theirs * mine).sum()), 0.0) / max(float((theirs**2).sum()), 1e-12)
                parts.append((mine - contrast * theirs) * np.sqrt(self.inside.sum() / weight))
            row += 1
        return np.concatenate([part.ravel() for part in parts])

    def refined(self, found_nm: Array, shifts_px: Array, free: int) -> _Place:
        """The nearest best agreement."""
        r = self.reference(found_nm)
        begin = np.concatenate([found_nm[:free], np.delete(shifts_px, r, axis=0).ravel()])
        # steps that move a shadow's edge by some tenths of a pixel
        steps = np.concatenate([np.full(free, np.ptp(self.changes) / ACROSS_PX), np.full(len(begin) - free, 0.5)])

        def slopes(parameters: Array, *about: int) -> Array:
            ends = [[self.rest(parameters + sign * step, *about) for sign in (1, -1)] for step in np.diag(steps)]
            return np.stack([(ahead - back) / (2 * step) for (ahead, back), step in zip(ends, steps, strict=True)], 1)

        best = optimize.least_squares(
            self.rest, begin, slopes, args=(r, free), x_scale=steps, method="lm", xtol=1e-5, ftol=1e-6, max_nfev=60
        )
        others = len(self.images) - 1
        whole = float((self.images[r] ** 2).sum()) * others
        noise = PER_BLOB_PX * 2 * best.cost / (float(self.inside.sum()) * others)
        found, covariance = np.zeros(3), np.zeros((3, 3))
        found[:free] = best.x[:free]
        told = noise * np.linalg.pinv(best.jac.T @ best.jac)
        covariance[:free, :free] = widened(told, _tiled(best.jac * best.fun[:, None] / noise))[:free, :free]
        return _Place(float(np.sqrt(max(1 - 2 * best.cost / whole, 0.0))), found, covariance)


def _tiled(pulls: Array) -> Array:
    """(TILES², P) sums over tiles of what pixels (N, P) of patterns pull."""
    side = ACROSS_PX // TILES
    tiles = pulls.reshape(-1, TILES, side, TILES, side, pulls.shape[1]).sum((0, 2, 4))
    return np.asarray(tiles.reshape(-1, pulls.shape[1]))


def _judged(shadows: _Patterns, places: list[_Place], free: int, ranges_nm: Array, apart_nm: float) -> Shadow:
    best = places[0]
    others = [place for place in places if np.abs(place.found_nm - best.found_nm).max() > apart_nm]
    fields = np.sqrt(np.abs(np.linalg.det(shadows.matrices(best.found_nm))))
    reason = ""
    if best.agreement < LEAST_AGREEMENT:
        reason = (
            f"the patterns agree by {best.agreement:.2f} only, {LEAST_AGREEMENT} is needed: no common shadow is seen"
        )
    elif fields.min() < LEAST_FIELD * fields.max():
        reason = f"pattern {int(fields.argmin())} is too near focus to compare: take it further away"
    elif (np.abs(best.found_nm[:free]) > 1.1 * ranges_nm[:free]).any():
        reason = "the best solution lies outside the ranges searched: widen them"
    elif (np.sqrt(np.diag(best.covariance_nm2))[:free] > UNDETERMINED * ranges_nm[:free]).any():
        reason = "the shadows say too little: expose longer, or change the defocus by more"
    elif others and others[0].agreement > best.agreement - CLEAR:
        reason = f"two solutions: C10 of {others[0].found_nm[0]:.4g} nm agrees nearly as well; add another defocus"
    return Shadow(best.found_nm, best.covariance_nm2, not reason, reason or "settled", best.agreement)
