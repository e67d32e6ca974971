"""The scorer that also looks with the encoder: what it makes of frames, and where it drives a survey."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'see' is not installed")
pytest.importorskip("safetensors", reason="the extra 'see' is not installed")

import tifffile

from configs.errors import ConfigError
from configs.named import named
from envs.descriptors import NAMES
from envs.explanations import ExplainingScorer
from envs.novelty import NoveltyScorer
from envs.scorers import Window
from instruments.types import Axis, Exposure, Frame, Optics, Signal, StagePosition
from surveys.seeing import SEEN, SeeingScorer, make

CELLS = [Window((top, top + 64), (left, left + 64)) for top in (0, 64) for left in (0, 64)]


def image(seed, odd=None, dose=1.0, lines=15):
    """Round particles on a noisy film; in the quarter ``odd`` a grid of fine lines."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:128, :128]
    shown = np.full((128, 128), 30.0)
    for row, column in rng.uniform(0, 128, (14, 2)):
        shown += 40 * (np.hypot(rows - row, columns - column) < 5)
    if odd is not None:
        top, left = CELLS[odd].rows_px[0], CELLS[odd].columns_px[0]
        inside = (rows >= top) & (rows < top + 64) & (columns >= left) & (columns < left + 64)
        shown += np.where(inside, lines * (np.cos(rows * 0.9) + np.cos(columns * 0.9)), 0)
    return rng.poisson(dose * shown.clip(0)).astype(np.float32)


def frame(data):
    return Frame(
        exposure=Exposure(field_of_view_nm=128.0, shape=data.shape, dwell_us=1.0),
        signals={"HAADF": Signal(data=data, axes=(Axis("row", 1.0, "nm"), Axis("column", 1.0, "nm")), calibration={})},
        stage=StagePosition(x_nm=0.0, y_nm=0.0),
        optics=Optics(),
        start_s=0.0,
        end_s=1.0,
        electrons=1.0,
    )


@pytest.fixture(scope="module")
def seen():
    scorer = SeeingScorer()
    for seed in range(12):
        scorer.observe("overview", scorer.describe(frame(image(seed)), CELLS).descriptors)
    return scorer


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Three chips of each class, of another dose than what is asked."""
    folder = tmp_path_factory.mktemp("examples")
    for said, number in (("grid", 2), ("film", 0)):
        (folder / said).mkdir()
        for seed in range(3):
            window = CELLS[number]
            chip = image(100 + seed, odd=2)[slice(*window.rows_px), slice(*window.columns_px)]
            tifffile.imwrite(folder / said / f"{seed}.tif", chip)
    return folder


def test_it_explains_and_the_odd_place_is_the_most_unusual(seen):
    assert isinstance(seen, ExplainingScorer) and seen.names == (*NAMES, *SEEN)
    judge = seen.completed()
    made = [image(50 + n, odd=n, lines=5) for n in range(4)]
    rows = np.concatenate([judge.describe(frame(each), CELLS).descriptors for each in made])
    assert np.isfinite(rows).all()
    told = judge.deviation("overview", rows).reshape(4, 4)
    assert [int(np.argmax(each)) for each in told] == [0, 1, 2, 3]
    odd = judge.explain("overview", rows[5])
    assert sum(each.contribution for each in odd.departures) == pytest.approx(1.0)
    assert "to the encoder" in {each.name: str(each) for each in odd.departures}["seen_ratio"]
    assert len(odd.nearest) == len(judge.names)


def test_the_encoder_orders_what_is_in_doubt_and_leaves_what_is_sure(seen):
    judge, classical = seen.completed(), NoveltyScorer()
    classical.restore(seen.state()["classical"])
    made = [image(50 + n, odd=n, lines=5) for n in range(4)]
    rows = np.concatenate([judge.describe(frame(each), CELLS).descriptors for each in made])
    both, alone = judge.deviation("overview", rows), classical.completed().deviation("overview", rows[:, : len(NAMES)])
    sure = alone >= 4.0
    assert sure.any() and not sure.all()
    assert np.array_equal(both[sure], alone[sure])
    assert (both[~sure] < 4.1).all()
    assert both[5] > alone[5]  # the odd place that the descriptors are not sure of


def test_what_says_nothing_is_not_judged_and_too_little_is_no_score(seen):
    saturated = image(0)
    saturated[:64, :64] = saturated.max() + 5
    rows = seen.describe(frame(saturated), CELLS).descriptors
    assert np.isnan(rows[0, len(NAMES) :]).all() and np.isnan(seen.deviation("overview", rows)[0])
    assert np.isnan(SeeingScorer().interest("overview", rows)).all()
    small = seen.seen(image(0), [Window((100, 116), (0, 16))])
    assert np.isfinite(small).all()


def test_state_is_a_fold_and_comes_back(seen):
    rows = seen.describe(frame(image(60, odd=1)), CELLS).descriptors
    again = SeeingScorer()
    again.restore(json.loads(json.dumps(seen.state())))
    assert np.array_equal(seen.interest("overview", rows), again.interest("overview", rows))


def test_a_wanted_class_draws_interest_at_another_dose(examples, seen):
    scorer = make({"examples": str(examples), "wanted": "grid"})
    scorer.restore(seen.state())
    for dose in (0.4, 3.0):
        rows = np.concatenate(
            [scorer.describe(frame(image(70 + n, odd=n, dose=dose)), CELLS).descriptors for n in range(4)]
        )
        told = scorer.interest("overview", rows).reshape(4, 4)
        assert [int(np.argmax(each)) for each in told] == [0, 1, 2, 3]
        assert np.diag(told).min() > 5 > 2 * np.median(told)
    fresh = make({"examples": str(examples), "wanted": "grid"})
    assert fresh.interest("overview", rows)[0] > fresh.interest("overview", rows)[1]


def test_a_config_names_it():
    assert isinstance(named("seeing", "adaptem.scorers")({}), SeeingScorer)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"wanted": "grid"}, "together"),
        ({"examples": "nowhere", "wanted": "grid"}, "no such folder"),
        ({"examples": "{examples}", "wanted": "dots"}, r"only \['film', 'grid'\]"),
        ({"wished": "grid"}, r"scorer\.options\.wished"),
    ],
)
def test_options_that_are_wrong_are_refused_in_words(examples, options, says):
    with pytest.raises(ConfigError, match=says):
        make({name: value.format(examples=examples) for name, value in options.items()})
