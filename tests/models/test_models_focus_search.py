from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from instruments.aberrations import Aperture
from models.focus import Search, estimate
from models.focus_bound import expected_counts
from models.focus_likelihood import prepare, register, seen
from models.focus_optics import Probe, _smallest, frequencies

PIXEL_nm, MARGIN, PERIOD_px = 0.04, 32, 8
CANVAS, FRAME = (Aperture((side, side), PIXEL_nm, 200.0, 21.4) for side in (160, 96))
PROBE = Probe(FRAME, frequencies(FRAME, lowest=3.0), 0.04, (0.0,))


def series(generator, settings, electrons, vacant=0.05):
    """Counts (K, 96, 96) of a crystal that looks the same every 8 pixels but for what is vacant, and its drift."""
    thing = np.zeros(CANVAS.shape)
    thing[4::PERIOD_px, 4::PERIOD_px] = generator.random((20, 20)) >= vacant
    images, drift = [], generator.integers(-2, 3, (len(settings), 2)).astype(float)
    drift[0] = 0
    for setting, by in zip(settings, drift.astype(int), strict=True):
        moved = np.roll(thing, by, (0, 1)) * 0.02 / thing.mean()
        expected, _ = expected_counts(
            moved, np.array([electrons]), setting[None], (), CANVAS, source_size_nm=0.04, margin_px=MARGIN
        )
        images.append(generator.poisson(expected[0]).astype(float))
    return np.array(images), drift


def defoci(*c10_nm):
    settings = np.zeros((len(c10_nm), 8))
    settings[:, 0] = c10_nm
    return settings


def test_a_lattice_is_registered_where_drift_may_have_taken_it():
    settings, transfers = defoci(0, 6, -6, 3, -3), PROBE.transfer(defoci(0, 6, -6, 3, -3))
    wrong = {1.4: 0, 1e6: 0}
    for seed in range(1000, 1006):
        images, drift = series(np.random.default_rng(seed), settings, 8.0, vacant=0.0)
        data = prepare(images, PROBE.at, 0.5)
        for expected_px in wrong:
            off_px = np.abs(register(data, transfers, PROBE, drift_px=expected_px)[0] - drift)
            assert (off_px % PERIOD_px).max() <= 1  # right but for lattice vectors
            wrong[expected_px] += int((off_px > PERIOD_px / 2).any())
    assert wrong[1.4] <= 1 and wrong[1e6] >= 5


def test_what_counts_nothing_is_left_out():
    settings = defoci(0, 6, -6)
    images, _ = series(np.random.default_rng(1000), settings, 60.0)
    data = prepare(images, PROBE.at, 0.5)
    left, at = seen(data, PROBE.at)
    assert 0 < len(at.row) == left.spectra.shape[1] < len(PROBE.at.row) and (left.weight > 0).all()
    few = replace(PROBE, at=at)
    whole, part = register(data, PROBE.transfer(settings), PROBE), register(left, few.transfer(settings), few)
    np.testing.assert_allclose(part[0], whole[0], atol=1.0)
    nothing = replace(data, weight=np.zeros_like(data.weight))
    assert seen(nothing, PROBE.at) == (nothing, PROBE.at)


def test_few_frequencies_are_worked_out_on_a_smaller_grid_and_are_the_same():
    vector = np.array([[9.0, 3, -2, 60, -40, 30, 50, 400], [-7.0, -3, 1, -60, 0, 30, -50, 0]])
    near = np.hypot(PROBE.at.row, PROBE.at.column) < 8
    data = prepare(np.ones((2, *FRAME.shape)), PROBE.at, 0.5)
    few, at = seen(replace(data, weight=near.astype(float)), PROBE.at)
    assert _smallest(FRAME, 8, 8)[:2] < _smallest(FRAME, 48, 48)[:2]
    for whole, part in zip(PROBE.slopes(vector, (0, 3)), replace(PROBE, at=at).slopes(vector, (0, 3)), strict=True):
        np.testing.assert_allclose(part, whole[..., near], atol=2e-6 * np.abs(whole).max())
    assert few.weight.all()


def test_all_minima_are_told_and_a_doubtful_one_is_believed_where_that_was_asked():
    images, _ = series(np.random.default_rng(1000), defoci(-5, -4.7), 30.0)
    strict, bold = Search(c10_nm=10), Search(c10_nm=10, clear=0.0)
    found = estimate(images, defoci(0, 0.3), FRAME, search=strict, source_size_nm=0.04)
    assert not found.settled and "two solutions" in found.reason
    np.testing.assert_array_equal(found.minima_nm[0], found.coefficients_nm)
    assert len(found.minima_nm) > 1 and np.ptp(found.minima_nm[:, 0]) > 5
    believed = estimate(images, defoci(0, 0.3), FRAME, search=bold, source_size_nm=0.04)
    assert believed.settled
    # the other minimum is part of what is uncertain
    assert believed.std_nm[0] > 1


def test_planes_too_far_apart_for_a_thick_specimen_are_refused():
    images, _ = series(np.random.default_rng(1000), defoci(0, 6, -6), 60.0)
    about = {"search": Search(c10_nm=10), "source_size_nm": 0.04}
    near, far = (estimate(images, defoci(0, 6, -6), FRAME, depths_nm=(-gap, 0.0, gap), **about) for gap in (1.0, 14.0))
    assert near.settled
    assert not far.settled and "no model of a thick specimen: give ones within 8.2" in far.reason


def test_hints_must_be_coefficients():
    images, _ = series(np.random.default_rng(1000), defoci(0, 5), 60.0)
    for wrong in (np.zeros((2, 3)), np.full((1, 8), np.nan)):
        with pytest.raises(ValueError, match="hints_nm must be finite"):
            estimate(images, defoci(0, 5), FRAME, search=Search(c10_nm=10), hints_nm=wrong)


def test_drift_must_be_possible():
    images, _ = series(np.random.default_rng(1000), defoci(0, 5), 60.0)
    with pytest.raises(ValueError, match="drift_px must be"):
        estimate(images, defoci(0, 5), FRAME, search=Search(c10_nm=10), drift_px=0.0)
