"""Vendors' files as experiments: every signal of a file, its tags in our words and units, what its image looks like."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from archive.library_records import Conditions, Experiment, LibraryError, Outcome, possible
from archive.likeness import MODEL, embed
from configs.elements import elements_of
from configs.errors import ConfigError
from envs.quality import frame_quality, usable
from instruments.images import is_vendors, read_image, summed
from instruments.recordings_apart import opened
from instruments.tags import describe
from instruments.vocabulary import converted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archive.likeness import Vector
    from instruments.recordings import Recording
    from instruments.vocabulary import Understood

Image: TypeAlias = npt.NDArray[np.float32]

_PART_BYTES = 1 << 20
_MOST_SIGNALS = 64
_MOST_BYTES = 1 << 30
"""Of a signal that is read to see what it looks like; a larger one is kept by its tags alone."""
_MOST_TAGS = 400
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
"""Of a name, also of one that is written as one: BFDetector, DF4-HAADF_2."""
_IMAGING = (("HAADF", {"HAADF"}), ("ABF", {"ABF"}), ("ADF", {"ADF", "LAADF", "MAADF"}), ("BF", {"BF"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person says of a file that it does not say itself."""

    material: str | None = None
    elements: tuple[str, ...] = ()
    specimen: str | None = None
    words: str = ""
    operator: str | None = None
    orcid: str | None = None
    licence: str | None = None


def experiments_in(path: Path, told: Told | None = None) -> Iterator[tuple[Experiment, dict[str, Vector]]]:
    """Each signal of a file or an OME-Zarr folder, with its embedding. Raises ConfigError, LibraryError, OSError."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file; give the path of one")
    given = told or Told()
    if not path.is_dir() and is_vendors(path):
        digest = _digest(path)
        with opened(path) as recordings:
            if len(recordings) > _MOST_SIGNALS:
                raise LibraryError(
                    f"{path} holds {len(recordings)} signals, more than {_MOST_SIGNALS}: an export of a survey? "
                    "add the survey's folder"
                )
            for number, recording in enumerate(recordings):
                yield _of_recording(path, digest, number, recording, given)
    else:
        yield _of_image(path, _digest(path), given)


def technique_of(name: str, kind: str, signal_type: str = "", mode: str = "") -> str:
    """The technique by a detector's or signal's name, what kind of data it is, and the illumination's mode.

    >>> technique_of("SuperXG2", "spectra", "EDS_TEM"), technique_of("HAADF", "image"), technique_of("", "patterns")
    ('EDS', 'HAADF', '4D-STEM')
    >>> technique_of("", "image", mode="TEM"), technique_of("01-EELS Acquire", "spectrum"), technique_of("", "image")
    ('CTEM', 'EELS', 'image')
    >>> technique_of("BFDetector", "image"), technique_of("subfigure_1", "image"), technique_of("LAADF 2", "image")
    ('BF', 'image', 'ADF')
    """
    told = f"{name} {signal_type}".upper()
    words = {word.upper() for word in _WORDS.findall(name)}
    if kind == "patterns":
        return "4D-STEM"
    if kind in ("spectra", "spectrum"):
        for sign, technique in (
            ("EELS", "EELS"),
            ("EDS", "EDS"),
            ("EDX", "EDS"),
            ("SUPERX", "EDS"),
            ("ENERGY LOSS", "EELS"),
        ):
            if sign in told:
                return technique
        return "spectrum"
    for technique, signs in _IMAGING:
        if words & signs:
            return technique
    if "STEM" in mode.upper() or "PROBE" in mode.upper():
        return "STEM"
    return "CTEM" if mode.upper().startswith("TEM") else "image"


def image_outcome(image: Image) -> Outcome:
    """Its quality, as of one frame."""
    quality = frame_quality(image)
    return Outcome(
        frames=1, usable_frames=int(usable(quality)), snr=quality["snr"] or None, sharpness=quality["sharpness"] or None
    )


def _of_recording(
    path: Path, digest: str, number: int, recording: Recording, told: Told
) -> tuple[Experiment, dict[str, Vector]]:
    said = recording.understood()
    pixel_size_nm = _pixel_size_nm(recording)
    energy = next((axis for axis in recording.axes if axis.unit.lower() in ("ev", "kev")), None)
    conditions = _conditions(
        said,
        pixel_size_nm=pixel_size_nm,
        field_of_view_nm=None if pixel_size_nm is None else pixel_size_nm * _columns(recording),
        energy_step_eV=None if energy is None else converted(energy.scale, energy.unit, "eV"),
    )
    names = f"{recording.name} {' '.join(axis.name for axis in recording.axes)} {_text(said, 'detector') or ''}"
    technique = technique_of(names, recording.kind, recording.signal_type, _text(said, "mode") or "")
    image = _image(recording)
    signal = recording.name or _text(said, "detector") or ""
    experiment = _experiment(path, digest, number, technique, signal, recording.vendor, said, conditions, image, told)
    tags = {tag: value for tag, value in list(recording.tags.items())[:_MOST_TAGS] if len(str(value)) < 200}
    return _finished(experiment, tags), _embedded(image, pixel_size_nm)


def _of_image(path: Path, digest: str, told: Told) -> tuple[Experiment, dict[str, Vector]]:
    """MRC, TIFF, pictures, Zarr: what adaptem reads itself."""
    image = read_image(path)
    described = None
    if path.is_file() and path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".bmp"):
        described = describe(path)[-1]  # what stands in an .mdoc beside an MRC tells more than the MRC
    said = None if described is None else described.understood
    size_nm = image.pixel_size_nm
    conditions = _conditions(
        said, pixel_size_nm=size_nm, field_of_view_nm=None if size_nm is None else size_nm * image.data.shape[1]
    )
    vendor = path.suffix.lower().lstrip(".") if described is None else described.vendor
    technique = technique_of(_text(said, "detector") or path.stem, "image", mode=_text(said, "mode") or "")
    experiment = _experiment(path, digest, 0, technique, "", vendor, said, conditions, image.data, told)
    return experiment, _embedded(image.data, size_nm)


def _experiment(
    path: Path, digest: str, number: int, technique: str, signal: str, vendor: str, said: Understood | None,
    conditions: Conditions, image: Image | None, told: Told,
) -> Experiment:  # fmt: skip
    elements = told.elements or (_formula(told.material) if told.material else ())
    manufacturer, model = _text(said, "manufacturer"), _text(said, "model")
    return Experiment(
        uid=f"file:{digest}#{number}",
        kind="file",
        title=f"{path.stem}: {signal}" if signal else path.stem,
        technique=technique,
        signal=signal,
        material=told.material,
        elements=elements,
        specimen=told.specimen,
        words=" ".join(filter(None, (told.words, vendor, _text(said, "holder"), _text(said, "mode")))),
        created_utc=_text(said, "start_time"),
        source=path.name,
        source_sha256=digest,
        operator=told.operator,
        orcid=told.orcid,
        licence=told.licence,
        instrument=" ".join(filter(None, (manufacturer, model))) or None,
        conditions=conditions,
        outcome=Outcome() if image is None else image_outcome(image),
    )


def _finished(experiment: Experiment, tags: dict[str, object]) -> Experiment:
    from_tags = {str(name): _plain(value) for name, value in tags.items()}
    values = {each.name: getattr(experiment, each.name) for each in fields(experiment)}
    return Experiment(**values | {"tags": from_tags})


def _plain(value: object) -> object:
    """As JSON has it: a number that is none is None, and what JSON does not know is its text."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else str(value)


