"""One name and one unit for what every vendor calls differently: theirs → ours → NeXus NXem in SI.

``TERMS`` is the table (``vocabulary_terms``, ``vocabulary_live``), ``understand`` reads a vendor's raw tags by it,
``to_nexus`` says the same in NXem's words. What a file does not tell is None, never 0. Signs are ours: defocus < 0 is
underfocus, as in every vendor's interface read here (temscript, SerialEM, de-twin, Nion); abTEM's is the opposite.

Sources of the paths: NXem and its base classes in FAIRmat-NFDI/nexus_definitions, commit 0cbc766b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from instruments.vocabulary_live import LIVE_TERMS
from instruments.vocabulary_terms import FILE_TERMS, Term

if TYPE_CHECKING:
    from collections.abc import Mapping

Ratio: TypeAlias = float
Value: TypeAlias = float | str
Tags: TypeAlias = "Mapping[str, object]"

TERMS: Mapping[str, tuple[Term, ...]] = MappingProxyType({**FILE_TERMS, **LIVE_TERMS})
_ROOT = "/entry/measurement/event/instrument/"


@dataclass(frozen=True, slots=True)
class Quantity:
    """What we call it, and what NeXus does."""

    name: str
    """With its unit, as everywhere in adaptem."""
    unit: str | None
    """Ours; None = text."""
    si: str | None
    path: str | None
    """Below ``/entry/measurement/event/instrument``, or from the root; None: NXem has no place for it."""
    item: int | None = None
    """Which number of an array of three (a position)."""


_POSITION, _OPTICS, _COLUMN = "stage/position", "optics/", "ebeam_column/"
_ABERRATION = "ebeam_column/corrector_cs/tableau/"
QUANTITIES: Mapping[str, Quantity] = MappingProxyType({
    quantity.name: quantity
    for quantity in (
        Quantity("voltage_kV", "kV", "V", _COLUMN + "electron_source/voltage"),
        Quantity("emission_current_pA", "pA", "A", _COLUMN + "electron_source/emission_current"),
        Quantity("current_pA", "pA", "A", _OPTICS + "probe_current"),
        Quantity("probe_size_nm", "nm", "m", _COLUMN + "beam/diameter"),
        Quantity("convergence_mrad", "mrad", "rad", _OPTICS + "semi_convergence_angle"),
        Quantity("collection_mrad", "mrad", "rad", None),
        Quantity("detector_inner_mrad", "mrad", "rad", None),
        Quantity("detector_outer_mrad", "mrad", "rad", None),
        Quantity("camera_length_mm", "mm", "m", _OPTICS + "camera_length"),
        Quantity("magnification", "1", "1", _OPTICS + "magnification"),
        Quantity("field_of_view_nm", "nm", "m", _OPTICS + "field_of_view"),
        Quantity("pixel_size_nm", "nm", "m", None),
        Quantity("pixel_height_nm", "nm", "m", None),
        Quantity("defocus_nm", "nm", "m", _OPTICS + "defocus"),
        Quantity("stig_a_nm", "nm", "m", _ABERRATION + "c_1_2_a/magnitude"),
        Quantity("stig_b_nm", "nm", "m", _ABERRATION + "c_1_2_b/magnitude"),
        Quantity("spherical_nm", "nm", "m", _ABERRATION + "c_3_0/magnitude"),
        Quantity("scan_rotation_deg", "deg", "rad", _OPTICS + "rotation"),
        Quantity("dwell_us", "us", "s", _COLUMN + "scan_controller/dwell_time"),
        Quantity("flyback_us", "us", "s", _COLUMN + "scan_controller/flyback_time"),
        Quantity("exposure_s", "s", "s", "detector/count_time"),
        Quantity("x_nm", "nm", "m", _POSITION, 0),
        Quantity("y_nm", "nm", "m", _POSITION, 1),
        Quantity("z_nm", "nm", "m", _POSITION, 2),
        Quantity("alpha_deg", "deg", "rad", "stage/tilt1"),
        Quantity("beta_deg", "deg", "rad", "stage/tilt2"),
        Quantity("beam_shift_x_nm", "nm", "m", None),
        Quantity("beam_shift_y_nm", "nm", "m", None),
        Quantity("image_shift_x_nm", "nm", "m", None),
        Quantity("image_shift_y_nm", "nm", "m", None),
        Quantity("fluence_e_per_A2", "e/A^2", "1/m^2", None),
        Quantity("dose_rate_e_per_A2_per_s", "e/A^2/s", "1/(m^2 s)", _OPTICS + "dose_rate"),
        Quantity("holder", None, None, "stage/design"),
        Quantity("mode", None, None, _COLUMN + "operation_mode"),
        Quantity("detector", None, None, "detector/local_name"),
        Quantity("manufacturer", None, None, "fabrication/vendor"),
        Quantity("model", None, None, "fabrication/model"),
        Quantity("start_time", None, None, "/entry/measurement/event/start_time"),
    )
})  # fmt: skip

_EPOCH_S = 11_644_473_600
"""From 1601 to 1970."""
_LENGTHS_M = {
    "pm": 1e-12, "picometer": 1e-12, "å": 1e-10, "a": 1e-10, "angstrom": 1e-10, "nm": 1e-9, "nanometer": 1e-9,
    "um": 1e-6, "\\u00b5m": 1e-6, "micron": 1e-6, "microns": 1e-6, "micrometer": 1e-6, "mm": 1e-3, "millimeter": 1e-3,
    "cm": 1e-2, "centimeter": 1e-2, "m": 1.0, "meter": 1.0,
}  # fmt: skip
"""Lower case, µ as u: files write lengths in many ways. "A" is an ångström here, and an ampere among currents."""
_OTHERS: Mapping[str, Mapping[str, float]] = {
    "angle": {"rad": 1.0, "mrad": 1e-3, "deg": math.pi / 180, "°": math.pi / 180, "degree": math.pi / 180},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "current": {"A": 1.0, "uA": 1e-6, "nA": 1e-9, "pA": 1e-12},
    "voltage": {"V": 1.0, "kV": 1e3},
    "energy": {"eV": 1.0, "keV": 1e3, "ev": 1.0, "kev": 1e3},
    "wavenumber": {"1/nm": 1e9, "1/A": 1e10, "1/Å": 1e10, "1/m": 1.0, "1/um": 1e6},
    "ratio": {"1": 1.0},
    "fluence": {"e/A^2": 1e20, "e/nm^2": 1e18, "1/m^2": 1.0},
    "dose rate": {"e/A^2/s": 1e20, "1/(m^2 s)": 1.0},
}


def converted(value: Ratio, unit: str, to: str) -> float:
    """``value`` in ``unit``, in the unit ``to``. Raises ValueError where they do not measure the same, or are unknown.

    >>> converted(20.0, "µm", "nm")
    20000.0
    """
    unit, to = _plain(unit), _plain(to)
    for kind, factors in _OTHERS.items():
        if to in factors:
            if unit not in factors:
                raise ValueError(f"{unit!r} is no {kind} that is known ({', '.join(factors)})")
            return _rounded(value * factors[unit] / factors[to])
    if to.lower() not in _LENGTHS_M:
        raise ValueError(f"{to!r} is no unit that is known")
    if unit.lower() not in _LENGTHS_M:
        raise ValueError(f"{unit!r} is no length that is known ({', '.join(_LENGTHS_M)})")
    return _rounded(value * _LENGTHS_M[unit.lower()] / _LENGTHS_M[to.lower()])


@dataclass(frozen=True, slots=True)
class Found:
    """One quantity as a file tells it."""

    name: str
    """Ours."""
    value: Value
    tag: str
    """The vendor's name for it."""
    raw: str
    """What stood there."""
    unit: str
    """The vendor's."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a vendor's tags say in our words."""

    vendor: str
    found: tuple[Found, ...]
    uncalibrated: tuple[str, ...]
    """Tags of known meaning without a unit that could be converted (lens clicks, knobs from −1 to 1)."""
    rest: tuple[str, ...]
    """Tags that the table does not know, or that tell nothing."""

    @property
    def values(self) -> dict[str, Value | None]:
        """Every quantity by its name; None where the file does not tell."""
        told = {each.name: each.value for each in self.found}
        return {name: told.get(name) for name in QUANTITIES}

    def number(self, name: str) -> float | None:
        """One quantity that is a number. Raises KeyError where it is text or no quantity of ours."""
        if QUANTITIES[name].unit is None:
            raise KeyError(f"{name} is text")
        value = self.values[name]
        return value if isinstance(value, float) else None


