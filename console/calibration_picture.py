"""A calibration as a picture: the stage's axes over what was seen, and how well the moves agree with the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from surveys.calibration import Measured


def save_picture(measured: Measured, path: Path) -> None:
    """Write a PNG."""
    stage, focus = measured.stage, measured.focus
    panels = 2 if focus is None else 3
    figure = Figure(figsize=(4.6 * panels, 4.4), layout="constrained")
    half_nm = measured.field_of_view_nm / 2
    height_nm = half_nm * stage.image.shape[0] / stage.image.shape[1]
    place = figure.add_subplot(1, panels, 1)
    place.imshow(stage.image, cmap="gray", extent=(-half_nm, half_nm, height_nm, -height_nm), interpolation="nearest")
    for axis, colour in ((0, "tab:orange"), (1, "tab:cyan")):
        right, down = (stage.matrix[:, axis] * half_nm * 0.6).tolist()
        place.annotate("", (right, down), (0.0, 0.0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2})
        place.annotate(
            f"+{'xy'[axis]}", (1.12 * right, 1.12 * down), color=colour, ha="center", va="center", fontweight="bold"
        )
    mirrored = ", mirrored" if stage.mirrored else ""
    place.set(title=f"where the stage moves the image: {stage.turned_deg:.2f}°{mirrored}", xlabel="nm", ylabel="nm")

    agreement = figure.add_subplot(1, panels, 2)
    foretold = stage.moves_nm @ stage.matrix.T
    off_nm = stage.shifts_nm - foretold
    agreement.axhline(0, color="0.8", linewidth=1)
    agreement.axvline(0, color="0.8", linewidth=1)
    agreement.plot(off_nm[:-1, 0], off_nm[:-1, 1], "o", color="tab:blue", label="moves it was made from")
    agreement.plot(off_nm[-1:, 0], off_nm[-1:, 1], "s", color="tab:red", label="a move that was foretold")
    most_nm = 1.2 * max(float(np.abs(off_nm).max()), 1e-3)
    agreement.set(xlim=(-most_nm, most_nm), ylim=(most_nm, -most_nm), aspect="equal")
    agreement.set(title="image against matrix", xlabel="columns, nm", ylabel="rows, nm")
    agreement.legend(loc="upper right", fontsize="small")

    if focus is not None:
        sweep = figure.add_subplot(1, panels, 3)
        for points, told in zip(focus.sweeps, ("before", f"raised by {focus.raised_nm:.3g} nm", "after"), strict=True):
            units, detail = np.array(points).T
            sweep.plot(units, detail, ".-", label=told)
        sweep.set(title=f"{focus.nm_per_unit:.4g} nm a unit", xlabel="focus, units", ylabel="detail")
        sweep.legend(fontsize="small")
    figure.savefig(path, dpi=120)
