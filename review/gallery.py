"""Pictures of places for a browser: every place is drawn in the same way, whichever stream it is of."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from archive.reader import SurveyReader
from review.feature import transplanted
from review.panels import Panel, drawn
from review.pictures import ACCENT, Frames, greys, limits_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from review.feature import Feature
    from surveys.places import Place

View: TypeAlias = Literal["thumb", "place", "around", "channels"]
Contrast: TypeAlias = Literal["same", "own"]

_THUMB_PX = 128
_PLACE_PX = 512
_MOST_PX = 1024
_CHANNEL_PX = 240
_SAMPLED = 16
"""Places from which the limits that all pictures share are taken: spread evenly over all there are."""
_KEPT = 4096


class Gallery:
    """Draws places out of a survey's frames. To be used by one thread: SQLite's connection is that thread's."""

    def __init__(self, folder: Path, places: Sequence[Place], features: Mapping[str, Feature] | None = None) -> None:
        """``features``: by place, what a seeded positive shows. Raises FolderError or JournalError."""
        self._features = features or {}
        self._places = sorted(places, key=lambda place: (place.specimen, place.target))
        self._reader = reader = SurveyReader(folder)
        config = reader.meta.config
        self._frames = Frames(reader, list(reader.steps()), config.get("scorer", {}).get("signal"))
        self._limits = lru_cache(None)(self._limits_of)
        self._channel_limits = lru_cache(None)(self._limits_of_channels)
        self._in_common = lru_cache(None)(self._in_every_look)
        self.picture = lru_cache(_KEPT)(self._picture)

    def close(self) -> None:
        """Safe twice."""
        self._reader.close()

    def _picture(
        self, exposure_id: int, specimen: str, site: Site, view: View, contrast: Contrast, seeded: str | None = None
    ) -> bytes | None:
        """PNG (WebP for a thumbnail) of a site; None where the frame is missing or damaged.

        ``seeded``: the place whose known feature is shown in it; None = it is shown as it was recorded.
        """
        feature = None if seeded is None else self._features[seeded]
        if view == "channels":
            return self._side_by_side(exposure_id, site, contrast, feature)
        wide = view == "around"
        found = self._cut(exposure_id, specimen, site, wide=wide, feature=feature)
        if found is None:
            return None
        image, box = found
        shared = None if contrast == "own" else self._limits(wide)
        limits = shared or limits_of(image)
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

    def _side_by_side(self, exposure_id: int, site: Site, contrast: Contrast, feature: Feature | None) -> bytes | None:
        """Every detector, and the power spectrum of the first image: each at the limits that all places share for it.

        Spectra and patterns are shown where every place has them: else whoever judges blind would know by them which
        places were looked at in which way.
        """
        found = self._frames.channels(exposure_id, _named(site))
        if feature is not None:
            found = {name: transplanted(image, feature.channels[name]) for name, image in found.items()}
        if not found:
            return None
        shown: dict[str, Panel | npt.NDArray[np.float32]] = {**found, "FFT": power_spectrum(next(iter(found.values())))}
        panels = self._frames.panels(exposure_id, _named(site))
        shown |= {name: panel for name, panel in panels.items() if name in self._in_common()}
        side, line = _CHANNEL_PX, 20
        strip = Image.new("L", (side * len(shown), side + line), 255)
        font, pen = ImageFont.load_default(14), ImageDraw.Draw(strip)
        for number, (name, one) in enumerate(shown.items()):
            own = _limits_of_values(one.values if isinstance(one, Panel) else one)
            limits = own if contrast == "own" else self._channel_limits().get(name, own)
            if isinstance(one, Panel):
                picture = drawn(one, limits, side - 4)
            else:
                picture = Image.fromarray(greys(one, limits)).resize((side - 4, side - 4), Image.Resampling.NEAREST)
            strip.paste(picture, (number * side, 0))
            pen.text((number * side + 4, side - 2), name, fill=0, font=font)
        stream = io.BytesIO()
        strip.save(stream, format="PNG")
        return stream.getvalue()

    def _in_every_look(self) -> frozenset[str]:
        """The detectors that every place with a look of its own was shown by: told by the journal's rows alone.

        None where known features were put into pictures: a spectrum is of what was there, and would belie them.
        """
        if self._features:
            return frozenset()
        looks = {place.exposure_id for place in self._places if place.near}
        each = [{signal.signal for signal in self._reader.rows.signals(exposure)} for exposure in looks]
        return frozenset(set.intersection(*each) if each else set())

    def _limits_of_channels(self) -> dict[str, tuple[float, float]]:
        step = max(len(self._places) // _SAMPLED, 1)
        values: dict[str, list[npt.NDArray[np.float32]]] = {}
        for place in self._places[::step]:
            images = self._frames.channels(place.exposure_id, _named(site_of(place)))
            if images:
                images["FFT"] = power_spectrum(next(iter(images.values())))
            panels = self._frames.panels(place.exposure_id, _named(site_of(place)))
            for name, one in {**images, **{name: panel.values for name, panel in panels.items()}}.items():
                values.setdefault(name, []).append(one)
        return {name: _limits_of_values(*each) for name, each in values.items()}

    def _cut(
        self, exposure_id: int, specimen: str, site: Site, *, wide: bool, feature: Feature | None = None
    ) -> tuple[npt.NDArray[np.float32], tuple[int, int, int, int] | None] | None:
        named = _named(site)
        if wide:
            found = self._frames.around(specimen, named)
            if found is None or feature is None:
                return found
            whole, box = found[0].copy(), found[1]
            inside = np.s_[box[0] : box[2], box[1] : box[3]]
            whole[inside] = transplanted(whole[inside], feature.around)
            return whole, box
        image = self._frames.site(exposure_id, named)
        if image is not None and feature is not None:
            image = transplanted(image, feature.site)
        return None if image is None else (image, None)

    def _limits_of(self, wide: bool) -> tuple[float, float] | None:
        """Black and white for all pictures of one kind, so that two places can be compared; None: of no place."""
        step = max(len(self._places) // _SAMPLED, 1)
        found = [self._cut(p.exposure_id, p.specimen, site_of(p), wide=wide) for p in self._places[::step]]
        values = [each[0].ravel() for each in found if each is not None]
        return limits_of(np.concatenate(values)) if values else None


def _limits_of_values(*values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Of images alike; of spectra (E,) from the lowest to the highest, because a line may be one channel wide."""
    whole = np.concatenate([each.ravel() for each in values])
    return (float(whole.min()), float(whole.max())) if values[0].ndim == 1 else limits_of(whole)


Site: TypeAlias = tuple[float, float, float, float]
"""x_nm, y_nm, width_nm, height_nm."""


def site_of(place: Place) -> Site:
    """The rectangle that is shown."""
    return place.x_nm, place.y_nm, place.width_nm, place.height_nm


def _named(site: Site) -> dict[str, float]:
    return dict(zip(("x_nm", "y_nm", "width_nm", "height_nm"), site, strict=True))


def power_spectrum(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(H, W): the logarithm of an image's power by spatial frequency, zero in the middle, under a Hann window."""
    values = np.nan_to_num(image - image.mean())
    window = np.outer(np.hanning(image.shape[0] + 2)[1:-1], np.hanning(image.shape[1] + 2)[1:-1])
    power = np.abs(np.fft.fftshift(np.fft.fft2(values * window))) ** 2
    return np.asarray(np.log10(power + 1e-6), dtype=np.float32)
