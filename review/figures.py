"""The pictures of the report: where, when, how well. Each function gives one self-contained image as a data URI.

Maps are drawn as the frames show the specimen: places are point-reflected against pixels (DESIGN section 3), so x
grows to the left.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from envs.step import ExposureRecord, Step

matplotlib.use("Agg")

INK, FAINT, ACCENT, CONTROL, FAULT = "#1c2430", "#8a94a3", "#d1495b", "#2e7d6b", "#c77700"
ACTIVITY = {"survey": "#4c6a92", "detail": "#7ea0c8", "focus": "#b89bd0", "drift": "#d9c27e", "control": CONTROL}


def thumbnail(image: npt.NDArray[np.generic], size_px: int = 256) -> str:
    """An 8-bit picture of ``image`` (H, W) between its 0.5 and 99.5 percentiles, at most ``size_px`` wide."""
    values = np.asarray(image, dtype=np.float32)
    low, high = np.percentile(values, (0.5, 99.5))
    grey = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255
    picture = Image.fromarray(grey.astype(np.uint8))
    picture.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return _uri(stream, "png")


def coverage(
    overviews: Iterable[tuple[ExposureRecord, npt.NDArray[np.generic]]],
    steps: Sequence[Step],
    flags: Sequence[Mapping[str, Any]],
) -> str:
    """The specimen as the overview looks saw it, with what was looked at in detail, the controls and the flags."""
    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#eef0f3")
    _mosaic(axes, overviews)
    seen = [record for step in steps for record in step.exposures if record.committed]
    for record in seen:
        if record.purpose in ("detail", "control"):
            _outline(axes, record, colour=ACTIVITY[record.purpose], width=0.6 if record.purpose == "detail" else 1.3)
    for flag in flags:
        place = (flag["x_nm"], flag["y_nm"])
        axes.plot(
            *place, marker="o", markersize=11, markerfacecolor="none", markeredgecolor=ACCENT, markeredgewidth=1.4
        )
        axes.annotate(str(flag["rank"]), place, textcoords="offset points", xytext=(7, 5), color=ACCENT, fontsize=8,
                      fontweight="bold")  # fmt: skip
    _limits(axes, seen)
    unit, nm = ("µm", 1000.0) if abs(np.diff(axes.get_xlim())[0]) > 2000 else ("nm", 1.0)
    for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        axis.set_major_formatter(lambda value, _: f"{value / nm:g}")
        axis.set_label_text(f"{name} ({unit}), as the frames show it" if name == "x" else f"{name} ({unit})")
    axes.set_aspect("equal")
    return _svg(figure)


def timeline(steps: Sequence[Step], faults: Sequence[Mapping[str, Any]], electrons_budget: float | None) -> str:
    """What the beam was used for, the dose, and every fault, against the instrument's clock."""
    figure = Figure(figsize=(9.6, 2.9), layout="constrained")
    axes = figure.subplots()
    unit, seconds = _time_unit(steps)
    for purpose, colour in ACTIVITY.items():
        bars = [
            (record.start_s / seconds, (record.end_s - record.start_s) / seconds)
            for step in steps
            for record in step.exposures
            if record.purpose == purpose
        ]
        if bars:
            axes.broken_barh(bars, (0, 1), facecolors=colour, label=purpose)
    for index, fault in enumerate(faults):
        axes.axvline(fault["time_s"] / seconds, color=FAULT, linewidth=1.5, label=None if index else "fault")
    axes.set(yticks=[], xlabel=f"instrument clock ({unit})", ylim=(0, 1))
    right = axes.twinx()
    used = np.cumsum([step.electrons for step in steps])
    right.plot([step.end_s / seconds for step in steps], used, color=INK, linewidth=1.6, label="electrons sent")
    right.set_ylabel("electrons sent")
    right.set_ylim(0, max(electrons_budget or 0.0, float(used[-1]) if len(used) else 1.0) * 1.05)
    if electrons_budget:
        right.axhline(electrons_budget, color=INK, linestyle=":", linewidth=1, label="budget")
    figure.legend(loc="outside upper left", fontsize=8, ncols=8, frameon=False)
    return _svg(figure)


