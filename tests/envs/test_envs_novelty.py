from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from envs.background import Background
from envs.descriptors import NAMES, transformed
from envs.explanations import ExplainingScorer
from envs.novelty import NoveltyScorer, NoveltySettings, image_of
from envs.scorers import Window
from instruments.types import Axis, Exposure, Frame, Optics, Signal, StagePosition

Array = npt.NDArray[np.float64]


def rows(count: int, seed: int = 0, mean: float = 100.0) -> Array:
    """Descriptors of ordinary places: each scattered by a tenth."""
    rng = np.random.default_rng(seed)
    usual = np.full(len(NAMES), 1.0)
    usual[NAMES.index("mean_counts")] = mean
    return usual * np.exp(0.1 * rng.standard_normal((count, len(NAMES))))


def frame(images: dict[str, Array], offset_counts: float = 0.0) -> Frame:
    names = ("frame", "row", "column")
    return Frame(
        exposure=Exposure(field_of_view_nm=64.0, shape=(64, 64), dwell_us=1.0),
        signals={
            name: Signal(
                data=data,
                axes=tuple(Axis(axis, 1.0, "nm") for axis in names[-data.ndim :]),
                calibration={"offset_counts": offset_counts},
            )
            for name, data in images.items()
        },
        stage=StagePosition(x_nm=0.0, y_nm=0.0),
        optics=Optics(),
        start_s=0.0,
        end_s=1.0,
        electrons=1.0,
    )


def test_a_young_background_knows_nothing() -> None:
    scorer = NoveltyScorer(NoveltySettings(first_cells=24))
    scorer.observe("overview", rows(23))
    assert np.isnan(scorer.interest("overview", rows(2))).all()
    scorer.observe("overview", rows(1, seed=1))
    assert np.isfinite(scorer.interest("overview", rows(2))).all()
    assert np.isnan(scorer.interest("detail", rows(2))).all()


def test_it_is_a_scorer_that_explains() -> None:
    assert isinstance(NoveltyScorer(), ExplainingScorer)


def test_ordinary_places_score_low_and_an_odd_one_high() -> None:
    scorer = NoveltyScorer()
    scorer.observe("overview", rows(500))
    ordinary = scorer.interest("overview", rows(200, seed=1))
    odd = rows(1, seed=2)
    odd[0, NAMES.index("spacing_nm")] *= 3.0
    assert (ordinary >= 0).all()
    assert np.median(ordinary) < 0.5
    assert scorer.interest("overview", odd)[0] > np.quantile(ordinary, 0.99)


def test_several_common_kinds_are_all_ordinary_and_what_is_neither_is_not() -> None:
    scorer = NoveltyScorer()
    film, vacuum = rows(300), rows(100, seed=1, mean=2.0)
    scorer.observe("overview", np.concatenate([film, vacuum]))
    assert scorer.interest("overview", vacuum).mean() < 1.5
    assert scorer.interest("overview", film).mean() < 1.5
    neither = rows(1, seed=2, mean=2.0)
    neither[0, NAMES.index("spacing_nm")] *= 3.0
    assert scorer.interest("overview", neither)[0] > 3.0


def test_a_kind_of_few_places_stays_unusual_however_alike_they_are() -> None:
    scorer = NoveltyScorer(NoveltySettings(common_ratio=0.1))
    few = rows(15, seed=3)
    few[:, NAMES.index("spacing_nm")] *= 4.0
    everything = np.concatenate([rows(400), few])
    scorer.observe("overview", everything)
    scores = scorer.completed().interest("overview", everything)
    assert scores[-15:].min() > np.quantile(scores[:400], 0.98)


def test_what_shows_nothing_is_neither_learned_nor_unusual() -> None:
    scorer = NoveltyScorer()
    scorer.observe("overview", rows(100))
    dark = np.zeros((50, len(NAMES)))
    before = json.dumps(scorer.state())
    scorer.observe("overview", dark)
    assert json.dumps(scorer.state()) == before
    assert (scorer.interest("overview", dark) == 0).all()


