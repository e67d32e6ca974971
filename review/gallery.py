"""Pictures of places for a browser: every place is drawn in the same way, whichever stream it is of."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from archive.reader import SurveyReader
from review.pictures import ACCENT, Frames, greys, limits_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from surveys.places import Place

View: TypeAlias = Literal["thumb", "place", "around"]
Contrast: TypeAlias = Literal["same", "own"]

_THUMB_PX = 128
_PLACE_PX = 512
_MOST_PX = 1024
_SAMPLED = 16
"""Places from which the limits that all pictures share are taken: spread evenly over all there are."""
_KEPT = 4096


class Gallery:
    """Draws places out of a survey's frames. To be used by one thread: SQLite's connection is that thread's."""

    def __init__(self, folder: Path, places: Sequence[Place]) -> None:
        """Raises FolderError or JournalError."""
        self._places = sorted(places, key=lambda place: (place.specimen, place.target))
        reader = SurveyReader(folder)
        config = reader.meta.config
        self._frames = Frames(reader, list(reader.steps()), config.get("scorer", {}).get("signal"))
        self._limits = lru_cache(None)(self._limits_of)
        self.picture = lru_cache(_KEPT)(self._picture)

    def _picture(self, exposure_id: int, specimen: str, site: Site, view: View, contrast: Contrast) -> bytes | None:
        """PNG (WebP for a thumbnail) of a site; None where the frame is missing or damaged."""
        wide = view == "around"
        found = self._cut(exposure_id, specimen, site, wide=wide)
        if found is None:
            return None
        image, box = found
        limits = limits_of(image) if contrast == "own" else self._limits(wide)
        picture = Image.fromarray(greys(image, limits))
        size_px = _THUMB_PX if view == "thumb" else min(max(_PLACE_PX, *picture.size), _MOST_PX)
        scale = size_px / max(picture.size)
        kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
        picture = picture.resize((max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)), kind)
        if box is not None:
            picture = picture.convert("RGB")
            top, left, bottom, right = (round(edge * scale) for edge in box)
            ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=ACCENT, width=2)
        stream = io.BytesIO()
        picture.save(stream, format="WEBP" if view == "thumb" else "PNG", quality=80)
        return stream.getvalue()

    def _cut(
        self, exposure_id: int, specimen: str, site: Site, *, wide: bool
    ) -> tuple[npt.NDArray[np.float32], tuple[int, int, int, int] | None] | None:
        named = dict(zip(("x_nm", "y_nm", "width_nm", "height_nm"), site, strict=True))
        if wide:
            return self._frames.around(specimen, named)
        image = self._frames.site(exposure_id, named)
        return None if image is None else (image, None)

    def _limits_of(self, wide: bool) -> tuple[float, float]:
        """Black and white for all pictures of one kind, so that two places can be compared."""
        step = max(len(self._places) // _SAMPLED, 1)
        found = [self._cut(p.exposure_id, p.specimen, site_of(p), wide=wide) for p in self._places[::step]]
        values = [each[0].ravel() for each in found if each is not None]
        return limits_of(np.concatenate(values)) if values else (0.0, 1.0)


Site: TypeAlias = tuple[float, float, float, float]
"""x_nm, y_nm, width_nm, height_nm."""


def site_of(place: Place) -> Site:
    """The rectangle that is shown."""
    return place.x_nm, place.y_nm, place.width_nm, place.height_nm
