"""Focus and two-fold astigmatism by the rings in power spectra: the classical fit, for images without registration.

A ring of the spectrum is the object's power there times what the lens lets through, |transfer|², plus noise. Of several
images with known changes between them the object's power is common and drops out; only powers are
compared, so drift does no harm, and the phases of the spectra, most of what images say, are not used. Phase contrast is
modelled as Rohou & Grigorieff do (J. Struct. Biol. 192 (2015) 216), incoherent imaging by the probe's own transfer
function; the likelihood is that of averaged periodograms (Whittle, Ark. Mat. 2 (1953) 423).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

from instruments.aberrations import NAMES, Aperture, basis
from instruments.physics import wavelength_nm
from models.focus_mismatch import widened
from models.focus_optics import Array, Frequencies, Probe
from models.focus_ring_cells import Cells, cells_of, middles, of_ring

Lens: TypeAlias = Callable[[Array, Frequencies, float], Array]
"""From coefficients (K, 8), J frequencies and a phase in rad that is added to all of them, to the share (K, J) of the
object's power that K images show."""
Ratio: TypeAlias = float

FOLLOWED = 6
"""How many of the best foci of the search are refined."""
SEEN = 100.0
"""Least gain in −2 log likelihood, over misfit, of a lens's rings over none."""
CLEAR = 12.0
"""Least difference of −2 log likelihood, over misfit, between the best focus and the next."""
HUMPS = 5
"""By which the power of object and noise may change along the radius, where the noise is not known."""
BANDS = 8
"""Of rings, whose pulls are compared to see what the model misses."""
TURN_STEP_rad = 0.05
"""In which the phase of the amplitude contrast is refined."""
_TINY = 1e-300
UNDETERMINED = 0.25
"""A standard deviation above this part of the range searched is no finding."""


@dataclass(frozen=True, slots=True)
class Rings:
    """Coefficients before any of the changes were applied, C10, C12a and C12b, and how sure they are."""

    found_nm: Array
    """(3,)"""
    covariance_nm2: Array
    """(3, 3)"""
    settled: bool
    """False: do not act on it; ``reason`` says why."""
    reason: str
    misfit: float
    """Scatter of the powers about the fit over what counting allows: 1 where the model holds."""
    turn_rad: float = 0.0
    """Found of ``turn_std_rad``."""

    @property
    def std_nm(self) -> Array:
        return np.sqrt(np.diag(self.covariance_nm2))


def phase_contrast(
    voltage_kV: float, *, illumination_mrad: float = 0.0, amplitude_contrast: Ratio = 0.0, c30_nm: float = 0.0
) -> Lens:
    """Of a thin specimen under a wide beam: sin²(χ − asin(amplitude contrast)), damped by the cone of the illumination.

    ``c30_nm`` is added to the coefficients' own. The damping is exp(−(θ / 2λ)² |∇χ|²), squared for powers (Frank, Optik
    38 (1973) 519); what damps all images alike belongs to the object's power.
    """
    turned = math.asin(amplitude_contrast)
    held: list[_Phases] = []  # of the last frequencies asked: a fit asks for the same ones thousands of times

    def lens(coefficients_nm: Array, at: Frequencies, turn_rad: float) -> Array:
        if not held or held[0].at is not at:
            held[:] = [_phases(at, voltage_kV, sloping=illumination_mrad > 0)]
        known = coefficients_nm.copy()
        known[:, NAMES.index("C30")] += c30_nm
        shown = np.sin(known @ held[0].basis - turned + turn_rad) ** 2
        if illumination_mrad:
            square = sum((known @ slope) ** 2 for slope in held[0].slopes)
            shown = shown * np.exp(-2 * (illumination_mrad * 1e-3 / 2) ** 2 * square)
        return np.asarray(shown)

    return lens


class _Phases(NamedTuple):
    at: Frequencies
    basis: Array
    """(8, J) rad per nm."""
    slopes: tuple[Array, ...]
    """(8, J) along columns and along rows, in rad per nm and rad of angle; ∇χ by frequency is λ times that."""


