"""What signals show of pure materials, measured on simulated standards: particles that stay as they are.

A laboratory measures its own standards; ``benchmarks.tracking --only calibration`` holds what is told with them against
rendered worlds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from configs.load import ConfigError
from envs.particles import Array, Contrast, Response, unmerged
from envs.tracked import ImageSensor, SpectrumSensor, TrackLook
from envs.unmixing import References, radial
from instruments.clock import SimulatedClock
from instruments.simulated.evolving_settings import EvolvingSettings
from instruments.simulated.insitu import PopulationSettings
from instruments.simulated.insitu_changes import Dissolution, DissolutionSettings
from instruments.simulated.kinetics import RateLaw
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envs.tracked import Sensor
    from instruments.simulated.darkroom import Studio
    from instruments.simulated.settings import SimulatedSettings

Ratio: TypeAlias = float

_PER_UM2, _RADIUS_nm = 400.0, 7.0
_SPREAD: Ratio = 0.2
_CROWDED_PER_UM2, _SPARSE_PER_UM2 = 600.0, 150.0
_LARGE_nm = 11.0
_SPECTRUM_S = 400.0
"""Time for which a standard's spectra are taken, in one exposure at each place."""
_SEED = 5
_PLACES = 6
_APART_nm = 900.0
_SOFT: Ratio = 0.08
"""As ``models.kinetics.detected`` has it."""


def standards(
    settings: SimulatedSettings, looks: Sequence[TrackLook], studio: Studio | None = None
) -> dict[str, Sensor]:
    """What each signal of ``looks`` shows of the materials of a specimen that evolves, by signal.

    Raises ConfigError: nothing evolves on this specimen.
    """
    bench, looks = _Bench(settings, studio), [look.as_one() for look in looks]
    found: dict[str, Sensor] = {}
    for signal in dict.fromkeys(look.signal for look in looks):
        mine = [look for look in looks if look.signal == signal]
        found[signal] = bench.image(mine) if settings.detectors().get(signal) is not None else bench.spectra(mine[0])
    return found


