"""Where a probe's focus is, with its aberrations and how sure that is, from a few images of one unknown place.

Known fault: on frames too wide for wave optics the stated uncertainty is about 4 times too small (measured on
40 worlds). Nothing uses this module until that is mended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from instruments.aberrations import NAMES, Aperture, basis
from models.focus_likelihood import DRIFT_PX, GAIN_DRIFT, Data, Step, edges_undone, prepare, register, step
from models.focus_optics import RAY_LIMIT, Array, Probe, frequencies, is_wide

TAPER = 0.5
"""Part of a frame's width over which its edges are faded out: what lies outside blurs into them."""
WHOLE_TAPER = 0.15
"""The same where the object is worked out, to correct for that fading."""
ROUNDS = 2
"""How often the correction and the fit take turns."""
ROUGHLY, CLOSELY = 0.5, 0.01
"""Gain of chi2 below which a descent ends, before and after that correction."""
KEPT = 3
"""How many different minima are corrected so."""
LOWEST = 3.0
"""Frequencies below this many steps are left out: a slow change of the object across the frame looks like them."""
STRIDE_rad = 2.5
"""Phase at the aperture's edge between starting points of the search: less than the width of a minimum."""
NARROW = 2.0
"""Ranges of fewer such strides are left to the descent."""
MOST_STARTS = 1024
REFINED = 8
"""How many of the best starting points are followed to their minimum."""
DISTINCT_rad = 0.5
"""Minima nearer than this phase at the aperture's edge are the same one."""
CLEAR = 12.0
"""Least difference of chi2 over misfit between the best minimum and the next for the best to be believed."""
UNDETERMINED = 0.5
"""A standard deviation above this part of the range searched is no finding."""
INFLATION = 2.0
"""Variance found in Monte Carlo over that of the Gauss–Newton matrix: the fitted object, the weights and the edges are
themselves known from noisy images."""
LEAST_SIGNAL = 12.0
"""Least effective number of frequencies that show an object."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is unknown, and how far it may be from what is believed. A range of 0 means known."""

    c10_nm: float = 0.0
    c12_nm: float = 0.0
    c21_nm: float = 0.0
    c23_nm: float = 0.0
    c30_nm: float = 0.0
    believed_nm: tuple[float, ...] = (0.0,) * len(NAMES)
    """The middle of each range, in the order of ``NAMES``."""

    def ranges_nm(self) -> Array:
        """(8,) half widths; raises ValueError for what is not a finite number ≥ 0, or where nothing is unknown."""
        c12, c21, c23 = [self.c12_nm] * 2, [self.c21_nm] * 2, [self.c23_nm] * 2
        widths = np.array([self.c10_nm, *c12, *c21, *c23, self.c30_nm])
        if not (np.isfinite(widths).all() and (widths >= 0).all() and widths.any()):
            raise ValueError(f"ranges of a search must be ≥ 0 and at least one > 0; found {widths.tolist()} nm")
        if len(self.believed_nm) != len(NAMES) or not np.isfinite(self.believed_nm).all():
            raise ValueError(f"believed_nm must be {len(NAMES)} finite numbers; found {self.believed_nm}")
        return widths


@dataclass(frozen=True, slots=True)
class Estimate:
    """Coefficients before any of the changes in ``settings_nm`` were applied."""

    coefficients_nm: Array
    """(8,) in the order of ``NAMES``; known ones as believed."""
    covariance_nm2: Array
    """(8, 8), zero for known ones."""
    settled: bool
    """False: do not act on this estimate; ``reason`` says why."""
    reason: str
    drift_px: Array
    """(K, 2) rows and columns by which each image lies from the first."""
    gains: Array
    """(K,) brightness of each image relative to the first."""
    misfit: float
    """chi2 per degree of freedom: 1 where only counting noise is left."""

    @property
    def std_nm(self) -> Array:
        """(8,) standard deviations."""
        return np.sqrt(np.diag(self.covariance_nm2))


class _Place(NamedTuple):
    """A point of the search: free coefficients, then (log gain, row, column) of each image after the first."""

    parameters: Array
    at: Step
    cost: float


