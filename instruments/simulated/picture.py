"""A picture of a simulated specimen, as one frame of a microscope would show it, with a scale bar."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from configs.errors import ConfigError
from instruments.aberrations import NAMES
from instruments.simulated.features import nearest
from instruments.simulated.renderer import Camera, Renderer, Views

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.simulated.packing import Annulus
    from instruments.simulated.recipe import Recipe

DETECTORS = {"haadf": (70.0, 200.0), "adf": (35.0, 70.0), "bf": None}
_BF_MRAD = 10.0
_MAX_FIELD_NM = 3e6
_MIN_FIELD_NM = 0.5
_BAR_OF_WIDTH = 0.25
_CLEAR = 400.0
"""Electrons counted in the brightest pixels of a clear picture."""
_FAINT = 1e-5


@dataclass(frozen=True, slots=True)
class Picture:
    """One counted frame."""

    electrons: npt.NDArray[np.float32]
    """(H, W)"""
    pixel_nm: float
    caption: str


def annulus(detector: str) -> tuple[Annulus, bool]:
    """The angles in mrad of a detector by name or as annulus:INNER-OUTER, and whether it sees what they leave over.

    Raises ConfigError: an unknown detector.

    >>> annulus("annulus:60-130"), annulus("bf")
    (((60.0, 130.0), False), ((10.0, 1500.0), True))
    """
    if detector == "bf":
        return (_BF_MRAD, 1500.0), True
    if (angles := DETECTORS.get(detector)) is not None:
        return angles, False
    match = re.fullmatch(r"annulus:(\d+\.?\d*)-(\d+\.?\d*)", detector)
    if match is None or not 0 < float(match[1]) < float(match[2]) <= 1500:
        raise ConfigError(
            f"detector {detector!r} was asked; give {', '.join(DETECTORS)}, "
            "or annulus:INNER-OUTER in mrad, such as annulus:60-130"
        )
    return (float(match[1]), float(match[2])), False


def take(
    recipe: Recipe,
    *,
    seed: int = 1,
    place_nm: tuple[float, float] | None = None,
    field_of_view_nm: float | None = None,
    pixels: int = 512,
    detector: str = "haadf",
    fluence_e_per_A2: float | None = None,
    defocus_nm: float | None = None,
    voltage_kV: float = 200.0,
    convergence_mrad: float = 21.4,
) -> Picture:
    """Expose once.

    Left None: the place is that of the nearest particle of the first population (where atoms do not fill the view), the
    fluence what makes a clear picture, the focus in the middle of the crystal.

    Raises ConfigError: a field of view that no scan reaches, an unknown detector, too many pixels, a number not finite.
    """
    width = recipe.look_nm if field_of_view_nm is None else field_of_view_nm
    if not _MIN_FIELD_NM <= width <= _MAX_FIELD_NM:
        raise ConfigError(
            f"a field of view of {width:g} nm was asked; the scan reaches {_MIN_FIELD_NM:g} to {_MAX_FIELD_NM:g} nm"
        )
    if not 16 <= pixels <= 4096:
        raise ConfigError(f"{pixels} × {pixels} pixels were asked; give 16 to 4096")
    if fluence_e_per_A2 is not None and not (0 < fluence_e_per_A2 < math.inf):
        raise ConfigError(f"a fluence of {fluence_e_per_A2} e/Å² was asked; give a number above 0")
    angles, is_rest = annulus(detector)
    camera = Camera(
        shape=(pixels, pixels),
        pixel_nm=width / pixels,
        annuli_mrad=(angles,),
        voltage_kV=voltage_kV,
        convergence_mrad=convergence_mrad,
    )
    renderer = Renderer(recipe, camera)
    coefficients = torch.zeros(1, len(NAMES))
    coefficients[0, 0] = -renderer.thickness_nm() / 2 if defocus_nm is None else defocus_nm
    views = Views(
        seeds=np.array([seed]),
        places_nm=np.array([nearest(recipe, seed, width) if place_nm is None else place_nm], dtype=np.float64),
        coefficients_nm=coefficients,
        electrons=torch.ones(1),
        frames=np.zeros(1, dtype=np.int64),
    )
    per_pixel_A2 = (camera.pixel_nm * 10) ** 2
    shares = renderer.shares(views)
    if fluence_e_per_A2 is None:
        bright = float(torch.quantile((1 - shares if is_rest else shares)[0, 0, ::4, ::4], 0.99))
        fluence_e_per_A2 = _CLEAR / max(bright, _FAINT) / per_pixel_A2
    views = replace(views, electrons=torch.tensor([fluence_e_per_A2 * per_pixel_A2]))
    counted = renderer.count(shares, views, rest=is_rest)[0, 0].numpy()
    shown = detector.upper() if detector in DETECTORS else detector
    caption = f"{recipe.title} · {shown} · {length(width)} wide · {fluence_e_per_A2:.2g} e/Å²"
    return Picture(counted, camera.pixel_nm, caption)


def save(picture: Picture, path: Path) -> None:
    """Write a PNG with a scale bar, grey from the 0.2 to the 99.8 percentile. Raises ConfigError where it cannot."""
    low, high = np.percentile(picture.electrons, (0.2, 99.8))
    grey = np.clip((picture.electrons - low) / max(high - low, 1e-9), 0, 1) * 255
    image = Image.fromarray(grey.astype(np.uint8), mode="L").convert("RGB")
    scale = max(1, math.ceil(512 / image.width))
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    bar_nm = round_length(picture.pixel_nm * picture.electrons.shape[1] * _BAR_OF_WIDTH)
    drawn, size = ImageDraw.Draw(image), max(13, image.width // 32)
    font = ImageFont.truetype(findfont("DejaVu Sans"), size)  # comes with matplotlib, and knows µ
    left, bottom, bar_px = size, image.height - size, bar_nm / picture.pixel_nm * scale
    drawn.rectangle((left, bottom - size / 3, left + bar_px, bottom), fill="white", outline="black")
    drawn.text(
        (left, bottom - size / 2),
        length(bar_nm),
        fill="white",
        font=font,
        anchor="lb",
        stroke_width=2,
        stroke_fill="black",
    )
    try:
        image.save(path, format="PNG")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error}); name another by --out") from error


def round_length(most_nm: float) -> float:
    """The largest 1, 2 or 5 times a power of ten up to a length.

    >>> round_length(37.0), round_length(0.9)
    (20.0, 0.5)
    """
    ten = 10.0 ** math.floor(math.log10(most_nm))
    return max(factor * ten for factor in (1, 2, 5) if factor * ten <= most_nm * (1 + 1e-9))


def length(nm: float) -> str:
    """A length in the unit that people would say it in.

    >>> length(0.5), length(2500.0), length(3e6)
    ('0.5 nm', '2.5 µm', '3 mm')
    """
    for unit, size in (("mm", 1e6), ("µm", 1e3)):
        if nm >= size:
            return f"{nm / size:g} {unit}"
    return f"{nm:g} nm"
