"""A specimen of the loader onto the stage, with what the guard asks for first: nothing is put right behind its back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.powers import HasLoader, HasValves
from instruments.types import StagePosition

if TYPE_CHECKING:
    from instruments.protocol import Guarded

_AXES = ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")


def bring(guard: Guarded, position: str) -> None:
    """Level the stage at its middle, close the column valve, load; where it lies there already, do nothing.

    The valve stays closed: opening it is a person's act, and until then the survey waits before its first exposure.

    Raises:
        InstrumentError: the guard does not allow it, the loader does not know what is loaded, or the transfer failed.
    """
    loader = guard.power(HasLoader)
    if loader is None or loader.loaded() == position:
        return
    stage, limits = guard.state().stage, guard.limits
    axes = [axis for axis in _AXES if getattr(stage, axis) is not None and getattr(limits, axis) is not None]
    guard.move(StagePosition(**dict.fromkeys(axes, 0.0)))
    if (valves := guard.power(HasValves)) is not None:
        valves.close_valves()
    loader.load(position)
