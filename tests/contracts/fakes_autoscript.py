"""``autoscript_tem_microscope_client``, as far as public programs show it, over a simulated column.

Its quirks: the acceleration voltage reads as it is set, on or off; beta is None on a single-tilt holder; a stage that
still moves is "not ready"; the safe move levels the stage first; lengths in m, angles in rad; what is out of range is
clamped, detectors that are not there are left out, both in silence; 4D data are of the camera's corner only, and so not
offered here at all. The autoloader takes a slot's number and nothing else, takes its time, and will not load onto a
loaded stage.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fakes_column import CASSETTE, REACH, Column, installed

from instruments.drivers.orientation import METRES_RADIANS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

DETECTORS = ("HAADF", "BF")
LARGEST_M = 2e-5


class ApplicationServerException(Exception):
    """The vendor's, of no class that anybody else has."""


@dataclass
class StagePosition:
    x: float | None = None
    y: float | None = None
    z: float | None = None
    a: float | None = None
    b: float | None = None


@dataclass
class StemAcquisitionSettings:
    dwell_time: float
    detector_types: list[str]
    size: int


class Image:
    """An "adorned" one."""

    def __init__(self, data: npt.NDArray[np.generic]) -> None:
        self.data = data
        self.metadata = None


class Stage:
    def __init__(self, column: Column) -> None:
        self._column = column

    def get_holder_type(self) -> str:
        return "SingleTilt" if self._column.quirks.single_tilt else "DoubleTilt"

    def get_axis_limits(self, axis: str) -> Any:
        (end,) = (REACH[ours] / unit for ours, (theirs, unit) in METRES_RADIANS.items() if theirs == axis)
        return SimpleNamespace(min=-end, max=end)

    @property
    def position(self) -> StagePosition:
        found = self._column.stage()
        read = {theirs: getattr(found, ours) / unit for ours, (theirs, unit) in METRES_RADIANS.items()}
        return StagePosition(**(read | ({"b": None} if self._column.quirks.single_tilt else {})))

    @property
    def is_moving(self) -> bool:
        return self._column.moving()

    def absolute_move(self, to: StagePosition) -> None:
        self._go(to, level_first=False)

    def absolute_move_safe(self, to: StagePosition) -> None:
        self._go(to, level_first=True)

    def _go(self, to: StagePosition, *, level_first: bool) -> None:
        if self._column._says:
            raise ApplicationServerException("Stage is not ready")
        ours = {
            name: getattr(to, theirs) * unit
            for name, (theirs, unit) in METRES_RADIANS.items()
            if getattr(to, theirs) is not None
        }
        self._column.go(ours, level_first=level_first)


class Blanker:
    def __init__(self, column: Column) -> None:
        self._column = column

    @property
    def is_beam_blanked(self) -> bool:
        return self._column.blanked

    def blank(self) -> None:
        self._column.blank(True)

    def unblank(self) -> None:
        self._column.blank(False)


class Optics:
    optical_mode = "Stem"
    acceleration_voltage = SimpleNamespace(value=200e3)
    scan_rotation = 0.0
    paused_scan_beam_position = (0.5, 0.5)

    def __init__(self, column: Column) -> None:
        self._column = column
        self._field_m = 1e-6
        self.blanker = Blanker(column)

    @property
    def is_accelerator_on(self) -> bool:
        return self._column.quirks.tension

    @property
    def defocus(self) -> float:
        return self._column.defocus_nm * 1e-9

    @defocus.setter
    def defocus(self, to_m: float) -> None:
        self._column.focus(to_m * 1e9)

    @property
    def scan_field_of_view(self) -> float:
        return self._field_m

    @scan_field_of_view.setter
    def scan_field_of_view(self, to_m: float) -> None:
        self._field_m = min(to_m, LARGEST_M)


class Acquisition:
    def __init__(self, column: Column, optics: Optics) -> None:
        self._column, self._optics = column, optics

    def acquire_stem_images_advanced(self, wish: StemAcquisitionSettings) -> list[Image]:
        there = tuple(name for name in wish.detector_types if name in DETECTORS)
        optics = self._optics
        frame = self._column.scan(
            optics.scan_field_of_view * 1e9,
            (wish.size, wish.size),
            wish.dwell_time * 1e6,
            there,
            math.degrees(optics.scan_rotation),
        )
        return [Image(frame[name]) for name in there[self._column.quirks.lost :]]

    def acquire_camera_image(self, camera: str, size: int, exposure_s: float) -> Image:
        x, y = self._optics.paused_scan_beam_position
        return Image(self._column.pattern(self._optics.scan_field_of_view * 1e9, (x, y), size, exposure_s))


