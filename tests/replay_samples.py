"""Small recorded files, written here: spectrum images and patterns as .hspy, through RosettaSciIO itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

PIXEL_NM = 0.5


def energies(data: np.ndarray, **metadata: Any) -> dict[str, Any]:
    """A spectrum image (H, W, E), 100 eV on, 2 eV a channel."""
    axes = [space(name, size) for name, size in zip("yx", data.shape[:2], strict=True)]
    axes.append(axis("Energy loss", data.shape[2], 2.0, 100.0, "eV", navigate=False))
    return {
        "data": data,
        "axes": axes,
        "metadata": {"General": {"title": ""}, "Signal": {"signal_type": "EELS"}, **metadata},
    }


def patterns(data: np.ndarray, unit: str = "mrad", scale: float = 3.0) -> dict[str, Any]:
    """Patterns (H, W, Ky, Kx)."""
    axes = [space(name, size) for name, size in zip("yx", data.shape[:2], strict=True)]
    axes += [
        axis(name, size, scale, 0.0, unit, navigate=False) for name, size in zip("pq", data.shape[2:], strict=True)
    ]
    return {"data": data, "axes": axes, "metadata": {"General": {"title": ""}, "Signal": {"signal_type": ""}}}


def space(name: str, size: int) -> dict[str, Any]:
    return axis(name, size, PIXEL_NM, 0.0, "nm", navigate=True)


def axis(name: str, size: int, scale: float, offset: float, units: str, *, navigate: bool) -> dict[str, Any]:
    return {"name": name, "size": size, "scale": scale, "offset": offset, "units": units, "navigate": navigate}


def write(path: Path, signal: dict[str, Any]) -> Path:
    """Skips the test where RosettaSciIO or h5py is not installed (adaptem[formats])."""
    pytest.importorskip("h5py")
    writer = pytest.importorskip("rsciio.hspy").file_writer
    for number, each in enumerate(signal["axes"]):
        each |= {"_type": "UniformDataAxis", "index_in_array": number, "is_binned": False}
    full = {"learning_results": {}, "original_metadata": {}, "tmp_parameters": {}, "models": {}}
    full |= {"attributes": {"_lazy": False, "ragged": False}}
    writer(str(path), {**full, "package_info": {}, **signal})
    return path
