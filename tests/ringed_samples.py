"""An image of 8 × 8 sites, six of which hold rings, and surveys of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from survey_samples import small

if TYPE_CHECKING:
    from pathlib import Path

    from surveys.settings import SurveySettings

SITES, SITE_PX = 8, 32
RINGED = [(1, 2), (2, 6), (5, 1), (6, 5), (4, 4), (7, 7)]
"""Rows and columns of the sites that hold rings; all others hold discs, or film alone."""
OVERVIEW = {"sites": 2, "shape": [64, 64], "dwell_us": 2.0}
DETAIL = {"field_of_view_nm": 50.0, "shape": [32, 32], "dwell_us": 10.0}


def ringed(folder: Path) -> Path:
    """The image; a site has 32 × 32 pixels."""
    side, rng = SITES * SITE_PX, np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    shown = np.full((side, side), 40.0)
    for row in range(SITES):
        for column in range(SITES):
            far = np.hypot(rows - row * SITE_PX - 16, columns - column * SITE_PX - 16)
            if (row, column) in RINGED:
                shown += 60 * ((far < 11) & (far > 7))
            elif (row + column) % 2:
                shown += 60 * (far < 8)
    path = folder / "rings.tif"
    tifffile.imwrite(path, rng.poisson(shown * 20).astype(np.float32))
    return path


def ringed_survey(specimen: Path, **changes: Any) -> SurveySettings:
    """Sites of 50 nm, their rows from the image's top."""
    instrument = {"kind": "replay", "image": str(specimen), "pixel_size_nm": 50.0 / SITE_PX}
    return small(sites=SITES, instrument=instrument, looks={"overview": OVERVIEW, "detail": DETAIL}, **changes)


def place_nm(row: int, column: int) -> tuple[float, float]:
    """Of a site: the image's middle is at 0, x grows to the left and y upwards."""
    return 50.0 * (SITES / 2 - 0.5 - column), 50.0 * (SITES / 2 - 0.5 - row)
