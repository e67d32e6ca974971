"""What the library keeps of one experiment, and how it knows one again.

An experiment is one way of looking at one specimen: a look of a survey, or one signal of a vendor's file. ``uid`` says
which it is, ``content`` what is known of it: the same uid with another content is the same experiment told anew.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from archive.errors import ArchiveError
from configs.elements import element

Vector: TypeAlias = npt.NDArray[np.float32]
Kind: TypeAlias = Literal["survey", "file"]
Added: TypeAlias = Literal["new", "same", "revised", "conflict"]
"""What became of it: ``Library.add``."""

TECHNIQUES = ("HAADF", "ADF", "ABF", "BF", "CTEM", "4D-STEM", "EELS", "EDS", "STEM", "image", "spectrum")
"""STEM, image, spectrum: as much as was told."""


POSITIVE = ("voltage_kV", "pixel_size_nm", "field_of_view_nm")
NEVER_NEGATIVE = ("current_pA", "convergence_mrad", "collection_mrad", "dwell_us", "exposure_s", "fluence_e_per_A2",
                  "temperature_K", "frames", "usable_frames", "flags", "hours", "electrons")  # fmt: skip
_MOST_COUNTED = 1 << 53
_SAID = ("material", "elements", "specimen", "operator", "orcid", "licence")
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Of what makes embeddings: it can be part of a file's name."""


class LibraryError(ArchiveError):
    """The library cannot be opened, asked or written as was wanted."""


