"""What a laboratory allows: the file beside the instrument that no agent can change.

A range that is None forbids the control altogether. What has no safe guess has no default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeAlias, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from configs.load import Settings


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"a range is (lowest, highest), found {value}: swap the two")
    return value


def _positive(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] <= 0:
        raise ValueError(f"a range of sizes or times starts above 0, found {value}")
    return value


def _said(reasons: dict[str, str]) -> dict[str, str]:
    if silent := [name for name, reason in reasons.items() if not reason.strip()]:
        raise ValueError(f"{', '.join(silent)}: give the reason, and who sees to it instead")
    return reasons


Interlock: TypeAlias = Literal["blanker", "valve", "vacuum", "emission", "high_tension"]
"""What must read, and read well, before a beam is let through; the blanker also before anything moves."""
INTERLOCKS: tuple[Interlock, ...] = get_args(Interlock)

Amount: TypeAlias = float
"""In the unit at the end of a condition's name."""
Range: TypeAlias = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""(lowest, highest), both allowed."""
PositiveRange: TypeAlias = Annotated[Range, AfterValidator(_positive)]


@dataclass(frozen=True, slots=True)
class Rig:
    """What the guard has to know of what it guards, beside the limits."""

    hardware: bool
    """Whether what the instrument cannot tell must be waived by the limits."""
    overhead_s: Callable[[], float]
    """How much longer than its own time an exposure may keep the beam on before somebody blanks; asked for each
    exposure, as whoever blanks may have been started anew with another."""


SIMULATED = Rig(hardware=False, overhead_s=lambda: 0.0)
"""No instrument, and no beam that could be left on."""


class ConditionLimits(Settings):
    """What a holder may be ordered to, and what is made of what it reads; in the unit at the end of the name."""

    allowed: Range
    """Of an order."""
    most_change: Amount | None = Field(default=None, gt=0)
    """An order lies at most this far from what is read; None: it may jump."""
    runaway: Range | None = None
    """A reading outside of this ends exposing: the holder is ordered to ``safe``, and the instrument latches. While
    nothing reads, nothing is exposed. None: what reads is recorded and not judged."""
    safe: Amount | None = None
    """Ordered whenever the guard lets go of the instrument: at the end, on a stop, when a survey dies; None: left."""

    @model_validator(mode="after")
    def _inside(self) -> Self:
        low, high = self.allowed
        if self.runaway is not None and not (self.runaway[0] <= low and high <= self.runaway[1]):
            raise ValueError(f"runaway {self.runaway} leaves out part of allowed {self.allowed}: widen it")
        if self.safe is not None and not low <= self.safe <= high:
            raise ValueError(f"safe {self.safe:g} is not in allowed {self.allowed}: allow it, or give another")
        return self


def _condition(value: object) -> object:
    """A range alone is what is allowed."""
    return {"allowed": value} if isinstance(value, list | tuple) else value


class Limits(Settings):
    """Everything the guard refuses by."""

    x_nm: Range
    y_nm: Range
    z_nm: Range | None = None
    alpha_deg: Range | None = None
    beta_deg: Range | None = None
    z_tilt: tuple[tuple[float, float], ...] | None = None
    """Corners (z_nm, alpha_deg), in order, of the convex region the holder may be in; None = no coupling."""
    backlash_nm: float = Field(ge=0)
    """A move may pass this far below its target on x, y and z, to approach from one side; the limits hold there too."""
    approach_nm: float = Field(default=0.0, ge=0)
    """How far below its target on x and y a move turns round, so that the drive's play is always taken up in the same
    direction; at most ``backlash_nm``. 0: the instrument does so by itself. `adaptem calibrate` measures the play."""
    backlash_deg: float = Field(default=0.0, ge=0)
    """The same for a tilt."""
    stage_uncertainty_nm: float = Field(ge=0)
    """How far the true position may be from the read-back: drift, creep, and the play of a motion that was broken off.

    Footprints grow by it on every side, and read-backs that differ by more are of a stage that moves.
    """
    off_axis_nm: float | None = Field(default=None, ge=0)
    """How far a place may lie above or below the axes of tilt: tilted, it may have swung aside by this times the
    tangent, and footprints grow by that as well. To be said where the stage may tilt; 0: it is kept eucentric."""
    reach_tolerance_nm: float = Field(default=100.0, gt=0)
    """A stage read back further than this from its target has not arrived."""
    settle_timeout_s: float = Field(default=10.0, gt=0)
    """A stage whose read-back still changes after this time is not exposed."""

    defocus_nm: Range | None = (-2000.0, 2000.0)
    stig_nm: Range | None = (-200.0, 200.0)
    """Each component of two-fold astigmatism."""
    coma_nm: Range | None = None
    """Each component of axial coma."""
    threefold_nm: Range | None = None
    """Each component of three-fold astigmatism."""
    spherical_nm: Range | None = None
    convergence_mrad: PositiveRange | None = None

    conditions: dict[str, Annotated[ConditionLimits, BeforeValidator(_condition)]] = Field(default_factory=dict)
    """Of a holder, by name with its unit (temperature_K, bias_V, …), each (lowest, highest) or a block; one that is not
    named here is not set."""

    field_of_view_nm: PositiveRange = (1.0, 1e5)
    dwell_us: PositiveRange = (0.01, 1e4)
    max_pixels: int = Field(default=2**28, gt=0)
    """Of one exposure: frames × rows × columns."""
    detectors: tuple[str, ...] | None = None
    """Names that may be asked for; None leaves it to the driver."""
    max_exposures_per_min: int = Field(default=600, gt=0)
    """Counted anew by each process."""

    max_current_pA: float = Field(gt=0)
    """Also what an unknown current is taken for."""
    max_electrons: float = Field(gt=0)
    max_fluence_e_per_A2: float = Field(gt=0)
    """Of any place."""
    max_time_s: float = Field(gt=0)
    """From the first use of a ledger, deciding included, time without a guard not."""

    max_reading_age_s: float = Field(default=60.0, gt=0)
    """An older reading counts as none."""
    max_vacuum_Pa: float | None = Field(default=None, gt=0)
    """None: a vacuum reading must be valid and recent where there is one, whatever its value."""
    min_emission_uA: float | None = Field(default=None, gt=0)
    """None: an emission must be valid, recent and above 0 where it can be read at all."""

    waived: Annotated[dict[Interlock, str], AfterValidator(_said)] = Field(default_factory=dict)
    """Interlocks that are not asked for where the instrument cannot tell them at all, each with the reason. A hardware
    driver's survey begins only where each of its interlocks reads or is waived here."""

    @model_validator(mode="after")
    def _waived_for_good(self) -> Self:
        for name, limit in (("vacuum", "max_vacuum_Pa"), ("emission", "min_emission_uA")):
            if name in self.waived and getattr(self, limit) is not None:
                raise ValueError(f"{limit} judges the {name}, and waived does without it: leave one of them out")
        return self

    @model_validator(mode="after")
    def _swing_known(self) -> Self:
        if self.off_axis_nm is None and (self.alpha_deg, self.beta_deg) != (None, None):
            raise ValueError(
                "off_axis_nm is not said, and the stage may tilt: write how far a place may lie above or below the "
                "axes of tilt (as far as z may go, or 0 where it is kept eucentric); dose is booked that much wider"
            )
        return self

    @model_validator(mode="after")
    def _approach_inside(self) -> Self:
        if not self.approach_nm <= self.backlash_nm:
            raise ValueError(
                f"approach_nm = {self.approach_nm:g} passes farther below a target than backlash_nm = "
                f"{self.backlash_nm:g} allows: raise backlash_nm to it"
            )
        return self

    @model_validator(mode="after")
    def _convex(self) -> Self:
        corners = self.z_tilt
        if corners is None:
            return self
        if len(corners) < 3 or len({turn > 0 for turn in turns(corners)}) != 1 or 0.0 in turns(corners):
            raise ValueError(
                f"z_tilt needs at least 3 corners (z_nm, alpha_deg) that go once round a convex region, found {corners}"
            )
        return self


def turns(corners: tuple[tuple[float, float], ...]) -> list[float]:
    """Cross product at each corner of a closed polygon: all of one sign where it is convex.

    >>> turns(((0, 0), (2, 0), (2, 2), (0, 2)))
    [4, 4, 4, 4]
    """
    found = []
    for index, (x, y) in enumerate(corners):
        (x0, y0), (x1, y1) = corners[index - 1], corners[(index + 1) % len(corners)]
        found.append((x - x0) * (y1 - y) - (y - y0) * (x1 - x))
    return found


def inside(corners: tuple[tuple[float, float], ...], x: float, y: float) -> bool:
    """Whether (x, y) lies in the convex polygon or on its edge.

    >>> inside(((0, 0), (2, 0), (2, 2), (0, 2)), 2, 1), inside(((0, 0), (2, 0), (2, 2), (0, 2)), 2.1, 1)
    (True, False)
    """
    sides = []
    for index, (x1, y1) in enumerate(corners):
        x0, y0 = corners[index - 1]
        sides.append((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0))
    return all(side >= 0 for side in sides) or all(side <= 0 for side in sides)
