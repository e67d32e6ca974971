"""Correct a probe step by step: image it under several settings, estimate, correct, and again from there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias, TypedDict

import numpy as np

from instruments.aberrations import NAMES, Aperture, blurring_phases
from models.focus import Estimate, Ratio, Search, estimate
from models.focus_likelihood import DRIFT_px
from models.focus_optics import Array

Expose: TypeAlias = Callable[[Array], Array]
"""From settings (K, 8) in nm, added to the probe's own coefficients, to images (K, H, W) of counted electrons."""

DEFOCI_nm = (-12.0, -5.0, 0.0, 5.0, 12.0)
"""Of each round, unevenly spaced: what one image lacks another shows."""
ASTIGMATISM_nm = 8.0
"""Added at an angle that turns from image to image, so that no direction is favoured."""
REMEMBERED = 3
"""Rounds whose images are weighed together, the last ones."""
FIRST = ("C10", "C12a", "C12b")
"""What a round must find to be acted on. The others are corrected as far as the images tell: the range that they are
known to lie in weighs in, so that half a finding does no harm."""
LIMIT_rad = math.pi / 4
"""Largest phase over the aperture of a probe that counts as corrected: half of Rayleigh's quarter of a wave."""
SAMPLES = 400
"""Drawn of what the last estimate leaves open."""


class _About(TypedDict):
    source_size_nm: float
    depths_nm: tuple[float, ...]
    depth_error: Ratio
    drift_px: float


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a series of rounds ended with."""

    settings_nm: Array
    """(8,) to be added to the probe's own coefficients."""
    last: Estimate
    """Of the last round that settled, else of the last: coefficients before any setting."""
    images: int
    settled: bool
    """False: no round settled, and the settings are those of before."""
    confidence: Ratio
    """How probable it is, by the last estimate's covariance, that no phase above ``LIMIT_rad`` is left."""


def settings_of_round_nm(number: int) -> Array:
    """(5, 8) changes for round ``number``: a focal series whose astigmatism turns."""
    settings = np.zeros((len(DEFOCI_nm), len(NAMES)))
    settings[:, 0] = DEFOCI_nm
    turns = 2 * math.pi * (np.arange(len(DEFOCI_nm)) * 2 / len(DEFOCI_nm) + number / (3 * len(DEFOCI_nm)))
    settings[:, 1], settings[:, 2] = ASTIGMATISM_nm * np.cos(turns), ASTIGMATISM_nm * np.sin(turns)
    return settings


def correct(
    expose: Expose,
    aperture: Aperture,
    *,
    search: Search,
    most_images: int = 15,
    source_size_nm: float = 0.0,
    depths_nm: tuple[float, ...] = (0.0,),
    depth_error: Ratio = 0.0,
    drift_px: float = DRIFT_px,
) -> Corrected:
    """Rounds of ``expose`` and ``estimate``, until ``most_images`` are taken. Raises as ``estimate`` does.

    A round that does not find ``FIRST`` corrects nothing; the next has its images too. Each searches the whole range
    again, and from all that the one before found possible: few images may favour the wrong minimum. Raises ValueError
    where ``most_images`` does not allow one round.
    """
    if most_images < len(DEFOCI_nm):
        raise ValueError(f"most_images = {most_images} were allowed; a round takes {len(DEFOCI_nm)}")
    about = _About(source_size_nm=source_size_nm, depths_nm=depths_nm, depth_error=depth_error, drift_px=drift_px)
    asked = tuple(name for name in search.asked if name in FIRST) or search.asked
    # A doubtful minimum is judged by the next images; how doubtful the last one is, the covariance says.
    search = replace(search, asked=asked, clear=0.0)
    believed, hints = np.array(search.believed_nm), np.zeros((0, len(NAMES)))
    taken: list[tuple[Array, Array]] = []
    best: Estimate | None = None
    last: Estimate | None = None
    for number in range(most_images // len(DEFOCI_nm)):
        settings = settings_of_round_nm(number) - (believed if best is not None else 0.0)
        taken.append((expose(settings), settings))
        images, changes = (np.concatenate(part) for part in zip(*taken[-REMEMBERED:], strict=True))
        last = estimate(images, changes, aperture, search=search, hints_nm=hints, **about)
        hints = last.minima_nm
        if last.settled:
            best, believed = last, last.coefficients_nm
    found = best or last
    if found is None:
        raise ValueError("no round was made")
    return Corrected(
        settings_nm=-believed if best is not None else np.zeros(len(NAMES)),
        last=found,
        images=sum(len(images) for images, _ in taken),
        settled=best is not None,
        confidence=_confidence(found, aperture) if best is not None else 0.0,
    )


def _confidence(found: Estimate, aperture: Aperture) -> Ratio:
    """Share of what the covariance allows whose largest phase is below the limit."""
    drawn = np.random.default_rng(0).multivariate_normal(np.zeros(len(NAMES)), found.covariance_nm2, SAMPLES)
    return float(
        np.mean(np.abs(drawn @ blurring_phases(aperture.convergence_mrad, aperture.voltage_kV)).max(1) < LIMIT_rad)
    )


def phase_rad(coefficients_nm: Array, aperture: Aperture) -> tuple[float, float]:
    """Root mean square and largest phase of coefficients (8,) over the aperture, less what only shifts the probe.

    >>> rms, most = phase_rad(np.array([1.0, 0, 0, 0, 0, 0, 0, 0]), Aperture((8, 8), 1.0, 200.0, 21.4))
    >>> round(rms, 3), round(most, 3)
    (0.165, 0.287)
    """
    rest = np.asarray(coefficients_nm, dtype=np.float64) @ blurring_phases(
        aperture.convergence_mrad, aperture.voltage_kV
    )
    return float(np.sqrt(np.mean(rest**2))), float(np.abs(rest).max())
