"""The encoder: what it makes of images, what it refuses, and the file of its weights."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
pytest.importorskip("safetensors", reason="the extra 'simulate' is not installed")

import torch
from safetensors.torch import save_file

from configs.errors import ConfigError
from models.encoder import (
    CHANNELS,
    FORMAT,
    STRIDE,
    WEIGHTS,
    Encoder,
    embedding,
    features,
    fused,
    load_encoder,
    refusal,
    save_encoder,
)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


def grains(seed, side=128, width=2.0):
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=(side, side)))
    ky, kx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    return np.fft.irfft2(spectrum * np.exp(-2 * (np.pi * width) ** 2 * (ky**2 + kx**2)), s=(side, side))


def test_one_row_of_numbers_for_every_eight_pixels(encoder):
    assert features(encoder, grains(0, 128)).shape == (16, 16, 2 * CHANNELS)
    assert features(encoder, grains(0, 96)[:50]).shape == (6, 12, 2 * CHANNELS)


def test_a_spot_shows_where_it_is(encoder):
    """A place's numbers are about its own middle: half a place beside it would be somebody else's."""
    image = np.random.default_rng(0).normal(100, 1, (128, 128))
    before = features(encoder, image)
    rows, columns = np.mgrid[:128, :128]
    for row, column in ((44, 76), (83, 35)):
        spot = 20 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 18)
        changed = np.abs(features(encoder, image + spot) - before)[..., :CHANNELS].sum(-1)
        y, x = (STRIDE * np.average(at, weights=changed**4) + 3.5 for at in np.indices(changed.shape))
        assert abs(y - row) < 3 and abs(x - column) < 3


def test_neither_gain_nor_offset_counts(encoder):
    one, other = embedding(encoder, [grains(1), 40 * grains(1) + 1000])
    assert np.allclose(one, other, atol=1e-3)


def test_the_same_kind_is_nearer_than_another_at_another_dose_and_size(encoder):
    rng = np.random.default_rng(5)
    fine, coarse = ([grains(seed + 10 * k, 96, width) for seed in range(6)] for k, width in ((0, 1.2), (1, 4.0)))
    dim = [rng.poisson(20 + 5 * (each / each.std()).clip(-3)).astype(float) for each in (*fine, *coarse)]
    known, asked = embedding(encoder, [fine[0], coarse[0]]), embedding(encoder, [each[:64, :64] for each in dim])
    far = np.linalg.norm(asked[:, None] - known[None], axis=2)
    assert (far.argmin(1) == np.repeat([0, 1], 6)).mean() >= 0.9


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.full((64, 64), 7.0), "all its pixels are 7"),
        (np.full((64, 64), np.nan), "4096 of its pixels are not finite"),
        (np.zeros((8, 64)), "8 × 64 pixels"),
        (np.zeros((64, 64, 3)), "shape"),
        (np.where(np.arange(4096).reshape(64, 64) % 2, 255.0, 10.0), "saturated"),
        (np.minimum(np.linspace(0.0, 1.6, 4096).reshape(64, 64), 1.0), "saturated"),
        (np.ones((64, 64), dtype=complex), "complex"),
    ],
)
def test_what_says_nothing_is_refused_with_its_reason(encoder, image, says):
    assert says in (refusal(image) or "")
    with pytest.raises(ValueError, match="cannot be read"):
        features(encoder, image)
    with pytest.raises(ValueError, match="chip 2 of 2"):
        embedding(encoder, [grains(0), image])


def test_two_levels_and_few_counts_are_no_saturation():
    assert refusal(np.random.default_rng(0).poisson(0.4, (64, 64))) is None


def test_folding_the_normalisations_changes_nothing():
    torch.manual_seed(0)
    made = Encoder().train()
    made(torch.randn(8, 64, 64))
    images = torch.randn(2, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(made.eval()(images), fused(made)(images), atol=1e-4)


def test_weights_come_back_and_other_files_are_refused(tmp_path):
    made = Encoder().eval()
    save_encoder(made, tmp_path / "mine.safetensors", {"steps": "3"})
    assert np.allclose(
        features(fused(made), grains(2)), features(load_encoder(tmp_path / "mine.safetensors"), grains(2)), atol=1e-5
    )
    assert json.loads((tmp_path / "mine.json").read_text())["steps"] == "3"
    with pytest.raises(ConfigError, match=r"python -m training\.supervised"):
        load_encoder(tmp_path / "other.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ConfigError, match="not safetensors"):
        load_encoder(tmp_path / "bad.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "focus.safetensors", {"format": "other", "version": "1"})
    with pytest.raises(ConfigError, match="this reads 'adaptem encoder'"):
        load_encoder(tmp_path / "focus.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "half.safetensors", {"format": FORMAT, "version": "1"})
    with pytest.raises(ConfigError, match="do not fit"):
        load_encoder(tmp_path / "half.safetensors")
    state = {
        name: torch.full_like(each, torch.nan) for name, each in made.state_dict().items() if each.is_floating_point()
    }
    state |= {name: each for name, each in made.state_dict().items() if not each.is_floating_point()}
    save_file(state, tmp_path / "nan.safetensors", {"format": FORMAT, "version": "1"})
    with pytest.raises(ConfigError, match="not finite"):
        load_encoder(tmp_path / "nan.safetensors")


def test_the_shipped_weights_say_how_they_were_made():
    told = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert float(told["held_out_accuracy"]) > float(told["held_out_accuracy_untrained"])
    assert float(told["cpu_s"]) < 30 * 60
