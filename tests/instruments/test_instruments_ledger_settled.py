"""What was booked and not spent is free again, once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from instruments.errors import LimitError
from instruments.ledger import MemoryLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.types import Exposure, Footprint

if TYPE_CHECKING:
    from pathlib import Path

EXPOSURE = Exposure(field_of_view_nm=10.0, shape=(16, 16), dwell_us=1.0)
PLACE = Footprint(x_nm=0.0, y_nm=0.0, width_nm=12.0, height_nm=12.0)


@pytest.mark.parametrize("durable", [False, True])
def test_settling_frees_what_was_not_spent_and_only_once(durable: bool, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path) if durable else MemoryLedger()
    first = ledger.reserve(replace(EXPOSURE, id=1), PLACE, 4e5)
    other = ledger.reserve(replace(EXPOSURE, id=2), PLACE, 1e5)
    for electrons in (4.1e5, -1.0, math.nan):
        with pytest.raises(LimitError, match="cannot settle"):
            ledger.settle(first, electrons)
    ledger.settle(first, 1e5)
    ledger.settle(first, 0.0)
    assert ledger.electrons() == pytest.approx(2e5)
    assert ledger.fluence_e_per_A2(PLACE) == pytest.approx(2e5 / (10 * 10 * 100))
    nothing = ledger.reserve(replace(EXPOSURE, id=3), PLACE, 0.0)
    ledger.settle(nothing, 0.0)
    ledger.settle(other, 1e5)
    assert ledger.electrons() == pytest.approx(2e5)
    if isinstance(ledger, SqliteLedger):
        ledger.close()
        again = SqliteLedger(path)
        assert again.electrons() == pytest.approx(2e5)
        again.close()
