"""What spectra show of an element: EELS edges and EDS lines above what lies under them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from configs.errors import ConfigError
from instruments.physics import wavelength_nm
from instruments.simulated.composition import Matter
from instruments.simulated.eels import EnergyLoss, Spectrometer
from instruments.simulated.energies import EnergyAxis
from instruments.simulated.inelastic import edges_eV, loss_angle_mrad
from instruments.simulated.packing import composition, elements
from instruments.simulated.xrays import XrayDetector, XraySpectra
from surveys.design_optics import probe_in, spread
from surveys.design_posed import posed
from surveys.design_proposal import Evidence, Proposal, Refused, offsets_nm, patch_px
from surveys.design_question import ConcentrationFeature, DopantFeature, MeasuredFeature, ParticleFeature, Question
from surveys.design_statistics import Search, bends_per_nm2, filtered

if TYPE_CHECKING:
    from instruments.simulated.recipe import Recipe

Array: TypeAlias = npt.NDArray[np.float64]

_FRAME_PX = 32
_EDGES_EV = (50.0, 3000.0)
_EDS_END_EV = 20000.0
_FINE_NM = 0.05
_CASNATI = Evidence(
    "ionisation cross-sections of Casnati, fluorescence yields of Elam; bremsstrahlung of Koch & Motz",
    "Casnati et al., J. Phys. B 15 (1982) 155; Elam et al., Radiat. Phys. Chem. 63 (2002) 121; Koch & Motz 1959",
)
_CORE = Evidence(
    "core losses from optical oscillator strengths, dipole approximation, all orders by Poisson's law",
    "Chantler, J. Phys. Chem. Ref. Data 24 (1995) 71; Egerton, EELS in the Electron Microscope, 3rd ed. (2011)",
)
_FILTER = Evidence(
    "linear filter over channels and pixels that is blind to the background's height, slope and each host element",
    "generalised least squares with nuisance components: Kay, Statistical Signal Processing I (1993), ch. 4",
)


def spectral_proposal(question: Question, technique: str) -> Proposal | Refused:
    """The best edge of EELS, or all lines of EDS, for the question's feature; or why there is none."""
    feature = question.feature
    if isinstance(feature, MeasuredFeature):
        return Refused(technique=technique, why=f"a spectrum does not measure {feature.quantity}")
    names = sought(question)
    if not names:
        return Refused(technique=technique, why="a void holds no element of its own: it only lowers every signal")
    if technique == "EDS":
        return _proposal(question, technique, None)
    ways = [_proposal(question, technique, (name, shell)) for name in names for shell in _shells(name)]
    if not ways:
        return Refused(
            technique=technique,
            why=f"{', '.join(names)} has no edge between {_EDGES_EV[0]:g} and {_EDGES_EV[1]:g} eV",
        )
    return min(ways, key=lambda each: each.curve.dose_e_per_A2(0.9))


def sought(question: Question) -> tuple[str, ...]:
    """The elements that the film lacks and the feature has."""
    feature, held = question.feature, question.specimen.density_per_nm3()
    if isinstance(feature, DopantFeature | ConcentrationFeature):
        return (feature.element,)
    material = feature.material if isinstance(feature, ParticleFeature) else None
    return () if material is None else tuple(e for e in material.density_per_nm3() if e not in held)


def _shells(element: str) -> list[str]:
    """The edges that a spectrometer reaches, one a family."""
    found: dict[str, tuple[float, str]] = {}
    for shell, energy in edges_eV(element).items():
        if _EDGES_EV[0] <= energy <= _EDGES_EV[1]:
            found[shell[0]] = min((energy, shell), found.get(shell[0], (math.inf, shell)))
    return [shell for _, shell in found.values()]


def axis_of(question: Question, technique: str, edge: tuple[str, str] | None) -> EnergyAxis:
    """The channels that are recorded: all X-rays, or from 25 % before an edge to 30 % beyond."""
    eels_step, eds_step = question.instrument.channels_eV
    if edge is None or technique == "EDS":
        return EnergyAxis(0.0, eds_step, math.ceil(_EDS_END_EV / eds_step))
    onset = edges_eV(edge[0])[edge[1]]
    first, last = onset - max(20.0, 0.25 * onset), onset + max(60.0, 0.3 * onset)
    return EnergyAxis(max(first, 15.0), eels_step, max(32, math.ceil((last - first) / eels_step)))


