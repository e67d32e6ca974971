"""How unlike the rest of its survey a place looks."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
pytest.importorskip("safetensors", reason="the extra 'simulate' is not installed")

from models.anomaly import Anomaly
from models.encoder import features, load_encoder


def frame(seed, odd=None, side=128):
    """Round particles on a noisy film; where ``odd`` is, a ring."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    shown = np.full((side, side), 30.0)
    for row, column in rng.uniform(0, side, (14, 2)):
        shown += 40 * (np.hypot(rows - row, columns - column) < 5)
    if odd is not None:
        far = np.hypot(rows - odd[0], columns - odd[1])
        shown += 60 * ((far < 16) & (far > 11))
    return rng.poisson(shown).astype(np.float32)


@pytest.fixture(scope="module")
def seen():
    encoder, watch = load_encoder(), Anomaly()
    for n in range(20):
        watch.observe(n, features(encoder, frame(n)))
    return encoder, watch


def test_an_odd_thing_scores_above_every_ordinary_place_and_is_explained(seen):
    encoder, watch = seen
    odd = features(encoder, frame(100, odd=(90, 40)))
    cells = [((top, top + 64), (left, left + 64)) for top in (0, 64) for left in (0, 64)]
    found = [watch.cell(watch.scores(odd), *cell) for cell in cells]
    usual = [watch.cell(watch.scores(features(encoder, frame(200 + n))), *cell) for n in range(5) for cell in cells]
    assert int(np.argmax(found)) == 2 and found[2] > max(usual)
    reason = watch.explain(odd, *cells[2])
    assert np.hypot(reason.row_px - 90, reason.column_px - 40) < 24
    assert reason.score == pytest.approx(found[2]) and reason.saliency.shape == (8, 8)
    assert all(0 <= each.frame < 20 and 0 <= each.row_px < 128 for each in reason.alike)


def test_what_is_shown_as_usual_is_usual_and_from_elsewhere():
    encoder, watch = load_encoder(), Anomaly()
    for n in range(8):
        watch.observe(n, features(encoder, frame(n, odd=(90, 40) if n < 2 else None)))
    for n in range(2):
        odd = features(encoder, frame(n, odd=(90, 40)))
        scores = watch.scores(odd)
        reason = watch.explain(odd, (64, 128), (0, 64), frame=n)
        assert len(reason.alike) == 4
        for each in reason.alike:
            assert each.frame != n or not (each.row_px >= 64 and each.column_px < 64)
            known = watch.scores(features(encoder, frame(each.frame, odd=(90, 40) if each.frame < 2 else None)))
            assert known[each.row_px // 8, each.column_px // 8] < scores[8:, :8].max() / 2


def test_the_same_frames_give_the_same_scores(seen):
    encoder, watch = seen
    again = Anomaly()
    for n in range(20):
        again.observe(n, features(encoder, frame(n)))
    asked = features(encoder, frame(7))
    assert np.array_equal(watch.scores(asked), again.scores(asked))


def test_too_little_seen_is_no_score():
    encoder, watch = load_encoder(), Anomaly()
    asked = features(encoder, frame(0, side=64))
    assert np.isnan(watch.scores(asked)).all()
    watch.observe(0, asked[:2])
    assert watch.young and np.isnan(watch.scores(asked)).all()
    with pytest.raises(ValueError, match="observe more frames"):
        watch.explain(asked, (0, 64), (0, 64))


def test_what_is_not_finite_teaches_nothing():
    watch = Anomaly()
    with pytest.raises(ValueError, match="frame 3 has features that are not finite"):
        watch.observe(3, np.full((2, 2, 8), np.nan, dtype=np.float32))
    with pytest.raises(ValueError, match="lie outside"):
        watch.cell(np.zeros((4, 4)), (40, 48), (0, 8))


def test_memory_does_not_grow_with_the_night(seen):
    encoder, _ = seen
    watch = Anomaly()
    row = features(encoder, frame(1))
    for n in range(60):
        watch.observe(n, row)
    assert len(watch._rows) == watch._settings.kept