def _phases(at: Frequencies, voltage_kV: float, *, sloping: bool) -> _Phases:
    wavelength, step = wavelength_nm(voltage_kV), 1e-6
    x, y = wavelength * at.kx_per_nm, wavelength * at.ky_per_nm
    ways = ((step, 0.0), (0.0, step)) if sloping else ()
    slopes = [(basis(x + dx, y + dy, voltage_kV) - basis(x - dx, y - dy, voltage_kV)) / (2 * step) for dx, dy in ways]
    return _Phases(at, basis(x, y, voltage_kV), tuple(slopes))


def incoherent(aperture: Aperture, source_size_nm: float = 0.0) -> Lens:
    """Of a scanned dark-field image: the probe's transfer function, squared."""

    def lens(coefficients_nm: Array, at: Frequencies, _turn_rad: float) -> Array:
        return np.abs(Probe(aperture, at, source_size_nm, (0.0,)).transfer(coefficients_nm)) ** 2

    return lens


def ring_fit(
    images: npt.ArrayLike,
    settings_nm: npt.ArrayLike,
    lens: Lens,
    pixel_nm: float,
    *,
    c10_nm: float,
    c12_nm: float,
    step_nm: float,
    highest_per_nm: float,
    tile_px: int | None = None,
    counted: bool = False,
    turn_std_rad: float = 0.0,
) -> Rings:
    """C10 and C12 under which ``images`` (K, H, W) of like structure were taken with changes (K, 8) in nm.

    Searched: C10 within ±``c10_nm``, C12 within ±``c12_nm`` (0: left out), first by the rings below half of
    ``highest_per_nm`` in steps that must be finer than such a ring, then from the best of them by all rings.
    ``tile_px``: spectra are means over overlapping tiles of this side. ``counted``: images are counts of electrons, so
    that the noise's power is known, and the object's may be anything; otherwise both must change smoothly with the
    radius, as those of films do. One image cannot tell the sign of C10 unless C30 or an amplitude contrast does.
    ``turn_std_rad``: how far the amplitude contrast, as a phase, may be from what ``lens`` was told; it is fitted too.
    Raises ValueError for images that do not fit, or without a ring.
    """
    stack, settings = np.asarray(images, dtype=np.float64), np.asarray(settings_nm, dtype=np.float64)
    if stack.ndim != 3 or settings.shape != (len(stack), len(NAMES)) or not np.isfinite(stack).all():
        raise ValueError(f"images {stack.shape} and settings {settings.shape}: give finite (K, H, W) and (K, 8)")
    if not (stack.mean((1, 2)) > 0).all():
        raise ValueError("an image counted nothing on average: take off the detector's offset, or expose longer")
    steps = np.array([step_nm, step_nm, step_nm, TURN_STEP_rad])
    problem = _Problem(cells_of(stack, pixel_nm, tile_px, highest_per_nm), settings, lens, counted, steps)
    free: tuple[int, ...] = (0, 1, 2) if c12_nm else (0,)
    foci = np.arange(-c10_nm, c10_nm + step_nm / 2, step_nm)
    pairs = np.arange(-math.floor(c12_nm / step_nm), math.floor(c12_nm / step_nm) + 1) * step_nm
    grid = np.stack(np.meshgrid(foci, pairs, pairs, [0.0], indexing="ij"), axis=-1)[..., 0, :]
    inside = np.hypot(grid[..., 1], grid[..., 2]) <= max(c12_nm, step_nm / 2)
    low = replace(problem, cells=middles(problem.cells, highest_per_nm / 2))
    costs = np.full(inside.shape, np.inf)
    costs[inside] = [low.cost(place) for place in grid[inside]]
    starts = grid[_valleys(costs)][:FOLLOWED]
    led = [_refined(low, start, free) for start in starts]
    apart = [p for n, p in enumerate(led) if all(np.abs(p - other).max() > 0.1 * step_nm for other in led[:n])]
    places = sorted((_refined(problem, p, free) for p in apart), key=problem.cost)
    if turn_std_rad:
        free = (*free, 3)
        problem = replace(problem, tightness=max(problem.misfit(places[0]), 1.0) / turn_std_rad**2)
        places = sorted((_refined(problem, p, free) for p in places), key=problem.cost)
    return _judged(problem, places, np.array([c10_nm, c12_nm, c12_nm, turn_std_rad]), free)


