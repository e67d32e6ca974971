"""Numbers as a person reads them."""

from __future__ import annotations

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def quantity(value: float) -> str:
    """Three significant digits, powers of ten where they help.

    >>> quantity(1234567.0), quantity(0.25), quantity(12)
    ('1.23×10⁶', '0.25', '12')
    """
    if isinstance(value, int) and abs(value) < 1e5:
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def length(value_nm: float) -> str:
    """With the unit that suits it.

    >>> length(1250.0), length(-4.5), length(0.0)
    ('1.25 µm', '-4.5 nm', '0 nm')
    """
    return f"{value_nm / 1000:.4g} µm" if abs(value_nm) >= 1000 else f"{value_nm:.4g} nm"
