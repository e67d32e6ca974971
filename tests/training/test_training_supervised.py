"""Training the encoder: its views, their variations, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
pytest.importorskip("numba", reason="the extra 'simulate' is not installed")

import torch

from models.encoder import Encoder, save_encoder
from training.encoder_worlds import HELD_OUT, TRAINED, VIEW_PX, varied, views
from training.supervised import fit, placed, vicreg
from training.varying import CROP_PX, pair


@pytest.fixture(scope="module")
def some() -> torch.Tensor:
    return torch.cat(list(views(24, 7)))


def test_views_follow_from_the_seed_and_show_something(some):
    assert torch.equal(some[:3], next(iter(views(3, 7)))[:3])
    assert some.shape[1:] == (VIEW_PX, VIEW_PX) and bool(some.isfinite().all())
    spread, mean = torch.std_mean(some.float(), (1, 2))
    assert (mean - 1).abs().max() < 0.02 and spread.min() > 0.005


def test_what_it_is_selected_by_is_not_trained_on():
    assert not set(HELD_OUT) & set(TRAINED)
    told = [varied(name, np.random.default_rng(n)) for n, name in enumerate(TRAINED * 2)]
    assert not {each.title for each in told} & {"pt_on_ceria", "irradiated_ti"}
    assert not any(population.rare for each in told for population in each.populations.values())


def test_two_looks_show_the_same_places():
    """Large blobs tell where a look was taken: the same points must be as bright in both, but for noise."""
    rng = torch.Generator().manual_seed(0)
    blobs = torch.nn.functional.interpolate(
        torch.rand(16, 1, 10, 10, generator=rng), size=(192, 192), mode="bicubic", align_corners=False
    )[:, 0].clamp_min(0.02)
    seen, alike = pair(blobs, rng), []
    for first, second, here, there, shared in zip(seen.first, seen.second, *seen.points, seen.shared, strict=True):
        a, b = (
            torch.nn.functional.grid_sample(look[None, None], at[None, :, None], align_corners=False)[0, 0, :, 0]
            for look, at in ((first, here), (second, there))
        )
        if int(shared.sum()) > 6:
            alike.append(np.corrcoef(a[shared], b[shared])[0, 1])
    assert len(alike) > 8 and np.mean(alike) > 0.6
    assert seen.first.shape == (16, CROP_PX, CROP_PX) and float(seen.shared.float().mean()) > 0.5


def test_the_loss_wants_alike_looks_and_places_apart():
    rng = torch.Generator().manual_seed(0)
    places = torch.randn(256, 16, generator=rng)
    same = vicreg(places, places)
    assert same < vicreg(places, places[torch.randperm(256, generator=rng)])  # other places alike
    assert same < vicreg(places * 0.01, places * 0.01)  # all places alike
    assert same < vicreg(places[:, :1].expand(-1, 16), places[:, :1].expand(-1, 16))  # all numbers alike


def test_it_learns(some):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    losses = fit(Encoder(), some, 12, 0)
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_weights_that_tell_less_do_not_replace_those_that_are_there(tmp_path):
    out = tmp_path / "encoder.safetensors"
    assert placed(out, 0.4) == out
    save_encoder(Encoder().eval(), out, {"held_out_accuracy": "0.511"})
    assert placed(out, 0.511) == out == placed(out, 0.6)
    assert placed(out, 0.5).name == "encoder-not-better.safetensors"
