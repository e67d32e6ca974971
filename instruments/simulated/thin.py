"""A view of a specimen as a thin phase object: its canvas, and what the beam has left of the structure on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import fft

from instruments.aberrations import Aperture
from instruments.annuli import Annulus
from instruments.simulated.brightfield import bright, oversampling
from instruments.simulated.coherent import ctem
from instruments.simulated.harm import CARBON_PER_NM3, disordered
from instruments.simulated.optics import probe_reach_nm
from instruments.simulated.scattering import WIDEST_MRAD, cross_section_nm2

if TYPE_CHECKING:
    from instruments.simulated.brightfield import Phases
    from instruments.simulated.coherent import Illumination
    from instruments.simulated.harm import Harm
    from instruments.simulated.hashing import Floats
    from instruments.simulated.renderer import Camera, Views

_TAIL_NM = 0.3
"""A probe reaches this much farther than its rays."""
_SLICE_NM, _MOST_SLICES = 1.0, 12
_FOCAL_NODES = 5


@dataclass(frozen=True, slots=True)
class Canvas:
    """The pixels round a frame on which waves are drawn: each of the frame's is ``parts`` × ``parts`` of them."""

    shape: tuple[int, int]
    pixel_nm: float
    parts: int
    first: tuple[int, int]
    """Row and column of the frame's first pixel's middle."""

    @classmethod
    def around(cls, frame: tuple[int, int], pixel_nm: float, margin_nm: float, parts: int) -> Canvas:
        """With a margin on every side; ``parts`` is odd, so that middles of pixels are middles of pixels."""
        fine_nm = pixel_nm / parts
        shape = tuple(_length(n * parts + 2 * math.ceil(margin_nm / fine_nm), n % 2) for n in frame)
        first = tuple((m - 1 - parts * (n - 1)) // 2 for m, n in zip(shape, frame, strict=True))
        return cls((shape[0], shape[1]), fine_nm, parts, (first[0], first[1]))

    def rows(self, frame: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Where the frame's rows and columns lie."""
        row, column = (start + self.parts * np.arange(n) for start, n in zip(self.first, frame, strict=True))
        return row, column

    def seen(self, views: Views) -> Views:
        """Views as this canvas has them: a row of it takes that part of the time that a row of the frame takes."""
        if views.row_drifts_nm is None:
            return views
        return replace(views, row_drifts_nm=views.row_drifts_nm / self.parts)

    def spread(self, image: Floats) -> Floats:
        """A frame (H, W) on the canvas; beyond its borders they go on."""
        places = [
            np.clip((np.arange(m) - start + self.parts // 2) // self.parts, 0, n - 1)
            for m, n, start in zip(self.shape, image.shape, self.first, strict=True)
        ]
        wide: Floats = image[np.ix_(*places)]
        return wide


def slices_of(thickness_nm: float) -> tuple[int, float]:
    """Into how many planes a specimen is cut, and how far apart they lie: up to 1 nm it is one phase object.

    Against planes 0.125 nm apart, one plane misplaces 0.2 % of the electrons of 0.65 nm of MoS₂ on a camera, 0.8 % of
    1 nm of SrTiO₃, 2 % of 1 nm of Au; of 2 nm it would 5 % (SrTiO₃) and 10 % (Au), two planes 1.2 and 3 %.

    >>> slices_of(4.0), slices_of(0.3)
    ((4, 1.0), (1, 0.3))
    """
    slices = min(max(1, math.ceil(thickness_nm / _SLICE_NM)), _MOST_SLICES)
    return slices, thickness_nm / slices


def _length(least: int, odd: int) -> int:
    """A length that transforms fast, odd or even as the frame is."""
    length = int(fft.next_fast_len(least, real=True))
    while length % 2 != odd:
        length = int(fft.next_fast_len(length + 1, real=True))
    return length


def faded(phase_rad: torch.Tensor, done: Harm, canvas: Canvas) -> torch.Tensor:
    """Phases (B, Y, X) of a structure whose atoms have left their places, in part or all, and some for good."""
    left = disordered(phase_rad.numpy(), canvas.spread(done.order), canvas.pixel_nm, mode="wrap")
    return torch.from_numpy(left * canvas.spread(done.matter))


def _drawn(
    specimen: Phases, views: Views, camera: Camera, widest_mrad: float, parts: int, done: Harm | None
) -> tuple[Canvas, torch.Tensor, torch.Tensor]:
    """A canvas round the frame that holds what rays so steep reach, and on it phase and absorption (B, Y, X)."""
    reach_nm = float(probe_reach_nm(views.coefficients_nm, widest_mrad).max()) + _TAIL_NM
    largest_nm = max(camera.shape) * camera.pixel_nm / 2
    canvas = Canvas.around(camera.shape, camera.pixel_nm, min(reach_nm, largest_nm), parts)
    phase, absorption = specimen.transmission(
        specimen.atoms(canvas.seen(views), canvas.shape, canvas.pixel_nm), canvas.pixel_nm
    )
    if done is not None:
        phase, absorption = faded(phase, done, canvas), faded(absorption, done, canvas)
    return canvas, phase, absorption


def bright_field(
    specimen: Phases,
    views: Views,
    camera: Camera,
    ring_mrad: tuple[float, float],
    *,
    thickness_nm: float = 0.0,
    done: Harm | None = None,
) -> torch.Tensor:
    """(B, H, W) share of the electrons on a ring within the probe's cone, or beside it, where atoms show.

    The specimen counts as planes spread over ``thickness_nm``. ``done``: the harm under the frame, of one view. Raises
    ConfigError as ``brightfield.bright`` does.
    """
    parts = oversampling(camera.pixel_nm, camera.voltage_kV, camera.convergence_mrad + ring_mrad[1])
    canvas, phase, absorption = _drawn(specimen, views, camera, camera.convergence_mrad, parts, done)
    aperture = Aperture(canvas.shape, canvas.pixel_nm, camera.voltage_kV, camera.convergence_mrad)
    slices, slice_nm = slices_of(thickness_nm)
    first = views.coefficients_nm.clone()
    first[:, 0] += slice_nm / 2
    ring, source_nm = Annulus(*ring_mrad), camera.source_size_nm
    seen = bright(
        phase, first, aperture, ring, source_size_nm=source_nm, absorption=absorption, slices=slices, slice_nm=slice_nm
    )
    row, column = (torch.from_numpy(places) for places in canvas.rows(camera.shape))
    found = seen[:, row[:, None], column[None, :]].clamp(0, 1)
    if done is not None:
        lost = CARBON_PER_NM3 * cross_section_nm2("C", ring_mrad[1], WIDEST_MRAD, camera.voltage_kV)
        found *= torch.from_numpy(np.exp(done.carbon_nm * np.float32(-lost)))
    return found


def wide_field(
    specimen: Phases, views: Views, camera: Camera, beam: Illumination, thickness_nm: float, done: Harm | None
) -> torch.Tensor:
    """(B, H, W) image in a wide parallel beam, where atoms show, of the specimen as planes over its depth."""
    widest = beam.objective_mrad or camera.convergence_mrad
    parts = oversampling(camera.pixel_nm, camera.voltage_kV, 2 * widest)
    canvas, phase, absorption = _drawn(specimen, views, camera, widest, parts, done)
    slices, slice_nm = slices_of(thickness_nm)
    last = views.coefficients_nm.clone()  # C10 is that at the face towards the lens
    last[:, 0] += slice_nm / 2
    seen = ctem(
        phase,
        last,
        canvas.pixel_nm,
        beam,
        absorption=absorption,
        focal_nodes=_FOCAL_NODES,
        slices=slices,
        slice_nm=slice_nm,
    )
    row, column = (torch.from_numpy(places) for places in canvas.rows(camera.shape))
    return seen[:, row[:, None], column[None, :]]
