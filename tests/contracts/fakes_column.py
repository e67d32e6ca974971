"""A column behind every vendor's fake: our simulated world, with what the real ones have of their own.

Blanked is dark, the stage moves the image, the focus responds. The stage clamps in silence, and says for a moment half
way that it stands.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import numpy.typing as npt

from instruments.clock import SimulatedClock
from instruments.limits import Limits
from instruments.powers import HasLoader
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import ELECTRONS_PER_PA_S, Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REACH = {"x_nm": 1e6, "y_nm": 1e6, "z_nm": 2e5, "alpha_deg": 70.0, "beta_deg": 30.0}
CASSETTE = ("gold", "carbon", "ice")
SLOTS = {"gold": 1, "carbon": 2, "ice": 3}
"""By the slots that they came in; the first lies on the stage."""
LIMITS = Limits(
    x_nm=(-1e5, 1e5),
    y_nm=(-1e5, 1e5),
    backlash_nm=0.0,
    stage_uncertainty_nm=10.0,
    max_current_pA=100.0,
    max_electrons=1e12,
    max_fluence_e_per_A2=1e6,
    max_time_s=1e6,
)
_MOVING = (True, False, True, False)
"""What the stage says after a move, one after the other; after the second it stands half way."""


@dataclass
class Quirks:
    """What is out of the ordinary about one column."""

    single_tilt: bool = False
    touches: bool = False
    """The next tilt stops half way: the pole piece is there."""
    call_s: float = 0.0
    """What a read-out takes beyond the exposure, the beam on all the while."""
    emits: bool = True
    """Whether the gun does."""
    tension: bool = True
    """Whether the high tension is on; what it is set to reads as ever."""
    lost: int = 0
    """So many images are not handed over."""


@dataclass
class Column:
    """What the fakes drive. Lengths in nm, angles in degrees; ``clock`` is the world's."""

    quirks: Quirks = field(default_factory=Quirks)
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    seed: int = 11
    blanked: bool = False
    valve_open: bool = True
    did: list[str] = field(default_factory=list)
    """What was asked of it that changes something, in order."""

    def __post_init__(self) -> None:
        ends = {name: (-end, end) for name, end in REACH.items()}
        errors = ("backlash_nm", "reach_nm", "readback_nm", "creep_nm", "drift_nm", "settle_s", "overhead_s")
        stage = {**ends, **dict.fromkeys(errors, 0.0), "speed_nm_per_s": 1e9}
        cassette = {"specimens": list(CASSETTE), "transfer_s": 60.0}
        settings = SimulatedSettings.model_validate({"stage": stage, "overhead_s": 0.0, "cassette": cassette})
        self.scope = SimulatedMicroscope(World(settings, self.seed, self.clock))
        self.lit_s = 0.0
        """How long the beam was on the specimen, by the world's clock."""
        self._since_s = self.clock.now_s()
        self._says: list[bool] = []
        self._legs: list[StagePosition] = []

    @property
    def electrons(self) -> float:
        """That were really sent: the beam is on from unblanking to blanking, whatever the camera does."""
        return 50.0 * ELECTRONS_PER_PA_S * self.lit_s

    def blank(self, blanked: bool) -> None:
        if self.blanked and not blanked:
            self._since_s = self.clock.now_s()
        if blanked and not self.blanked:
            self.lit_s += self.clock.now_s() - self._since_s
        self.blanked = blanked

    def stage(self) -> StagePosition:
        return self.scope.state().stage

    @property
    def defocus_nm(self) -> float:
        return self.scope.state().optics.defocus_nm or 0.0

    def focus(self, defocus_nm: float) -> None:
        """As far as it goes, without a word."""
        self.did.append("focus")
        self.scope.tune(Optics(defocus_nm=min(max(defocus_nm, -3000.0), 3000.0)))

    def go(self, places: Mapping[str, float], *, level_first: bool = False) -> None:
        """Set off for a place, by our names of the axes; as far as each goes, without a word."""
        self.did.append("safe move" if level_first else "move")
        to = {name: min(max(at, -REACH[name]), REACH[name]) for name, at in places.items()}
        if self.quirks.single_tilt:
            to.pop("beta_deg", None)
        start = self.stage()
        if level_first:
            self.scope.move(StagePosition(alpha_deg=0.0))
        half = {name: (getattr(start, name) + at) / 2 for name, at in to.items()}
        self.scope.move(StagePosition(**half))
        touched = self.quirks.touches and "alpha_deg" in to
        self._says, self._legs = list(_MOVING), [] if touched else [StagePosition(**to)]

    @property
    def loader(self) -> HasLoader:
        found = self.scope.power(HasLoader)
        assert found is not None
        return found

    def moving(self) -> bool:
        """Not only while it does: for a moment half way it says that it stands."""
        says = self._says.pop(0) if self._says else False
        if len(self._says) == 1 and self._legs:
            self.scope.move(self._legs.pop())
        return says

    def scan(
        self,
        field_of_view_nm: float,
        shape: tuple[int, int],
        dwell_us: float,
        names: tuple[str, ...],
        rotation_deg: float = 0.0,
    ) -> dict[str, npt.NDArray[np.generic]]:
        """A frame of every detector; a blanked beam gives black ones."""
        if self.blanked or not self.valve_open:
            self.clock.wait(dwell_us * 1e-6 * shape[0] * shape[1] + self.quirks.call_s)
            return {name: np.zeros(shape, np.uint16) for name in names}
        exposure = Exposure(
            field_of_view_nm=field_of_view_nm, shape=shape, dwell_us=dwell_us, rotation_deg=rotation_deg, signals=names
        )
        frame = self.scope.acquire(exposure)
        self.clock.wait(self.quirks.call_s)
        return {name: signal.data for name, signal in frame.signals.items()}

    def pattern(
        self, field_of_view_nm: float, at: tuple[float, float], size_px: int, exposure_s: float
    ) -> npt.NDArray[np.generic]:
        """A disc of the direct beam on a camera, weaker where the parked probe meets more; its corner stays dark."""
        x_nm, y_nm = ((part - 0.5) * field_of_view_nm for part in at)
        rest = self.stage()
        assert rest.x_nm is not None
        assert rest.y_nm is not None
        self.scope.move(StagePosition(x_nm=rest.x_nm - x_nm, y_nm=rest.y_nm - y_nm))
        counts = self.scan(1.0, (1, 1), 40.0, ("HAADF",))["HAADF"]
        self.clock.wait(max(exposure_s - 40e-6, 0.0))
        self.scope.move(StagePosition(x_nm=rest.x_nm, y_nm=rest.y_nm))
        ky, kx = np.indices((size_px, size_px)) - (size_px - 1) / 2
        return np.where(np.hypot(ky, kx) < size_px / 4, float(counts[0, 0]), 0.0).astype(np.float32)


@contextmanager
def installed(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """As if the vendor's software were there: its modules, by name, and what is in them."""
    made = {}
    for name, contents in modules.items():
        made[name] = ModuleType(name)
        vars(made[name]).update(contents)
    with mock.patch.dict(sys.modules, made):
        yield