@dataclass(frozen=True, slots=True)
class _Problem:
    cells: Cells
    settings_nm: Array
    lens: Lens
    counted: bool
    steps: Array
    """(4,) in nm and rad, by which places are refined."""
    tightness: float = 0.0
    """By which the cost grows with the square of the phase in rad."""

    def cost(self, place: Array) -> float:
        """−2 log likelihood at C10, C12a, C12b in nm and a phase (4,), the object's and the noise's power fitted."""
        return self._cost(self._powers(self._shares(place))) + float(self.tightness * place[3] ** 2)

    def cost_without_rings(self) -> float:
        """The same of a lens that shows all frequencies alike."""
        return self._cost(self._powers(np.ones_like(self.cells.power)))

    def _cost(self, model: Array) -> float:
        return float(self._costs(model).sum())

    def _costs(self, model: Array) -> Array:
        return np.asarray(2 * self.cells.count * (np.log(model) + self.cells.power / model))

    def pulls(self, place: Array, part: Ratio, free: tuple[int, ...]) -> Array:
        """(``BANDS``, F) slopes of the cost, one band of rings after the other, by ``part`` of a step either way."""
        ways = part * np.diag(self.steps)[list(free)]
        ends = [[self._costs(self._powers(self._shares(place + s * way))) for s in (1, -1)] for way in ways]
        slopes = np.array(
            [(ahead - back).sum(0) / (2 * way.sum()) for way, (ahead, back) in zip(ways, ends, strict=True)]
        )
        order = np.argsort(self.cells.ring, kind="stable")
        return np.array([part.sum(1) for part in np.array_split(slopes[:, order], BANDS, axis=1)])

    def misfit(self, place: Array) -> float:
        model = self._powers(self._shares(place))
        return float((self.cells.count * (self.cells.power / model - 1) ** 2).mean())

    def _shares(self, place: Array) -> Array:
        """(K, C) of the object's power that the cells show."""
        coefficients = self.settings_nm.copy()
        coefficients[:, :3] += place[:3]
        shares = self.lens(coefficients, self.cells.at, float(place[3]))
        return np.stack([np.bincount(self.cells.cell, one) for one in shares]) / self.cells.size

    def _powers(self, share: Array) -> Array:
        """(K, C) expected powers: object · share + noise, both ≥ 0, by weighted least squares."""
        cells = self.cells
        model = np.stack([of_ring(one, cells) for one in cells.power])
        for _ in range(2):
            weight = cells.count / model**2
            fitted = self._counted(share, weight) if self.counted else self._smooth(share, weight)
            model = np.maximum(fitted, 1e-3)
        return model

    def _counted(self, share: Array, weight: Array) -> Array:
        """The object's power ring by ring, the noise's 1."""
        cells = self.cells
        told, square = (
            np.bincount(cells.ring, (weight * part).sum(0)) for part in (share * (cells.power - 1), share**2)
        )
        thing = np.maximum(told / np.maximum(square, _TINY), 0.0)
        return np.asarray(thing[cells.ring] * share + 1)

    def _smooth(self, share: Array, weight: Array) -> Array:
        """Object and noise as sums of few humps along the radius, none below 0: what is left are the lens's rings."""
        humps = self.cells.humps(HUMPS)
        sides = np.concatenate([share[:, None] * humps, np.broadcast_to(humps, (len(share), *humps.shape))], axis=1)
        scaled = sides * np.sqrt(weight)[:, None]
        gram = np.einsum("kac,kbc->ab", scaled, scaled)
        told = np.einsum("kac,kc->a", scaled, np.sqrt(weight) * self.cells.power)
        # Of least squares in few unknowns only the triangle counts (Lawson & Hanson, 1974, ch. 23).
        root = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) * np.eye(len(gram)))
        amounts = optimize.nnls(root.T, np.linalg.solve(root, told))[0]
        return np.asarray(np.einsum("a,kac->kc", amounts, sides))