def understand(vendor: str, tags: Tags) -> Understood:
    """Read a vendor's tags, flat, by the table. Raises KeyError for a vendor that the table does not have."""
    if vendor not in TERMS:
        raise KeyError(f"{vendor!r} is no vendor of the vocabulary ({', '.join(TERMS)})")
    plain = {_plain(tag): value for tag, value in tags.items()}
    names = {_plain(tag): tag for tag in tags}
    found: dict[str, Found] = {}
    uncalibrated, used = [], set()
    for term in TERMS[vendor]:
        tag = _plain(term.tag)
        raw = plain.get(tag)
        if raw is None:
            continue
        unit = term.unit
        if unit.startswith("@"):  # the file names the unit itself, beside the value
            used.add(_plain(unit[1:]))
            unit = str(plain.get(_plain(unit[1:])) or "")
        try:
            value = _value(term, raw, unit)
        except ValueError:
            uncalibrated.append(names[tag])
            used.add(tag)
            continue
        if value is not None:
            used.add(tag)
            found.setdefault(term.ours, Found(term.ours, value, names[tag], str(raw), unit))
    _without_second_tilt(found)
    return Understood(
        vendor,
        tuple(sorted(found.values(), key=lambda each: list(QUANTITIES).index(each.name))),
        tuple(uncalibrated),
        tuple(names[tag] for tag in plain if tag not in used),
    )


