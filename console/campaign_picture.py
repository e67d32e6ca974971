"""A campaign as a picture: the grid with what is known of each cell, how surely, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from surveys.campaign_told import shown, states

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from surveys.campaign_standing import Standing

_EDGES = {"done": "black", "twice": "tab:red", "claimed": "tab:orange", "proposed": "tab:green", "open": "0.75"}


def save_picture(now: Standing, proposed: Collection[str], path: Path) -> None:
    """Write a PNG. ``proposed``: cells that come next."""
    campaign, posterior = now.campaign, now.posterior()
    rows, columns = len(campaign.specimens), len(campaign.conditions)
    figure = Figure(figsize=(3.2 + 2.6 * columns, 2.2 + 0.75 * rows), layout="constrained")
    left, right = figure.subplots(1, 2)
    told = states(now, proposed)
    known = [cell in now.results for cell in campaign.grid]
    means = np.where(known, posterior.means, np.nan) if any(known) else np.zeros(len(known))
    for axes, values, title, colours in (
        (left, means, "posterior mean (grey: not measured)", "viridis"),
        (right, posterior.stds, "posterior standard deviation", "magma_r"),
    ):
        image = np.ma.masked_invalid(values.reshape(rows, columns))
        drawn = axes.imshow(image, cmap=colours, aspect="auto", alpha=0.75)
        axes.set_facecolor("0.93")
        figure.colorbar(drawn, ax=axes, shrink=0.85)
        axes.set_xticks(range(columns), [each.name for each in campaign.conditions], fontsize=8)
        axes.set_yticks(range(rows), [each.name for each in campaign.specimens], fontsize=8)
        axes.set_title(title, fontsize=9)
        for number, (cell, (row, column)) in enumerate(campaign.grid.items()):
            state, who = told[cell]
            first = shown(posterior.means[number], posterior.stds[number], log=campaign.measure.log)
            words = f"{first}\n{state} {who}" if axes is left else f"{posterior.stds[number]:.2g}\n{state}"
            if axes is left and not any(known):
                words = f"{state} {who}"
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75}
            axes.text(column, row, words, ha="center", va="center", fontsize=7, bbox=box)
            frame = Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, fill=False, ec=_EDGES[state], lw=2.2)
            axes.add_patch(frame)
    what = f"{'ln ' if campaign.measure.log else ''}{campaign.measure.descriptor} in {campaign.measure.signal}"
    measured = f"{sum(known)} of {len(known)} cells measured"
    figure.suptitle(f"{campaign.question}\n{what}; {measured}", fontsize=10)
    figure.savefig(path, dpi=110)
