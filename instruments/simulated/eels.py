"""Electron energy-loss spectrum images, as the electrons expected in each channel for one electron sent.

Single scattering is of low rank: thickness of each material times its plasmon, plus atoms of each element times its
core losses. All orders follow by Poisson's law: the transform of a spectrum is that of the zero loss times
exp(S(ω) − S(0)), with S the transform of the single losses (Egerton 2011, section 4.1.1, read backwards).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import fft
from scipy.special import ndtr

from configs.errors import ConfigError
from instruments.simulated import inelastic
from instruments.simulated.energies import SIGMAS_PER_FWHM, EnergyAxis, binned, check_ranges, check_size
from instruments.simulated.packing import composition, elements
from instruments.simulated.recipe import Recipe
from instruments.simulated.scattering import cross_section_nm2

if TYPE_CHECKING:
    from instruments.simulated.composition import Matter

Ratio: TypeAlias = float
Array: TypeAlias = npt.NDArray[np.float64]

_ZERO_LOSS_SIGMAS = 6.0
_ROOM_EV = 400.0
"""What is lost in many steps must not wrap round: the transform reaches this far beyond the axis, or thrice its end,
and twice the length, so that two losses never do."""
_MOST_TRANSFORM = 1 << 18
_OPAQUE = 60.0
"""Mean number of losses from which nothing is left of a beam."""
_CHUNK_VALUES = 1 << 19
_HIGH_MRAD = 1500.0
_WHOLE_EV = 5e3
"""Plasmon losses are normalised over energies up to this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrometer:
    """An energy-loss spectrometer behind an aperture. Raises ConfigError where a number is out of range."""

    axis: EnergyAxis
    voltage_kV: float = 200.0
    collection_mrad: float = 30.0
    """Semi-angle of what enters, β."""
    convergence_mrad: float = 21.4
    """Semi-angle of the probe: it enters the mean free path, and ``entering``."""
    resolution_eV: float = 1.0
    """Full width at half maximum of the zero loss, a Gaussian."""
    damping: Ratio = 0.5
    """Width of a plasmon over its energy. An assumption: 0.03 in Al, 0.2 in Si, 0.5 and more in oxides and metals."""
    elastic_losses: bool = True
    """Whether electrons that atoms scatter elastically beyond the aperture are missing."""

    def __post_init__(self) -> None:
        ranges = {
            "voltage_kV": (self.voltage_kV, 10.0, 3000.0),
            "collection_mrad": (self.collection_mrad, 0.1, 200.0),
            "convergence_mrad": (self.convergence_mrad, 0.0, 200.0),
            "resolution_eV": (self.resolution_eV, 1e-3, 100.0),
            "damping": (self.damping, 1e-3, 3.0),
        }
        check_ranges(ranges)
        if self.axis.end_eV <= 0:
            raise ConfigError(f"the energy axis ends at {self.axis.end_eV:g} eV; let it reach a loss above 0")
        if self.transform > _MOST_TRANSFORM:
            raise ConfigError(
                f"losses up to {self.axis.end_eV:g} eV in steps of {self.axis.step_eV:g} eV need {self.transform} "
                f"channels from 0 on, {_MOST_TRANSFORM} at most: give wider channels or a lower end"
            )

    @property
    def entering(self) -> Ratio:
        """Share of the unscattered probe that enters: (β / α)² where it is wider than the aperture."""
        return min(1.0, (self.collection_mrad / max(self.convergence_mrad, self.collection_mrad)) ** 2)

    @property
    def before(self) -> int:
        """Channels that are added before the axis, so that it holds the zero loss."""
        start_eV = -_ZERO_LOSS_SIGMAS * SIGMAS_PER_FWHM * self.resolution_eV
        return max(0, math.ceil((self.axis.offset_eV - start_eV) / self.axis.step_eV))

    @property
    def transform(self) -> int:
        """Length L of the transforms, in channels."""
        held = self.before + self.axis.channels
        room = math.ceil(min(_ROOM_EV, 3 * self.axis.end_eV) / self.axis.step_eV)
        return int(fft.next_fast_len(held + max(held, room), True))


