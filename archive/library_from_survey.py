"""A survey as experiments: one a specimen, purpose, field of view and detector, with what came of its frames."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from archive.export import facts_of
from archive.library_from_file import technique_of
from archive.library_records import Conditions, Experiment, Outcome
from archive.likeness import MODEL, embed, typical
from envs.quality import frame_quality, usable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.export import Facts
    from archive.likeness import Vector
    from archive.reader import SurveyReader
    from archive.rows import ExposureRow, StoredSignal
    from envs.step import Step

_LOOKED_AT = 8
"""Frames of an experiment that are read, spread over it: for its quality and what it looks like."""
_MOST_REASONS = 20
_MOST_VALUES = 1 << 28
"""Of one frame that is read; a larger one is kept without its quality."""
_PURPOSES = frozenset({"survey", "detail", "control"})
"""Focusing and drift are means, not ends."""


def survey_experiments(reader: SurveyReader) -> Iterator[tuple[Experiment, dict[str, Vector]]]:
    """Every experiment of a finished survey, with its embedding. Raises ArchiveError."""
    facts = facts_of(reader)
    groups: dict[tuple[str, str, str], list[tuple[ExposureRow, StoredSignal]]] = defaultdict(list)
    for row in reader.exposures():
        if row.frame is None or str(row.purpose) not in _PURPOSES:
            continue
        look = "survey" if str(row.purpose) == "survey" else "detail"
        for stored in row.signals:
            groups[row.specimen, f"{look} {row.exposure.field_of_view_nm:g} nm", stored.signal].append((row, stored))
    steps = {record.exposure.id: step for step in reader.steps() for record in step.exposures}
    reasons = defaultdict(list)
    for flag in reader.flags():
        reasons[str(flag.get("specimen"))].append(str(flag.get("reason", "")))
    for (specimen, look, signal), kept in groups.items():
        yield _experiment(reader, facts, (specimen, look, signal), kept, steps, reasons[specimen])


def _experiment(
    reader: SurveyReader,
    facts: Facts,
    key: tuple[str, str, str],
    kept: list[tuple[ExposureRow, StoredSignal]],
    steps: dict[int | None, Step],
    reasons: list[str],
) -> tuple[Experiment, dict[str, Vector]]:
    specimen, look, signal = key
    row, stored = kept[len(kept) // 2]
    images = [_image(reader, *each) for each in _spread(kept)]
    qualities = [frame_quality(image) for image in images if image is not None]
    pixel_size_nm = row.exposure.pixel_size_nm
    vector = typical([embed(image, pixel_size_nm) for image in images if image is not None])
    usable_share = float(np.mean([usable(quality) for quality in qualities])) if qualities else None
    failed = sum(1 for each, _ in kept if steps.get(each.id) is not None and steps[each.id].fault is not None)
    frames = len(kept)
    who = facts.who
    start_s = min(each.frame.start_s for each, _ in kept if each.frame is not None)
    end_s = max(each.frame.end_s for each, _ in kept if each.frame is not None)
    experiment = Experiment(
        uid=f"survey:{facts.created_utc}:{facts.seed}:{facts.name}:{specimen}:{look}:{signal}",
        kind="survey",
        title=f"{facts.name}, {specimen}: {look}, {signal}",
        technique=technique_of(signal, _kind(stored), signal, "STEM"),
        signal=signal,
        material=who.get("sample"),
        elements=facts.elements,
        specimen=who.get("sample") or specimen,
        words=" ".join(
            filter(None, (specimen, look, str(facts.config.get("name", "")), who.get("proposal"), facts.model))
        ),
        created_utc=facts.created_utc,
        source=facts.name,
        operator=who.get("operator"),
        orcid=who.get("orcid"),
        licence=who.get("licence"),
        instrument=facts.model,
        conditions=_conditions(row, stored),
        outcome=Outcome(
            frames=frames,
            usable_frames=None if usable_share is None else max(round(usable_share * frames) - failed, 0),
            snr=_median(qualities, "snr"),
            sharpness=_median(qualities, "sharpness"),
            flags=len(reasons),
            hours=(end_s - start_s) / 3600.0,
            electrons=sum(each.frame.electrons for each, _ in kept if each.frame is not None),
        ),
        found=tuple(reason for reason in reasons[:_MOST_REASONS] if reason),
        tags={"policies": list(facts.policies), "versions": dict(facts.versions), "simulation": facts.is_simulation},
    )
    return experiment, {} if vector is None else {MODEL: vector}


def _conditions(row: ExposureRow, stored: StoredSignal) -> Conditions:
    frame, exposure = row.frame, row.exposure
    optics = None if frame is None else frame.optics
    temperature = None if frame is None else frame.holder.get("temperature_K")
    energy = next((axis for axis in stored.axes if axis.name == "energy"), None)
    return Conditions(
        voltage_kV=optics.voltage_kV if optics else None,
        current_pA=optics.current_pA if optics else None,
        convergence_mrad=optics.convergence_mrad if optics else None,
        dwell_us=exposure.dwell_us,
        pixel_size_nm=exposure.pixel_size_nm,
        field_of_view_nm=exposure.field_of_view_nm,
        fluence_e_per_A2=None if frame is None else frame.electrons / (row.footprint.area_nm2 * 100.0),
        defocus_nm=optics.defocus_nm if optics else None,
        temperature_K=temperature.value if temperature is not None and temperature.valid else None,
        energy_step_eV=energy.scale if energy is not None and energy.unit == "eV" else None,
    )


def _kind(stored: StoredSignal) -> str:
    names = {axis.name for axis in stored.axes}
    return "spectra" if "energy" in names else "patterns" if "kx" in names else "image"


def _image(reader: SurveyReader, row: ExposureRow, stored: StoredSignal) -> Any:
    """(H, W) float32 of a signal: the first frame of a burst, the sum of spectra or patterns at each pixel."""
    if math.prod(stored.shape) > _MOST_VALUES:
        return None
    data = reader.frame(row.id)[stored.signal]
    names = [axis.name for axis in stored.axes]
    if names[:1] == ["frame"]:
        data = data[0]
    if data.ndim > 2 and names[:2] == ["row", "column"]:
        data = data.reshape(*data.shape[:2], -1).sum(axis=-1, dtype=np.float64)
    image = np.asarray(data, dtype=np.float32)
    return image if image.ndim == 2 and np.isfinite(image).all() else None


def _spread(kept: list[tuple[ExposureRow, StoredSignal]]) -> list[tuple[ExposureRow, StoredSignal]]:
    places = np.unique(np.linspace(0, len(kept) - 1, min(_LOOKED_AT, len(kept))).astype(int))
    return [kept[int(place)] for place in places]


def _median(qualities: list[dict[str, float]], name: str) -> float | None:
    return float(np.median([quality[name] for quality in qualities])) if qualities else None
