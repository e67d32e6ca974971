"""A cone of rays against the waves that it stands for, and its compiled form against that in tensors."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch

from instruments.aberrations import Aperture, transfer
from instruments.simulated.optics import image
from instruments.simulated.rays import rays, spread_compiled, spread_tensors


@pytest.mark.parametrize("largest", [1.0, 7.9, 60.0])
def test_compiled_rays_are_those_of_the_tensors(largest):
    """Up to and beyond u = 8, where the compiled form changes."""
    coefficients = torch.tensor([[1.0, 0.2, -0.1, 0, 0, 0, 0, 0], [-2.0, 0, 0, 0, 0, 0, 0, 0]])
    xs, ys = torch.linspace(0, largest / 4, 41), torch.linspace(-largest / 4, largest / 4, 80)
    compiled, tensors, depths = torch.ones(2, 41, 80), torch.ones(2, 41, 80), (0.5, 1.5)
    even = torch.linspace(0.3, 1, 41)[:, None].expand(41, 80)
    form = torch.stack([even, 0.3 * torch.ones_like(even).mul(even - 0.3), even.flip(0)]).contiguous()
    turns = np.array(depths, dtype=np.float32), xs.numpy(), ys.numpy(), form.numpy()
    spread_compiled(coefficients.numpy(), *turns, compiled.numpy())
    spread_tensors(coefficients, depths, xs, ys, form, tensors)
    assert torch.allclose(compiled, tensors, atol=2e-6)


@pytest.mark.parametrize("defocus_nm", [-3.0, 20.0, 80.0, 160.0])
def test_rays_transfer_what_waves_do(defocus_nm):
    aperture = Aperture((192, 192), 0.1, 200.0, 21.4)
    coefficients = torch.tensor([[defocus_nm, 4.0, -2.0, 0, 0, 0, 0, 0]])
    half = transfer(coefficients.numpy(), aperture)[0]
    exact = np.fft.fft2(np.fft.irfft2(half)).real[:97]
    found = rays(coefficients, aperture, 0.0, (0.0,))[0].T.numpy()
    k = np.hypot(np.fft.rfftfreq(192, 0.1)[:, None], np.fft.fftfreq(192, 0.1)[None])
    seen = k < 4.9  # below the frame's limit of 5 per nm, which is 0.3 of the aperture's
    assert np.abs(found - exact)[seen].max() < 0.015


def test_rays_and_waves_agree_where_one_takes_over_from_the_other():
    spot = torch.zeros(1, 1, 192, 192)
    spot[0, 0, 96, 96] = 1
    coefficients = torch.tensor([[60.0, 10.0, -5.0, 0, 0, 0, 0, 0]])
    widths = []
    for pixel_nm in (0.0499, 0.0501):
        aperture = Aperture((192, 192), pixel_nm, 200.0, 21.4)
        seen = image(spot.clone(), coefficients, aperture, blur_nm=0.05, depths_nm=(0.0,))[0, 0].numpy()
        axis = (np.arange(192) - 96) * pixel_nm
        widths.append([(seen.sum(0) * axis**2).sum(), (seen.sum(1) * axis**2).sum()])
    assert widths[0] == pytest.approx(widths[1], rel=0.12)