def test_rows_that_are_not_finite_are_left_out() -> None:
    scorer = NoveltyScorer()
    broken = rows(100)
    broken[3, 2] = np.nan
    scorer.observe("overview", broken)
    scores = scorer.interest("overview", broken)
    assert np.isnan(scores[3])
    assert np.isfinite(np.delete(scores, 3)).all()


def test_state_is_a_cache_of_the_fold() -> None:
    folded, restored = NoveltyScorer(), NoveltyScorer()
    for number in range(20):
        folded.observe("overview", rows(16, seed=number))
        if number == 11:
            restored.restore(json.loads(json.dumps(folded.state())))
        if number > 11:
            restored.observe("overview", rows(16, seed=number))
    asked = rows(30, seed=99)
    assert (folded.interest("overview", asked) == restored.interest("overview", asked)).all()
    assert json.dumps(folded.state()) == json.dumps(restored.state())


def test_completing_leaves_the_scorer_as_it_was() -> None:
    scorer = NoveltyScorer()
    scorer.observe("overview", rows(100))
    scorer.observe("overview", rows(10, seed=1))
    asked = rows(5, seed=2)
    before = scorer.interest("overview", asked)
    complete = scorer.completed()
    assert (scorer.interest("overview", asked) == before).all()
    assert (complete.interest("overview", asked) != before).any()


def test_the_reason_names_what_is_off() -> None:
    scorer = NoveltyScorer()
    scorer.observe("overview", rows(300))
    odd = rows(1, seed=5)[0]
    odd[NAMES.index("spacing_nm")] *= 3.0
    explanation = scorer.explain("overview", odd)
    first = explanation.departures[0]
    assert first.name == "spacing_nm"
    assert first.spreads_off > 5
    assert first.usual_low < first.usual < first.usual_high
    assert first.usual == pytest.approx(1.0, rel=0.2)
    assert sum(departure.contribution for departure in explanation.departures) == pytest.approx(1.0)
    assert "dominant spacing" in str(first) and "nm" in str(first) and "above" in str(first)
    assert any(np.allclose(explanation.nearest, row) for row in rows(300))
    names = {departure.name for departure in scorer.explain("overview", odd, fabric=True).departures}
    assert "spacing_nm" in names and "bright_elongation_ratio" not in names


def test_explaining_too_early_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"0 cells seen at look 'overview'.*24 are needed"):
        NoveltyScorer().explain("overview", rows(1)[0])


def test_ten_thousand_cells_stay_cheap_and_small_samples_agree_with_all() -> None:
    many = transformed(rows(10_000))
    kept = Background(many, grain=np.full(many.shape[1], 0.02), common_ratio=0.1, metric="euclidean", excuse=0.5)
    assert np.median(kept.score(many[:500])) == pytest.approx(0.0, abs=0.3)


def test_a_background_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 rows"):
        Background(np.ones((3, 2)), grain=np.ones(2), common_ratio=0.1, metric="euclidean", excuse=0.5)


def test_describe_reads_the_named_signal_less_its_offset() -> None:
    rng = np.random.default_rng(0)
    bright, faint = rng.poisson(200, (64, 64)).astype(np.float64), rng.poisson(20, (64, 64)).astype(np.float64)
    taken = frame({"HAADF": bright, "BF": faint}, offset_counts=10.0)
    window = [Window((0, 64), (0, 64))]
    mean = NAMES.index("mean_counts")
    assert NoveltyScorer().describe(taken, window).descriptors[0, mean] == pytest.approx(190, rel=0.02)
    named = NoveltyScorer(NoveltySettings(signal="BF")).describe(taken, window)
    assert named.descriptors[0, mean] == pytest.approx(10, rel=0.1)
    assert named.quality["blank"] == 0.0
    burst = frame({"HAADF": np.stack([bright, bright])})
    assert image_of(burst).mean() == pytest.approx(2 * bright.mean())
    with pytest.raises(ValueError, match="HAADF"):
        NoveltyScorer(NoveltySettings(signal="EDS")).describe(taken, window)
