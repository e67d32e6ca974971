"""The last thing the instrument said about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.exposing import current_pA
from instruments.errors import InstrumentError

if TYPE_CHECKING:
    from instruments.protocol import Guarded


class Readback:
    """Read afresh by ``refresh``; what the instrument does not tell stays as last known, 0 before anything is."""

    def __init__(self, guard: Guarded) -> None:
        self._guard = guard
        self.x_nm = 0.0
        self.y_nm = 0.0
        self.defocus_nm = 0.0
        self.current_pA = guard.limits.max_current_pA
        self.refresh()

    def refresh(self) -> None:
        """Ask the instrument; one that cannot answer now will say so when it is asked to do something."""
        try:
            state = self._guard.state()
        except InstrumentError:
            return
        self.x_nm = self.x_nm if state.stage.x_nm is None else state.stage.x_nm
        self.y_nm = self.y_nm if state.stage.y_nm is None else state.stage.y_nm
        self.defocus_nm = self.defocus_nm if state.optics.defocus_nm is None else state.optics.defocus_nm
        self.current_pA = current_pA(state, self._guard)
