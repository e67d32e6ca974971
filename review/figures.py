"""The pictures of the report: where, when, how well. Each function gives one self-contained image as a data URI.

Maps are drawn as the frames show the specimen: places are point-reflected against pixels (DESIGN section 3), so x
grows to the left.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from envs.step import Kind, Purpose
from review.counts import work_s
from review.pictures import uri
from review.words import named, quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from envs.step import ExposureRecord, Step
    from instruments.types import Footprint

matplotlib.use("Agg")

INK, FAINT, ACCENT, FAULT, UNSEEN = "#1c2430", "#5d6876", "#d1495b", "#c77700", "#343a44"
LANES = {"overview": "#4c6a92", "detail": "#7ea0c8", "focus": "#b89bd0", "control": "#2e9d7f", "failed": FAULT,
         "waiting": "#c9ced6"}  # fmt: skip
"""What the instrument was busy with, and its colour."""
OUTLINES = {Purpose.DETAIL: ("#7ea0c8", 0.6), Purpose.CONTROL: ("#2eb892", 1.3)}
"""Colour and width of what is outlined on the map."""
NUMBERED = 40
"""Flags that carry their rank on the map."""
_SEEN_RATIO = 1500
"""So many gaps side by side would fill the width of a timeline."""


def coverage(
    overviews: Iterable[tuple[ExposureRecord, npt.NDArray[np.generic]]],
    steps: Sequence[Step],
    flags: Sequence[Mapping[str, Any]],
) -> str:
    """The specimen as the overview looks saw it, with what was looked at in detail, the controls and the flags."""
    figure = Figure(figsize=(8.6, 7.6), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor(UNSEEN)
    _mosaic(axes, overviews)
    seen = [record for step in steps for record in step.exposures if record.committed]
    for record in seen:
        if record.purpose in OUTLINES:
            colour, width = OUTLINES[record.purpose]
            _outline(axes, record.footprint, colour=colour, width=width)
    for flag in reversed(flags):  # the first on top
        _flag(axes, flag)
    limits(axes, seen)
    unit, nm = ("µm", 1000.0) if abs(np.diff(axes.get_xlim())[0]) > 2000 else ("nm", 1.0)
    for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        axis.set_major_formatter(lambda value, _: f"{value / nm:g}")
        axis.set_label_text(f"{name} ({unit}), as the frames show it" if name == "x" else f"{name} ({unit})")
    axes.set_aspect("equal")
    return svg(figure)


def timeline(
    steps: Sequence[Step],
    faults: Sequence[Mapping[str, Any]],
    waits_s: Sequence[tuple[float, float]],
    electrons_budget: float | None,
) -> str:
    """One lane for each kind of step, every fault, and below the electrons sent, against the instrument's clock."""
    unit, seconds = _time_unit(steps)
    shortest_s = (steps[-1].end_s - steps[0].start_s) / _SEEN_RATIO
    work = [(_lane(step), work_s(step, waits_s)) for step in steps] + [("waiting", wait) for wait in waits_s]
    lanes = {name: _merged([span for lane, span in work if lane == name], shortest_s) for name in LANES}
    lanes = {name: spans for name, spans in lanes.items() if len(spans)}
    figure = Figure(figsize=(9.6, 1.4 + 0.3 * len(lanes) + 1.3), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(0.3 * len(lanes) + 0.2, 1.3))
    for row, (name, spans) in enumerate(reversed(lanes.items())):
        axes.broken_barh(spans / seconds, (row + 0.15, 0.7), facecolors=LANES[name], linewidth=0)
    for fault in faults:
        axes.axvline(fault["time_s"] / seconds, color=FAULT, linewidth=1.0, alpha=0.7)
    axes.set_yticks(np.arange(len(lanes)) + 0.5, list(reversed(lanes)))
    axes.set_ylim(0, len(lanes))
    axes.tick_params(left=False)
    used = np.cumsum([step.electrons for step in steps])
    below.plot([step.end_s / seconds for step in steps], used, color=INK, linewidth=1.6)
    top = max(float(used[-1]), 1.0)
    if electrons_budget and electrons_budget < 4 * top:  # a budget far above would flatten the curve
        below.axhline(electrons_budget, color=INK, linestyle=":", linewidth=1)
        below.annotate("budget", (0, electrons_budget), xycoords=("axes fraction", "data"), xytext=(4, -3),
                       textcoords="offset points", va="top", fontsize=8, color=FAINT)  # fmt: skip
        top = electrons_budget
    below.set(ylabel="electrons", xlabel=f"instrument clock ({unit})", ylim=(0, top * 1.08))
    below.yaxis.set_major_formatter(lambda value, _: quantity(value))
    below.locator_params(axis="y", nbins=4)
    for panel in (axes, below):
        panel.spines[["top", "right"]].set_visible(False)
    return svg(figure)