def quality(steps: Sequence[Step]) -> str | None:
    """Every quality figure that the scorer read and that ever changed, against time; None where there is none."""
    rows = [(step.end_s, step.score.quality) for step in steps if step.score and step.look == "detail"]
    names = [name for name in _names(rows) if len({values.get(name) for _, values in rows}) > 1]
    if not names:
        return None
    unit, seconds = _time_unit(steps)
    figure = Figure(figsize=(9.6, 1.3 * len(names) + 0.5), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(len(names), 1, sharex=True)), names, strict=True):
        points = [(time_s / seconds, values[name]) for time_s, values in rows if name in values]
        axes.plot(*np.array(points).T, ".", color=ACTIVITY["survey"], markersize=3)
        axes.set_ylabel(name.replace("_", "\n"), rotation=0, ha="right", va="center", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"instrument clock ({unit})", fontsize=9)
    return _svg(figure)


def _names(rows: Sequence[tuple[float, Mapping[str, float]]]) -> list[str]:
    return sorted({name for _, values in rows for name in values})


def _time_unit(steps: Sequence[Step]) -> tuple[str, float]:
    """Name and seconds of the unit that suits the length of the survey."""
    length_s = steps[-1].end_s - steps[0].start_s if steps else 0.0
    return ("h", 3600.0) if length_s > 2 * 3600 else ("min", 60.0)


def _mosaic(axes: Axes, overviews: Iterable[tuple[ExposureRecord, npt.NDArray[np.generic]]]) -> None:
    tiles = [(record, _shrink(np.asarray(image, dtype=np.float32))) for record, image in overviews]
    if not tiles:
        return
    low, high = np.percentile(np.concatenate([tile.ravel() for _, tile in tiles]), (0.5, 99.5))
    for record, tile in tiles:
        place = record.footprint
        right, left = (place.x_nm - place.width_nm / 2), (place.x_nm + place.width_nm / 2)
        bottom, top = (place.y_nm - place.height_nm / 2), (place.y_nm + place.height_nm / 2)
        axes.imshow(tile, cmap="gray", vmin=low, vmax=high, extent=(left, right, bottom, top), interpolation="nearest")


def _shrink(image: npt.NDArray[np.float32], size_px: int = 64) -> npt.NDArray[np.float32]:
    """Block means, so that a tile of the mosaic carries about ``size_px`` columns."""
    step = max(image.shape[1] // size_px, 1)
    rows, columns = (length // step * step for length in image.shape)
    blocks = image[:rows, :columns].reshape(rows // step, step, columns // step, step)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _outline(axes: Axes, record: ExposureRecord, *, colour: str, width: float) -> None:
    place = record.footprint
    corner = ((place.x_nm - place.width_nm / 2), (place.y_nm - place.height_nm / 2))
    axes.add_patch(
        Rectangle(corner, place.width_nm, place.height_nm, angle=place.rotation_deg,
                  rotation_point="center", fill=False, edgecolor=colour, linewidth=width)
    )  # fmt: skip


def _limits(axes: Axes, records: Sequence[ExposureRecord]) -> None:
    places = [record.footprint for record in records if record.purpose != "focus"]
    if not places:
        return
    margin = 0.02 * max(max(p.width_nm for p in places), 1.0)
    axes.set_xlim(
        max(p.x_nm + p.width_nm / 2 for p in places) + margin,
        min(p.x_nm - p.width_nm / 2 for p in places) - margin,
    )
    axes.set_ylim(
        min(p.y_nm - p.height_nm / 2 for p in places) - margin,
        max(p.y_nm + p.height_nm / 2 for p in places) + margin,
    )


def _svg(figure: Figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return _uri(stream, "svg+xml")


def _uri(stream: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
