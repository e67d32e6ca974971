"""Who ran it, on what, and who may use it: kept with every record."""

from __future__ import annotations

import datetime as dt
import re

from pydantic import field_validator

from configs.elements import element
from configs.settings import Settings


class Who(Settings):
    """Operator, sample and terms of use of a survey. Everything is optional; None = not said."""

    operator: str | None = None
    """The person responsible for the session."""
    orcid: str | None = None
    """The operator's ORCID iD, 0000-0002-1825-0097; its check digit must agree."""
    proposal: str | None = None
    """Proposal, project or booking number."""
    sample: str | None = None
    """The sample's name or identifier in the laboratory."""
    elements: tuple[str, ...] | None = None
    """What it is made of, support included: [Sr, Ti, O]. Records are searched by it, and NeXus asks for it."""
    prepared: dt.date | None = None
    """The day on which the sample was prepared."""
    licence: str | None = None
    """Terms of the data, as an SPDX expression: CC-BY-4.0."""
    embargo: dt.date | None = None
    """The day from which the data may be public: 2027-06-30."""

    @field_validator("orcid")
    @classmethod
    def _orcid(cls, value: str | None) -> str | None:
        if value is None:
            return None
        orcid = value.removeprefix("https://orcid.org/")
        if not re.fullmatch(r"(\d{4}-){3}\d{3}[\dX]", orcid, re.ASCII):
            raise ValueError("an ORCID iD is written as four groups of four, like 0000-0002-1825-0097")
        if orcid[-1] != orcid_check_digit(orcid[:-1]):
            raise ValueError("the check digit does not agree, so at least one digit is wrong; compare with orcid.org")
        return orcid

    @field_validator("elements")
    @classmethod
    def _elements(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else tuple(dict.fromkeys(element(symbol) for symbol in value))

    @field_validator("licence")
    @classmethod
    def _licence(cls, value: str | None) -> str | None:
        part = r"\(?[A-Za-z0-9][A-Za-z0-9.+:-]*\)?"
        if value is not None and not re.fullmatch(rf"{part}( (AND|OR|WITH) {part})*", value):
            raise ValueError("a licence is written as an SPDX expression, like CC-BY-4.0 (list: spdx.org/licenses)")
        return value


def orcid_check_digit(digits: str) -> str:
    """The last character of an ORCID iD from the 15 digits before it (hyphens are ignored).

    ISO/IEC 7064, MOD 11-2, as ORCID describes it.

    >>> orcid_check_digit("0000-0002-1825-009")
    '7'
    """
    total = 0
    for digit in digits.replace("-", ""):
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return "X" if check == 10 else str(check)