def _proposal(question: Question, technique: str, edge: tuple[str, str] | None) -> Proposal:
    made, film, feature = question.instrument, question.specimen, question.feature
    axis = axis_of(question, technique, edge)
    recipe = posed(question, share=0.0).without
    model = _model(question, technique, axis, recipe)
    plain = _spectrum(model, recipe, film.thickness_nm, {})
    if isinstance(feature, ConcentrationFeature):
        pixel_nm, half = feature.pixel_nm, 0
        recipe_with = posed(question, share=1.0).with_feature
        profile = np.ones((1, 1))
        other = _spectrum(_model(question, technique, axis, recipe_with), recipe_with, film.thickness_nm, {})
    elif isinstance(feature, DopantFeature):
        pixel_nm = _FINE_NM
        half = patch_px(0.25, pixel_nm)
        offsets = offsets_nm(half, pixel_nm)
        profile = spread(probe_in(film, made), np.hypot(offsets[..., 0], offsets[..., 1]))
        peak = float(profile.max())
        changed = {feature.element: feature.atoms * peak, feature.replaces: -feature.atoms * peak}
        other = _spectrum(model, recipe, film.thickness_nm, changed)
        profile = profile / peak
    else:
        radius, pixel_nm = _ball(feature), max(_ball(feature) / 2, 0.2)
        half = patch_px(radius + pixel_nm, pixel_nm)
        offsets = offsets_nm(half, pixel_nm)
        profile = np.sqrt(np.maximum(1 - (offsets[..., 0] ** 2 + offsets[..., 1] ** 2) / radius**2, 0.0))
        other = _ball_spectrum(model, recipe, question)
    channels = _blind(other - plain, plain, _hosts(model, recipe, question, plain, technique))
    weights = profile
    background = np.broadcast_to(plain, (*profile.shape, axis.channels))
    signal = profile[..., None] * (other - plain)
    side_nm = (_FRAME_PX - 2 * half) * pixel_nm
    bends = side_nm**2 * bends_per_nm2(weights, pixel_nm) if half else math.inf
    curve = filtered(
        weights[..., None] * channels, background, signal, pixel_nm,
        Search(places=(_FRAME_PX - 2 * half) ** 2, bends=bends), question.false_alarm,
    )  # fmt: skip
    return Proposal(
        technique=technique,
        detector=technique,
        pixel_nm=pixel_nm,
        frame_px=_FRAME_PX,
        curve=curve,
        least_us=made.eels_least_us if technique == "EELS" else made.dwell_us[0],
        settings={"edge": f"{edge[0]}-{edge[1]}"} if edge else {"lines": ", ".join(sought(question))},
        weights=weights,
        margin_px=half,
        channels=channels,
        site=feature.replaces if isinstance(feature, DopantFeature) else None,
        offset_eV=axis.offset_eV,
        step_eV=axis.step_eV,
        bytes_per_px=2 * axis.channels,
        share=float(plain.sum()),
        evidence=(_CORE if technique == "EELS" else _CASNATI, _FILTER),
        factor=1.5,
        doubt=_delocalised(question, technique, pixel_nm, edge),
    )  # fmt: skip


def _delocalised(question: Question, technique: str, pixel_nm: float, edge: tuple[str, str] | None) -> str | None:
    """Losses are not as local as atoms: half of them come from within 0.5 λ / θ_E^(3/4).

    Egerton, Ultramicroscopy 107 (2007) 575.
    """
    if technique != "EELS" or edge is None:
        return None
    onset, kV = edges_eV(edge[0])[edge[1]], question.instrument.voltage_kV
    angle = float(loss_angle_mrad(np.array(onset), kV)) * 1e-3
    wide_nm = 0.5 * wavelength_nm(kV) / angle**0.75
    return None if wide_nm < pixel_nm else f"losses at {onset:.0f} eV are delocalised over about {wide_nm:.2g} nm"


