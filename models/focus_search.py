"""The search behind ``focus.estimate``: starting points, descents, and the allowance for a frame's edges."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import qmc

from instruments.aberrations import Aperture, basis
from models.focus_likelihood import GAIN_DRIFT, Data, Step, chi2, edges_undone, prepare, register, step
from models.focus_optics import RAY_LIMIT, Array, Complex, Probe, Slopes, is_wide, reach_nm

TAPER = 0.5
"""Part of a frame's width over which its edges are faded out: what lies outside blurs into them."""
WHOLE_TAPER = 0.15
"""The same where the object is worked out, to correct for that fading."""
ROUNDS = 2
"""How often the correction and the fit take turns."""
ROUGHLY, CLOSELY = 0.5, 0.01
"""Gain of chi2 below which a descent ends, before and after that correction."""
MOST_MARGIN = 0.25
"""Part of a frame's width that is left out at either side at most."""
KEPT = 3
"""How many different minima are corrected so."""
LOWEST = 3.0
"""Frequencies below this many steps are left out: a slow change of the object across the frame looks like them."""
STRIDE_rad = 2.5
"""Phase at the aperture's edge between starting points of the search: less than the width of a minimum."""
NARROW = 0.5
"""Ranges of fewer such strides are left to the descent."""
FULLER = 4
"""Points are so many times closer where at least so many coefficients are searched: of fewer, as many times as they
are."""
HINTED = 4
"""So many times fewer where hints are given: they come from such a search."""
MOST_STARTS = 1024
REFINED, AHEAD, FIRST_STEPS = 12, 6, 4
"""How many of the best starting points are followed, and how many of these, after so many steps, to their minimum."""
MOST_STEPS = 60
DISTINCT_rad = 0.5
"""Minima nearer than this phase at the aperture's edge are the same one."""


class Place(NamedTuple):
    """A point of the search: free coefficients, then (log gain, row, column) of each image after the first."""

    parameters: Array
    value: Complex
    """(K, J) transfer functions there."""
    chi2: float
    cost: float
    """chi2, and what the parameters' ranges add."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Images of one place, what is unknown of the probe they were taken with, and how far it may lie from belief."""

    images: Array
    """(K, H, W) counted electrons."""
    data: Data
    whole: Data
    """The same under a window that leaves nearly all of the frame."""
    probe: Probe
    everywhere: Probe
    settings_nm: Array
    believed_nm: Array
    free: tuple[int, ...]
    widths_nm: Array
    drift_px: float
    """Standard deviation expected of the drift between images."""
    hints_nm: Array
    """(N, 8) coefficients from which to search as well."""

    def coefficients(self, theta: Array) -> Array:
        """(8,) from the free ones."""
        full = self.believed_nm.copy()
        full[list(self.free)] = theta
        return full

    def reach_nm(self, theta: Array) -> float:
        """How far the widest of the probes throws a ray."""
        coefficients = self.coefficients(theta) + self.settings_nm
        return float(reach_nm(coefficients, self.probe.aperture, self.probe.depths_nm).max())

    def tightness(self) -> Array:
        """1 / variance of each parameter before any image was taken."""
        own = [GAIN_DRIFT**-2, self.drift_px**-2, self.drift_px**-2]
        return np.concatenate([self.widths_nm**-2, np.tile(own, len(self.settings_nm) - 1)])

    def hold(self) -> Array:
        """The same as chi2 counts it, which a window makes larger than it is."""
        return self.data.overlap * self.tightness()

    def middle(self) -> Array:
        return np.concatenate([self.believed_nm[list(self.free)], np.zeros(3 * len(self.settings_nm) - 3)])

    def look(self, parameters: Array) -> Place:
        f, images = len(self.free), self.of_images(parameters)
        value = self.probe.transfer(self.coefficients(parameters[:f]) + self.settings_nm)
        found = chi2(self.data, self.probe.at, self.probe.aperture.pixel_nm, value, images[:, 0], images[:, 1:])
        off = parameters - self.middle()
        return Place(parameters, value, found, found + float(off**2 @ self.hold()))

    def bend(self, place: Place) -> Complex:
        """(F, K, J) slopes of the transfer functions at a place, per nm."""
        coefficients = self.coefficients(place.parameters[: len(self.free)]) + self.settings_nm
        return self.probe.slopes(coefficients, self.free)[1]

    def about(self, place: Place, bend: Slopes) -> Step:
        """The likelihood about a place where the transfer functions have these slopes."""
        images, pixel_nm = self.of_images(place.parameters), self.probe.aperture.pixel_nm
        return step(self.data, self.probe.at, pixel_nm, place.value, bend, images[:, 0], images[:, 1:])

    def of_images(self, parameters: Array) -> Array:
        """(K, 3) log gain, row and column of each image."""
        return np.vstack([np.zeros(3), parameters[len(self.free) :].reshape(-1, 3)])


