from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from console_helpers import adaptem, config
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a survey that came to its end."""
    place = tmp_path_factory.mktemp("finished")
    result = adaptem("survey", config(place), "--out", place / "night")
    assert result.exit_code == 0, result.output
    gc.collect()  # its ledger is let go of when its process would end, which changes the file
    return place / "night"


@pytest.fixture(scope="session")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of particles on a film; in the last a hollow one; one is blank. Masks, of the first."""
    place = tmp_path_factory.mktemp("see")
    (place / "images").mkdir(), (place / "masks").mkdir()
    rows, columns = np.mgrid[:256, :256]
    for n in range(5):
        rng = np.random.default_rng(n)
        mask = np.zeros(rows.shape, dtype=bool)
        for row, column in rng.uniform(8, 248, (16, 2)):
            mask |= np.hypot(rows - row, columns - column) < rng.uniform(4, 7)
        shown = 40.0 + 45 * mask
        if n == 4:
            far = np.hypot(rows - 96, columns - 160)
            shown[(far < 17) & (far > 12)] += 60
        Image.fromarray(rng.poisson(shown).clip(0, 255).astype(np.uint8)).save(place / "images" / f"a{n}.png")
        if n < 1:
            Image.fromarray((255 * mask).astype(np.uint8)).save(place / "masks" / f"a{n}.png")
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(place / "images" / "blank.png")
    (place / "images" / "broken.png").write_bytes(b"no image")
    tifffile.imwrite(place / "images" / "nan.tif", np.full((256, 256), np.nan, dtype=np.float32))
    return place
