"""A forest plot: each survey's value of a measure with its interval, and what they say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from surveys.comparing import Compared

_SIGMAS = 1.96
_ROW = 0.28
_AGREES, _DIFFERS, _POOLED = "#1f4e79", "#b23a1e", "#444444"


def forest(compared: Sequence[Compared], most: int = 12) -> Figure:
    """The measures one above the other, each on its own axis; those that differ in red, without a pooled value."""
    shown = [each for each in compared if len(each.values) > 1 and any(std for std in each.stds)][:most]
    rows = [len(each.values) + (each.pooled is not None) for each in shown]
    height = sum(rows) * _ROW + 0.75 * max(len(shown), 1) + 0.3
    figure = Figure(figsize=(7.6, height), layout="constrained")
    if not shown:
        figure.text(0.5, 0.5, "nothing with an uncertainty is in two of the surveys", ha="center", va="center")
        return figure
    axes = figure.subplots(len(shown), 1, height_ratios=[count + 1.2 for count in rows], squeeze=False)[:, 0]
    for axis, each in zip(axes, shown, strict=True):
        _draw(axis, each)
    return figure


def _draw(axis: Axes, each: Compared) -> None:
    colour = _AGREES if each.comparable else _DIFFERS
    labels, place = [], 0
    largest = max(each.numbers)
    for survey, value, std, number in zip(each.surveys, each.values, each.stds, each.numbers, strict=True):
        size = 4 + 5 * (number / largest) ** 0.5
        axis.errorbar(value, -place, xerr=_SIGMAS * (std or 0.0), fmt="s", ms=size, color=colour, lw=1.2)
        labels.append(f"{survey} (n = {number})")
        place += 1
    if each.pooled is not None and each.low is not None and each.high is not None:
        xs, ys = [each.low, each.pooled, each.high, each.pooled], [-place, -place + 0.3, -place, -place - 0.3]
        axis.fill(xs, ys, color=_POOLED)
        labels.append("together")
        place += 1
    axis.set_yticks([-n for n in range(place)], labels, fontsize=8)
    axis.set_ylim(-place + 0.4, 0.6)
    unit = "" if each.unit == "1" else f" ({each.unit})"
    where = f", {each.signal}" if each.signal else ""
    axis.set_title(f"{each.name}{unit}{where}: {each.why}", fontsize=8, loc="left", color=colour)
    axis.tick_params(axis="x", labelsize=7)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