class _Bench:
    """Makes standards of a specimen's materials and looks at them."""

    def __init__(self, settings: SimulatedSettings, studio: Studio | None) -> None:
        sample = settings.specimen_by_recipe
        if sample is None or sample.evolves is None:
            raise ConfigError("instrument.specimen: nothing evolves on it; give a recipe with `evolves`")
        self._settings, self._sample, self._evolves, self._studio = settings, sample, sample.evolves, studio
        self._materials = [self._evolves.material] + ([self._evolves.becomes] if self._evolves.becomes else [])

    def image(self, looks: Sequence[TrackLook]) -> ImageSensor:
        """A detector of one number a pixel."""
        bare, _ = self._shares(looks[0], self._materials[0], 0.0, _RADIUS_nm)
        per_nm = []
        for material in self._materials:
            share, volume_nm = self._shares(looks[0], material, _PER_UM2, _RADIUS_nm)
            per_nm.append((share - bare) / volume_nm)
        plain = ImageSensor(Contrast(per_nm=per_nm[0]), bare, per_nm[-1] / per_nm[0])
        return replace(plain, responses={look.name: self._response(plain, look) for look in looks})

    def spectra(self, look: TrackLook) -> SpectrumSensor:
        """A spectrometer or a camera."""
        bare, _ = self._per_electron(look, self._materials[0], 0.0)
        rows = []
        for material in self._materials:
            share, volume_nm = self._per_electron(look, material, _PER_UM2)
            rows.append((share - bare) / volume_nm)
        return SpectrumSensor(References(bare, np.array(rows)))

    def _response(self, sensor: ImageSensor, look: TrackLook) -> Response:
        """How this look counts and sizes particles that are known."""
        sparse = [self._counted(sensor, look, _SPARSE_PER_UM2, radius_nm) for radius_nm in (_RADIUS_nm, _LARGE_nm)]
        told = np.array([np.mean(each.told_nm) for each in sparse])
        there = np.array([np.mean(each.there_nm) for each in sparse])
        slope = float((there[1] - there[0]) / (told[1] - told[0]))
        sizing = Response(size_offset_nm=float(there[0] - slope * told[0]), size_slope=slope)
        crowded = self._counted(sensor, look, _CROWDED_PER_UM2, _RADIUS_nm)
        merging_nm = _closest_nm(crowded, look) - 2 * float(np.mean(crowded.there_nm))
        sizing = replace(sizing, merging_nm=max(merging_nm, -2 * _RADIUS_nm))
        expected_nm = sensor.sight(look, look.exposure.electrons(self._settings.column.current_pA)).smallest_nm
        faint = self._counted(sensor, look, _SPARSE_PER_UM2, 1.1 * expected_nm)
        area_nm2 = _PLACES * look.field_of_view_nm**2
        seen = unmerged(faint.count, float(np.mean(faint.there_nm)), area_nm2, sizing)
        return replace(sizing, smallest=_threshold_nm(np.array(faint.there_nm), seen) / expected_nm)

    def _counted(self, sensor: ImageSensor, look: TrackLook, per_um2: float, radius_nm: float) -> _Counted:
        world = self._frozen(self._materials[0], per_um2, radius_nm)
        scope, found = SimulatedMicroscope(world), _Counted(0, [], [])
        for place in self._places(scope):
            frame = scope.acquire(look.exposure)
            measured = sensor.measure(frame, look)
            found.count += measured.count
            found.there_nm += _radii_nm(world, place, look.field_of_view_nm).tolist()
            if np.isfinite(measured.values[1]):
                found.told_nm.append(math.exp(measured.values[1]))
        world.close()
        return found

    def _places(self, scope: SimulatedMicroscope) -> Iterator[tuple[float, float]]:
        for n in range(_PLACES):
            place = (n % 3 * _APART_nm, n // 3 * _APART_nm)
            scope.move(StagePosition(x_nm=place[0], y_nm=place[1]))
            yield place

    def _shares(self, look: TrackLook, material: str, per_um2: float, radius_nm: float) -> tuple[float, float]:
        """Mean share of the electrons that arrive, and the volume per area that lies there."""
        world = self._frozen(material, per_um2, radius_nm)
        scope, shares, volumes = SimulatedMicroscope(world), [], []
        exposure = replace(look.exposure, dwell_us=max(look.dwell_us, 20.0))
        for place in self._places(scope):
            frame = scope.acquire(exposure)
            signal = frame.signals[look.signal]
            gain, offset = (signal.calibration[name] for name in ("gain_counts_per_electron", "offset_counts"))
            shares.append(
                (float(signal.data.mean(dtype=np.float64)) - offset) / gain / (frame.electrons / look.pixels**2)
            )
            volumes.append(self._volume_nm(world, place, look.field_of_view_nm))
        world.close()
        return float(np.mean(shares)), float(np.mean(volumes))

    def _per_electron(self, look: TrackLook, material: str, per_um2: float) -> tuple[Array, float]:
        """Counts for each electron, and the volume per area that lies there."""
        world = self._frozen(material, per_um2, _RADIUS_nm)
        scope, total, electrons, volumes = SimulatedMicroscope(world), np.zeros(0), 0.0, []
        exposure = replace(look.exposure, dwell_us=_dwell_us(look))
        for place in self._places(scope):
            volumes.append(self._volume_nm(world, place, look.field_of_view_nm))
            frame = scope.acquire(exposure)
            data = frame.signals[look.signal].data
            summed = data.sum(axis=(0, 1), dtype=np.float64)
            counts = summed if data.ndim == 3 else radial(summed)
            total = counts + total if len(total) else counts
            electrons += frame.electrons
        world.close()
        return total / electrons, float(np.mean(volumes))

    def _volume_nm(self, world: World, place: tuple[float, float], width_nm: float) -> float:
        radii = _radii_nm(world, place, width_nm)
        return float(4 / 3 * math.pi * (radii**3).sum()) * self._evolves.height / width_nm**2

    def _frozen(self, material: str, per_um2: float, radius_nm: float) -> World:
        """Particles of one material that stay as they are."""
        still = EvolvingSettings(
            material=material,
            shape=self._evolves.shape,
            height=self._evolves.height,
            dissolution=DissolutionSettings(
                population=PopulationSettings(per_um2=per_um2, radius_nm=radius_nm, size_spread=_SPREAD),
                rate=RateLaw(at_reference=0.0),
            ),
        )
        lasting = self._sample.recipe.model_copy(update={"critical_fluence_e_per_A2": 1e12})
        specimen = self._sample.model_copy(update={"evolves": still, "contamination_nm": 0.0, "recipe": lasting})
        stage = StageSettings(drift_nm=0.0, backlash_nm=0.0, reach_nm=0.0, creep_nm=0.0)
        frozen = self._settings.model_copy(
            update={"specimen": specimen, "stage": stage, "faults": (), "dwell_us": (0.05, 1e9)}
        )
        return World(frozen, _SEED, SimulatedClock(), None, self._studio)


def _dwell_us(look: TrackLook) -> float:
    """At which a place's share of a standard's time is one exposure: many short ones tell the same, and take long."""
    return _SPECTRUM_S / _PLACES / look.pixels**2 * 1e6


@dataclass
class _Counted:
    """What several frames of a standard held: how many were told apart, the true radii, the means that were told."""

    count: int
    there_nm: list[float]
    told_nm: list[float]


def _radii_nm(world: World, place: tuple[float, float], width_nm: float) -> Array:
    """Of the particles whose middles lie in a view, as the world has them."""
    sample, half = world.settings.specimen_by_recipe, width_nm / 2
    evolves = None if sample is None else sample.evolves
    if evolves is None or evolves.dissolution is None or world.conditions is None:
        raise ConfigError("a standard holds no particles")
    process = Dissolution(evolves.dissolution, world.conditions, _SEED)
    x_nm, y_nm = place
    return process.particles((x_nm - half, x_nm + half), (y_nm - half, y_nm + half), 0.0).radius_nm


def _closest_nm(crowded: _Counted, look: TrackLook) -> float:
    """The distance within which two particles are one, from how many of them are."""
    there = len(crowded.there_nm)
    per_nm2 = there / (_PLACES * look.field_of_view_nm**2)
    return math.sqrt(max(-math.log(min(max(crowded.count, 1) / there, 1.0)), 0.0) * 2 / math.pi / per_nm2)


def _threshold_nm(radii_nm: Array, seen: float) -> float:
    """The radius at which half of the particles are seen, from how many of these were."""
    low, high = 0.3 * float(radii_nm.min()), 3.0 * float(radii_nm.max())
    for _ in range(40):
        middle = (low + high) / 2
        expected = float((1 / (1 + np.exp(-np.clip((radii_nm / middle - 1) / _SOFT, -40, 40)))).sum())
        low, high = (middle, high) if expected > seen else (low, middle)
    return (low + high) / 2
