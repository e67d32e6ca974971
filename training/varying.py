"""Two looks at the same places: other dose, focus, pixel size, rotation, contrast, drift of brightness, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

CROP_PX = 80
POINTS = 16
"""Places of each view whose features are compared."""
_ZOOM = (0.6, 1.7)
"""Pixels of a view per pixel of a crop."""
_ZOOM_BETWEEN = 0.25
"""Two looks differ by up to this in the logarithm of the pixel size."""
_COUNTS = (4.0, 400.0)
_INVERTED = 0.3
"""Bright fields show what dark fields do, inverted; both looks of a pair are of one kind."""
_SMOOTHED = 0.4
"""Share of the looks whose noise is smoothed, as resampling and phosphors do."""
_INSIDE = 0.85


@dataclass(frozen=True, slots=True)
class Pair:
    """B pairs of looks."""

    first: torch.Tensor
    """(B, CROP_PX, CROP_PX)"""
    second: torch.Tensor
    points: tuple[torch.Tensor, torch.Tensor]
    """(B, POINTS, 2) x, y of the same places in both, from −1 to 1."""
    shared: torch.Tensor
    """(B, POINTS) whether both looks show the place."""


def pair(views: torch.Tensor, torch_rng: torch.Generator) -> Pair:
    """Of (B, N, N) expected signals with a mean of 1."""
    count, side = len(views), views.shape[-1]

    def draw(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=torch_rng)

    zoom = torch.exp(draw(math.log(_ZOOM[0]), math.log(_ZOOM[1])))
    centre = draw(-1, 1, 2) * (1 - zoom * CROP_PX / side).clamp_min(0)[:, None]
    frames = []
    for _ in range(2):
        angle, mirror = draw(0, 2 * math.pi), torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
        size = zoom * torch.exp(draw(-_ZOOM_BETWEEN, _ZOOM_BETWEEN) / 2) * CROP_PX / side
        turn = torch.stack([angle.cos() * mirror, -angle.sin(), angle.sin() * mirror, angle.cos()], 1).view(-1, 2, 2)
        off = centre + draw(-0.25, 0.25, 2) * size[:, None]
        frames.append((turn * size[:, None, None], off))
    inverted = draw(0, 1) < _INVERTED
    crops = [_look(views, matrix, off, inverted, torch_rng) for matrix, off in frames]
    points = draw(-_INSIDE, _INSIDE, POINTS, 2)
    (first, off_first), (second, off_second) = frames
    places = points @ first.transpose(1, 2) + off_first[:, None]
    there = (places - off_second[:, None]) @ torch.linalg.inv(second).transpose(1, 2)
    return Pair(crops[0], crops[1], (points, there), (there.abs() < _INSIDE).all(-1))


def _look(
    views: torch.Tensor, matrix: torch.Tensor, off: torch.Tensor, inverted: torch.Tensor, torch_rng: torch.Generator
) -> torch.Tensor:
    count = len(views)

    def draw(low: float, high: float) -> torch.Tensor:
        return (low + (high - low) * torch.rand(count, generator=torch_rng))[:, None, None]

    grid = nn.functional.affine_grid(
        torch.cat([matrix, off[:, :, None]], 2), [count, 1, CROP_PX, CROP_PX], align_corners=False
    )
    seen = nn.functional.grid_sample(views[:, None].float(), grid, padding_mode="reflection", align_corners=False)[:, 0]
    seen = _smoothed(seen.clamp_min(0), draw(0, 1.0))
    bright = seen.amax((1, 2), keepdim=True).clamp_min(1e-6)
    seen = torch.where(inverted[:, None, None], (1.1 * bright - seen), seen)
    seen = (seen / bright) ** draw(0.75, 1.3)  # a detector is not linear
    across = torch.linspace(-1, 1, CROP_PX)
    slope = draw(-0.2, 0.2) * across[None, :, None] + draw(-0.2, 0.2) * across[None, None, :]
    seen = (seen + draw(0, 0.3)) * (1 + slope)
    mean = seen.mean((1, 2), keepdim=True).clamp_min(1e-6)
    counts = seen / mean * torch.exp(draw(math.log(_COUNTS[0]), math.log(_COUNTS[1])))
    noise = torch.randn(counts.shape, generator=torch_rng)
    counted = (counts + counts.clamp_min(0).sqrt() * noise).clamp_min(0)
    width = torch.where(draw(0, 1) < _SMOOTHED, draw(0.4, 1.3), torch.zeros(()))
    return _smoothed(counted, width)


def _smoothed(images: torch.Tensor, width_px: torch.Tensor) -> torch.Tensor:
    """(B, H, W) by Gaussians of (B, 1, 1) standard deviations up to 1.5 pixels."""
    at = torch.arange(-4, 5, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / width_px.view(-1, 1).clamp_min(1e-3)) ** 2)
    kernel /= kernel.sum(1, keepdim=True)
    count, padded = len(images), nn.functional.pad(images[None], (4, 4, 4, 4), mode="reflect")
    down = nn.functional.conv2d(padded, kernel.view(count, 1, 9, 1), groups=count)
    found: torch.Tensor = nn.functional.conv2d(down, kernel.view(count, 1, 1, 9), groups=count)[0]
    return found
