"""Frames as small pictures for the report, each a data URI."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from archive.errors import ArchiveError
from envs.novelty import image_of
from envs.step import Purpose
from envs.targets import pixel_of_place
from review.panels import panels_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from archive.reader import SurveyReader
    from envs.step import ExposureRecord, Step
    from instruments.types import Frame
    from review.panels import Panel

    Box: TypeAlias = tuple[int, int, int, int]

Grey: TypeAlias = npt.NDArray[np.generic]
Ratio: TypeAlias = float

ACCENT = "#e0455b"
SURROUNDINGS: Ratio = 5.0
"""Width of what is shown around a flag, in widths of the flag."""
_SIZE_PX = 256
_KEPT_FRAMES = 16


def thumbnail(image: Grey, *, box: Box | None = None, size_px: int = _SIZE_PX) -> str:
    """A picture of ``image`` (H, W) between its 0.5 and 99.5 percentiles, at most ``size_px`` wide and high.

    ``box``: (top, left, bottom, right) in pixels of ``image``, drawn round what is meant.
    """
    picture = Image.fromarray(greys(image, limits_of(image)))
    scale = size_px / max(picture.size)
    picture = picture.resize(
        (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)),
        Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC,
    )
    if box is not None:
        picture = picture.convert("RGB")
        top, left, bottom, right = (round(edge * scale) for edge in box)
        ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=ACCENT, width=2)
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=85)
    return uri(stream.getvalue(), "jpeg")


def limits_of(image: Grey) -> tuple[float, float]:
    """The 0.5 and 99.5 percentiles, in the image's own unit."""
    low, high = np.percentile(np.nan_to_num(np.asarray(image, dtype=np.float32)), (0.5, 99.5))
    return float(low), float(high)


def greys(image: Grey, limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """(H, W): the image as 8 bits, black at the lower limit, white at the upper one."""
    low, high = limits
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255, dtype=np.uint8)


def uri(data: bytes, kind: str) -> str:
    """As a page carries it within itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


class Frames:
    """Pictures out of a survey's frames. A frame that is missing or damaged has no picture: the report goes on."""

    def __init__(self, reader: SurveyReader, steps: Sequence[Step], signal: str | None) -> None:
        self._signal = signal
        self._overviews = [
            (step.specimen, record)
            for step in steps
            for record in step.exposures
            if record.committed and record.purpose is Purpose.SURVEY
        ]
        self._frame = lru_cache(_KEPT_FRAMES)(reader.recorded)

    def whole(self, exposure_id: int | None) -> str | None:
        """The frame of an exposure."""
        found = self._read(exposure_id)
        return None if found is None else thumbnail(found[1])

    def flag(self, flag: Mapping[str, Any]) -> str | None:
        """The most surprising site of a flag, out of the frame that shows it best."""
        found = self.site(flag["exposure_id"], flag["sites"][0])
        return None if found is None else thumbnail(found)

    def surroundings(self, flag: Mapping[str, Any]) -> str | None:
        """What lies around that site in the overview that has it nearest to its centre, with its box."""
        found = self.around(flag["specimen"], flag["sites"][0])
        return None if found is None else thumbnail(found[0], box=found[1])

    def site(self, exposure_id: int, site: Mapping[str, Any]) -> npt.NDArray[np.float32] | None:
        """(H, W): a site out of the frame of an exposure."""
        found = self._read(exposure_id)
        if found is None:
            return None
        frame, image = found
        top, left, bottom, right = _crop(frame, image.shape, site, margin=1.0)
        return image[top:bottom, left:right]

    def pixel_nm(self, exposure_id: int) -> float | None:
        """Width of a pixel of an exposure's frame; None where it is missing or damaged."""
        found = self._read(exposure_id)
        return None if found is None else found[0].exposure.pixel_size_nm

    def channels(self, exposure_id: int, site: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        """(H, W) by detector: a site out of every image of an exposure, as the detectors were read."""
        try:
            frame = self._frame(exposure_id)
        except ArchiveError:
            return {}
        found = {}
        for name, signal in frame.signals.items():
            if signal.data.ndim in (2, 3) and signal.axes[-1].name == "column":
                image = image_of(frame, name)
                top, left, bottom, right = _crop(frame, image.shape, site, margin=1.0)
                found[name] = image[top:bottom, left:right]
        return found

    def panels(self, exposure_id: int, site: Mapping[str, Any]) -> dict[str, Panel]:
        """By detector, the spectra and patterns of an exposure at a site."""
        try:
            frame = self._frame(exposure_id)
        except ArchiveError:
            return {}
        top, left, bottom, right = _crop(frame, frame.exposure.shape, site, margin=1.0)
        return panels_of(frame, (slice(top, bottom), slice(left, right)))

    def around(self, specimen: str, site: Mapping[str, Any]) -> tuple[npt.NDArray[np.float32], Box] | None:
        """(H, W): what lies around a site in the overview that has it nearest to its centre, and the site's box."""
        near = [
            (max(abs(record.footprint.x_nm - site["x_nm"]), abs(record.footprint.y_nm - site["y_nm"])), record)
            for name, record in self._overviews
            if name == specimen and record.footprint.contains(site["x_nm"], site["y_nm"])
        ]
        found = self._read(min(near, key=lambda pair: pair[0])[1].exposure.id) if near else None
        if found is None:
            return None
        frame, image = found
        outer = _crop(frame, image.shape, site, margin=SURROUNDINGS)
        inner = _crop(frame, image.shape, site, margin=1.0)
        box = (inner[0] - outer[0], inner[1] - outer[1], inner[2] - outer[0], inner[3] - outer[1])
        return image[outer[0] : outer[2], outer[1] : outer[3]], box

    def overviews(self, specimen: str) -> Iterator[tuple[ExposureRecord, npt.NDArray[np.float32]]]:
        """Every overview of a specimen that can be read."""
        for name, record in self._overviews:
            found = self._read(record.exposure.id) if name == specimen else None
            if found is not None:
                yield record, found[1]

    def _read(self, exposure_id: int | None) -> tuple[Frame, npt.NDArray[np.float32]] | None:
        if exposure_id is None:
            return None
        try:
            frame = self._frame(exposure_id)
        except ArchiveError:
            return None
        return frame, image_of(frame, self._signal)


def _crop(frame: Frame, shape: tuple[int, ...], site: Mapping[str, Any], *, margin: Ratio) -> Box:
    """(top, left, bottom, right): a site times ``margin``, moved and cut to lie within the frame.

    A turned frame is shown whole.
    """
    if frame.exposure.rotation_deg:
        return 0, 0, shape[0], shape[1]
    pixel_nm = frame.exposure.pixel_size_nm
    down, right = pixel_of_place(frame.stage, pixel_nm, site["x_nm"], site["y_nm"])
    edges: list[tuple[int, int]] = []
    for length_nm, size, offset in zip((site["height_nm"], site["width_nm"]), shape, (down, right), strict=True):
        length = min(max(round(margin * length_nm / pixel_nm), 1), size)
        first = min(max(round((size - length) / 2 + offset), 0), size - length)
        edges.append((first, first + length))
    (top, bottom), (left, end) = edges
    return top, left, bottom, end