def _valleys(values: Array) -> tuple[npt.NDArray[np.int64], ...]:
    """Where the values are the lowest of their neighbourhood, the lowest first; an end counts."""
    low = np.nonzero((values <= ndimage.minimum_filter(values, 3, mode="nearest")) & np.isfinite(values))
    order = np.argsort(values[low])
    return tuple(part[order] for part in low)


def _refined(rings: _Problem, start: Array, free: tuple[int, ...]) -> Array:
    ways = np.diag(rings.steps)[list(free)]

    def cost(steps: Array) -> float:
        return rings.cost(start + steps @ ways)

    corners = np.vstack([np.zeros(len(free)), 0.5 * np.eye(len(free))])
    about = {"initial_simplex": corners, "xatol": 1e-3, "fatol": 1e-2, "maxfev": 100 * len(free)}
    best = optimize.minimize(cost, np.zeros(len(free)), method="Nelder-Mead", options=about)
    return np.asarray(start + best.x @ ways)


def _judged(rings: _Problem, places: list[Array], ranges: Array, free: tuple[int, ...]) -> Rings:
    best, told = places[0], [n for n in free if n < 3]
    misfit = rings.misfit(best)
    curved = _curvature(rings, best, 0.05, free)
    covariance = np.diag(np.where(np.isin(np.arange(4), free), ranges**2, 0.0))
    if bool((np.linalg.eigvalsh(curved) > 0).all()):
        # of −2 log likelihood scaled by the misfit; in these units its slopes' variance is twice its curvature
        noise = np.asarray(2 * misfit * np.linalg.inv(curved), dtype=np.float64)
        covariance[np.ix_(free, free)] = widened(noise, rings.pulls(best, 0.05, free) / (2 * misfit))
    others = [place for place in places if (np.abs(place - best) > 0.5 * rings.steps)[:3].any()]
    lead = (rings.cost(others[0]) - rings.cost(best)) / misfit if others else math.inf
    reason = ""
    if (seen := (rings.cost_without_rings() - rings.cost(best)) / misfit) < SEEN:
        reason = f"no rings: they explain {seen:.0f} of −2 log likelihood, {SEEN:g} is needed; expose longer"
    elif (np.sqrt(np.diag(covariance)) > UNDETERMINED * ranges)[told].any():
        reason = "the rings say too little: expose longer, or add images further from focus"
    elif (np.abs(best) > 1.1 * ranges)[told].any():
        reason = "the best solution lies outside the ranges searched: widen them"
    elif lead < CLEAR:
        reason = f"two solutions: C10 of {others[0][0]:.4g} nm is nearly as likely; add an image of another setting"
    return Rings(best[:3], covariance[:3, :3], not reason, reason or "settled", misfit, float(best[3]))


def _curvature(rings: _Problem, place: Array, part: Ratio, free: tuple[int, ...]) -> Array:
    """(F, F) second differences of the cost, by ``part`` of a step either way."""
    ways = part * np.diag(rings.steps)[list(free)]
    matrix = np.zeros((len(free), len(free)))
    for i in range(len(free)):
        for j in range(i + 1):
            signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
            costs = [rings.cost(place + a * ways[i] + b * ways[j]) * a * b for a, b in signs]
            matrix[i, j] = matrix[j, i] = sum(costs) / (4 * ways[i].sum() * ways[j].sum())
    return matrix
