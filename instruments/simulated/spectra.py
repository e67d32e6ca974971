"""The spectrometers beside a specimen by recipe: what EELS and EDS get at every pixel of a view."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from instruments.simulated.composition import Composition, Matter
from instruments.simulated.eels import EnergyLoss, Spectrometer
from instruments.simulated.energies import EnergyAxis
from instruments.simulated.harm import CARBON_PER_NM3
from instruments.simulated.xrays import XrayDetector, XraySpectra
from instruments.types import Axis

if TYPE_CHECKING:
    from instruments.simulated.detector_settings import EnergySettings
    from instruments.simulated.harm import Harm
    from instruments.simulated.hashing import Floats
    from instruments.simulated.recipe import Recipe
    from instruments.simulated.renderer import Camera, Views
    from instruments.simulated.settings import SimulatedSettings


class Spectrometers:
    """Those that the settings name. Raises ConfigError where their numbers are out of range."""

    def __init__(self, settings: SimulatedSettings, recipe: Recipe) -> None:
        self._composition = lru_cache(maxsize=8)(lambda camera: Composition(recipe, camera))
        column = settings.column
        self._axes: dict[str, EnergyAxis] = {}
        self._models: dict[str, EnergyLoss | XraySpectra] = {}
        if (eels := settings.eels) is not None:
            self._axes["EELS"] = _axis(eels)
            spectrometer = Spectrometer(
                axis=self._axes["EELS"],
                voltage_kV=column.voltage_kV,
                collection_mrad=eels.collection_mrad,
                convergence_mrad=column.convergence_mrad,
                resolution_eV=eels.resolution_eV,
            )
            self._models["EELS"] = EnergyLoss(recipe, spectrometer)
        if (eds := settings.eds) is not None:
            self._axes["EDS"] = _axis(eds)
            detector = XrayDetector(
                axis=self._axes["EDS"],
                voltage_kV=column.voltage_kV,
                solid_angle_sr=eds.solid_angle_sr,
                takeoff_deg=eds.takeoff_deg,
                noise_eV=eds.noise_eV,
                absorption=True,
            )
            self._models["EDS"] = XraySpectra(recipe, detector)

    def inner_axes(self, name: str) -> tuple[Axis, ...]:
        """The energy axis of a spectrometer; none of any other detector."""
        if (axis := self._axes.get(name)) is None:
            return ()
        return (Axis("energy", axis.step_eV, "eV", axis.offset_eV),)

    def look(self, names: tuple[str, ...], views: Views, camera: Camera, done: Harm | None) -> dict[str, Floats]:
        """Expected counts for one electron sent, (H, W, C) of one view, by name."""
        wanted = [name for name in names if name in self._models]
        if not wanted:
            return {}
        matter = self._composition(camera).matter(views)
        if done is not None:
            matter = _left(matter, done)
        return {name: self._models[name].spectra(matter)[0].numpy() for name in wanted}


def _axis(settings: EnergySettings) -> EnergyAxis:
    return EnergyAxis(settings.offset_eV, settings.step_eV, settings.channels)


def _left(matter: Matter, done: Harm) -> Matter:
    """What the beam has left of it, and the carbon it has brought where the recipe knows carbon."""
    share = torch.from_numpy(done.matter)
    atoms = matter.atoms_per_nm2 * share
    if "C" in matter.elements:
        atoms[:, matter.elements.index("C")] += torch.from_numpy(done.carbon_nm) * CARBON_PER_NM3
    return replace(matter, atoms_per_nm2=atoms, thickness_nm=matter.thickness_nm * share)