class OlderLibraryError(LibraryError):
    """Of an older adaptem, and it was not to be written: it can be brought to this version first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How it was looked; None = nobody told."""

    voltage_kV: float | None = None
    current_pA: float | None = None
    convergence_mrad: float | None = None
    collection_mrad: float | None = None
    dwell_us: float | None = None
    """Per pixel and frame."""
    exposure_s: float | None = None
    """Of a camera or a spectrum."""
    pixel_size_nm: float | None = None
    field_of_view_nm: float | None = None
    fluence_e_per_A2: float | None = None
    """Of one exposure."""
    defocus_nm: float | None = None
    temperature_K: float | None = None
    energy_step_eV: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it; None = not measured."""

    frames: int | None = None
    usable_frames: int | None = None
    """By ``envs.quality``: not blank, not saturated, structure above noise; or by a person."""
    snr: float | None = None
    """Median over the frames."""
    sharpness: float | None = None
    flags: int | None = None
    """Places that were flagged."""
    hours: float | None = None
    """Of the instrument."""
    electrons: float | None = None

    @property
    def usable_ratio(self) -> float | None:
        if not self.frames or self.usable_frames is None:
            return None
        return self.usable_frames / self.frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment as the library keeps it."""

    uid: str
    kind: Kind
    title: str
    technique: str
    """One of ``TECHNIQUES``."""
    signal: str = ""
    """The detector's own name."""
    material: str | None = None
    """Name or formula, as a person wrote it."""
    elements: tuple[str, ...] = ()
    specimen: str | None = None
    words: str = ""
    """Whatever else it should be found by."""
    created_utc: str | None = None
    source: str = ""
    """File or folder that it came from, as it was called there."""
    source_sha256: str | None = None
    operator: str | None = None
    orcid: str | None = None
    licence: str | None = None
    instrument: str | None = None
    conditions: Conditions = Conditions()
    outcome: Outcome = Outcome()
    found: tuple[str, ...] = ()
    """What was found, in words: reasons of flags, findings of a person."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """The source's own, raw."""
    revision: int | None = field(default=None, compare=False)
    """How often its first library has told it anew; None = never. It says which of two tellings is later."""

    @property
    def content(self) -> str:
        """SHA-256 of all that is known of it, but for what a copy of the file may be called elsewhere."""
        return hashlib.sha256(canonical(replace(self, source="", title="", revision=None))).hexdigest()

    def after(self, earlier: Experiment) -> Experiment:
        """This telling as the next one after ``earlier``, by the same library.

        Of a file, what a person said before and does not say now stays: material, elements, specimen, who, terms and
        words.
        """
        said: dict[str, Any] = {}
        if self.kind == "file":
            said = {name: getattr(self, name) or getattr(earlier, name) for name in _SAID}
            if set(self.words.split()) <= set(earlier.words.split()):
                said["words"] = earlier.words
        return replace(self, revision=(earlier.revision or 0) + 1, **said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What another technique says of a specimen: one quantity."""

    specimen: str
    quantity: str
    """lattice parameter, Ge content, thickness, …"""
    value: float
    unit: str
    """SI or the field's: nm, at.%, …; 1 where there is none."""
    uncertainty: float | None = None
    """Standard, in the same unit; None = not told."""
    technique: str
    """XRD, APT, ICP-MS, …"""
    source: str
    """Publication, report or file."""
    measured_utc: str | None = None

    @property
    def content(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(canonical(self)).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """An experiment with its place in this library."""

    id: int
    experiment: Experiment
    origin: str
    """Id of the library that it was first added to."""
    added_utc: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where an import comes from."""

    sha256: str
    name: str
    origin: str
    """Id of the library that it was exported from."""
    author: str | None
    licence: str | None


_EXPERIMENT = TypeAdapter(Experiment)
_RESULT = TypeAdapter(Result)


def canonical(record: Experiment | Result) -> bytes:
    """JSON with sorted keys and without what is None: equal for equal records, in every version that knows them."""
    return canonical_json(_EXPERIMENT if isinstance(record, Experiment) else _RESULT, record)


def canonical_json(adapter: TypeAdapter[Any], record: object) -> bytes:
    """The same of any kind of record."""
    return to_json(_sorted(adapter.dump_python(record, mode="json", exclude_none=True)))


def experiment_of(data: str | bytes) -> Experiment:
    """From its JSON; whether it makes sense says ``checked``. Raises LibraryError for what is none."""
    try:
        found = _EXPERIMENT.validate_json(data)
    except ValidationError as error:
        raise LibraryError(f"no experiment can be read from {str(data[:80])!r}: {error.errors()[0]['msg']}") from error
    return found


def result_of(data: str | bytes) -> Result:
    """From its JSON. Raises LibraryError."""
    try:
        found = _RESULT.validate_json(data)
    except ValidationError as error:
        raise LibraryError(f"no result can be read from {str(data[:80])!r}: {error.errors()[0]['msg']}") from error
    return checked_result(found)


def checked(experiment: Experiment) -> Experiment:
    """As it is, where it makes sense.

    Raises LibraryError for an unknown technique or element, no finite number, or one that cannot be: a negative length.
    """
    if experiment.technique not in TECHNIQUES:
        raise LibraryError(f"technique {experiment.technique!r} was asked; known are {', '.join(TECHNIQUES)}")
    for symbol in experiment.elements:
        _symbol(symbol)
    for part in (experiment.conditions, experiment.outcome):
        for each in fields(part):
            value = getattr(part, each.name)
            if value is None:
                continue
            if isinstance(value, int) and abs(value) > _MOST_COUNTED:
                raise LibraryError(f"{each.name} of {experiment.title!r} has {value.bit_length()} bits: no such number")
            if not math.isfinite(value):
                raise LibraryError(f"{each.name} of {experiment.title!r} is {value}: leave out what is not known")
            if not possible(each.name, value):
                raise LibraryError(f"{each.name} of {experiment.title!r} is {value}: it cannot be that")
    if experiment.revision is not None and not 0 < experiment.revision < _MOST_COUNTED:
        raise LibraryError(f"{experiment.title!r} is told for the {experiment.revision}th time: count from 1")
    frames, usable = experiment.outcome.frames, experiment.outcome.usable_frames
    if usable is not None and (frames is None or not 0 <= usable <= frames):
        raise LibraryError(f"{experiment.title!r} has {usable} usable frames of {frames}: at most all can be")
    return experiment


def possible(name: str, value: float) -> bool:
    """Whether a condition or outcome of this name can have this finite value.

    >>> possible("pixel_size_nm", 0.0), possible("fluence_e_per_A2", 0.0), possible("defocus_nm", -20.0)
    (False, True, True)
    """
    return value > 0 if name in POSITIVE else value >= 0 or name not in NEVER_NEGATIVE


def checked_result(result: Result) -> Result:
    """As it is, where it makes sense. Raises LibraryError."""
    wrong = [name for name in ("specimen", "quantity", "unit", "technique", "source") if not getattr(result, name)]
    if wrong:
        raise LibraryError(f"a result needs its {', '.join(wrong)}; a dimensionless one has the unit 1")
    if not math.isfinite(result.value):
        raise LibraryError(f"{result.quantity} of {result.specimen} is {result.value}: give a number")
    if result.uncertainty is not None and not (math.isfinite(result.uncertainty) and result.uncertainty >= 0):
        raise LibraryError(f"{result.quantity} of {result.specimen} is uncertain by {result.uncertainty}: 0 or more")
    return result


def _symbol(symbol: str) -> None:
    try:
        if element(symbol) != symbol:
            raise LibraryError(f"element {symbol!r} is written {element(symbol)!r}")
    except ValueError as error:
        raise LibraryError(str(error)) from error


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
