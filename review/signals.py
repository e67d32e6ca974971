"""New contrasts from what a survey kept: virtual detectors over its patterns, windows over its spectra."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import tifffile
from matplotlib.figure import Figure

from archive.reader import SurveyReader
from configs.errors import ConfigError
from models.virtual import FORMS, Camera, Spec, find_centre, mean_pattern, parse, virtual_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from instruments.types import Axis, Signal

Array: TypeAlias = npt.NDArray[np.float64]
_PATTERN = ("row", "column", "ky", "kx")
_SPECTRUM = ("row", "column", "energy")
_NUMBER = r"(-?\d+(?:\.\d*)?)"
_MOST_SHOWN = 12
"""Images in one picture."""


@dataclass(frozen=True, slots=True)
class Window:
    """Energies that are summed."""

    text: str
    from_eV: float
    to_eV: float


@dataclass(frozen=True, slots=True)
class Made:
    """What came of one detector."""

    detector: str
    files: tuple[Path, ...]
    """One TIFF an exposure."""
    picture: Path


def read_detector(text: str) -> Spec | Window:
    """A virtual detector as ``models.virtual.parse`` reads it, or 'energy:FROM-TO' in eV. Raises ConfigError.

    >>> read_detector("energy:280-330").to_eV
    330.0
    """
    kind, _, rest = text.strip().partition(":")
    if kind != "energy":
        try:
            return parse(text)
        except ValueError as error:
            raise ConfigError(f"{error}, or 'energy:280-330' (eV) for spectra") from error
    found = re.fullmatch(rf"{_NUMBER}-{_NUMBER}", rest)
    if found is None or not float(found[1]) < float(found[2]):
        raise ConfigError(f"{text!r} is no window; write energy:FROM-TO in eV, such as energy:280-330")
    return Window(text, float(found[1]), float(found[2]))


def make_signals(
    folder: Path,
    detectors: Sequence[str],
    out: Path,
    *,
    exposure: int | None = None,
    centre: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> list[Made]:
    """Write a TIFF (32 bit, with its pixel size) for every exposure that suits, and one picture for each detector.

    ``centre``: take the beam's middle from the patterns, not from their axes. ``told`` hears of progress. Nothing is
    changed in ``folder``. Raises ConfigError, ArchiveError.
    """
    wanted = [read_detector(text) for text in detectors]
    out.mkdir(parents=True, exist_ok=True)
    made: list[list[Path]] = [[] for _ in wanted]
    beyond: dict[str, str] = {}
    shown: list[list[tuple[str, Array, float]]] = [[] for _ in wanted]
    with SurveyReader(folder) as reader:
        for row in reader.exposures():
            axes = {stored.signal: tuple(axis.name for axis in stored.axes)[-4:] for stored in row.signals}
            usable = [name for name, names in axes.items() if names == _PATTERN or names[-3:] == _SPECTRUM]
            if not usable or (exposure is not None and row.id != exposure):
                continue
            frame = reader.recorded(row.id)
            for name in usable:
                for n, detector in enumerate(wanted):
                    if isinstance(detector, Window) != (axes[name] != _PATTERN):
                        continue
                    if (
                        isinstance(detector, Window)
                        and not _chosen(detector, energies := _energies(frame.signals[name])).any()
                    ):
                        beyond[name] = f"{name} goes from {energies[0]:g} to {energies[-1]:g} eV"
                        continue
                    image = _image(frame.signals[name], detector, centre=centre)
                    path = out / f"{row.id:06d}_{name}_{re.sub(r'[^A-Za-z0-9.-]+', '-', detector.text)}.tif"
                    pixel_nm = next(axis.scale for axis in frame.signals[name].axes if axis.name == "column")
                    _write(path, image, pixel_nm, f"{detector.text} of {name}, exposure {row.id} of {folder.name}")
                    made[n].append(path)
                    if len(shown[n]) < _MOST_SHOWN:
                        shown[n].append((f"exposure {row.id}", _scalar(image), pixel_nm))
            told(f"exposure {row.id}")
    for detector, files in zip(wanted, made, strict=True):
        if not files and isinstance(detector, Window) and beyond:
            raise ConfigError(f"{detector.text} was asked; {', '.join(beyond.values())}")
        if not files:
            what = "spectra" if isinstance(detector, Window) else "patterns"
            which = "no exposure" if exposure is None else f"not exposure {exposure}"
            raise ConfigError(
                f"{detector.text} was asked of {folder}, where {which} has {what}: name such a detector in the "
                "survey's looks.detail.signals, for instance [HAADF, camera]"
            )
    return [
        Made(detector.text, tuple(files), _picture(detector.text, images, out))
        for detector, files, images in zip(wanted, made, shown, strict=True)
    ]


def _image(signal: Signal, detector: Spec | Window, *, centre: bool) -> Array:
    """(H, W), or (H, W, 2) where it is a centre of mass; the frames of a burst are added up."""
    data, axes = signal.data, signal.axes
    if axes[0].name == "frame":
        data, axes = data.sum(axis=0, dtype=np.float64), axes[1:]
    if isinstance(detector, Window):
        return np.asarray(data[..., _chosen(detector, _energies(signal))].sum(axis=-1), dtype=np.float64)
    ky, kx = axes[-2:]
    beam = find_centre(mean_pattern(data)) if centre else (_middle(ky), _middle(kx))
    camera = Camera((data.shape[-2], data.shape[-1]), (ky.scale, kx.scale), beam)
    try:
        return virtual_image(data, camera, detector)
    except ValueError as error:
        raise ConfigError(f"{error}; the forms are {FORMS}") from error


def _energies(signal: Signal) -> Array:
    """(E,) eV of a spectrum's channels."""
    axis = signal.axes[-1]
    return axis.offset + axis.scale * np.arange(signal.data.shape[-1], dtype=np.float64)


def _chosen(window: Window, energies_eV: Array) -> npt.NDArray[np.bool_]:
    """(E,) which channels a window sums."""
    return (energies_eV >= window.from_eV) & (energies_eV < window.to_eV)


def _middle(axis: Axis) -> float:
    """Where angle 0 lies, in pixels."""
    return -axis.offset / axis.scale


def _scalar(image: Array) -> Array:
    """What is shown of it: of a centre of mass, how far off it lies."""
    return image if image.ndim == 2 else np.hypot(image[..., 0], image[..., 1])


def _write(path: Path, image: Array, pixel_nm: float, title: str) -> None:
    planes = np.moveaxis(image, -1, 0) if image.ndim == 3 else image
    tifffile.imwrite(
        path,
        planes.astype(np.float32),
        imagej=True,
        resolution=(1 / pixel_nm, 1 / pixel_nm),
        metadata={"unit": "nm", "axes": "CYX" if image.ndim == 3 else "YX", "Info": title},
    )


def _picture(text: str, images: Sequence[tuple[str, Array, float]], out: Path) -> Path:
    columns = min(len(images), 4)
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(3 * columns, 3.3 * rows), layout="constrained")
    figure.suptitle(text)
    for n, (title, image, pixel_nm) in enumerate(images):
        axes = figure.add_subplot(rows, columns, n + 1)
        wide, high = image.shape[1] * pixel_nm, image.shape[0] * pixel_nm
        low, top = np.nanpercentile(image, (0.5, 99.5))
        axes.imshow(image, cmap="gray", vmin=low, vmax=top, extent=(0, wide, high, 0))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("nm", fontsize=8)
        axes.tick_params(labelsize=7)
    path = out / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', text)}.png"
    figure.savefig(path, dpi=120)
    return path