@dataclass(frozen=True, slots=True)
class _Problem:
    data: Data
    whole: Data
    probe: Probe
    everywhere: Probe
    settings_nm: Array
    believed_nm: Array
    free: tuple[int, ...]
    widths_nm: Array

    def coefficients(self, theta: Array) -> Array:
        """(8,) from the free ones."""
        full = self.believed_nm.copy()
        full[list(self.free)] = theta
        return full

    def tightness(self) -> Array:
        """1 / variance of each parameter before any image was taken."""
        own = [GAIN_DRIFT**-2, DRIFT_PX**-2, DRIFT_PX**-2]
        return np.concatenate([self.widths_nm**-2, np.tile(own, len(self.settings_nm) - 1)])

    def middle(self) -> Array:
        return np.concatenate([self.believed_nm[list(self.free)], np.zeros(3 * len(self.settings_nm) - 3)])

    def look(self, parameters: Array) -> _Place:
        f = len(self.free)
        images = np.vstack([np.zeros(3), parameters[f:].reshape(-1, 3)])
        coefficients = self.coefficients(parameters[:f]) + self.settings_nm
        found = step(self.data, self.probe, coefficients, self.free, images[:, 0], images[:, 1:])
        off = parameters - self.middle()
        return _Place(parameters, found, found.chi2 + float(off**2 @ self.tightness()))


def estimate(
    images: npt.ArrayLike,
    settings_nm: npt.ArrayLike,
    aperture: Aperture,
    *,
    search: Search,
    source_size_nm: float = 0.0,
    depths_nm: tuple[float, ...] = (0.0,),
) -> Estimate:
    """The aberrations under which ``images`` (K, H, W), in counted electrons, were taken with changes (K, 8) in nm.

    The images show one place, with a drift of some pixels between them; their noise is that of counting. A detector's
    offset must have been taken off. Frames so wide that ray optics is used (``is_wide``) find C10 and C12 only.
    Raises ValueError for arrays that are not finite or do not fit each other, and as ``frequencies`` does.
    """
    stack, settings = _checked(images, settings_nm, aperture)
    widths, believed = search.ranges_nm(), np.array(search.believed_nm)
    free = tuple(int(name) for name in np.flatnonzero(widths))
    probe = Probe(aperture, frequencies(aperture, lowest=LOWEST), source_size_nm, depths_nm)
    everywhere = Probe(aperture, frequencies(aperture, lowest=0.0), source_size_nm, depths_nm)
    data, whole = prepare(stack, probe.at, TAPER), prepare(stack, everywhere.at, WHOLE_TAPER)
    problem = _Problem(data, whole, probe, everywhere, settings, believed, free, widths[list(free)])
    starts = sorted((_start(problem, theta) for theta in _points(problem)), key=lambda start: start[0])
    minima = sorted((_descend(problem, start, ROUGHLY) for _, start in starts[:REFINED]), key=lambda place: place.cost)
    for _ in range(ROUNDS):
        apart = _apart(problem, minima)[:KEPT]
        minima = sorted((_sharpened(problem, place) for place in apart), key=lambda place: place.cost)
    return _judged(problem, minima)


def _sharpened(problem: _Problem, place: _Place) -> _Place:
    """The minimum once the faded edges have been allowed for as it says."""
    f = len(problem.free)
    images = np.vstack([np.zeros(3), place.parameters[f:].reshape(-1, 3)])
    data = edges_undone(
        problem.data,
        problem.whole,
        problem.probe,
        problem.everywhere,
        problem.coefficients(place.parameters[:f]) + problem.settings_nm,
        images[:, 0],
        images[:, 1:],
    )
    return _descend(replace(problem, data=data), place.parameters, CLOSELY)


def _checked(images: npt.ArrayLike, settings_nm: npt.ArrayLike, aperture: Aperture) -> tuple[Array, Array]:
    stack, settings = np.asarray(images, dtype=np.float64), np.asarray(settings_nm, dtype=np.float64)
    if stack.ndim != 3 or stack.shape[1:] != aperture.shape or settings.shape != (len(stack), len(NAMES)):
        raise ValueError(
            f"images {stack.shape} and settings {settings.shape} do not fit frames of {aperture.shape}: give "
            f"(K, rows, columns) and (K, {len(NAMES)})"
        )
    if not (np.isfinite(stack).all() and np.isfinite(settings).all()):
        raise ValueError("images or settings hold values that are not finite: leave such images out")
    if not (stack.mean((1, 2)) > 0).all():
        raise ValueError("an image counted nothing on average: take off the detector's offset, or expose longer")
    return stack, settings


def strides_nm(aperture: Aperture) -> Array:
    """(8,) changes of each coefficient that turn the phase at the aperture's edge by 1 rad."""
    alpha = aperture.convergence_mrad * 1e-3
    around = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    edge = basis(alpha * np.cos(around), alpha * np.sin(around), aperture.voltage_kV)
    return np.asarray(1 / np.abs(edge).max(1) / (RAY_LIMIT if is_wide(aperture) else 1.0))