def _ball(feature: object) -> float:
    if not isinstance(feature, ParticleFeature):
        raise ConfigError("a particle was expected: this is a fault of adaptem, report it")
    return feature.diameter_nm / 2


def _model(question: Question, technique: str, axis: EnergyAxis, recipe: Recipe) -> EnergyLoss | XraySpectra:
    made = question.instrument
    if technique == "EELS":
        spectrometer = Spectrometer(
            axis=axis,
            voltage_kV=made.voltage_kV,
            collection_mrad=made.eels_collection_mrad,
            convergence_mrad=made.convergence_mrad,
            resolution_eV=made.eels_resolution_eV,
        )
        return EnergyLoss(recipe, spectrometer)
    detector = XrayDetector(
        axis=axis, voltage_kV=made.voltage_kV, solid_angle_sr=made.eds_solid_angle_sr, absorption=True
    )
    return XraySpectra(recipe, detector)


def _spectrum(
    model: EnergyLoss | XraySpectra, recipe: Recipe, film_nm: float, changed_per_nm2: dict[str, float],
    ball_nm: float = 0.0, ball: str | None = None, embedded: bool = True,
) -> Array:  # fmt: skip
    """(E,) counts for one electron through an even slab, with so many more atoms of some elements."""
    names, materials = elements(recipe), tuple(recipe.materials)
    film = recipe.film.material if recipe.film is not None else materials[0]
    thick = {film: film_nm - (ball_nm if embedded else 0.0)}
    if ball is not None:
        thick[ball] = ball_nm
    atoms = dict.fromkeys(names, 0.0)
    for material, nm in thick.items():
        for element, per_nm3 in composition(recipe.materials[material]).items():
            atoms[element] += per_nm3 * nm
    for element, more in changed_per_nm2.items():
        atoms[element] = max(atoms[element] + more, 0.0)
    matter = Matter(
        elements=names,
        materials=materials,
        atoms_per_nm2=torch.tensor([atoms[name] for name in names]).view(1, -1, 1, 1),
        thickness_nm=torch.tensor([thick.get(name, 0.0) for name in materials]).view(1, -1, 1, 1),
        passed=torch.ones(1, 1, 1),
    )
    return np.asarray(model.spectra(matter)[0, 0, 0].double().numpy())


def _ball_spectrum(model: EnergyLoss | XraySpectra, recipe: Recipe, question: Question) -> Array:
    feature = question.feature
    if not isinstance(feature, ParticleFeature):
        raise ConfigError("a particle was expected: this is a fault of adaptem, report it")
    nm, film_nm = feature.diameter_nm, question.specimen.thickness_nm
    return _spectrum(model, recipe, film_nm, {}, ball_nm=nm, ball="feature", embedded=feature.embedded)


def _hosts(
    model: EnergyLoss | XraySpectra, recipe: Recipe, question: Question, plain: Array, technique: str
) -> list[Array]:
    """Spectra whose amounts are not known: the filter must not see them."""
    film = question.specimen
    own = [plain]  # another dose
    for element, density in film.density_per_nm3().items():  # a place with more of it
        more = {element: density * film.thickness_nm * 0.1}
        own.append(_spectrum(model, recipe, film.thickness_nm, more) - plain)
    if technique == "EELS":  # as of a power law, another slope of the background; a thicker place
        own.append(plain * np.linspace(-1.0, 1.0, len(plain)))
        own.append(_spectrum(model, recipe, 1.1 * film.thickness_nm, {}) - plain)
    return own


def _blind(signal: Array, background: Array, hidden: list[Array]) -> Array:
    """(E,) filter for a signal in Poisson noise that gives 0 for each of the hidden spectra and their sums."""
    variance = np.maximum(background + np.maximum(signal, 0.0), 1e-30)
    used = variance > 1e-12 * variance.max()
    basis = np.array([np.where(used, each, 0.0) for each in hidden]).T
    scaled = basis / np.sqrt(variance)[:, None]
    aimed = np.where(used, signal, 0.0) / np.sqrt(variance)
    scaled = scaled / np.linalg.norm(scaled, axis=0)
    left = aimed - scaled @ np.linalg.lstsq(scaled, aimed, rcond=None)[0]
    return np.asarray(np.where(used, left / np.sqrt(variance), 0.0))
