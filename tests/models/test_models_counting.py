"""Counting by density, against drawn discs whose number is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the extra 'see' is not installed")
pytest.importorskip("torch", reason="the extra 'see' is not installed")

from models.counting import Counter, mass, parts, within
from models.description import describe


def discs(count, seed, contrast=1.0, size=160, radius=4.0):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    mask, places = np.zeros((size, size), dtype=bool), []
    while len(places) < count:
        place = rng.uniform(radius, size - radius, 2)
        if all(np.hypot(*(place - other)) > 3 * radius for other in places):
            places.append(place)
            mask |= np.hypot(rows - place[0], columns - place[1]) < radius
    return (100 + 20 * contrast * mask + rng.normal(0, 6, mask.shape)).astype(np.float32), mask


def counter_of(frames, alike=False):
    return Counter([describe(image) for image, _ in frames], [parts(mask) for _, mask in frames], alike)


@pytest.fixture(scope="module")
def counter():
    return counter_of([discs(40, 1), discs(25, 2)])


@pytest.mark.parametrize(("count", "seed"), [(15, 3), (50, 4)])
def test_a_number_is_counted_within_a_tenth_from_two_labelled_frames(counter, count, seed):
    told = counter.count(describe(discs(count, seed)[0]))
    assert told.number == pytest.approx(count, rel=0.1) and told.low < count < told.high


def test_gain_and_offset_are_nothing_unless_frames_are_alike(counter):
    image, _ = discs(30, 5)
    assert counter.count(describe(7 * image + 300)).number == pytest.approx(
        counter.count(describe(image)).number, rel=0.02
    )


def test_objects_that_pale_are_fewer_only_where_contrast_tells(counter):
    pale = discs(40, 6, contrast=0.15)[0]
    alike = counter_of([discs(40, 1), discs(25, 2)], alike=True)
    assert alike.count(describe(pale)).number < 0.5 * counter.count(describe(pale)).number


def test_one_labelled_frame_says_less_of_its_own_error():
    one, image = counter_of([discs(40, 1)]), discs(20, 7)[0]
    told = one.count(describe(image))
    assert told.number == pytest.approx(20, rel=0.2) and told.high / told.low > 2


@pytest.mark.parametrize(("errors", "ranged"), [(0, False), (1, False), (2, True)])
def test_a_range_is_told_from_two_errors_on(errors, ranged):
    told = within(20.0, 0.3, errors)
    assert told.number == 20 and told.sd > 0 and told.ranged == ranged
    assert np.isfinite([told.low, told.high]).all() == ranged


def test_a_frame_without_objects_leaves_the_halves_of_the_other_to_tell():
    frame, nothing = discs(40, 1), discs(0, 2)
    assert len(counter_of([frame, nothing]).errors) == len(counter_of([frame]).errors) == 2
    assert len(counter_of([frame, nothing, discs(25, 3)]).errors) == 2  # whole frames, of which two show any


def test_objects_at_the_rim_are_halves_so_that_densities_are_right_on_average():
    rng, seen = np.random.default_rng(8), 0.0
    rows, columns = np.mgrid[-12:76, -12:76]
    for _ in range(200):  # one disc somewhere in a world of 88 × 88, the frame is its middle 64 × 64
        row, column = rng.uniform(-12, 76, 2)
        disc = (np.hypot(rows - row, columns - column) < 9).astype(int)
        seen += float(mass(disc[12:76, 12:76]).sum())
    expected = 200 * 64**2 / 88**2
    assert abs(seen - expected) < 3 * np.sqrt(expected * (1 - 64**2 / 88**2))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda image, objects: ([], []), "one at least"),
        (lambda image, objects: ([image], [objects[:50]]), "not of one size"),
        (lambda image, objects: ([image], [objects * 0]), "shows an object"),
    ],
)
def test_labels_that_teach_nothing_are_refused(change, says):
    image, mask = discs(10, 9)
    with pytest.raises(ValueError, match=says):
        images, objects = change(image, parts(mask))
        Counter([describe(each) for each in images], objects)
