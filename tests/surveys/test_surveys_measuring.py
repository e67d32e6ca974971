"""Masks that cannot teach are refused before anything is described, and named."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from models.encoder import load_encoder
from surveys.measuring import measure_folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda image: image, r"a\.png is its image once more"),
        (lambda image: image[:60], r"a\.png is \(60, 64\), its image \(64, 64\)"),
        (
            lambda image: np.where(np.arange(image.size).reshape(image.shape) == 900, 255, 0),
            "masks: .* 6 pixels at least",
        ),
    ],
)
def test_a_mask_that_teaches_nothing_is_named(tmp_path, change, says):
    image = np.random.default_rng(0).poisson(40.0, (64, 64)).astype(np.uint8)
    for kind, data in (("images", image), ("masks", change(image))):
        (tmp_path / kind).mkdir()
        Image.fromarray(data.astype(np.uint8)).save(tmp_path / kind / "a.png")
    with pytest.raises(ConfigError, match=says):
        next(measure_folder(load_encoder(), tmp_path / "images", tmp_path / "masks", tmp_path / "out"))