def find(problem: Problem) -> tuple[Problem, list[Place], Array]:
    """Different minima, the best first, and the problem with the window that they were weighed under.

    Returned too: (N, 8) coefficients of these and of the minima next to them, which were not weighed as closely.
    """
    starts = sorted((start(problem, theta) for theta in points(problem)), key=lambda found: found[0])
    begun = [found for _, found in starts[:REFINED]]
    begun += [start(problem, hint)[1] for hint in problem.hints_nm[:, list(problem.free)]]
    if len(begun) > AHEAD:
        led = sorted((descend(problem, found, ROUGHLY, FIRST_STEPS) for found in begun), key=_cost)
        begun = [place.parameters for place in apart(problem, led)[:AHEAD]]
    minima = sorted((descend(problem, found, ROUGHLY) for found in begun), key=_cost)
    rest = apart(problem, minima)[KEPT:]
    for _ in range(ROUNDS):
        kept = apart(problem, minima)[:KEPT]
        problem = narrowed(problem, kept)
        minima = sorted((sharpened(problem, place) for place in kept), key=_cost)
    minima = apart(problem, minima)
    return problem, minima, np.stack([problem.coefficients(p.parameters[: len(problem.free)]) for p in minima + rest])


def _cost(place: Place) -> float:
    return place.cost


def narrowed(problem: Problem, minima: list[Place]) -> Problem:
    """The problem without the margin into which the widest probe of ``minima`` spreads what lies outside the frame.

    Frames narrow enough for wave optics keep all: on lattices, which go on outside as they are inside, a margin costs
    more than it mends.
    """
    if not is_wide(problem.probe.aperture):
        return problem
    f = len(problem.free)
    widest_nm = max(problem.reach_nm(place.parameters[:f]) for place in minima)
    margin_px = min(widest_nm / problem.probe.aperture.pixel_nm, MOST_MARGIN * min(problem.images.shape[1:]))
    return replace(problem, data=prepare(problem.images, problem.probe.at, TAPER, math.floor(margin_px)))


def sharpened(problem: Problem, place: Place) -> Place:
    """The minimum once the faded edges have been allowed for as it says."""
    f, images = len(problem.free), problem.of_images(place.parameters)
    data = edges_undone(
        problem.data,
        problem.whole,
        problem.probe,
        problem.everywhere,
        problem.coefficients(place.parameters[:f]) + problem.settings_nm,
        images[:, 0],
        images[:, 1:],
    )
    return descend(replace(problem, data=data), place.parameters, CLOSELY)


def strides_nm(aperture: Aperture) -> Array:
    """(8,) changes of each coefficient that turn the phase at the aperture's edge by 1 rad."""
    alpha = aperture.convergence_mrad * 1e-3
    around = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    edge = basis(alpha * np.cos(around), alpha * np.sin(around), aperture.voltage_kV)
    return np.asarray(1 / np.abs(edge).max(1) / (RAY_LIMIT if is_wide(aperture) else 1.0))


