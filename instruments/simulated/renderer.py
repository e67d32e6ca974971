"""Many worlds as one batch: frames of one shape and pixel size from many specimens, places and probes at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import fft

from configs.errors import ConfigError
from instruments.aberrations import Aperture
from instruments.simulated.gridbars import draw_bars
from instruments.simulated.incoherence import CHANNELLING_NM, WHOLE, channelling_blur_nm, detail
from instruments.simulated.optics import Lens, develop, probe_window_nm, reach_nm
from instruments.simulated.packing import Annulus, Packed, annular_weights, pack
from instruments.simulated.painted import paint_views
from instruments.simulated.poisson import count_
from instruments.simulated.recipe import Recipe
from instruments.simulated.scattering import atomic_number

FINE_PX_NM = 0.15
"""Up to this pixel size atomic columns are drawn."""
_CHUNK_PX = 16 * 160 * 160
"""Canvases of this many pixels together stay near the processor, and are enough to forget what each call costs."""
_CHUNK_PX_GPU = 64 * _CHUNK_PX
"""A GPU is told little and often otherwise."""
_SLICE_NM = 3.0
"""A thick object is scattered from at depths this far apart; the depth of focus λ/α² is 5 nm at 22 mrad and 200 kV."""
_MOST_SLICES = 9
_TAIL_NM = 0.12
"""Beyond its rays a probe has its first bright ring."""
_MAX_PX = 1 << 28
_ODD = np.int64(0x632BE59BD9B4E019)
"""Spreads the seeds of worlds, so that no two frames of any share their noise."""
_EVERYTHING_MRAD = 1000.0
"""An annulus that reaches so far stands for all that leaves the bright field: what is stopped is lost to it, too."""


def open_device(name: str) -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu`` or ``cuda``. Raises ConfigError where it is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {name!r} was asked; give auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device 'cuda' was asked, but torch finds none here: give auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What B frames look at, and how."""

    seeds: npt.NDArray[np.int64]
    """(B,) of the worlds."""
    places_nm: npt.NDArray[np.float64]
    """(B, 2) x, y under the middle of the frame."""
    coefficients_nm: torch.Tensor
    """(B, 8) float32, in the order of ``aberrations.NAMES``, of the probe that scans."""
    electrons: torch.Tensor
    """(B,) float32, sent on each pixel."""
    frames: npt.NDArray[np.int64]
    """(B,) numbers that make the noise of each frame its own."""
    rotations_rad: npt.NDArray[np.float64] | None = None
    """(B,) of the scan, counter-clockwise; None: not rotated. Coefficients are along the scan's own axes."""
    row_drifts_nm: npt.NDArray[np.float64] | None = None
    """(B, 2) x, y that the specimen moves by while a row is scanned; None: it stands still."""
    thicker: npt.NDArray[np.float64] | None = None
    """(B,) path through the specimen over its thickness, where it is tilted; None: 1."""
    stretch: npt.NDArray[np.float64] | None = None
    """(B, 2) length along x and y on the specimen over that in the image, where it is tilted; None: 1."""
    guests: npt.NDArray[np.object_] | None = None
    """(B,) particles of the recipe's last population that no seed places, (N, 6) each: x, y, radius in nm, turn in rad,
    aspect, boundary of a new phase in radii; None: there are none."""

    def part(self, chosen: npt.NDArray[np.int64]) -> Views:
        """Those frames only."""
        arrays: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        taken: dict[str, Any] = {name: None if value is None else value[chosen] for name, value in arrays.items()}
        return Views(**taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """What frames of one kind share."""

    shape: tuple[int, int]
    pixel_nm: float
    annuli_mrad: tuple[Annulus, ...] = ((70.0, 200.0),)
    """One signal each."""
    voltage_kV: float = 200.0
    convergence_mrad: float = 21.4
    source_size_nm: float = 0.035
    """Standard deviation of the source's image."""
    parallel: bool = False
    """Whether the beam is wide: no cone then brings more onto a ring than one direction does."""

    def __post_init__(self) -> None:
        rows, columns = self.shape
        if rows < 4 or columns < 4 or rows * columns > _MAX_PX:
            raise ConfigError(
                f"frames of {rows} × {columns} pixels were asked; give 4 × 4 at least, {_MAX_PX} pixels at most"
            )
        for name in ("pixel_nm", "voltage_kV", "convergence_mrad"):
            if not 0 < (value := getattr(self, name)) < math.inf:
                raise ConfigError(f"{name} = {value} was asked; give a number above 0")
        if not 0 <= self.source_size_nm < math.inf:
            raise ConfigError(f"source_size_nm = {self.source_size_nm} was asked; give 0 or more")

    def seeing(self, annuli_mrad: tuple[Annulus, ...]) -> Camera:
        """The same with other signals."""
        return replace(self, annuli_mrad=annuli_mrad)


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders views of one recipe with one camera, in float32. What else is in a batch changes no frame."""

    recipe: Recipe
    camera: Camera
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    channelling_nm: float = CHANNELLING_NM
    """Blur by 1 nm of a crystal; 0 is the model without calibration."""
    _packed: Packed = field(init=False, repr=False)
    _lens: Lens = field(init=False, repr=False)
    """Without its window."""

    def __post_init__(self) -> None:
        camera = self.camera
        cone_mrad = 0.0 if camera.parallel else camera.convergence_mrad
        weights = annular_weights(self.recipe, camera.annuli_mrad, camera.voltage_kV, cone_mrad)
        object.__setattr__(self, "_packed", pack(self.recipe, weights))
        heaviest = max(weights, key=atomic_number)
        seen = (detail(heaviest, ring, camera.voltage_kV, camera.convergence_mrad) for ring in camera.annuli_mrad)
        lens = Lens(
            aperture=Aperture(camera.shape, camera.pixel_nm, camera.voltage_kV, camera.convergence_mrad),
            blur_nm=self._blur_nm() if self.fine else camera.source_size_nm,
            depths_nm=self._depths_nm(),
            details=tuple(seen) if self.fine else (WHOLE,),
        )
        object.__setattr__(self, "_lens", lens)

    @property
    def fine(self) -> bool:
        return self.camera.pixel_nm <= FINE_PX_NM

    def shares(self, views: Views) -> torch.Tensor:
        """Expected share of the electrons on each annulus: (B, S, H, W), on the device.

        Raises ConfigError: a coefficient, place or number of electrons that is not finite, or arrays of unequal length.
        """
        _check(views)
        shape = self.camera.shape
        coefficients = views.coefficients_nm.cpu().numpy()
        reach = reach_nm(coefficients, self.camera.convergence_mrad, self._lens.depths_nm[-1])
        margins = np.ceil((reach + np.float32(_TAIL_NM)) / np.float32(self.camera.pixel_nm))
        margins = np.minimum(margins, max(shape) // 2).astype(np.int64)
        # what is rendered together has canvases and probe windows of one size: a frame is the same in any company
        sides = {margin: (_canvas(shape[0], margin), _canvas(shape[1], margin)) for margin in set(margins.tolist())}
        kinds: dict[tuple[tuple[int, int], float], list[int]] = {}
        windows = probe_window_nm(reach, self.camera.pixel_nm)
        for n, (margin, window_nm) in enumerate(zip(margins.tolist(), windows.tolist(), strict=True)):
            kinds.setdefault((sides[margin], window_nm), []).append(n)
        parts, chunk_px = [], _CHUNK_PX if self.device.type == "cpu" else _CHUNK_PX_GPU
        for (canvas, window_nm), members in kinds.items():
            most = max(1, chunk_px // (canvas[0] * canvas[1]))
            parts += [(members[n : n + most], canvas, round(window_nm, 6)) for n in range(0, len(members), most)]
        if len(parts) == 1:
            return self._chunk(views, *parts[0][1:])
        found = torch.empty(len(views.seeds), len(self.camera.annuli_mrad), *shape, device=self.device)
        for members, canvas, window_nm in parts:
            chosen = np.array(members)
            found[torch.from_numpy(chosen)] = self._chunk(views.part(chosen), canvas, window_nm)
        return found

    def electrons(self, views: Views, *, rest: bool = False) -> torch.Tensor:
        """Counted electrons: (B, S, H, W) float32 whole numbers, with Poisson's statistics. Raises as ``shares`` does.

        ``rest``: those that miss the annulus, as a bright field counts them.
        """
        return self.count(self.shares(views), views, rest=rest)

    def count(self, shares: torch.Tensor, views: Views, *, rest: bool = False) -> torch.Tensor:
        """``electrons`` from the views' ``shares``, which are used up."""
        mean = shares.neg_().add_(1) if rest else shares
        batch, signals = mean.shape[:2]
        exposures = views.seeds * _ODD + views.frames  # arrays wrap where they overflow
        seeds = torch.from_numpy((exposures[:, None] * np.int64(64) + np.arange(signals)).ravel())
        scales = views.electrons.to(mean.device)
        many = scales if signals == 1 else scales.repeat_interleave(signals)
        count_(mean.view(batch * signals, *mean.shape[2:]), seeds, many)
        return mean

    def _chunk(self, views: Views, canvas: tuple[int, int], window_nm: float) -> torch.Tensor:
        camera, batch, (rows, columns) = self.camera, len(views.seeds), canvas
        objects = np.zeros((batch, len(camera.annuli_mrad), rows, columns), dtype=np.float32)
        paint_views(objects, views, camera.pixel_nm, self._packed, fine=self.fine)
        shares = torch.from_numpy(objects)
        longer = 1.0 if views.thicker is None else torch.from_numpy(views.thicker).float()[:, None, None, None]
        if views.thicker is not None:
            shares *= longer
        if not self.fine or self.recipe.layers_nm:
            layers = torch.from_numpy(self._packed.layers).float()[:, None, None] * longer
            if self.fine:
                shares += 1 - torch.exp(-layers)
            else:
                shares.clamp_(min=0).add_(layers).neg_().expm1_().neg_()
        if self.recipe.bars is not None:
            turns = np.zeros(batch) if views.rotations_rad is None else views.rotations_rad
            stopped = np.array([float(outer >= _EVERYTHING_MRAD) for _, outer in camera.annuli_mrad], dtype=np.float32)
            for n, drawn in enumerate(shares.numpy()):
                seed, place = int(views.seeds[n]), views.places_nm[n]
                draw_bars(drawn, self.recipe.bars, place, float(turns[n]), camera.pixel_nm, seed, stopped)
        aperture = Aperture(canvas, camera.pixel_nm, camera.voltage_kV, camera.convergence_mrad)
        lens = replace(self._lens, aperture=aperture, window_nm=window_nm)
        shares = develop(shares.to(self.device), views.coefficients_nm.to(self.device), lens, camera.shape)
        return shares.clamp_(0, 1)

    def _depths_nm(self) -> tuple[float, ...]:
        thick = self.thickness_nm()
        nodes = min(max(1, math.ceil(thick / _SLICE_NM)), _MOST_SLICES)
        return tuple(thick * (n + 0.5) / nodes for n in range(nodes))

    def thickness_nm(self) -> float:
        """Of what a fine view shows: its crystal, else the film."""
        material, thick_nm = self.crystal_nm()
        return thick_nm if material is not None or self.recipe.film is None else self.recipe.film.thickness_nm

    def crystal_nm(self) -> tuple[str | None, float]:
        """Material and thickness of the crystal that a fine view shows: the film's, else a typical particle's."""
        film, materials = self.recipe.film, self.recipe.materials
        if film is not None and materials[film.material].crystal is not None:
            return film.material, film.thickness_nm
        for population in self.recipe.populations.values():
            if materials[population.material].crystal is not None:
                return population.material, 2 * population.radius_nm * population.height
        return None, 0.0

    def _blur_nm(self) -> float:
        """By the source, thermal motion and a crystal's channelling together."""
        channelled = channelling_blur_nm(self.crystal_nm()[1], self.channelling_nm)
        return math.hypot(self.camera.source_size_nm, self.recipe.thermal_nm, channelled)


@lru_cache(maxsize=1024)
def _canvas(pixels: int, margin: int) -> int:
    """A length that transforms fast, with the same margin on both sides of a frame: of an odd one it is odd."""
    wide = 16 * int(fft.next_fast_len(math.ceil((pixels + 2 * margin) / 16), real=True))
    return wide + (wide - pixels) % 2


def _check(views: Views) -> None:
    batch = len(views.seeds)
    if not 1 <= batch <= 1 << 20:
        raise ConfigError(f"a batch of {batch} frames was asked; give from 1 to {1 << 20}")
    sizes = {"places_nm": len(views.places_nm), "coefficients_nm": len(views.coefficients_nm),
             "electrons": len(views.electrons), "frames": len(views.frames)}  # fmt: skip
    for name, size in sizes.items():
        if size != batch:
            raise ConfigError(f"{name} has {size} rows, seeds has {batch}: give one row a frame")
    if views.coefficients_nm.shape[1:] != (8,):
        raise ConfigError(f"coefficients_nm has the shape {tuple(views.coefficients_nm.shape)}: give (B, 8)")
    numbers = {
        "places_nm": views.places_nm,
        "coefficients_nm": views.coefficients_nm.cpu().numpy(),
        "electrons": views.electrons.cpu().numpy(),
    }
    for name in ("rotations_rad", "row_drifts_nm", "thicker", "stretch"):
        if (given := getattr(views, name)) is not None:
            numbers[name] = given
    with np.errstate(invalid="ignore", over="ignore"):  # a sum is quicker than a look at each, and shows what is none
        if all(math.isfinite(found.sum()) for found in numbers.values()) and numbers["electrons"].min() >= 0:
            return
    for name, found in numbers.items():
        if not np.isfinite(found).all() or (name == "electrons" and found.min() < 0):
            raise ConfigError(f"{name} holds what is not a finite number (or electrons below 0): nothing was rendered")
