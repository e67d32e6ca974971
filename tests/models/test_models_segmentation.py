"""Masks from a few labelled frames, and what they measure."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the extra 'see' is not installed")
pytest.importorskip("torch", reason="the extra 'see' is not installed")

from models.description import describe
from models.encoder import load_encoder
from models.segmentation import Segmenter, measure


def frame(seed, count=12, side=160):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    mask = np.zeros((side, side), dtype=bool)
    cells = rng.permutation([(r, c) for r in range(20, side, 30) for c in range(20, side, 30)])[:count]
    for row, column in cells:
        mask |= np.hypot(rows - row, columns - column) < rng.uniform(5, 8)
    return rng.poisson(40 + 25 * mask + 10 * np.sin(columns / 40)).astype(float), mask


@pytest.fixture(scope="module")
def model():
    image, mask = frame(0)
    return Segmenter([describe(image)], [mask], load_encoder(), seed=1)


@pytest.mark.parametrize("seed", [1, 2])
def test_one_labelled_frame_finds_counts_and_sizes_the_rest(model, seed):
    image, mask = frame(seed, count=15)
    probabilities = model.probabilities(describe(image))
    found = measure(probabilities, model.threshold, 2.0)
    told = probabilities > model.threshold
    assert 2 * (told & mask).sum() / (told.sum() + mask.sum()) > 0.9
    assert len(found.things) == 15 and found.count_low <= 15 <= found.count_high
    assert found.area_um2 == pytest.approx(160 * 160 * 4 / 1e6)
    assert 0.97 * found.covered_low <= mask.mean() <= 1.03 * found.covered_high  # a rim is known to half a pixel
    sizes = np.median([thing.diameter_nm for thing in found.things])
    assert sizes == pytest.approx(2 * 2 * np.sqrt(mask.sum() / 15 / np.pi), rel=0.1)
    assert all(each.diameter_low_nm <= each.diameter_nm <= each.diameter_high_nm for each in found.things)


def test_brightness_and_gain_may_drift(model):
    image, mask = frame(3)
    told = model.probabilities(describe(300 + 12 * image)) > model.threshold
    assert 2 * (told & mask).sum() / (told.sum() + mask.sum()) > 0.85


def test_what_the_rim_cuts_is_told_and_is_half(model):
    told = np.zeros((64, 64), dtype=np.float32)
    told[0:4, 10:20] = told[30:40, 30:40] = told[20:30, 60:64] = told[50:55, 10:15] = 0.9
    found = measure(told, model.threshold, 1000.0)
    assert [thing.cut for thing in found.things] == [True, True, False, False]
    assert found.count == 3.0 and found.area_um2 == 64**2


def test_a_frame_with_nothing_holds_nothing_and_its_range_begins_at_none(model):
    found = measure(np.zeros((64, 64), dtype=np.float32), model.threshold, 1.0)
    assert found.things == () and found.count_low == 0 and found.covered == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda image, mask: ([], []), "one at least"),
        (lambda image, mask: ([image], []), "one mask for each"),
        (lambda image, mask: ([image], [mask[:50]]), "of one size"),
        (lambda image, mask: ([image], [mask & False]), "label some"),
        (lambda image, mask: ([image], [mask | True]), "label some"),
        (lambda image, mask: ([image], [np.arange(mask.size).reshape(mask.shape) == 9]), "6 pixels at least"),
    ],
)
def test_labels_that_teach_nothing_are_refused(change, says):
    images, masks = change(*frame(0))
    with pytest.raises(ValueError, match=says):
        Segmenter([describe(each) for each in images], masks, None)
