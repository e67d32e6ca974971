"""Where a probe's focus is, with its aberrations and how sure that is, from a few images of one unknown place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.aberrations import NAMES, Aperture
from models.focus_likelihood import DRIFT_px, prepare, seen
from models.focus_optics import Array, Probe, depth_of_focus_nm, frequencies, is_wide
from models.focus_search import (
    CLOSELY,
    LOWEST,
    TAPER,
    WHOLE_TAPER,
    DISTINCT_rad,
    Place,
    Problem,
    descend,
    find,
    strides_nm,
)

Ratio: TypeAlias = float

CLEAR = 12.0
"""Of ``Search.clear``."""
UNDETERMINED = 0.5
"""A standard deviation above this part of the range searched is no finding."""
INFLATION = 2.0
"""Variance found in Monte Carlo over that of the Gauss–Newton matrix: the fitted object, the weights and the edges are
themselves known from noisy images."""
NARROWEST = 0.25
"""Widest probe over the frame's width up to which the stated uncertainty was found true (Monte Carlo, 40 worlds)."""
RAY_ERROR_px = 0.018
"""Of the blur of wide frames: what the closed form and the specimen's relief leave however many electrons there are.
With it standard deviations were found true in the median, on 35 worlds (seeds from 3000) that no benchmark measures."""
FAR_PLANES = 1.5
"""Planes of depth farther apart than so many depths of focus, λ/α², are no thick specimen: each has a focus of its own,
and the wrong one may fit best."""
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
    asked: tuple[str, ...] = NAMES
    """Which of the unknown ones must be found for an estimate to be settled; the others may stay as uncertain."""
    clear: Ratio = CLEAR
    """Least difference of chi2 over misfit between the best minimum and the next for the best to be believed."""

    def ranges_nm(self) -> Array:
        """(8,) half widths; raises ValueError for what is not a finite number ≥ 0, or where nothing is unknown."""
        c12, c21, c23 = [self.c12_nm] * 2, [self.c21_nm] * 2, [self.c23_nm] * 2
        widths = np.array([self.c10_nm, *c12, *c21, *c23, self.c30_nm])
        if not (np.isfinite(widths).all() and (widths >= 0).all() and widths.any()):
            raise ValueError(f"ranges of a search must be ≥ 0 and at least one > 0; found {widths.tolist()} nm")
        if len(self.believed_nm) != len(NAMES) or not np.isfinite(self.believed_nm).all():
            raise ValueError(f"believed_nm must be {len(NAMES)} finite numbers; found {self.believed_nm}")
        if not any(name in self.asked and width for name, width in zip(NAMES, widths, strict=True)):
            raise ValueError(f"asked must name a coefficient whose range is above 0; found {self.asked}")
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
    minima_nm: Array
    """(N, 8) the coefficients first, then others that explain the images less well: more images may favour them."""

    @property
    def std_nm(self) -> Array:
        """(8,) standard deviations."""
        return np.sqrt(np.diag(self.covariance_nm2))


def estimate(
    images: npt.ArrayLike,
    settings_nm: npt.ArrayLike,
    aperture: Aperture,
    *,
    search: Search,
    source_size_nm: float = 0.0,
    depths_nm: tuple[float, ...] = (0.0,),
    depth_error: Ratio = 0.0,
    drift_px: float = DRIFT_px,
    hints_nm: npt.ArrayLike = (),
) -> Estimate:
    """The aberrations under which ``images`` (K, H, W), in counted electrons, were taken with changes (K, 8) in nm.

    The images show one place, with a drift of some pixels between them; their noise is that of counting. A detector's
    offset must have been taken off. ``depth_error``: standard error of the depths' extent over itself; what it makes of
    the estimate is added to its covariance. ``drift_px``: standard deviation expected of that drift. ``hints_nm``
    (N, 8): coefficients from which to search as well. Frames so wide that ray optics is used (``is_wide``) find C10 and
    C12 only. Raises ValueError for arrays that are not finite or do not fit each other, and as ``frequencies`` does.
    """
    stack, settings = _checked(images, settings_nm, aperture)
    widths, believed = search.ranges_nm(), np.array(search.believed_nm)
    free = tuple(int(name) for name in np.flatnonzero(widths))
    probe = Probe(aperture, frequencies(aperture, lowest=LOWEST), source_size_nm, depths_nm)
    everywhere = Probe(aperture, frequencies(aperture, lowest=0.0), source_size_nm, depths_nm)
    data, whole = prepare(stack, probe.at, TAPER), prepare(stack, everywhere.at, WHOLE_TAPER)
    if not is_wide(aperture):  # wide frames are weighed again, under other windows
        data, at = seen(data, probe.at)
        probe = replace(probe, at=at)
    hints = np.asarray(hints_nm, dtype=np.float64)
    hints = hints if hints.size else np.zeros((0, len(NAMES)))
    if hints.shape != (len(hints), len(NAMES)) or not np.isfinite(hints).all():
        raise ValueError(f"hints_nm must be finite (N, {len(NAMES)}) coefficients; found {hints.tolist()}")
    if not (np.isfinite(drift_px) and drift_px > 0):
        raise ValueError(f"drift_px must be a finite number > 0; found {drift_px}")
    problem = Problem(
        stack, data, whole, probe, everywhere, settings, believed, free, widths[list(free)], drift_px, hints
    )
    problem, minima, all_nm = find(problem)
    doubt = _doubt_nm2(problem, minima[0], depth_error) + _ray_doubt_nm2(aperture, len(free))
    asked = np.array([NAMES[name] in search.asked for name in free])
    return replace(_judged(problem, minima, asked, doubt, search.clear), minima_nm=all_nm)