def _points(problem: _Problem) -> Array:
    """Starting points that fill the ranges evenly (Sobol, USSR Comput. Math. 7 (1967) 86)."""
    strides = STRIDE_rad * strides_nm(problem.probe.aperture)[list(problem.free)]
    steps = 2 * problem.widths_nm / strides
    searched = np.flatnonzero(steps > NARROW)
    points = problem.believed_nm[None, list(problem.free)]
    if not len(searched):
        return points
    power = math.ceil(math.log2(min(float(np.prod(steps[searched])), MOST_STARTS)))
    cube = qmc.Sobol(len(searched), scramble=False).random_base2(power)
    points = np.tile(points, (len(cube), 1))
    points[:, searched] += (2 * (cube + 0.5 / len(cube)) - 1) * problem.widths_nm[searched]
    return points


def _start(problem: _Problem, theta: Array) -> tuple[float, Array]:
    transfers = problem.probe.transfer(problem.coefficients(theta) + problem.settings_nm)
    shifts, chi2 = register(problem.data, transfers, problem.probe)
    images = np.column_stack([np.zeros(len(shifts)), shifts])[1:]
    return chi2, np.concatenate([theta, images.ravel()])


def _descend(problem: _Problem, start: Array, tolerance: float) -> _Place:
    """Levenberg–Marquardt (Marquardt, J. SIAM 11 (1963) 431) to the nearest minimum."""
    place, damping, tight = problem.look(start), 1e-2, problem.tightness()
    for _ in range(40):
        matrix = place.at.matrix + np.diag(tight)
        pull = place.at.slope + tight * (place.parameters - problem.middle())
        move = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), -pull)
        tried = problem.look(place.parameters + move)
        if tried.cost < place.cost:
            gained, place, damping = place.cost - tried.cost, tried, damping / 5
            if gained < tolerance:
                break
        else:
            damping *= 6
            if damping > 1e6:
                break
    return place


def _apart(problem: _Problem, minima: list[_Place]) -> list[_Place]:
    """Each different minimum once, the best first."""
    scale, f = strides_nm(problem.probe.aperture)[list(problem.free)], len(problem.free)
    kept: list[_Place] = []
    for place in minima:
        if all(np.abs((place.parameters - other.parameters)[:f] / scale).max() > DISTINCT_rad for other in kept):
            kept.append(place)
    return kept


def _judged(problem: _Problem, minima: list[_Place]) -> Estimate:
    best, data, f = minima[0], problem.data, len(problem.free)
    count = len(problem.settings_nm)
    freedom = max((count - 1) * float(data.weight.sum()) - len(best.parameters), 1.0)
    misfit = best.at.chi2 / freedom
    spread = INFLATION * data.overlap * max(misfit, 1.0)
    # The fitted object's noise adds to the matrix what the factor trust takes off again.
    informed = replace(problem, data=replace(data, weight=data.weight * data.trust)).look(best.parameters).at.matrix
    inverse = np.linalg.inv(informed / spread + np.diag(problem.tightness()))
    covariance = np.zeros((len(NAMES), len(NAMES)))
    covariance[np.ix_(problem.free, problem.free)] = inverse[:f, :f]
    theta = best.parameters[:f]
    signal = float(data.weight.sum()) / data.overlap
    others = _apart(problem, minima)[1:]
    reason = ""
    if signal < LEAST_SIGNAL:
        reason = f"no structure: {signal:.0f} frequencies show an object, {LEAST_SIGNAL:g} are needed; expose longer"
    elif (np.sqrt(np.diag(inverse)[:f]) > UNDETERMINED * problem.widths_nm).any():
        names = ", ".join(NAMES[i] for i in problem.free)
        reason = f"the images say too little of {names}: expose longer, or add images of other settings"
    elif (np.abs(theta - problem.believed_nm[list(problem.free)]) > 1.5 * problem.widths_nm).any():
        reason = "the best solution lies outside the ranges searched: widen them"
    elif others and (others[0].cost - best.cost) / spread < CLEAR:
        near = ", ".join(f"{NAMES[i]} {v:.1f}" for i, v in zip(problem.free, others[0].parameters[:f], strict=True))
        reason = f"two solutions: another is nearly as likely ({near} nm); add an image of another setting"
    images = np.vstack([np.zeros(3), best.parameters[f:].reshape(-1, 3)])
    return Estimate(
        coefficients_nm=problem.coefficients(theta),
        covariance_nm2=covariance,
        settled=not reason,
        reason=reason or "settled",
        drift_px=images[:, 1:],
        gains=np.exp(images[:, 0]),
        misfit=misfit,
    )