def points(problem: Problem) -> Array:
    """Starting points that fill the ranges evenly (Sobol, USSR Comput. Math. 7 (1967) 86)."""
    strides = STRIDE_rad * strides_nm(problem.probe.aperture)[list(problem.free)]
    steps = 2 * problem.widths_nm / strides
    searched = np.flatnonzero(steps > NARROW)
    middle = problem.believed_nm[None, list(problem.free)]
    if not len(searched):
        return middle
    filling = float(np.prod(np.maximum(steps[searched], 1.0))) * min(len(searched), FULLER)
    filling /= HINTED if len(problem.hints_nm) else 1
    power = math.ceil(math.log2(max(min(filling, MOST_STARTS), 1.0)))
    cube = qmc.Sobol(len(searched), scramble=False).random_base2(power)
    filled = np.tile(middle, (len(cube), 1))
    filled[:, searched] += (2 * (cube + 0.5 / len(cube)) - 1) * problem.widths_nm[searched]
    return filled


def start(problem: Problem, theta: Array) -> tuple[float, Array]:
    """Cost at free coefficients (F,) with whole-pixel drifts, and these parameters."""
    transfers = problem.probe.transfer(problem.coefficients(theta) + problem.settings_nm)
    shifts, cost = register(problem.data, transfers, problem.probe, problem.drift_px)
    images = np.column_stack([np.zeros(len(shifts)), shifts])[1:]
    off = (theta - problem.believed_nm[list(problem.free)]) / problem.widths_nm
    return cost + problem.data.overlap * float(off @ off), np.concatenate([theta, images.ravel()])


def descend(problem: Problem, begin: Array, tolerance: float, most: int = MOST_STEPS) -> Place:
    """Levenberg–Marquardt (Marquardt, J. SIAM 11 (1963) 431) to the nearest minimum.

    Slopes cost several times what a transfer function does, so after each step they are mended by what it showed of
    them (Broyden, Math. Comput. 19 (1965) 577). They are worked out anew where a step led nowhere, and a descent ends
    only by a step that was made on such.
    """
    place, damping, tight = problem.look(begin), 1e-2, problem.hold()
    bend: Slopes
    bend, fresh, moved = problem.bend(place).astype(np.complex64), True, True
    for _ in range(most):
        if moved:
            at = problem.about(place, bend)
            matrix = at.matrix + np.diag(tight)
            pull = at.slope + tight * (place.parameters - problem.middle())
        tried = problem.look(place.parameters + np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), -pull))
        moved, gained = tried.cost < place.cost, place.cost - tried.cost
        if moved:
            bend, was = _mended(problem, bend, place, tried), fresh
            place, damping, fresh = tried, damping / 5, False
            if gained < tolerance and was:
                break
        elif fresh:
            damping *= 6
            if damping > 1e6:
                break
        if not fresh and gained < tolerance:
            bend, fresh, moved = problem.bend(place).astype(np.complex64), True, True
    return place


def _mended(problem: Problem, bend: Slopes, start: Place, end: Place) -> Slopes:
    """Slopes (F, K, J) that explain what the transfer functions did between two places, changed as little as may be."""
    f = len(problem.free)
    step_nm = (end.parameters - start.parameters)[:f]
    scale = strides_nm(problem.probe.aperture)[list(problem.free)]
    along = step_nm / scale**2
    missed = (end.value - start.value).astype(bend.dtype) - np.tensordot(step_nm.astype(np.float32), bend, 1)
    return np.asarray(bend + (along / (step_nm @ along)).astype(np.float32)[:, None, None] * missed)


def apart(problem: Problem, minima: list[Place]) -> list[Place]:
    """Each different minimum once, the best first."""
    scale, f = strides_nm(problem.probe.aperture)[list(problem.free)], len(problem.free)
    kept: list[Place] = []
    for place in minima:
        if all(np.abs((place.parameters - other.parameters)[:f] / scale).max() > DISTINCT_rad for other in kept):
            kept.append(place)
    return kept
