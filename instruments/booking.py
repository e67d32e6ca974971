"""How an exposure is booked: before its beam with all that it may take, after it with what it took."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from instruments import guard_checks as checks
from instruments.bounds import LENGTHS
from instruments.dose import fluence_of, lit, price_of, swept
from instruments.errors import InstrumentError

if TYPE_CHECKING:
    from instruments.dose import Price
    from instruments.ledger import Ledger, Ticket
    from instruments.limits import Limits
    from instruments.types import Exposure, Frame, StagePosition, State


def affordable(
    exposure: Exposure, stage: StagePosition, state: State, limits: Limits, ledger: Ledger, overhead_s: float
) -> Price:
    """The price of an exposure, within what is left. Raises BudgetError, LimitError, BusyError; books nothing."""
    price = price_of(exposure, stage, state, limits, overhead_s)
    checks.check_electrons(ledger.electrons(), price.most_electrons, limits, overhead_s)
    fluence = fluence_of(lit(exposure, state), price.place, price.most_electrons)
    checks.check_fluence(price.place, ledger.fluence_e_per_A2(price.place), fluence, limits, overhead_s)
    return price


def settle(ledger: Ledger, ticket: Ticket, price: Price, frame: Frame, state: State, limits: Limits) -> Frame:
    """The frame, once what it took of what was booked is settled; what is more, or lies elsewhere, is booked on top.

    ``state``: as it was read before the beam. Raises BudgetError where what is more cannot be written down.
    """
    place, booked = price.place, price.most_electrons
    if checks.off(state.stage, frame.stage, LENGTHS[:2], limits.stage_uncertainty_nm):
        place, booked = swept(place, frame.stage), 0.0
    if frame.electrons > booked * (1 + 1e-9):
        ledger.reserve(replace(lit(frame.exposure, state), id=None), place, frame.electrons - booked)
    with suppress(InstrumentError):  # unsettled is just as spent, and no reason to lose the frame
        ledger.settle(ticket, min(max(frame.electrons, price.electrons), price.most_electrons))
    return frame
