"""What a config need not say because it follows from the rest: areas, sizes and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from configs.load import ConfigError
from envs.descriptors import SMALLEST_WINDOW_PX
from instruments.images import read_image
from instruments.recorded_world import open_world, recorded_area
from instruments.replay_settings import ReplaySettings

Ratio: TypeAlias = float
Raw: TypeAlias = dict[str, Any]

FEWEST_PX = 64
"""A site of a recorded image is at least so many of its pixels wide: smaller ones have no texture to describe."""
FEWEST_SITE_PX = 3 * SMALLEST_WINDOW_PX // 2
"""A look shows a site at least so many of its own pixels wide."""
_OVERVIEW_SITES = 4
_AREA = ("x_nm", "y_nm", "width_nm", "height_nm")
_PART_PX = 0.5 - 1e-6
"""Rounds down, but for the rounding of a product."""
_TIME_MARGIN: Ratio = 1.1
"""The guard's clock also runs while the survey is opened and closed; the budget ends the survey first."""


def completed(data: Raw) -> Raw:
    """The same config with the gaps filled. What cannot be read yet is left as it is, to be refused with its path.

    A recorded image without an area is surveyed whole, cut into sites of whole pixels. Raises ValueError where the
    image cannot be read or its pixel size is not known.
    """
    try:
        data = _on_image(data) if data["instrument"]["kind"] == "replay" else data
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return data
    except ConfigError as error:
        raise ValueError(str(error)) from error
    try:
        return {**data, "limits": _limits(data)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return data


def _on_image(data: Raw) -> Raw:
    """Sites, areas and shapes in whole pixels of the recorded image, where the config leaves them open."""
    looks = {name: dict(look) for name, look in data["looks"].items()}
    detail, overview = looks.setdefault("detail", {}), looks.setdefault("overview", {})
    specimens = data.get("specimens") or [{"name": "image"}]
    if "field_of_view_nm" in detail and all("area" in specimen for specimen in specimens):
        return data
    instrument = data["instrument"]
    pixel_nm, area = _recorded(instrument, {name for look in looks.values() for name in look.get("signals") or ()})
    height_px, width_px = (round(area[side] / pixel_nm - _PART_PX) for side in ("height_nm", "width_nm"))
    shorter_px = min(height_px, width_px)
    if "field_of_view_nm" not in detail:
        site_px = min(max(shorter_px // int(detail.get("sites_across", 32)), FEWEST_PX), shorter_px)
        detail["field_of_view_nm"] = site_px * pixel_nm
    site_px = max(round(float(detail["field_of_view_nm"]) / pixel_nm), 1)
    shown_px = max(site_px, FEWEST_SITE_PX)  # a small recording is shown between its pixels
    detail.setdefault("shape", (shown_px, shown_px))
    overview.setdefault("sites", max(min(_OVERVIEW_SITES, shorter_px // site_px), 1))
    half_px = max(int(overview["sites"]) * site_px // 2, int(overview["sites"]) * FEWEST_SITE_PX)
    overview.setdefault("shape", (half_px, half_px))
    whole = {
        **area,
        "width_nm": width_px // site_px * float(detail["field_of_view_nm"]),
        "height_nm": height_px // site_px * float(detail["field_of_view_nm"]),
    }
    return {**data, "looks": looks, "specimens": [{"area": whole, **specimen} for specimen in specimens]}


def _recorded(instrument: Raw, signals: set[str]) -> tuple[float, Raw]:
    """Pixel size, and the area that was recorded of all the signals that looks name."""
    if signals - {"image"}:
        world = open_world(ReplaySettings.model_validate(instrument))
        world.close()
        return world.pixel_nm, dict(zip(_AREA, recorded_area(world, sorted(signals)), strict=True))
    recorded = read_image(Path(instrument["image"]), int(instrument.get("plane", 0)))
    pixel_nm = instrument.get("pixel_size_nm") or recorded.pixel_size_nm
    if pixel_nm is None:
        raise ConfigError(
            f"{instrument['image']}: the file does not tell its pixel size; add --set instrument.pixel_size_nm=NUMBER"
        )
    pixel_nm = float(pixel_nm)
    height_px, width_px = recorded.data.shape
    return pixel_nm, {"width_nm": width_px * pixel_nm, "height_nm": height_px * pixel_nm}


def _limits(data: Raw) -> Raw:
    """The limits that the plan itself gives: the stage stays where the specimens are, the budget is the limit."""
    limits, budget, areas = data["limits"], data["budget"], [specimen["area"] for specimen in data["specimens"]]
    found: Raw = {
        "max_electrons": float(budget["electrons"]) * len(areas),
        "max_time_s": float(budget["hours"]) * 3600.0 * len(areas) * _TIME_MARGIN,
    }
    for axis, length in (("x_nm", "width_nm"), ("y_nm", "height_nm")):
        ends = [float(area.get(axis, 0.0)) + sign * float(area[length]) / 2 for area in areas for sign in (-1, 1)]
        found[axis] = (min(ends) - float(limits["backlash_nm"]), max(ends))
    return {**found, **limits}