def quality(steps: Sequence[Step]) -> str | None:
    """Every quality figure that the scorer read and that ever changed, against time; None where there is none."""
    rows = [(step.end_s, step.score.quality) for step in steps if step.score and step.look == "detail"]
    names = [name for name in _names(rows) if len({values.get(name) for _, values in rows}) > 1]
    if not names:
        return None
    unit, seconds = _time_unit(steps)
    figure = Figure(figsize=(9.6, 1.1 * len(names) + 0.5), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(len(names), 1, sharex=True)), names, strict=True):
        points = [(time_s / seconds, values[name]) for time_s, values in rows if name in values]
        axes.plot(*np.array(points).T, ".", color=LANES["overview"], markersize=3)
        axes.set_ylabel(named(name).replace(" (", "\n("), rotation=0, ha="right", va="center", fontsize=9)
        axes.yaxis.set_major_formatter(lambda value, _: quantity(value))
        axes.locator_params(axis="y", nbins=3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"instrument clock ({unit})", fontsize=9)
    return svg(figure)


def _merged(spans_s: Sequence[tuple[float, float]], shortest_s: float) -> npt.NDArray[np.float64]:
    """(N, 2) starts and lengths; gaps too short to be seen are closed, spans too short are made long enough."""
    merged: list[list[float]] = []
    for start_s, end_s in sorted(spans_s):
        if merged and start_s - merged[-1][1] < shortest_s:
            merged[-1][1] = max(merged[-1][1], end_s)
        else:
            merged.append([start_s, end_s])
    return np.array([(start_s, max(end_s - start_s, shortest_s)) for start_s, end_s in merged]).reshape(-1, 2)


def _lane(step: Step) -> str:
    if step.fault is not None:
        return "failed"
    if step.kind is Kind.CONTROL:
        return "control"
    return "focus" if step.skill else (step.look or "")


def _flag(axes: Axes, flag: Mapping[str, Any]) -> None:
    """Its sites, with its rank in their middle."""
    place = (flag["x_nm"], flag["y_nm"])
    for site in flag["sites"]:
        width, height = site["width_nm"], site["height_nm"]
        corner = (site["x_nm"] - width / 2, site["y_nm"] - height / 2)
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=ACCENT, linewidth=1.4))
    if flag["rank"] <= NUMBERED:
        axes.annotate(str(flag["rank"]), place, color="white", fontsize=6.5, ha="center", va="center",
                      fontweight="bold", bbox={"boxstyle": "round,pad=0.15", "fc": ACCENT, "ec": "none"})  # fmt: skip


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


def _outline(axes: Axes, place: Footprint, *, colour: str, width: float) -> None:
    corner = ((place.x_nm - place.width_nm / 2), (place.y_nm - place.height_nm / 2))
    axes.add_patch(
        Rectangle(corner, place.width_nm, place.height_nm, angle=place.rotation_deg,
                  rotation_point="center", fill=False, edgecolor=colour, linewidth=width)
    )  # fmt: skip


def limits(axes: Axes, records: Sequence[ExposureRecord]) -> None:
    """Show all of ``records`` but the focus frames, x growing to the left."""
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


def svg(figure: Figure) -> str:
    """As a data URI, the same bytes for the same picture."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return uri(stream.getvalue(), "svg+xml")
