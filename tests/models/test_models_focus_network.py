"""The network's input, its answer, and the files that hold its weights."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
pytest.importorskip("safetensors", reason="the extra 'simulate' is not installed")

import torch
from safetensors.torch import save_file

from configs.errors import ConfigError
from instruments.aberrations import Aperture
from models.focus_network import FORMAT, FRAMES, FocusNetwork, Mixture, load_network, read_focus, save_network
from models.focus_spectra import RINGS, SECTORS, spectra_of

WIDE = Aperture((256, 256), 0.8, 200.0, 21.4)


def blobs(generator, c10_nm, c12a_nm=0.0, side=256, electrons=200.0):
    """(K, H, W) counts of points of matter under probes of ray optics, one place under K foci."""
    ky, kx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    thing = np.fft.rfft2(generator.poisson(0.01, (side, side)) * 30.0 + 1)
    images = []
    for focus_nm in c10_nm:
        px_y, px_x = (abs(focus_nm + sign * c12a_nm) * 21.4e-3 / 0.8 for sign in (-1, 1))
        blur = np.exp(-(math.pi**2) / 2 * ((ky * px_y) ** 2 + (kx * px_x) ** 2))
        images.append(generator.poisson(np.clip(np.fft.irfft2(thing * blur, s=(side, side)), 0, None) * electrons))
    return np.array(images, dtype=float)


def test_spectra_of_noise_are_noise_and_those_of_blur_end_where_it_does():
    generator = np.random.default_rng(0)
    noise = spectra_of(generator.poisson(50.0, (1, 256, 256)))[0]
    assert abs(float(np.sinh(noise[4:]).mean())) < 0.4 and 0.7 < float(np.sinh(noise[4:]).std()) < 1.3
    sharp, blurred = spectra_of(blobs(generator, (0.0, 150.0)))
    assert sharp[-4].mean() > 3 and abs(blurred[-4].mean()) < 1
    assert blurred[0].mean() > 3


def test_astigmatism_shows_in_the_sectors_that_it_blurs():
    image = blobs(np.random.default_rng(1), (80.0,), c12a_nm=60.0)
    along_columns, along_rows = spectra_of(image)[0][12:20, [0, SECTORS // 2]].T
    assert along_rows.mean() > along_columns.mean() + 1


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.ones((1, 64, 64)), "192 pixels"),
        (np.zeros((1, 256, 256)), "counted nothing"),
        (np.full((1, 256, 256), np.nan), "finite"),
    ],
)
def test_images_that_say_nothing_are_refused(images, says):
    with pytest.raises(ValueError, match=says):
        spectra_of(images)


def test_a_mixture_is_a_density():
    torch.manual_seed(0)
    root = torch.tril(torch.rand(1, 4, 3, 3)) + torch.eye(3)
    mixture = Mixture(torch.log_softmax(torch.rand(1, 4), 1), torch.rand(1, 4, 3), root)
    side = torch.linspace(-8, 8, 65)
    places = torch.cartesian_prod(side, side, side)
    many = Mixture(*(part.expand(len(places), *part.shape[1:]) for part in (mixture.log_share, mixture.mean, root)))
    assert float(many.log_density(places).exp().sum() * 0.25**3) == pytest.approx(1.0, abs=0.01)


def test_inflation_widens_every_spread():
    network = FocusNetwork().eval()
    seen = torch.zeros(1, FRAMES, RINGS, SECTORS), torch.zeros(1, FRAMES), torch.ones(1, FRAMES)
    with torch.no_grad():
        before = network(*seen).root
        network.inflation.fill_(2.0)
        assert torch.allclose(network(*seen).root, before / 2)


def test_weights_come_back_and_say_how_they_were_made(tmp_path):
    network = FocusNetwork().eval()
    save_network(network, tmp_path / "w.safetensors", {"seed": "3"})
    again = load_network(tmp_path / "w.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert json.loads((tmp_path / "w.json").read_text())["seed"] == "3"


def test_files_that_are_not_such_weights_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(ConfigError, match="not there"):
        load_network(path)
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ConfigError, match="not safetensors"):
        load_network(path)
    save_file(FocusNetwork().state_dict(), tmp_path / "old.safetensors", {"format": FORMAT, "version": "0"})
    with pytest.raises(ConfigError, match="version '0'"):
        load_network(tmp_path / "old.safetensors")
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors", {"format": FORMAT, "version": "1"})
    with pytest.raises(ConfigError, match="do not fit"):
        load_network(tmp_path / "x.safetensors")


def test_changes_that_do_not_fit_are_refused():
    network, image = FocusNetwork().eval(), np.full((1, 256, 256), 5.0)
    with pytest.raises(ValueError, match="a finite one each"):
        read_focus(network, image, (0.0, 1.0), WIDE)
    with pytest.raises(ValueError, match="were trained on"):
        read_focus(network, np.repeat(image, 2, 0), (0.0, 900.0), WIDE)


def test_the_answer_follows_the_frames_not_their_order():
    network, changes = load_network(), np.array([0.0, 100.0, -100.0])
    images = blobs(np.random.default_rng(2), 60.0 + changes)
    found = read_focus(network, images, changes, WIDE)
    again = read_focus(network, images[[2, 0, 1]], changes[[2, 0, 1]], WIDE)
    assert again.found_nm == pytest.approx(found.found_nm, abs=1e-3)
    moved = read_focus(network, images, changes + 30.0, WIDE)
    assert moved.found_nm[0] == pytest.approx(found.found_nm[0] - 30.0, abs=1e-3)
    assert found.settled and abs(found.found_nm[0] - 60.0) < 3 * found.std_nm[0] and found.std_nm[0] < 40.0


def test_one_frame_cannot_tell_the_side_of_focus():
    found = read_focus(load_network(), blobs(np.random.default_rng(3), (120.0,)), (0.0,), WIDE)
    sides = [float(found.share[found.parts_nm[:, 0] * sign > 0].sum()) for sign in (-1, 1)]
    assert min(sides) > 0.1 and not found.settled and "add " in found.reason
