"""Training of the network that reads focus: its examples, their variations, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
pytest.importorskip("safetensors", reason="the extra 'simulate' is not installed")

import torch

from models.focus_network import FRAMES, FocusNetwork
from models.focus_spectra import RINGS, SECTORS
from training.focus import calibrate, fit, judged, varied
from training.focus_worlds import BLUR_PX, Examples, examples


def drawn(count: int, seed: int) -> Examples:
    """Rings that end where the blur says, with noise: what a spectrum shows without any microscope."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, (count, 3)) * (BLUR_PX, 0.5, 0.5)
    offsets = np.tile([0.0, 2.0, -2.0], (count, 1))
    rings = np.arange(RINGS)[None, None, :, None]
    edge = RINGS * 0.9 - 6 * np.log(np.abs(truth[:, :1] + offsets) + 0.5)[:, :, None, None]
    spectra = 6 / (1 + np.exp(rings - edge)) + rng.normal(0, 0.3, (count, FRAMES, RINGS, SECTORS))
    return Examples(*(torch.from_numpy(each).float() for each in (spectra, offsets, truth)))


def test_worlds_are_the_same_by_seed_and_each_its_own():
    one, again, other = (examples(2, seed) for seed in (7, 7, 9))
    assert torch.equal(one.spectra, again.spectra) and torch.equal(one.truth_px, again.truth_px)
    assert not torch.equal(one.truth_px, other.truth_px)
    assert one.spectra.shape == (2, FRAMES, RINGS, SECTORS)
    assert not torch.equal(one.truth_px[0], one.truth_px[1])
    assert (one.offsets_px[:, 0] == 0).all() and (one.offsets_px[:, 1] * one.offsets_px[:, 2] < 0).all()


def test_a_turned_image_has_its_astigmatism_turned_twice_as_far():
    seen, rng = drawn(64, 0), np.random.default_rng(0)
    # a mark in the sector where the astigmatism lies: wherever the image is turned, it must stay there
    sector = np.rint(np.angle(seen.truth_px[:, 1] + 1j * seen.truth_px[:, 2]) / 2 / (np.pi / SECTORS)).astype(int)
    seen.spectra[:] = 0
    seen.spectra[torch.arange(64), :, :, torch.from_numpy(sector % SECTORS)] = 1.0
    turned, _ = varied(seen, rng)
    shown = turned.spectra[:, 0, 0].argmax(1).numpy()
    angle = np.angle(turned.truth_px[:, 1].numpy() + 1j * turned.truth_px[:, 2].numpy()) / 2
    off = (shown - angle / (np.pi / SECTORS)) % (SECTORS / 2)  # the other side of focus has it across
    assert np.minimum(off, SECTORS / 2 - off).max() <= 0.51


def test_frames_ascend_about_the_mean_of_those_that_are_there():
    seen = drawn(200, 1)
    turned, present = varied(seen, np.random.default_rng(1))
    whole, there = present.all(1), present.bool()
    assert 60 < int(whole.sum()) < 140 and there[:, 0].all()
    assert (turned.offsets_px[whole].diff(dim=1) > 0).all()
    assert turned.offsets_px.sum(1).abs().max() < 1e-5
    foci, before = ((each.truth_px[:, :1] + each.offsets_px).abs() for each in (turned, seen))
    # each frame is as far from focus as it was, on this side or the other
    nearest = (foci[:, :, None] - before[:, None]).abs().min(2).values
    assert nearest[there].max() < 1e-5
    assert (turned.spectra[~there] == 0).all() and (turned.offsets_px[~there] == 0).all()


def test_it_learns_what_rings_say_and_calibration_widens_what_was_too_sure():
    torch.manual_seed(0)
    network, held = FocusNetwork(), drawn(200, 3)
    before = judged(network.eval(), held)
    losses = fit(network, drawn(800, 2), epochs=20, seed=0)
    after = judged(network, held)
    assert losses[-1] < losses[0] and after.loss < before.loss - 1
    assert after.error_px < 1.0
    network.inflation.fill_(0.2)
    too_sure = judged(network, held)
    assert calibrate(network, held) > 0.6
    assert judged(network, held).loss < too_sure.loss
