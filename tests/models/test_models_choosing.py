"""Ways to outline and to count, chosen by labelled frames, on drawn images whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the extra 'see' is not installed")
pytest.importorskip("torch", reason="the extra 'see' is not installed")

from skimage.measure import label

from models.agreement import agreement
from models.choosing import agreements, better_counts, better_outlines, honest_off, taught
from models.counting import mass
from models.description import describe
from models.encoder import load_encoder

SIDE = 128
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def discs(seed, count, radius=4.0, contrast=40.0):
    """Where they lie, they overlap; each has its number."""
    rng, known = np.random.default_rng(seed), np.zeros((SIDE, SIDE), dtype=int)
    for number, (row, column) in enumerate(rng.uniform(0, SIDE, (count, 2)), start=1):
        known[np.hypot(ROWS - row, COLUMNS - column) < radius] = number
    known = np.unique(known, return_inverse=True)[1].reshape(known.shape)
    return rng.normal(100 + contrast * (known > 0), 8).astype(np.float32), known


def apart(seed):
    """Six small discs that do not touch."""
    rng, mask = np.random.default_rng(seed), np.zeros((SIDE, SIDE), dtype=bool)
    for row in (30, 64, 98):
        for column in (40, 90):
            mask |= np.hypot(ROWS - row - rng.uniform(-8, 8), COLUMNS - column - rng.uniform(-8, 8)) < 2.3
    return rng.normal(100 + 60 * mask, 8).astype(np.float32), label(mask)


def by_grey(seed, greyer):
    """The brightest discs are meant, among many less bright ones, more or fewer a frame; greys mean the same in all."""
    rng, known = np.random.default_rng(seed), np.zeros((SIDE, SIDE), dtype=int)
    shown = np.full((SIDE, SIDE), 100.0)
    for row, column in rng.uniform(0, SIDE, (greyer, 2)):
        shown[np.hypot(ROWS - row, COLUMNS - column) < 7] = 160
    for number, (row, column) in enumerate(rng.uniform(10, SIDE - 10, (8, 2)), start=1):
        disc = np.hypot(ROWS - row, COLUMNS - column) < 5
        shown[disc], known[disc] = 220, number
    shown[0, :2] = 0, 255
    known = np.unique(known, return_inverse=True)[1].reshape(known.shape)
    return (shown + rng.normal(0, 10, shown.shape)).clip(0, 255).astype(np.float32), known


def with_hot_pixel(frame, value):
    image = frame[0].copy()
    image[20, 20] = value
    return image, frame[1]


def measurer_of(frames, **ways):
    return taught([describe(image) for image, _ in frames], [known for _, known in frames], load_encoder(), **ways)


def counted(measurer, frame):
    return measurer.measure(describe(frame[0]), 1.0)[2], float(mass(frame[1]).sum())


def test_a_crowd_is_counted_by_density():
    crowded = [discs(seed, count) for seed, count in enumerate((60, 120, 90))]
    measurer = measurer_of(crowded, outline="trees")
    assert measurer.choice.counted_by == "density"
    told, right = counted(measurer, discs(7, 150))
    assert told.number == pytest.approx(right, rel=0.25) and told.low < right < told.high
    by_hand, _ = counted(measurer_of(crowded, outline="trees", count="outlines"), discs(7, 150))
    assert by_hand.number < 0.6 * right  # outlines that touch are one


def test_a_few_that_lie_apart_are_counted_by_their_outlines():
    measurer = measurer_of([apart(seed) for seed in range(2)], outline="forest")
    assert measurer.choice.counted_by == "outlines"
    assert measurer.choice.off["outlines"] < measurer.choice.off["density"]
    for seed in range(5, 9):
        told, right = counted(measurer, apart(seed))
        assert told.number == right == 6 and told.low < right < told.high


def dice(measurer, frame):
    return agreement(label(measurer.measure(describe(frame[0]), 1.0)[0]), frame[1])[0]


@pytest.mark.parametrize(
    ("frames", "asked", "taken", "not_taken"),
    [
        ([discs(0, 25), with_hot_pixel(discs(1, 25), 900)], with_hot_pixel(discs(9, 25), 2000), "trees", "forest"),
        ([by_grey(0, 5), by_grey(1, 120)], by_grey(12, 200), "forest", "trees"),
    ],
    ids=["hot", "greys"],
)
def test_one_alone_outlines_where_the_other_fails(frames, asked, taken, not_taken):
    measurer = measurer_of(frames, count="outlines")
    assert measurer.choice.outlined_by == taken
    by_hand = measurer_of(frames, outline=not_taken, count="outlines")
    assert list(by_hand.choice.dice) == [not_taken]
    assert dice(measurer, asked) > dice(by_hand, asked) + 0.1


def test_both_outline_where_neither_fails():
    measurer = measurer_of([discs(seed, 25) for seed in range(2)], count="outlines")
    assert measurer.choice.outlined_by == "both" and dice(measurer, discs(9, 25)) > 0.9


@pytest.mark.parametrize(
    ("scores", "taken"),
    [
        ({"both": 0.60, "trees": 0.66, "forest": 0.50}, "trees"),
        ({"both": 0.60, "trees": 0.50, "forest": 0.66}, "forest"),
        ({"both": 0.60, "trees": 0.62, "forest": 0.61}, "both"),
        ({"both": 0.00, "trees": 0.00, "forest": 0.00}, "both"),
        ({}, "both"),
    ],
)
def test_one_alone_outlines_only_where_it_is_clearly_better(scores, taken):
    assert better_outlines({name: np.full((3, 2), score) for name, score in scores.items()}) == taken


@pytest.mark.parametrize(("trees", "taken"), [(0.68, "both"), (0.75, "trees")])
def test_the_halves_of_a_single_frame_have_to_differ_more(trees, taken):
    scored = {"both": np.array([[0.6, 0.6]]), "trees": np.array([[trees, trees]]), "forest": np.array([[0.5, 0.5]])}
    assert better_outlines(scored) == taken


@pytest.mark.parametrize(
    ("density", "outlines", "taken"),
    [
        ({0: 0.1, 1: -0.2}, {0: 0.3, 1: 0.1}, "density"),
        ({0: 0.1, 1: -0.9}, {0: 0.3, 1: 0.1}, "outlines"),
        ({0: 0.1}, {0: 0.1}, "density"),
        ({}, {0: 0.1}, "outlines"),
        ({0: 0.1}, {}, "density"),
        ({}, {}, "density"),
        ({0: 0.5, 1: 0.1}, {1: 0.2}, "density"),
    ],
)
def test_the_less_wrong_counts_and_never_what_nothing_is_known_of(density, outlines, taken):
    assert better_counts({"density": density, "outlines": outlines}) == taken


def test_what_was_chosen_for_being_right_by_chance_is_no_surer_than_choosing_was():
    errors = {"density": {0: 0.0, 1: 0.9, 2: 0.0}, "outlines": {0: 0.8, 1: 0.0, 2: 0.8}}
    assert honest_off(errors, "density") == pytest.approx(np.sqrt((0.8**2 + 0.9**2 + 0.8**2) / 3))
    split = {"density": {0: 0.0, 1: 0.9}, "outlines": {0: 0.8, 1: 0.0}}
    assert honest_off(split, "outlines") == pytest.approx(np.sqrt((0.8**2 + 0.9**2) / 2))


def test_where_one_half_shows_nothing_the_rule_stands_and_no_range_is_told():
    image, known = discs(3, 40)
    known = np.where(COLUMNS < SIDE / 2, known, 0)
    measurer = measurer_of([(image, known)])
    told, _ = counted(measurer, discs(4, 40))
    assert (measurer.choice.outlined_by, measurer.choice.counted_by) == ("both", "density")
    assert measurer.choice.dice == {} and "too little is labelled" in str(measurer.choice)
    assert np.isnan([told.low, told.high]).all() and not told.ranged
    assert "counts have no range: fewer than two" in str(measurer.choice)


def empty(seed):
    return np.random.default_rng(seed).normal(100, 8, (SIDE, SIDE)).astype(np.float32), np.zeros((SIDE, SIDE), int)


def test_a_frame_that_shows_nothing_spoils_no_count():
    alone, beside = measurer_of([discs(3, 20)]), measurer_of([discs(3, 20), empty(5)])
    assert beside.choice.off.keys() == alone.choice.off.keys() == {"density", "outlines"}
    told, right = counted(beside, discs(4, 20))
    assert told.number == pytest.approx(right, rel=0.35) and told.low < right < told.high
    assert told.high / told.low < 100
    assert counted(beside, empty(6))[0].number < 2


def test_what_is_outlined_where_nothing_is_speaks_against_who_outlines():
    known = [discs(3, 12)[1], np.zeros((SIDE, SIDE), dtype=int)]
    right, nothing, false = known[0] > 0, known[1] > 0, discs(8, 12)[1] > 0
    clean, dirty = agreements([right, nothing], known), agreements([right, false], known)
    assert clean == pytest.approx(np.ones((1, 2)), abs=0.2) and agreements([right], known[:1]) == pytest.approx(clean)
    assert (dirty < 0.75 * clean).all()
    twice = agreements([right, right, false], [known[0], *known])
    assert twice.shape == (2, 2) and (dirty < twice).all() and (twice < clean).all()  # shared by two


def test_frames_of_one_exposure_are_counted_by_density_unless_set_by_hand():
    frames = [apart(seed) for seed in range(2)]
    told = measurer_of(frames, outline="forest", alike=True)
    assert told.choice.counted_by == "density" and "density, as contrast counts" in str(told.choice)
    by_hand = measurer_of(frames, outline="forest", alike=True, count="outlines")
    assert by_hand.choice.counted_by == "outlines" and "outlines, set by hand" in str(by_hand.choice)


@pytest.mark.parametrize(
    ("ways", "says"),
    [({"outline": "eye"}, "auto, both, trees or forest"), ({"count": "trees"}, "auto, density or outlines")],
)
def test_unknown_ways_are_refused(ways, says):
    with pytest.raises(ValueError, match=says):
        measurer_of([discs(0, 5)], **ways)
