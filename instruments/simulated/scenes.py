"""What stands under the beam, and what the detectors make of it: one face for specimens of both kinds."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from configs.load import ConfigError
from instruments.simulated.column import Probe
from instruments.simulated.damage import FluenceMap
from instruments.simulated.detectors import count, read_out
from instruments.simulated.imaging import render
from instruments.simulated.numbers import Ratio
from instruments.simulated.sample_settings import SampleSettings
from instruments.simulated.specimen import Specimen
from instruments.types import Exposure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from instruments.simulated.conditions import Conditions
    from instruments.simulated.darkroom import Studio
    from instruments.simulated.hashing import Floats
    from instruments.simulated.rare import Feature
    from instruments.simulated.settings import SimulatedSettings
    from instruments.types import Axis

Counts: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one frame looks at, with which probe, and what the beam has done there before."""

    exposure: Exposure
    centre_nm: tuple[float, float]
    """The place under the middle of the frame."""
    probe: Probe
    fluence: FluenceMap
    """Before this frame."""
    number: int
    """Of the frame: its noise is its own."""
    time_s: float = 0.0
    """On the instrument's clock, in the middle of the frame."""
    row_drift_nm: tuple[float, float] = (0.0, 0.0)
    """How far the place moves while one row is scanned."""
    own_e_per_A2: float = 0.0
    """The fluence that this frame itself brings."""
    thicker: Ratio = 1.0
    """The path through a tilted specimen over its thickness."""
    tilts_rad: tuple[float, float] = (0.0, 0.0)
    """Of the stage: what it adds to the tilt of a zone axis along columns and along rows."""


class Scene(Protocol):
    """A specimen with detectors around it."""

    def height_nm(self, x_nm: float, y_nm: float) -> float:
        """Height of the specimen at a place over its height at (0, 0)."""
        ...

    def features(self, x_range_nm: tuple[float, float], y_range_nm: tuple[float, float]) -> tuple[Feature, ...]:
        """Rare features whose centres lie in a rectangle of places."""
        ...

    def look(self, sight: Sight, names: tuple[str, ...]) -> Mapping[str, Floats]:
        """Expected shares of the electrons by detector: (H, W), or (H, W, …) where it gives more than a number."""
        ...

    def read(self, shares: Mapping[str, Floats], sent_electrons: float, number: int) -> dict[str, Counts]:
        """What the detectors say when so many electrons meet each pixel of frame ``number``."""
        ...

    def doubts(self, sight: Sight, names: tuple[str, ...]) -> tuple[str, ...]:
        """Why a frame is beyond what the model is known to hold for, by detector; none where it is not known to be."""
        ...

    def inner_axes(self, name: str) -> tuple[Axis, ...]:
        """Axes of what a detector gives at one pixel; none where that is a number."""
        ...


class ProceduralScene:
    """A specimen without recipe: film, two classes of particles, rare features."""

    def __init__(self, settings: SimulatedSettings, specimen: Specimen, seed: int) -> None:
        self._settings = settings
        self._specimen = specimen
        self._seed = seed
        self.height_nm = specimen.height_nm
        self.features = specimen.features

    def look(self, sight: Sight, names: tuple[str, ...]) -> Mapping[str, Floats]:
        return render(
            self._specimen,
            sight.fluence,
            sight.probe,
            sight.exposure,
            sight.centre_nm,
            own_e_per_A2=sight.own_e_per_A2,
            row_drift_nm=sight.row_drift_nm,
            thicker=sight.thicker,
        )

    def read(self, shares: Mapping[str, Floats], sent_electrons: float, number: int) -> dict[str, Counts]:
        rng = np.random.Generator(np.random.SFC64([self._seed & 0xFFFFFFFF, self._seed >> 32 & 0xFFFFFFFF, number]))
        return {  # all of them, so that asking for fewer changes no count
            name: read_out(count(shares[name] * np.float32(sent_electrons), rng), detector, rng)
            for name, detector in self._settings.detectors().items()
        }

    def doubts(self, sight: Sight, names: tuple[str, ...]) -> tuple[str, ...]:
        return ()

    def inner_axes(self, name: str) -> tuple[Axis, ...]:
        return ()


def open_scene(
    settings: SimulatedSettings, seed: int, conditions: Conditions | None = None, studio: Studio | None = None
) -> Scene:
    """The specimen that the settings describe; with a ``studio``, its frames are rendered beside those of other worlds.

    Raises:
        ConfigError: it has a recipe, and what draws recipes is not installed.
    """
    if not isinstance(settings.specimen, SampleSettings):
        return ProceduralScene(settings, Specimen(settings.specimen, seed), seed)
    try:
        sample = importlib.import_module("instruments.simulated.sample")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a specimen by recipe needs {error.name}, which is not installed: pip install 'adaptem[simulate]'"
        ) from error
    room = None if studio is None else studio.darkroom(sample.recipe_of(settings.specimen))
    return cast("Scene", sample.Sample(settings, seed, conditions, room))
