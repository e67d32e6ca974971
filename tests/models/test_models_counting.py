"""Counting by the level at which labelled frames are counted right."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the extra 'see' is not installed")

from models.counting import count_rule
from models.segmentation import Segmenter


def discs(count, seed, size=160, radius=4.0):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    mask, places = np.zeros((size, size), dtype=bool), []
    while len(places) < count:
        place = rng.uniform(radius, size - radius, 2)
        if all(np.hypot(*(place - other)) > 3 * radius for other in places):
            places.append(place)
            mask |= np.hypot(rows - place[0], columns - place[1]) < radius
    return (mask * 1.0 + rng.normal(0, 0.4, mask.shape)).astype(np.float32), mask


def test_a_number_is_counted_within_a_tenth_from_two_labelled_frames():
    labelled = [discs(40, 1), discs(25, 2)]
    model = Segmenter([image for image, _ in labelled], [mask for _, mask in labelled], None)
    rule = count_rule(model, [model.columns(image) for image, _ in labelled], [mask for _, mask in labelled])
    assert rule.off < 0.1
    for count, seed in ((15, 3), (50, 4)):
        image, _ = discs(count, seed)
        assert rule.count(model.probabilities(model.columns(image))) == pytest.approx(count, rel=0.1)
