"""A picture of a simulated specimen, as one frame of a microscope would show it, with a scale bar."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from configs.errors import ConfigError
from instruments.simulated.coherent import Illumination
from instruments.simulated.column import Probe
from instruments.simulated.damage import FluenceMap
from instruments.simulated.darkroom import Darkroom
from instruments.simulated.detector_settings import USUAL_MRAD, DetectorSettings
from instruments.simulated.features import nearest
from instruments.simulated.poisson import count_
from instruments.simulated.renderer import Camera
from instruments.simulated.sample import Sample
from instruments.simulated.sample_settings import SampleSettings
from instruments.simulated.scenes import Sight
from instruments.simulated.settings import ColumnSettings, SimulatedSettings
from instruments.types import Exposure

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.simulated.recipe import Recipe

DETECTORS = (*(name.lower() for name in USUAL_MRAD), "ctem")
_MAX_FIELD_NM = 3e6
_MIN_FIELD_NM = 0.5
_BAR_OF_WIDTH = 0.25
_CLEAR = 400.0
"""Electrons counted in the brightest pixels of a clear picture."""
_FAINT = 1e-5
_OBJECTIVE_MRAD = 20.0
"""Semi-angle of the objective aperture of the wide beam's picture."""
_FOCAL_SPREAD_NM, _CTEM_DEFOCUS_NM = 2.0, -8.0
"""In focus a wide beam shows next to nothing of a thin specimen."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One counted frame."""

    electrons: npt.NDArray[np.float32]
    """(H, W)"""
    pixel_nm: float
    caption: str
    doubt: str | None = None
    """Why it is not to be trusted, where that is known."""


def annulus(detector: str) -> tuple[float, float] | None:
    """The angles in mrad of a detector by name or as annulus:INNER-OUTER; None is the wide beam's screen.

    Raises ConfigError: an unknown detector.

    >>> annulus("annulus:60-130"), annulus("bf"), annulus("ctem")
    ((60.0, 130.0), (0.0, 10.0), None)
    """
    if detector == "ctem":
        return None
    if (angles := USUAL_MRAD.get(detector.upper())) is not None and detector.islower():
        return angles
    match = re.fullmatch(r"annulus:(\d+\.?\d*)-(\d+\.?\d*)", detector)
    if match is None or not 0 <= float(match[1]) < float(match[2]) <= 1500:
        raise ConfigError(
            f"detector {detector!r} was asked; give {', '.join(DETECTORS)}, "
            "or annulus:INNER-OUTER in mrad, such as annulus:60-130"
        )
    return float(match[1]), float(match[2])


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
    for name, value in (("voltage_kV", voltage_kV), ("convergence_mrad", convergence_mrad)):
        if not 0 < value < math.inf:
            raise ConfigError(f"{name} {value} was asked; give a number above 0")
    ring = annulus(detector)
    pixel_nm = width / pixels
    camera = Camera(shape=(pixels, pixels), pixel_nm=pixel_nm, voltage_kV=voltage_kV, convergence_mrad=convergence_mrad)
    settings = SimulatedSettings(
        specimen=SampleSettings(recipe=recipe),
        column=ColumnSettings(
            voltage_kV=voltage_kV, convergence_mrad=convergence_mrad, source_size_nm=camera.source_size_nm
        ),
        haadf=DetectorSettings(angles_mrad=ring),
        bf=None,
    )
    sample = Sample(settings, seed)
    room = Darkroom(recipe)
    middle_nm = room.thickness_nm(camera) / 2
    if defocus_nm is None:
        defocus_nm = -middle_nm + (_CTEM_DEFOCUS_NM if ring is None else 0.0)
    sight = Sight(
        exposure=Exposure(field_of_view_nm=width, shape=(pixels, pixels), dwell_us=1.0),
        centre_nm=nearest(recipe, seed, width) if place_nm is None else place_nm,
        probe=Probe(
            defocus_nm=defocus_nm,
            stig_a_nm=0.0,
            stig_b_nm=0.0,
            convergence_mrad=convergence_mrad,
            source_size_nm=settings.column.source_size_nm,
        ),
        fluence=FluenceMap(),
        number=0,
    )
    if not (all(map(math.isfinite, sight.centre_nm)) and math.isfinite(defocus_nm)):
        raise ConfigError(f"place {sight.centre_nm} nm and defocus {defocus_nm} nm: one is not a finite number")
    if ring is None:
        beam = Illumination(voltage_kV, focal_spread_nm=_FOCAL_SPREAD_NM, objective_mrad=_OBJECTIVE_MRAD)
        shares = sample.wide_field(sight, beam)
    else:
        shares = sample.look(sight, ("HAADF",))["HAADF"]
    per_pixel_A2 = (pixel_nm * 10) ** 2
    if fluence_e_per_A2 is None:
        fluence_e_per_A2 = _CLEAR / max(float(np.quantile(shares[::4, ::4], 0.99)), _FAINT) / per_pixel_A2
    mean = torch.from_numpy(np.maximum(shares, 0)[None] * np.float32(fluence_e_per_A2 * per_pixel_A2))
    counted = count_(mean.contiguous(), torch.tensor([seed]))[0].numpy()
    shown = detector.upper() if detector in DETECTORS else detector
    caption = f"{recipe.title} · {shown} · {length(width)} wide · {fluence_e_per_A2:.2g} e/Å²"
    return Picture(counted, pixel_nm, caption, room.beyond_range(camera, defocus_nm, ring))


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
