"""How good a survey's data are: frame by frame, and as a whole. ``quality_terms`` says what each number means.

Nothing is written to the record. A measure that cannot be made is left out, never 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from skimage.measure import blur_effect

from envs.drift import drift_nm_per_s
from envs.frc import halves, ring_correlation, two_frame_snr
from envs.quality import frame_quality, usable
from models.ctf import ctf_fit
from surveys.quality_survey import share_std, whole
from surveys.quality_terms import TERMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archive.reader import SurveyReader
    from archive.rows import ExposureRow
    from instruments.types import Frame, Signal

Image: TypeAlias = npt.NDArray[np.float32]

CAMERA = "CTEM"
"""The signal of a wide beam's camera: its rings are fitted."""
_BLUR_PX = 512
_LOOKED_AT = 200
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameQuality:
    """One signal of one exposure."""

    exposure: int
    specimen: str
    purpose: str
    signal: str
    pixel_size_nm: float
    values: dict[str, float]
    """By the names of ``FRAME_TERMS``."""
    usable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of a survey."""

    name: str
    signal: str
    """Empty for what is of the survey as a whole."""
    value: float
    std: float | None
    """Standard uncertainty; None where none is told."""
    n: int
    """Frames, or places, that it comes of."""
    detector: str = ""
    """With ``pixel_size_nm`` what ``signal`` is made of."""
    pixel_size_nm: float | None = None

    @property
    def unit(self) -> str:
        return TERMS[self.name].unit


def frames_of(reader: SurveyReader, most: int = _LOOKED_AT) -> list[FrameQuality]:
    """Of at most ``most`` exposures that look (survey, detail, control), spread evenly. Raises DamagedFrame."""
    rows = [
        row
        for row in reader.exposures()
        if row.frame is not None and str(row.purpose) in ("survey", "detail", "control")
    ]
    if len(rows) > most:
        rows = [rows[int(place)] for place in np.unique(np.linspace(0, len(rows) - 1, most).astype(int))]
    return [found for row in rows for found in _frame(row, reader.recorded(row.id))]


def survey_quality(reader: SurveyReader, frames: Sequence[FrameQuality]) -> list[Measure]:
    """Means over the frames with their standard errors, a signal and a pixel size at a time; then the survey's own."""
    groups: dict[str, list[FrameQuality]] = defaultdict(list)
    for frame in frames:
        groups[f"{frame.signal} {frame.pixel_size_nm:.3g} nm"].append(frame)
    found = []
    for signal, members in groups.items():
        by_name: dict[str, list[float]] = defaultdict(list)
        for member in members:
            for name, value in member.values.items():
                by_name[name].append(value)
            by_name["usable_ratio"].append(float(member.usable))
        told = [_mean(name, signal, by_name[name]) for name in TERMS if by_name.get(name)]
        first = members[0]
        found += [replace(each, detector=first.signal, pixel_size_nm=first.pixel_size_nm) for each in told]
    return [*found, *(Measure(name=n, signal="", value=v, std=s, n=c) for n, v, s, c in whole(reader, frames))]


def frame_values(frame: Frame, name: str, signal: Signal) -> dict[str, float] | None:
    """The measures of one signal, by name; None for what is no image and no burst of images."""
    names = [axis.name for axis in signal.axes]
    if names not in (["row", "column"], ["frame", "row", "column"]):
        return None
    data = np.asarray(signal.data, dtype=np.float32)
    image: Image = data if data.ndim == 2 else data[0]
    told = frame_quality(image)
    ceiling = signal.calibration.get("saturation_counts")
    saturated = told["saturated_fraction"] if ceiling is None else float((image >= ceiling).mean())
    values = {"snr": told["snr"], "sharpness": told["sharpness"], "saturated_ratio": saturated}
    if told["blank"]:
        return {"snr": 0.0, "saturated_ratio": saturated}
    middle = image[tuple(slice(max(size - _BLUR_PX, 0) // 2, (size + _BLUR_PX) // 2) for size in image.shape)]
    values["blur_ratio"] = float(blur_effect(middle))
    pixel_nm = frame.exposure.pixel_size_nm
    if data.ndim == 3 and len(data) >= 2 and min(image.shape) >= 32:
        one, two = halves(data)
        pair = two_frame_snr(one, two)
        values["snr"] = pair.snr / math.sqrt(len(data) // 2)  # of one frame, not of a mean of several
        values["frc_resolution_nm"] = ring_correlation(one, two, pixel_nm).resolution_nm()
        if (drift := drift_nm_per_s(signal)) is not None:
            values["drift_nm_per_s"] = drift
    if name.startswith(CAMERA) and frame.optics.voltage_kV is not None:
        values |= _rings(image - signal.calibration.get("offset_counts", 0.0), pixel_nm, frame)
    area_A2 = frame.exposure.field_of_view_nm * frame.exposure.height_nm * 100.0
    values["fluence_e_per_A2"] = frame.electrons / area_A2
    return {key: value for key, value in values.items() if math.isfinite(value)}


def _frame(row: ExposureRow, frame: Frame) -> list[FrameQuality]:
    found = []
    for name, signal in frame.signals.items():
        values = frame_values(frame, name, signal)
        if values is None:
            continue
        judged = {"blank": 0.0 if "sharpness" in values else 1.0, "snr": values["snr"]}
        found.append(
            FrameQuality(
                exposure=row.id,
                specimen=row.specimen,
                purpose=str(row.purpose),
                signal=name,
                pixel_size_nm=row.exposure.pixel_size_nm,
                values=values,
                usable=usable(judged | {"saturated_fraction": values["saturated_ratio"]}),
            )
        )
    return found


def _rings(image: Image, pixel_nm: float, frame: Frame) -> dict[str, float]:
    """Of a wide beam; nothing where the fit is not to be believed."""
    optics = frame.optics
    near = optics.defocus_nm or 0.0
    try:
        fit = ctf_fit(
            image, pixel_nm, optics.voltage_kV or 200.0, c30_nm=optics.spherical_nm or 0.0, near_nm=near,
            range_nm=max(0.5 * abs(near), 200.0),
        )  # fmt: skip
    except (ValueError, np.linalg.LinAlgError):
        return {}
    if not fit.settled or fit.resolution_nm is None:
        return {"ctf_score": fit.score}
    return {"ctf_defocus_nm": fit.defocus_nm, "ctf_resolution_nm": fit.resolution_nm, "ctf_score": fit.score}


def _mean(name: str, signal: str, values: Sequence[float]) -> Measure:
    mean, count = float(np.mean(values)), len(values)
    if name == "usable_ratio":
        return Measure(name=name, signal=signal, value=mean, std=share_std(mean, count), n=count)
    std = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else None
    if std is not None and std < _ROUNDING * abs(mean):
        std = 0.0
    return Measure(name=name, signal=signal, value=mean, std=std, n=count)