_FROM_TAGS = ("voltage_kV", "current_pA", "convergence_mrad", "collection_mrad", "dwell_us", "exposure_s",
              "fluence_e_per_A2", "defocus_nm")  # fmt: skip


def _conditions(said: Understood | None, **measured: float | None) -> Conditions:
    """By the file's tags; ``measured`` comes from its axes. What cannot be, as a voltage of 0, was not told."""
    told = {name: said.number(name) for name in _FROM_TAGS} if said is not None else {}
    if said is not None:
        for name in ("pixel_size_nm", "field_of_view_nm"):
            if measured.get(name) is None:
                measured[name] = said.number(name)
    found = {**told, **measured}
    return Conditions(
        **{name: v for name, v in found.items() if v is not None and math.isfinite(v) and possible(name, v)}
    )


def _pixel_size_nm(recording: Recording) -> float | None:
    try:
        return recording.pixel_size_nm
    except ConfigError:  # oblong pixels
        return None


def _columns(recording: Recording) -> int:
    return recording.shape[2] if recording.kind == "stack" else recording.shape[1]


def _image(recording: Recording) -> Image | None:
    """What can be looked at: an image, the first of a stack, the sum at every pixel of spectra or patterns."""
    if recording.kind not in ("image", "stack", "spectra", "patterns"):
        return None
    size = int(np.prod(recording.shape)) * recording.dtype.itemsize
    if recording.kind == "stack":
        data = recording.block(slice(0, 1))[0]
    elif size > _MOST_BYTES:
        return None
    else:
        data = recording.block() if recording.kind == "image" else summed(recording)
    if np.iscomplexobj(data) or min(data.shape) < 2:
        return None
    image = np.asarray(data, dtype=np.float32)
    return image if np.isfinite(image).all() else None


def _embedded(image: Image | None, pixel_size_nm: float | None) -> dict[str, Vector]:
    vector = None if image is None else embed(image, pixel_size_nm)
    return {} if vector is None else {MODEL: vector}


def _text(said: Understood | None, name: str) -> str | None:
    value = None if said is None else said.values.get(name)
    return value if isinstance(value, str) and value else None


def _formula(material: str) -> tuple[str, ...]:
    """The elements of a formula; none where it is a name."""
    try:
        return elements_of(material)
    except ValueError:
        return ()


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, of its files by their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else (path,):
        if file.is_file():
            if path.is_dir():
                digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as opened_file:
                while part := opened_file.read(_PART_BYTES):
                    digest.update(part)
    return digest.hexdigest()
