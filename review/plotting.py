"""Frames as figures, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import numpy.typing as npt

    from instruments.types import Frame, Signal


def plot_frame(frame: Frame) -> Figure:
    """One panel a detector, axes in nm from the frame's centre, row 0 on top.

    A burst (T, H, W), spectra (H, W, E) and patterns (H, W, Ky, Kx) are shown as their mean image.
    """
    exposure = frame.exposure
    half_width_nm, half_height_nm = exposure.field_of_view_nm / 2, exposure.height_nm / 2
    figure = Figure(figsize=(4.2 * max(len(frame.signals), 1), 4.2), layout="constrained")
    for column, (name, signal) in enumerate(frame.signals.items(), start=1):
        axes = figure.add_subplot(1, len(frame.signals), column)
        extent = (-half_width_nm, half_width_nm, half_height_nm, -half_height_nm)
        shown = axes.imshow(_image(signal), cmap="gray", extent=extent, interpolation="nearest")
        axes.set(title=name, xlabel="nm")
        figure.colorbar(shown, ax=axes, label=signal.unit, shrink=0.8)
    return figure


def _image(signal: Signal) -> npt.NDArray[np.float64]:
    """(H, W): the mean over every axis that is not a row or a column."""
    others = tuple(index for index, axis in enumerate(signal.axes) if axis.name not in ("row", "column"))
    image: npt.NDArray[np.float64] = np.asarray(signal.data, dtype=np.float64).mean(axis=others)
    return image
