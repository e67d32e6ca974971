"""Numbers and records as people, and other programs, read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from pydantic_core import to_json

if TYPE_CHECKING:
    from envs.step import Decision

Ratio: TypeAlias = float

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNITS = (("_nm_per_s", "nm/s"), ("_e_per_A2", "e/Å²"), ("_nm", "nm"), ("_deg", "°"), ("_s", "s"), ("_px", "px"))


def quantity(value: float) -> str:
    """Three significant digits, powers of ten where they help.

    >>> quantity(1234567.0), quantity(3e10), quantity(0.25), quantity(12)
    ('1.23×10⁶', '3×10¹⁰', '0.25', '12')
    """
    if isinstance(value, int) and abs(value) < 1e5:
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def length(value_nm: float) -> str:
    """With the unit that suits it.

    >>> length(1250.0), length(-4.5), length(0.0)
    ('1.25 µm', '-4.5 nm', '0 nm')
    """
    return f"{value_nm / 1000:.4g} µm" if abs(value_nm) >= 1000 else f"{value_nm:.4g} nm"


def area(value_nm2: float) -> str:
    """With the unit that suits it.

    >>> area(1.44e6), area(51.7)
    ('1.44 µm²', '51.7 nm²')
    """
    return f"{quantity(value_nm2 / 1e6)} µm²" if abs(value_nm2) >= 1e5 else f"{quantity(value_nm2)} nm²"


def duration(value_s: float) -> str:
    """With the unit that suits it.

    >>> duration(42.0), duration(572.6), duration(8 * 3600.0)
    ('42 s', '9.5 min', '8.0 h')
    """
    if value_s < 120:
        return f"{value_s:.3g} s"
    return f"{value_s / 60:.1f} min" if value_s < 7200 else f"{value_s / 3600:.1f} h"


def share(value: Ratio) -> str:
    """As per cent.

    >>> share(0.1504), share(0.0042), share(1.0)
    ('15 %', '0.42 %', '100 %')
    """
    return f"{100 * value:.2g} %" if abs(value) < 0.995 else f"{100 * value:.0f} %"


def counted(number: int, word: str) -> str:
    """With its noun.

    >>> counted(1, "fault"), counted(0, "fault"), counted(2, "detail look")
    ('1 fault', 'no faults', '2 detail looks')
    """
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def named(name: str) -> str:
    """A name from the program, its unit set apart.

    >>> named("drift_nm_per_s"), named("saturated_fraction"), named("snr")
    ('drift (nm/s)', 'saturated fraction', 'snr')
    """
    for suffix, unit in _UNITS:
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix).replace('_', ' ')} ({unit})"
    return name.removesuffix("_ratio").replace("_", " ")


def as_json(data: object, indent: int | None = 2) -> str:
    """Strict JSON, which every reader understands: what is not finite is null, what JSON does not know is text.

    >>> as_json({"a": float("nan"), "b": 1.5}, indent=None)
    '{"a":null,"b":1.5}'
    """
    return to_json(data, indent=indent, inf_nan_mode="null", fallback=str).decode()


def decider(decision: Decision) -> str:
    """Who decided, and where that was not the person: who agreed."""
    if decision.person is None or decision.decided_by == "person":
        return decision.person or decision.decided_by
    return f"{decision.decided_by}, asked {decision.person}"
