"""What a beam passes through at every pixel: atoms of each element, and thickness of each material.

The renderer of annular images sums cross-sections. Here every element is a signal whose cross-section is 1 where the
atom is that element, and every material one whose cross-section is the volume that its atom takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from configs.errors import ConfigError
from instruments.simulated import atoms
from instruments.simulated.packing import Packed, composition, elements, pack
from instruments.simulated.recipe import Recipe
from instruments.simulated.renderer import Camera, Renderer, Views

Array: TypeAlias = npt.NDArray[np.float64]

_UNIT = 2.0**-60
"""Weights are drawn this small, and scaled back: the renderer then sees bodies too thin to scatter twice."""
_NOTHING = (0.0, 200.0)
_STOPPED = (0.0, 1500.0)
"""An annulus so wide that the renderer counts on it what grid bars stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """What lies under B frames, as their probes see it."""

    elements: tuple[str, ...]
    materials: tuple[str, ...]
    atoms_per_nm2: torch.Tensor
    """(B, E, H, W)"""
    thickness_nm: torch.Tensor
    """(B, M, H, W)"""
    passed: torch.Tensor
    """(B, H, W) share of the electrons that no grid bar stops."""

    def __post_init__(self) -> None:
        """Raise ConfigError where a map is not of float32, has another shape, or holds NaN or less than 0."""
        batch, rows, columns = self.passed.shape
        wanted = {
            "atoms_per_nm2": (self.atoms_per_nm2, (batch, len(self.elements), rows, columns)),
            "thickness_nm": (self.thickness_nm, (batch, len(self.materials), rows, columns)),
            "passed": (self.passed, (batch, rows, columns)),
        }
        for name, (found, shape) in wanted.items():
            if tuple(found.shape) != shape or found.dtype != torch.float32:
                raise ConfigError(f"{name} is {found.dtype} of shape {tuple(found.shape)}; give float32 of {shape}")
            if not bool(torch.isfinite(found).all()) or (found.numel() and float(found.min()) < 0):
                raise ConfigError(f"{name} holds NaN, infinity or less than 0: nothing was simulated; mend the map")


@dataclass(frozen=True, slots=True)
class Composition:
    """Maps the matter of one recipe for frames of one camera."""

    recipe: Recipe
    camera: Camera
    """Its annuli play no part."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _renderer: Renderer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        recipe = self.recipe
        if recipe.film is not None:  # channelling changes what a grain scatters, not what it is made of
            recipe = recipe.model_copy(update={"film": recipe.film.model_copy(update={"grain_contrast": 0.0})})
        packed = _pack(recipe)
        signals = (_NOTHING,) * (packed.paths.shape[1] - 1) + (_STOPPED,)
        renderer = Renderer(recipe, replace(self.camera, annuli_mrad=signals), self.device)
        object.__setattr__(renderer, "_packed", packed)  # its own weights are of annuli
        object.__setattr__(self, "_renderer", renderer)

    @property
    def elements(self) -> tuple[str, ...]:
        """All E, in alphabetical order."""
        return elements(self.recipe)

    @property
    def materials(self) -> tuple[str, ...]:
        """All M, in the recipe's order."""
        return tuple(self.recipe.materials)

    def matter(self, views: Views) -> Matter:
        """Atoms and thickness under each pixel of B views, blurred by each view's probe.

        ``views.electrons`` and ``views.frames`` play no part. Raises ConfigError: a coefficient, place or rotation that
        is not finite, arrays of unequal length, or no view.
        """
        if views.rotations_rad is not None and not np.isfinite(views.rotations_rad).all():
            raise ConfigError("rotations_rad holds what is not a finite number: nothing was mapped")
        maps = self._renderer.shares(views)
        passed = 1 - maps[:, -1]
        maps = maps[:, :-1] / _UNIT
        layers = self._layers().to(maps.device)[None, :, None, None] * passed[:, None]
        if views.thicker is not None:
            layers *= torch.from_numpy(views.thicker).float().to(maps.device)[:, None, None, None]
        maps += layers
        first = len(self.elements)
        return Matter(
            elements=self.elements,
            materials=self.materials,
            atoms_per_nm2=maps[:, :first].contiguous(),
            thickness_nm=maps[:, first:].contiguous(),
            passed=passed,
        )

    def _layers(self) -> torch.Tensor:
        """(E + M,) what the featureless layers add everywhere."""
        recipe = self.recipe
        atoms_per_nm2 = dict.fromkeys(self.elements, 0.0)
        for name, thick_nm in recipe.layers_nm.items():
            for element, per_nm3 in composition(recipe.materials[name]).items():
                atoms_per_nm2[element] += per_nm3 * thick_nm
        thickness_nm = [recipe.layers_nm.get(name, 0.0) for name in recipe.materials]
        return torch.tensor([*atoms_per_nm2.values(), *thickness_nm])


def _pack(recipe: Recipe) -> Packed:
    """Pack E signals of atoms and M of thickness, times ``_UNIT``, and one of nothing at all, without the layers."""
    names, materials = elements(recipe), list(recipe.materials.values())
    packed = pack(recipe, dict(zip(names, np.eye(len(names)) * _UNIT, strict=True)))
    densities = [sum(composition(material).values()) for material in materials]
    volumes_nm3 = np.zeros((len(packed.sites), len(materials)))
    crystals = [n for n, material in enumerate(materials) if material.crystal is not None]
    for lattice, n in zip(packed.lattices, crystals, strict=True):
        volumes_nm3[int(lattice[atoms.FIRST]) : int(lattice[atoms.LAST]), n] = 1 / densities[n]
    share = packed.sites[:, 2:].sum(1, keepdims=True) * volumes_nm3
    none = np.zeros((len(packed.sites), 1))
    made = replace(
        packed,
        sites=np.hstack([packed.sites, share, none]),
        doped=np.hstack([packed.doped, share, none]),
        paths=np.hstack([packed.paths, np.eye(len(materials)) * _UNIT, np.zeros((len(materials), 1))]),
        layers=np.zeros(len(names) + len(materials) + 1),
    )
    film = recipe.film
    if film is not None and (n := list(recipe.materials).index(film.material)) in crystals:
        lattice = packed.lattices[crystals.index(n)]
        seen = slice(int(lattice[atoms.FIRST]), int(lattice[atoms.LAST]))
        area_nm2 = abs(lattice[atoms.AX] * lattice[atoms.BY] - lattice[atoms.AY] * lattice[atoms.BX])
        # where no column shows, vacancies and dopants are a mean; a vacancy is half a column
        kept = 1 - film.vacancy / 2 - film.dopant
        made.paths[n] = (kept * made.sites[seen, 2:] + film.dopant * made.doped[seen]).sum(0) / area_nm2
    return made