def to_nexus(values: Mapping[str, Value | None]) -> dict[str, tuple[Value | tuple[float | None, ...], str | None]]:
    """(value, SI unit) by NXem path; what is None is left out, or None within a position that is known in part."""
    told: dict[str, tuple[Value | tuple[float | None, ...], str | None]] = {}
    arrays: dict[str, list[float | None]] = {}
    for name, value in values.items():
        quantity = QUANTITIES[name]
        if value is None or quantity.path is None:
            continue
        path = quantity.path if quantity.path.startswith("/") else _ROOT + quantity.path
        if isinstance(value, str) or quantity.unit is None or quantity.si is None:
            told[path] = str(value), None
            continue
        number = converted(value, quantity.unit, quantity.si)
        if quantity.item is None:
            told[path] = number, quantity.si
        else:
            arrays.setdefault(path, [None, None, None])[quantity.item] = number
            told[path] = tuple(arrays[path]), quantity.si
    return told


def _value(term: Term, raw: object, unit: str) -> Value | None:
    """In our unit; None where nothing is told. Raises ValueError where the unit cannot be converted."""
    text = str(raw).strip()
    if isinstance(raw, (list, tuple, dict)) or text.lower() in ("", "unknown", "none", "nan"):
        return None
    ours = QUANTITIES[term.ours].unit
    if ours is None:
        return _time(text, unit)
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or (number == 0 and term.zero_is_unknown):
        return None
    return converted(number, unit, ours)


def _time(text: str, unit: str) -> str | None:
    """ISO 8601, where the text is a time; without a zone where the file has none."""
    if unit == "unix":
        seconds = int(float(text))
        return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds > 0 else None
    if unit == "filetime":  # of Windows, in UTC
        return datetime.fromtimestamp(int(float(text) * 1e-7) - _EPOCH_S, UTC).isoformat()
    if unit.startswith("%"):
        try:
            return datetime.strptime(" ".join(text.split()), unit).isoformat()
        except ValueError:
            return None
    return text


def _without_second_tilt(found: dict[str, Found]) -> None:
    """A single-tilt holder has no beta: vendors write 0 there."""
    holder = found.get("holder")
    if holder is not None and "single" in str(holder.value).lower():
        found.pop("beta_deg", None)


def _plain(text: str) -> str:
    """Both signs for micro as u; blanks at the ends off."""
    return text.strip().replace("µ", "u").replace("μ", "u")


def _rounded(number: Ratio) -> float:
    """Factors of ten leave a rounding in the 16th digit; the files have fewer."""
    return float(f"{number:.15g}")