def _doubt_nm2(problem: Problem, best: Place, depth_error: Ratio) -> Array:
    """(F, F) covariance of the free coefficients from not knowing how thick the specimen is.

    Half of what lies between the minima for a thinner and a thicker one, squared.
    """
    f = len(problem.free)
    if not depth_error or not any(problem.probe.depths_nm):
        return np.zeros((f, f))
    ends = []
    for factor in (1 - depth_error, 1 + depth_error):
        depths_nm = tuple(depth * factor for depth in problem.probe.depths_nm)
        other = replace(problem, probe=replace(problem.probe, depths_nm=depths_nm))
        ends.append(descend(other, best.parameters, CLOSELY).parameters[:f])
    half = (ends[1] - ends[0]) / 2
    return np.asarray(np.outer(half, half))


def _ray_doubt_nm2(aperture: Aperture, count: int) -> Array:
    """(F, F) covariance from the model of wide frames being no more exact than it is."""
    if not is_wide(aperture):
        return np.zeros((count, count))
    return np.eye(count) * (RAY_ERROR_px * aperture.pixel_nm / (aperture.convergence_mrad * 1e-3)) ** 2


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


def _judged(
    problem: Problem, minima: list[Place], asked: npt.NDArray[np.bool_], doubt_nm2: Array, clear: Ratio
) -> Estimate:
    best, data, f = minima[0], problem.data, len(problem.free)
    count = len(problem.settings_nm)
    freedom = max((count - 1) * float(data.weight.sum()) - len(best.parameters), 1.0)
    misfit = best.chi2 / freedom
    spread = INFLATION * data.overlap * max(misfit, 1.0)
    # The fitted object's noise adds to the matrix what the factor trust takes off again.
    weighed = replace(problem, data=replace(data, weight=data.weight * data.trust))
    informed = weighed.about(best, problem.bend(best)).matrix
    inverse = np.linalg.inv(informed / spread + np.diag(problem.tightness()))
    off_nm = np.array([place.parameters[:f] - best.parameters[:f] for place in minima])
    behind = np.array([(place.cost - best.cost) / spread for place in minima])
    inverse[:f, :f] += doubt_nm2 + _between_nm2(off_nm, behind)
    covariance = np.zeros((len(NAMES), len(NAMES)))
    covariance[np.ix_(problem.free, problem.free)] = inverse[:f, :f]
    theta = best.parameters[:f]
    width_nm = min(problem.images.shape[1:]) * problem.probe.aperture.pixel_nm
    signal = float(data.weight.sum()) / data.overlap
    far = (np.abs(off_nm / strides_nm(problem.probe.aperture)[list(problem.free)]) > DISTINCT_rad) & asked
    rivals = [n for n in range(len(minima)) if far[n].any() and behind[n] < clear]
    reason = ""
    if signal < LEAST_SIGNAL:
        reason = f"no structure: {signal:.0f} frequencies show an object, {LEAST_SIGNAL:g} are needed; expose longer"
    elif is_wide(problem.probe.aperture) and 2 * problem.reach_nm(theta) > NARROWEST * width_nm:
        reason = (
            f"the frame of {width_nm:.3g} nm is too narrow for probes that reach {problem.reach_nm(theta):.2g} nm: "
            f"what lies outside blurs into it; give it {2 * problem.reach_nm(theta) / NARROWEST:.3g} nm"
        )
    elif (gap_nm := _gap_nm(problem.probe)) > (most_nm := FAR_PLANES * depth_of_focus_nm(problem.probe.aperture)):
        reason = f"depths {gap_nm:.3g} nm apart are no model of a thick specimen: give ones within {most_nm:.3g} nm"
    elif (vague := asked & (np.sqrt(np.diag(inverse)[:f]) > UNDETERMINED * problem.widths_nm)).any():
        names = ", ".join(NAMES[i] for i, lost in zip(problem.free, vague, strict=True) if lost)
        reason = f"the images say too little of {names}: expose longer, or add images of other settings"
    elif (asked & (np.abs(theta - problem.believed_nm[list(problem.free)]) > 1.5 * problem.widths_nm)).any():
        reason = "the best solution lies outside the ranges searched: widen them"
    elif rivals:
        other_nm = minima[rivals[0]].parameters[:f]
        near = ", ".join(f"{NAMES[i]} {v:.1f}" for i, v in zip(problem.free, other_nm, strict=True))
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
        minima_nm=problem.coefficients(theta)[None],
    )


def _gap_nm(probe: Probe) -> float:
    """Between two planes of the specimen; 0 where one is enough, as for wide frames."""
    return 0.0 if is_wide(probe.aperture) else float(np.diff(np.sort(probe.depths_nm)).max(initial=0.0))


def _between_nm2(off_nm: Array, behind: Array) -> Array:
    """(F, F) covariance of minima (N, F) about the first, each as likely as ``behind`` (N,) it in chi2 says."""
    share = np.exp(-behind / 2)
    return np.asarray((off_nm.T * (share / share.sum())) @ off_nm)
