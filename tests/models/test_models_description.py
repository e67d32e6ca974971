"""What each pixel looks like, told once."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the extra 'see' is not installed")
pytest.importorskip("torch", reason="the extra 'see' is not installed")

from models.description import describe


def image(seed=1):
    rng = np.random.default_rng(seed)
    return rng.poisson(40 + 20 * (rng.random((64, 80)) > 0.9)).astype(np.float32)


def test_gain_and_offset_are_in_the_spread_alone():
    one, other = describe(image()), describe(5 * image() + 300)
    np.testing.assert_allclose(other.columns, one.columns, atol=1e-4)
    assert other.spread == pytest.approx(5 * one.spread) and one.columns.shape[:2] == one.pixels.shape == (64, 80)


def test_times_the_spread_it_tells_of_grey_values_as_recorded():
    """Frames of one exposure are compared so, without being described again."""
    one, pale = describe(image()), describe(100 + 0.2 * image())
    np.testing.assert_allclose(pale.columns * pale.spread, 0.2 * one.columns * one.spread, atol=1e-3)


@pytest.mark.parametrize(("broken", "says"), [(np.nan, "not finite"), (0.0, "all its pixels")])
def test_an_image_that_says_nothing_is_refused(broken, says):
    with pytest.raises(ValueError, match=f"cannot be read.*{says}"):
        describe(image() * broken)
