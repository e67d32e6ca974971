"""Virtual detectors: images made afterwards from stored diffraction patterns."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.annuli import Annulus, angles, mask, reach_mrad

if TYPE_CHECKING:
    from collections.abc import Iterable

Array: TypeAlias = npt.NDArray[np.float64]
Patterns: TypeAlias = npt.NDArray[Any]

FORMS = "'annulus:30-60' (mrad), 'disc:0-10' or 'bf:10', 'segment:30-60:0-90' (mrad, degrees), 'com'"
_NUMBER = r"(-?\d+(?:\.\d*)?|-?\.\d+)"
_RANGE = rf"{_NUMBER}-{_NUMBER}"


@dataclass(frozen=True, slots=True)
class Spec:
    """What is wanted of every pattern."""

    text: str
    detector: Annulus | None
    """What is summed; None = the centre of mass."""


@dataclass(frozen=True, slots=True)
class Camera:
    """How patterns (Ky, Kx) are sampled."""

    shape: tuple[int, int]
    scale_mrad_per_px: tuple[float, float]
    """Along rows, along columns."""
    centre_px: tuple[float, float]
    """Row and column of the unscattered beam."""


def parse(text: str) -> Spec:
    """Read one of ``FORMS``.

    Raises ValueError that names the forms where the text is none of them, or its numbers are no ring.

    >>> parse("segment:30-60:0-90").detector
    Annulus(inner_mrad=30.0, outer_mrad=60.0, arc_deg=(0.0, 90.0))
    """
    kind, _, rest = text.strip().partition(":")
    if kind == "com" and not rest:
        return Spec(text, None)
    forms = {"annulus": _RANGE, "disc": _RANGE, "bf": _NUMBER, "segment": rf"{_RANGE}:{_RANGE}"}
    found = re.fullmatch(forms[kind], rest) if kind in forms else None
    if found is None:
        raise ValueError(f"{text!r} is no virtual detector; write one of {FORMS}")
    numbers = [float(number) for number in found.groups()]
    if kind == "disc" and numbers[0] != 0:
        raise ValueError(f"{text!r} does not start at 0 mrad, so it is no disc; write annulus:{rest}")
    try:
        if kind == "bf":
            return Spec(text, Annulus(0.0, numbers[0]))
        arc = (numbers[2], numbers[3]) if kind == "segment" else (0.0, 360.0)
        return Spec(text, Annulus(numbers[0], numbers[1], arc))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; the forms are {FORMS}") from error


def virtual_image(patterns: Patterns | Iterable[Patterns], camera: Camera, spec: Spec) -> Array:
    """Sums over the detector, (H, W), or for 'com' the centre of mass in mrad along rows and columns, (H, W, 2).

    ``patterns``: (H, W, Ky, Kx), or blocks of its rows (h, W, Ky, Kx) in their order, read one at a time.
    Raises ValueError where the patterns have another shape than the camera's, hold NaN, or do not reach the detector.
    """
    if spec.detector is None:
        return centre_of_mass(patterns, camera)
    reach = reach_mrad(camera.shape, camera.scale_mrad_per_px, camera.centre_px)
    if spec.detector.outer_mrad > reach * (1 + 1e-9):
        raise ValueError(f"{spec.text!r} reaches beyond the patterns, which show a whole ring up to {reach:.4g} mrad")
    weights = mask(spec.detector, camera.shape, camera.scale_mrad_per_px, camera.centre_px)
    return _weighed(patterns, camera, weights[None])[..., 0]


def centre_of_mass(patterns: Patterns | Iterable[Patterns], camera: Camera) -> Array:
    """(H, W, 2) mean angle in mrad along rows and along columns: λ / 2π times the slope of the phase under the probe.

    NaN where a pattern is empty. Raises ValueError as ``virtual_image`` does.
    """
    both = angles(camera.shape, camera.scale_mrad_per_px, camera.centre_px)
    sums = _weighed(patterns, camera, np.concatenate([both, np.ones((1, *camera.shape))]))
    total = np.where(sums[..., 2:] > 0, sums[..., 2:], np.nan)
    return np.asarray(sums[..., :2] / total)


def mean_pattern(patterns: Patterns | Iterable[Patterns]) -> Array:
    """(Ky, Kx) mean over the scan. Raises ValueError where there is no pattern or NaN."""
    total, count = None, 0
    for block in _blocks(patterns):
        part = block.sum((0, 1), dtype=np.float64)
        total, count = (part if total is None else total + part), count + block.shape[0] * block.shape[1]
    if total is None or not count:
        raise ValueError("no pattern was given; read at least one row of the scan")
    if not np.isfinite(total).all():
        raise ValueError("the patterns hold NaN or infinity; mask the camera's bad pixels first")
    return np.asarray(total / count)


def find_centre(pattern: Array) -> tuple[float, float]:
    """Row and column of the unscattered disc's middle, from a mean pattern (Ky, Kx).

    The centre of gravity of what is brighter than half the disc's plateau, so that the dark field does not pull it.
    Raises ValueError where the disc touches the border: its middle is then not known.
    """
    bright = np.sort(pattern, axis=None)[::-1]
    # the plateau: the median of the pixels that carry half of all electrons
    carried = np.searchsorted(np.cumsum(bright), 0.5 * bright.sum()) + 1
    disc = pattern > 0.5 * np.median(bright[:carried])
    if bright[0] <= 0 or disc[[0, -1]].any() or disc[:, [0, -1]].any():
        raise ValueError("no disc that lies wholly on the pattern was found; centre the beam on the camera")
    row, column = np.nonzero(disc)
    return float(row.mean()), float(column.mean())


def integrate(com_mrad: Array, step_nm: float, wavelength_nm: float) -> Array:
    """(H, W) phase in rad whose slope is the centre of mass (H, W, 2), mean 0: differential phase contrast.

    Least squares by Fourier transform (Lazić, Bosch & Lazar, Ultramicroscopy 160 (2016) 265); the scan counts as
    periodic. Raises ValueError for NaN, or a step or wavelength that is not positive.
    """
    if com_mrad.ndim != 3 or com_mrad.shape[2] != 2 or not np.isfinite(com_mrad).all():
        raise ValueError(f"centres of mass {com_mrad.shape} must be (H, W, 2) numbers without NaN")
    if not (0 < step_nm < math.inf and 0 < wavelength_nm < math.inf):
        raise ValueError(f"a step of {step_nm} nm and a wavelength of {wavelength_nm} nm must both be positive")
    ky = np.fft.fftfreq(com_mrad.shape[0], step_nm)[:, None]
    kx = np.fft.fftfreq(com_mrad.shape[1], step_nm)[None, :]
    slope_y, slope_x = np.moveaxis(np.fft.fft2(com_mrad, axes=(0, 1)), -1, 0) * (1e-3 / wavelength_nm)
    k2 = ky**2 + kx**2
    k2[0, 0] = 1.0  # any number: above it stands 0
    return np.asarray(np.fft.ifft2((ky * slope_y + kx * slope_x) / (1j * k2)).real)


def _weighed(patterns: Patterns | Iterable[Patterns], camera: Camera, weights: Array) -> Array:
    """(H, W, D) sums of the patterns under D weights (D, Ky, Kx)."""
    flat = weights.reshape(len(weights), -1).T
    rows = []
    for block in _blocks(patterns):
        if block.ndim != 4 or block.shape[2:] != camera.shape:
            raise ValueError(f"patterns of shape {block.shape} were given for a camera of {camera.shape} pixels")
        # a row at a time: only one is turned into floats
        rows += [row.reshape(len(row), -1).astype(np.float64) @ flat for row in block]
    if not rows:
        raise ValueError("no pattern was given; read at least one row of the scan")
    sums = np.stack(rows)
    if not np.isfinite(sums).all():
        raise ValueError("the patterns hold NaN or infinity; mask the camera's bad pixels first")
    return sums


def _blocks(patterns: Patterns | Iterable[Patterns]) -> Iterable[Patterns]:
    return (patterns,) if isinstance(patterns, np.ndarray) else patterns
