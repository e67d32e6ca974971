from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.who import Who, orcid_check_digit


def test_nothing_is_needed() -> None:
    assert set(Who().model_dump().values()) == {None}


@pytest.mark.parametrize("orcid", ["0000-0002-1825-0097", "0000-0001-5109-3700", "0000-0002-1694-233X"])
def test_real_orcids_pass(orcid: str) -> None:
    """The examples of ORCID's own documentation."""
    assert Who(orcid=orcid).orcid == orcid
    assert Who(orcid=f"https://orcid.org/{orcid}").orcid == orcid


@given(st.integers(0, 10**15 - 1), st.integers(0, 14), st.integers(1, 9))
def test_one_wrong_digit_is_always_seen(number: int, place: int, change: int) -> None:
    digits = f"{number:015d}"
    wrong = digits[:place] + str((int(digits[place]) + change) % 10) + digits[place + 1 :]
    assert orcid_check_digit(digits) != orcid_check_digit(wrong)


@pytest.mark.parametrize(
    "orcid", ["0000-0002-1825-0098", "0000000218250097", "", "0000-0002-1825-009x", "٠000-0002-1825-0097"]
)
def test_a_wrong_orcid_is_refused(orcid: str) -> None:
    with pytest.raises(ValidationError, match=r"0000-0002-1825-0097|check digit"):
        Who(orcid=orcid)


@pytest.mark.parametrize("licence", ["CC-BY-4.0", "CC0-1.0", "MIT OR Apache-2.0", "GPL-2.0 WITH GCC-exception-3.1"])
def test_spdx_expressions_pass(licence: str) -> None:
    assert Who(licence=licence).licence == licence


@pytest.mark.parametrize("licence", ["", "ask me first", "CC BY 4.0", "MIT OR"])
def test_other_licences_are_refused(licence: str) -> None:
    with pytest.raises(ValidationError, match="SPDX"):
        Who(licence=licence)


def test_embargo_is_a_day() -> None:
    assert Who(embargo="2027-06-30").embargo == dt.date(2027, 6, 30)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Who(embargo="next summer")  # type: ignore[arg-type]