class Valves:
    def __init__(self, column: Column) -> None:
        self._column = column

    @property
    def state(self) -> str:
        return "Opened" if self._column.valve_open else "Closed"

    def close(self) -> None:
        self._column.valve_open = False


class Autoloader:
    """Of cryo columns: three slots with a cartridge each as they came in, a fourth that never had one."""

    is_installed = True

    def __init__(self, column: Column) -> None:
        self._column = column
        self.tells_loaded = self.tells_stage = True
        """Since 4.14, a slot whose cartridge lies on the stage reads Loaded; Empty before."""
        self.unknown: set[int] = set()
        self.says: dict[int | str, str] = {}
        """A slot's state, or the stage's, whatever it is in truth."""
        self.jams = self.idle = 0
        """The slot that cannot be loaded from, or is left alone without a word."""
        self.lost = ""
        """What does not come back from the stage, without a word."""
        self.hides: set[int] = set()
        """Slots that are not known any more after unloading."""
        self.cut: Exception | None = None
        """What ends the connection as soon as the stage is empty."""

    def get_slots(self, inventory: bool) -> list[Any]:
        """As last seen, or looked at now."""
        self.unknown = set() if inventory else self.unknown
        return [SimpleNamespace(id=slot, state=self._state(slot)) for slot in range(1, len(CASSETTE) + 2)]

    def __getattr__(self, name: str) -> Any:
        if name != "stage" or not self.tells_stage:
            raise AttributeError(name)
        state = "OCCUPIED" if self._column.loader.loaded() else "EMPTY"
        return SimpleNamespace(state=self.says.get("stage", f"AutoloaderSlotState.{state}"))

    def load(self, slot: int) -> None:
        if type(slot) is not int or not 1 <= slot <= len(CASSETTE):
            raise ApplicationServerException(f"There is no sample at {slot!r}")
        if self._column.loader.loaded() is not None:
            raise ApplicationServerException("The stage is loaded")
        self._column.did.append(f"load {slot}")
        if slot == self.jams:
            raise ApplicationServerException("The cartridge could not be loaded")
        if slot != self.idle:
            self._column.loader.load(CASSETTE[slot - 1])

    def unload(self) -> None:
        found = self._column.loader.loaded()
        if found is None:
            raise ApplicationServerException("The stage is empty")
        self._column.did.append("unload")
        if found != self.lost:
            self._column.loader.unload()
        self.unknown |= self.hides
        if self.cut is not None:
            raise self.cut

    def _state(self, slot: int) -> str:
        if slot in self.unknown:
            return "Unknown"
        here = slot <= len(CASSETTE) and CASSETTE[slot - 1] == self._column.loader.loaded()
        truth = "Loaded" if here and self.tells_loaded else "Empty" if here or slot > len(CASSETTE) else "Occupied"
        return self.says.get(slot, truth)


class Client:
    """``TemMicroscopeClient`` of one column."""

    def __init__(self, column: Column) -> None:
        optics = Optics(column)
        self.optics = optics
        self.specimen = SimpleNamespace(stage=Stage(column), autoloader=Autoloader(column))
        self.acquisition = Acquisition(column, optics)
        self.vacuum = SimpleNamespace(state="Ready", column_valves=Valves(column))
        self.screen = SimpleNamespace(position="Retracted", measure_current=lambda: 5e-11 * (not column.blanked))
        self.detectors = SimpleNamespace(
            scanning_detectors=list(DETECTORS), camera_detectors=["BM-Ceta"], screen=self.screen
        )
        self.reachable = True

    def connect(self, host: str, port: int = 9095) -> None:
        if not self.reachable:
            raise ConnectionRefusedError(f"nobody listens at {host}:{port}")

    def disconnect(self) -> None:
        """Nothing to let go of."""


@contextmanager
def autoscript(column: Column | None = None) -> Iterator[tuple[Column, Client]]:
    """The vendor's client is installed, and this column answers it."""
    column = column or Column()
    client = Client(column)
    name = "autoscript_tem_microscope_client"
    structures = {"StagePosition": StagePosition, "StemAcquisitionSettings": StemAcquisitionSettings}
    with installed({name: {"TemMicroscopeClient": lambda: client}, f"{name}.structures": structures}):
        yield column, client
