"""The batch renderer by other ways: on a GPU, in tensors, on several threads. Every way gives the same frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from instruments.simulated.library import named
from instruments.simulated.renderer import Camera, Renderer, Views, open_device

ATOMS = Camera(shape=(64, 64), pixel_nm=0.02)
COARSE = Camera(shape=(64, 64), pixel_nm=1.0)


def views(n: int = 2) -> Views:
    return Views(
        seeds=np.arange(n) + 3,
        places_nm=np.linspace(-500.0, 700.0, 2 * n).reshape(n, 2),
        coefficients_nm=torch.zeros(n, 8),
        electrons=torch.full((n,), 200.0),
        frames=np.arange(n),
    )


@pytest.mark.parametrize("shape", [(33, 33), (64, 33), (33, 64)])
def test_odd_numbers_of_pixels_are_counted_as_well(shape):
    """They go another way than even ones: by tensors, as on a GPU."""
    renderer, asked = Renderer(named("srtio3_on_ge"), Camera(shape=shape, pixel_nm=0.02)), views()
    mean = renderer.shares(asked) * asked.electrons[:, None, None, None]
    assert float(renderer.electrons(asked).mean() / mean.mean()) == pytest.approx(1, abs=0.05)


def test_a_batch_is_the_same_by_any_number_of_threads():
    asked, threads = views(), torch.get_num_threads()
    found = []
    try:
        for hands in (1, 2):
            torch.set_num_threads(hands)
            found.append(Renderer(named("pt_on_ceria"), ATOMS).electrons(asked))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_a_device_that_is_not_there_is_refused():
    assert open_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="auto, cpu or cuda"):
        open_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="torch finds none"):
            open_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_agrees_with_the_cpu():
    for camera in (ATOMS, COARSE):
        cpu = Renderer(named("pt_on_ceria"), camera).shares(views())
        gpu = Renderer(named("pt_on_ceria"), camera, open_device("cuda")).shares(views()).cpu()
        assert torch.allclose(cpu, gpu, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_counts_as_the_cpu_does():
    for camera in (ATOMS, COARSE):
        cpu, gpu = (
            Renderer(named("pt_on_ceria"), camera, open_device(one)).electrons(views()) for one in ("cpu", "cuda")
        )
        assert float((cpu == gpu.cpu()).float().mean()) > 0.99
        assert float((cpu - gpu.cpu()).abs().max()) <= 2
