"""Focus and stigmators of a JEOL column: clicks from 0 to 65535, which a calibration makes nm.

What the lens and the coils stand at when they are opened counts as zero, unless the config says otherwise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from instruments.drivers.refusals import asked
from instruments.errors import LimitError, NotCalibrated

if TYPE_CHECKING:
    from collections.abc import Callable

    from instruments.drivers.orientation import Matrix
    from instruments.types import Optics

CLICKS = (0, 65535)


class Lenses:
    """``Lens3.OLf``, the fine part of the objective, and ``Def3.CLs``, the condenser's stigmator."""

    def __init__(
        self, lens: Any, deflectors: Any, zero: int | None, nm_per_click: float | None, stig_nm_per_click: Matrix | None
    ) -> None:
        """PyJEM's objects; ``zero``: the clicks of OLf that count as in focus."""
        self._lens, self._deflectors = lens, deflectors
        self._scale, self._stig = nm_per_click, stig_nm_per_click
        self._coarse = first(lens.GetOLc())
        self._zero = first(lens.GetOLf()) if zero is None else zero
        self._stig_zero = tuple(deflectors.GetCLs()[:2])

    def read(self) -> dict[str, float]:
        """By our names, what is calibrated; no defocus where somebody has turned the coarse focus meanwhile."""
        found = {}
        if self._scale is not None and first(self._lens.GetOLc()) == self._coarse:
            found["defocus_nm"] = float((first(self._lens.GetOLf()) - self._zero) * self._scale)
        if self._stig is not None:
            (a, b), (c, d) = self._stig
            x, y = (at - zero for at, zero in zip(self._deflectors.GetCLs()[:2], self._stig_zero, strict=True))
            found |= {"stig_a_nm": a * x + b * y, "stig_b_nm": c * x + d * y}
        return found

    def check(self, target: Optics) -> Callable[[], None]:
        """What sets it, once all of it was found to be possible. Raises NotSupported, NotCalibrated, LimitError."""
        for name, scale, what in (
            ("defocus_nm", self._scale, "focus"),
            ("stig_a_nm", self._stig, "stig"),
            ("stig_b_nm", self._stig, "stig"),
        ):
            if getattr(target, name) is not None and scale is None:
                raise NotCalibrated(
                    f"{name} = {getattr(target, name)} was asked, and the column counts clicks: measure what one is in "
                    f"nm (adaptem calibrate --{what}-units)"
                )
        free = (-math.inf, math.inf)
        reach = sorted((end - self._zero) * (self._scale or 0.0) for end in CLICKS)
        given = asked(target, {"defocus_nm": (reach[0], reach[1]), "stig_a_nm": free, "stig_b_nm": free})
        clicks = self._stig_clicks(given) if {"stig_a_nm", "stig_b_nm"} & set(given) else None
        if "defocus_nm" in given and "defocus_nm" not in self.read():
            raise NotCalibrated("the coarse focus was turned since this was opened: focus, then open it again")

        def apply() -> None:
            if clicks is not None:
                self._deflectors.SetCLs(*clicks)
            if "defocus_nm" in given:
                self._lens.SetOLf(round(self._zero + given["defocus_nm"] / (self._scale or 1.0)))

        return apply

    def _stig_clicks(self, given: dict[str, float]) -> tuple[int, int]:
        now = self.read()
        a_nm, b_nm = (given.get(name, now[name]) for name in ("stig_a_nm", "stig_b_nm"))
        (a, b), (c, d) = self._stig or ((1.0, 0.0), (0.0, 1.0))
        scale = a * d - b * c
        wanted = ((d * a_nm - b * b_nm) / scale, (a * b_nm - c * a_nm) / scale)
        x, y = (round(zero + by) for zero, by in zip(self._stig_zero, wanted, strict=True))
        if not all(CLICKS[0] <= at <= CLICKS[1] for at in (x, y)):
            raise LimitError(
                f"astigmatism of ({a_nm:g}, {b_nm:g}) nm was asked: {(x, y)} clicks, of {CLICKS}: ask for less"
            )
        return x, y


def first(found: Any) -> Any:
    """A value as PyJEM gives it: alone, or in a list with more beside it."""
    return found[0] if isinstance(found, list | tuple) else found