@dataclass(frozen=True, slots=True)
class EnergyLoss:
    """Spectra of one recipe's matter in one spectrometer, in float32."""

    recipe: Recipe
    spectrometer: Spectrometer
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    tables: torch.Tensor = field(init=False, repr=False)
    """(M + E, C) single losses in each channel of the axis, resolution left out: per nm of a material, per atom/nm²."""
    means: torch.Tensor = field(init=False, repr=False)
    """(M + E,) all of a row's losses, also beyond the axis: 1/nm, nm²."""
    strays: torch.Tensor = field(init=False, repr=False)
    """(E,) cross-section in nm² for missing the aperture."""
    _real: torch.Tensor = field(init=False, repr=False)
    _imaginary: torch.Tensor = field(init=False, repr=False)
    _zero_loss: torch.Tensor = field(init=False, repr=False)
    _zero_transform: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        made = self.spectrometer
        inelastic.check_tabulated(elements(self.recipe))
        axis, length = made.axis, made.transform
        losses, means = _single_losses(self.recipe, made)
        losses[:, made.before + axis.channels :] = 0
        transforms = np.fft.rfft(losses, n=length)
        start_eV = axis.offset_eV - made.before * axis.step_eV
        borders_eV = start_eV + axis.step_eV * (np.arange(length + 1) - 0.5)
        zero_loss = np.diff(ndtr(borders_eV / (SIGMAS_PER_FWHM * made.resolution_eV)))
        first = round(-start_eV / axis.step_eV)
        shifted = np.zeros((len(losses), axis.channels))
        inside = np.arange(axis.channels) + made.before - first
        shifted[:, inside >= 0] = losses[:, inside[inside >= 0]]
        strays = [
            cross_section_nm2(name, made.collection_mrad, _HIGH_MRAD, made.voltage_kV) if made.elastic_losses else 0.0
            for name in elements(self.recipe)
        ]
        arrays = {
            "tables": shifted,
            "means": means,
            "strays": np.array(strays),
            "_real": transforms.real,
            "_imaginary": transforms.imag,
            "_zero_loss": zero_loss[made.before : made.before + axis.channels],
        }
        for name, values in arrays.items():
            object.__setattr__(self, name, torch.from_numpy(np.ascontiguousarray(values)).float().to(self.device))
        spectrum = torch.from_numpy(np.fft.rfft(zero_loss)).to(torch.complex64).to(self.device)
        object.__setattr__(self, "_zero_transform", spectrum)

    def relative_thickness(self, matter: Matter) -> torch.Tensor:
        """(B, H, W) mean number of losses t/λ, core losses included: what the log-ratio of a spectrum gives."""
        depth: torch.Tensor = self._amounts(matter) @ self.means
        return depth

    def spectra(self, matter: Matter) -> torch.Tensor:
        """(B, H, W, C) electrons expected in each channel for one electron sent, on the device.

        Raises ConfigError: matter of another recipe, or more spectra than memory holds.
        """
        amounts = self._amounts(matter)
        strays = amounts[..., len(matter.materials) :] @ self.strays
        passed = matter.passed.to(self.device) * torch.exp(-strays) * self.spectrometer.entering
        check_size(passed.numel(), self.spectrometer.axis)
        found = torch.empty(*passed.shape, self.spectrometer.axis.channels, device=self.device)
        most = max(1, _CHUNK_VALUES // self.spectrometer.transform)
        for frame, shares, out in zip(amounts, passed, found, strict=True):  # a frame does not depend on its batch
            flat, spectra = frame.flatten(0, 1), out.flatten(0, 1)
            for n in range(0, len(flat), most):
                spectra[n : n + most] = self._some(flat[n : n + most])
            out.mul_(shares[..., None])
        return found

    def _some(self, amounts: torch.Tensor) -> torch.Tensor:
        """(P, C) spectra of (P, M + E) amounts."""
        made = self.spectrometer
        mean = (amounts @ self.means)[:, None]
        seen = mean < _OPAQUE
        amounts, unscattered = amounts * seen, torch.exp(-mean) * seen
        x, y = amounts @ self._real, amounts @ self._imaginary
        # exp(x + iy) − 1 without its cancellation where little is scattered
        sine = torch.sin(y / 2)
        real = torch.expm1(x) * (1 - 2 * sine**2) - 2 * sine**2
        scattered = torch.complex(real, torch.exp(x) * torch.sin(y)).mul_(self._zero_transform)
        spectra: torch.Tensor = torch.fft.irfft(scattered, n=made.transform)
        spectra = spectra[:, made.before : made.before + made.axis.channels]
        # rounding leaves the emptiest channels a little below 0
        return spectra.add_(self._zero_loss).mul_(unscattered).clamp_(min=0)

    def _amounts(self, matter: Matter) -> torch.Tensor:
        """(B, H, W, M + E) thickness in nm and atoms per nm²."""
        if matter.materials != tuple(self.recipe.materials) or matter.elements != elements(self.recipe):
            raise ConfigError(
                f"matter of {', '.join(matter.materials)} was given; these tables are of the materials "
                f"{', '.join(self.recipe.materials)}: map the same recipe"
            )
        both = torch.cat([matter.thickness_nm.to(self.device), matter.atoms_per_nm2.to(self.device)], dim=1)
        return both.permute(0, 2, 3, 1).contiguous()


def _single_losses(recipe: Recipe, made: Spectrometer) -> tuple[Array, Array]:
    """(M + E, L) losses per channel from loss 0 on, and (M + E,) all of them.

    A material's mean free path counts all its losses; what its atoms' cores take of it is left out of the plasmon's.
    """
    kV, mrad, step_eV = made.voltage_kV, made.collection_mrad, made.axis.step_eV
    borders_eV = np.maximum(step_eV * (np.arange(made.transform + 1) - 0.5), 0.0)
    losses, means = [], []
    cores = {name: inelastic.core_nm2(name, kV, mrad) for name in elements(recipe)}
    fine_eV = np.geomspace(1e-3, _WHOLE_EV, 20000)
    for name, material in recipe.materials.items():
        atoms_per_nm3 = composition(material)
        if inelastic.is_void(atoms_per_nm3):
            losses.append(np.zeros(made.transform))
            means.append(0.0)
            continue
        rate = 1 / inelastic.mean_free_path_nm(atoms_per_nm3, kV, mrad, made.convergence_mrad)
        rate -= sum(per_nm3 * cores[element] for element, per_nm3 in atoms_per_nm3.items())
        if not rate > 0:
            raise ConfigError(
                f"{name} holds {sum(atoms_per_nm3.values()):.3g} atoms/nm³: its cores alone scatter more than is known "
                "of any matter; check atoms_per_nm3"
            )
        peak_eV = inelastic.plasmon_eV(atoms_per_nm3)
        shape = inelastic.plasmon_per_eV(fine_eV, peak_eV, made.damping, kV, mrad)
        losses.append(binned(shape, fine_eV, borders_eV) * rate / np.trapezoid(shape, fine_eV))
        means.append(rate)
    for element, core in cores.items():
        nodes_eV, strength = inelastic.core_strength(element)
        losses.append(binned(inelastic.loss_nm2_per_eV(strength, nodes_eV, kV, mrad), nodes_eV, borders_eV))
        means.append(core)
    return np.array(losses), np.array(means)
