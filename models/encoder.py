"""A small convolutional encoder: what each place of an image looks like, as numbers that know neither dose nor turn.

Fully convolutional: frames and chips of any size from 32 pixels up. It was trained without labels, on simulated worlds
of other specimens than any benchmark shows: the same place under another dose, focus, pixel size, rotation, contrast
and noise must give the same numbers, other places others (VICReg, Bardes et al. 2022, on places as VICRegL, Bardes et
al. 2022). ``python -m training.supervised`` makes the weights.
"""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from configs.errors import ConfigError
from models.weights_file import read_network, write_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float

WEIGHTS = Path(__file__).parent / "weights" / "encoder.safetensors"
FORMAT, VERSION = "adaptem encoder", "1"
CHANNELS = 64
STRIDE = 8
_SHIFT = 3
SMALLEST_PX = 32
SATURATED: Ratio = 0.2
"""Share of pixels at an image's largest value from which it says nothing of what was there."""
_AT_ONCE_PX = 1 << 17
"""Chips are looked at together up to so many pixels: what a processor's cache holds."""


class Encoder(nn.Module):
    """(B, H, W) standardised images → (B, CHANNELS, H / 8, W / 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(1, 16, 5, 2)
        self.down = _block(16, 32, 3, 2)
        self.middle = _block(32, 32, 3, 1)
        self.wide = _block(32, CHANNELS, 3, 2)
        self.last = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Of images as ``standardised`` gives them. What is found at (i, j) lies about the pixel (8 i + 3, 8 j + 3)."""
        # strides count from the first pixel: without this they would look at the corners of their places
        shifted = nn.functional.pad(images[:, None, _SHIFT:, _SHIFT:], (0, _SHIFT, 0, _SHIFT), mode="replicate")
        seen = self.down(self.stem(shifted))
        seen = self.wide(seen + self.middle(seen))
        found: torch.Tensor = seen + self.last(seen)
        return found


def _block(a: int, b: int, size: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(a, b, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(b), nn.ReLU())


def standardised(images: torch.Tensor) -> torch.Tensor:
    """(B, H, W) → the same about a mean of 0 with a spread of 1, outliers drawn in: neither gain nor offset counts."""
    spread, mean = torch.std_mean(images, (1, 2), correction=0, keepdim=True)
    return nn.functional.softsign((images - mean) / spread.clamp_min(1e-12) / 2) * 2


def refusal(image: npt.NDArray[np.generic]) -> str | None:
    """Why an image says nothing, in words; None where it can be read."""
    if image.ndim != 2 or np.iscomplexobj(image):
        return f"it is an array of shape {image.shape}, type {image.dtype}; an image (H, W) of real numbers is needed"
    if min(image.shape) < SMALLEST_PX:
        return f"it has {image.shape[0]} × {image.shape[1]} pixels; {SMALLEST_PX} × {SMALLEST_PX} at least are needed"
    pixels = np.asarray(image, dtype=np.float64)
    if wrong := int((~np.isfinite(pixels)).sum()):
        return f"{wrong} of its pixels are not finite numbers"
    low, high = float(pixels.min()), float(pixels.max())
    if high == low:
        return f"all its pixels are {low:g}: the detector was off, or the beam blank"
    clipped = float((pixels == high).mean())
    # Of few electrons many pixels count the same: of two neighbouring levels the upper one is no saturation.
    if clipped > SATURATED and (high > low + 1 or len(np.unique(pixels)) > 2):
        return f"{clipped:.0%} of its pixels are at its largest value {high:g}: the detector was saturated"
    return None


def features(encoder: Encoder, image: npt.NDArray[np.generic]) -> Floats:
    """What each place of an image (H, W) looks like: (H // 8, W // 8, 2 · CHANNELS), one place 8 pixels wide.

    The first half sees about 45 pixels around, the second twice as far. Raises ValueError with the reason where the
    image says nothing.
    """
    if (why := refusal(image)) is not None:
        raise ValueError(f"an image cannot be read: {why}")
    seen = _seen(encoder, np.asarray(image, dtype=np.float32)[None])
    return np.asarray(seen[0].permute(1, 2, 0).contiguous().numpy())


def embedding(encoder: Encoder, chips: Sequence[npt.NDArray[np.generic]]) -> Array:
    """(N, 4 · CHANNELS) of N chips, of any sizes: mean and spread of their places' features.

    Raises ValueError that names the chip where one says nothing.
    """
    same: dict[tuple[int, ...], list[int]] = {}
    for number, chip in enumerate(chips):
        if (why := refusal(chip)) is not None:
            raise ValueError(f"chip {number + 1} of {len(chips)} cannot be read: {why}")
        same.setdefault(chip.shape, []).append(number)
    rows = np.zeros((len(chips), 4 * CHANNELS))
    for shape, numbers in same.items():
        together = max(1, _AT_ONCE_PX // (shape[0] * shape[1]))
        for first in range(0, len(numbers), together):
            some = numbers[first : first + together]
            seen = _seen(encoder, np.stack([np.asarray(chips[n], dtype=np.float32) for n in some])).double()
            spread, mean = torch.std_mean(seen, (2, 3), correction=0)
            rows[some] = torch.cat([mean, spread], 1).numpy()
    return rows


def _seen(encoder: Encoder, images: Floats) -> torch.Tensor:
    """(B, H, W) → (B, 2 · CHANNELS, H // 8, W // 8)."""
    rows, columns = (size // STRIDE for size in images.shape[1:])
    with torch.inference_mode():
        even = standardised(torch.from_numpy(np.ascontiguousarray(images)))
        near = encoder(even)[:, :, :rows, :columns]
        far = encoder(standardised(nn.functional.avg_pool2d(even[:, None], 2)[:, 0]))
        far = nn.functional.interpolate(far, size=(rows, columns), mode="bilinear", align_corners=False)
        return torch.cat([near, far], 1)


def save_encoder(encoder: Encoder, path: Path, about: Mapping[str, str]) -> None:
    """Weights and, beside them under the same name as JSON, how they were made."""
    write_weights(encoder.state_dict(), path, (FORMAT, VERSION), about)


def load_encoder(path: Path = WEIGHTS) -> Encoder:
    """The encoder with these weights. Raises ConfigError for a file that is not there, or not such weights."""
    if not path.is_file():
        raise ConfigError(f"weights {path} are not there: make them with `python -m training.supervised`")
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _loaded(path: Path, _changed_ns: int) -> Encoder:
    again = "make them anew with `python -m training.supervised`"
    return fused(read_network(Encoder(), path, (FORMAT, VERSION), again))


def fused(encoder: Encoder) -> Encoder:
    """A copy to look with: normalisations folded into the convolutions before them, laid out as a processor likes."""
    found = deepcopy(encoder).eval()
    for block in (found.stem, found.down, found.middle, found.wide):
        conv, norm = block[0], block[1]
        if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            raise TypeError(f"a block of the encoder is {block}: fold it once only")
        block[0], block[1] = nn.utils.fuse_conv_bn_eval(conv, norm), nn.Identity()
    return laid_out(found)


Network = TypeVar("Network", bound=nn.Module)


def laid_out(network: Network) -> Network:
    """The same network, its convolutions laid out with channels last: a quarter faster on processors."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
