"""The picture of the property that spectra were taken for: where it was how high, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from envs.property import NAME
from review.figures import ACCENT, LANES, UNSEEN, limits, svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.step import Step


def measured(steps: Sequence[Step]) -> str | None:
    """One self-contained image as a data URI; None where no property was measured."""
    read = [(step.shown, step.score.quality[NAME]) for step in steps if step.score and NAME in step.score.quality]
    taken = [(record, value) for record, value in read if record is not None]
    if not taken:
        return None
    values = np.array([value for _, value in taken])
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    where, when = figure.subplots(1, 2)
    colours, scale = matplotlib.colormaps["viridis"], Normalize(float(values.min()), float(values.max()))
    for record, value in taken:
        place = record.footprint
        corner = (place.x_nm - place.width_nm / 2, place.y_nm - place.height_nm / 2)
        where.add_patch(
            Rectangle(
                corner,
                place.width_nm,
                place.height_nm,
                angle=place.rotation_deg,
                rotation_point="center",
                facecolor=colours(scale(value)),
            )
        )
    limits(where, [record for step in steps for record in step.exposures if record.committed])
    where.set(facecolor=UNSEEN, aspect="equal", xlabel="x (nm), as the frames show it", ylabel="y (nm)")
    where.locator_params(axis="x", nbins=3)
    figure.colorbar(ScalarMappable(scale, colours), ax=where, label="property", shrink=0.8)
    order = np.arange(1, len(values) + 1)
    when.plot(order, values, ".", color=LANES["overview"])
    when.plot(order, np.maximum.accumulate(values), color=ACCENT, linewidth=1.2, label="highest so far")
    when.set(xlabel="measurement", ylabel="property")
    when.legend(frameon=False, fontsize=9)
    when.spines[["top", "right"]].set_visible(False)
    return svg(figure)
