"""A known feature, cut out of one survey and put into an ordinary place of another: what a seeded positive shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Image: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float

_EDGE: Ratio = 0.15
"""Share of a side over which the host goes over into the feature; their levels are matched there."""
_MOST_UNLIKE: Ratio = 1.5
"""Ratio of the two edges' levels beyond which one would show in the other: noise goes with the square root of it."""
_LOCAL_PX = 1.5


class UnlikeError(ValueError):
    """A feature that would be seen to be put there, whatever it shows."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Pictures of one site, all turned alike."""

    site: Image
    """(H, W): the site out of its own look."""
    around: Image
    """(h, w): the same site out of the overview."""
    channels: dict[str, Image]
    """(H, W) by detector, of its own look."""

    def turned(self, symmetry: int) -> Feature:
        """One of the square's eight symmetries, 0 … 7: four turns, and four of the mirror image."""

        def turn(image: Image) -> Image:
            return np.ascontiguousarray(np.rot90(image.T if symmetry >= 4 else image, symmetry % 4))

        return Feature(turn(self.site), turn(self.around), {name: turn(each) for name, each in self.channels.items()})

    def as_bytes(self) -> bytes:
        """A line of JSON with the names and shapes, then the numbers: float32, little-endian, row after row."""
        images = self._by_name()
        head = json.dumps({name: list(image.shape) for name, image in images.items()}).encode()
        return b"".join([head, b"\n", *(image.astype("<f4").tobytes() for image in images.values())])

    @classmethod
    def of_bytes(cls, data: bytes) -> Feature:
        """Raises ValueError for what ``as_bytes`` did not make."""
        head, _, numbers = data.partition(b"\n")
        images: dict[str, Image] = {}
        start = 0
        for name, (rows, columns) in json.loads(head).items():
            image = np.frombuffer(numbers, "<f4", rows * columns, start).reshape(rows, columns)
            images[name] = image.astype(np.float32)
            start += 4 * rows * columns
        site, around = images.pop("site"), images.pop("around")
        return cls(site, around, {name.removeprefix("channel "): image for name, image in images.items()})

    def _by_name(self) -> dict[str, Image]:
        return {"site": self.site, "around": self.around} | {
            f"channel {name}": each for name, each in self.channels.items()
        }


def transplanted(host: Image, feature: Image) -> Image:
    """(H, W): ``feature`` in the place of ``host``, in the host's levels, without a seam.

    The feature is made as bright as the host's edge; where the two go over into each other the noise that their mixing
    takes away is given back, and counts stay whole numbers. Raises UnlikeError where sizes differ by over a pixel, or
    the levels of the edges by over a factor 1.5.
    """
    if max(abs(a - b) for a, b in zip(host.shape, feature.shape, strict=True)) > 1:
        raise UnlikeError(f"a feature of {feature.shape} pixels into a place of {host.shape}")
    feature = np.pad(feature, [(0, max(a - b, 0)) for a, b in zip(host.shape, feature.shape, strict=True)], "edge")
    feature = feature[: host.shape[0], : host.shape[1]]
    level, own = _level(host), _level(feature)
    if not (own > 0 and 1 / _MOST_UNLIKE <= level / own <= _MOST_UNLIKE):
        raise UnlikeError(f"the edge of the feature has a level of {own:.3g}, that of the place of {level:.3g}")
    adapted = feature * (level / own)
    share = _window(host.shape)
    mixed = share * adapted + (1 - share) * host
    local = ndimage.gaussian_filter(mixed, _LOCAL_PX)
    made = local + (mixed - local) / np.sqrt(share**2 + (1 - share) ** 2)
    whole = bool((host == np.round(host)).all())
    return np.asarray(np.maximum(np.round(made), 0) if whole else made, dtype=np.float32)


def _window(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """(H, W): 1 inside, down to 0 over the edge."""

    def ramp(size: int) -> npt.NDArray[np.float64]:
        inward = (np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5) / max(_EDGE * size, 1.0)
        return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(inward, 0, 1)))

    return np.outer(ramp(shape[0]), ramp(shape[1]))


def _level(image: Image) -> float:
    """Median of an image's edge."""
    edge = image[_window(image.shape) < 1]
    return float(np.median(edge if edge.size else image))
