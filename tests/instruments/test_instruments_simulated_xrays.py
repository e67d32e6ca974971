"""X-ray spectrum images: against closed forms and published cross-sections and k-factors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch
import xraydb
from pydantic import ValidationError

from configs.errors import ConfigError
from instruments.simulated.composition import Composition, Matter
from instruments.simulated.energies import EnergyAxis
from instruments.simulated.ionisation import casnati_nm2, lines, vacancies_nm2
from instruments.simulated.library import SPECIMENS, named
from instruments.simulated.packing import elements
from instruments.simulated.poisson import count_
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Views
from instruments.simulated.xrays import (
    POLYMER_WINDOW,
    WINDOWLESS,
    Layer,
    XrayDetector,
    XraySpectra,
    absorption_nm2,
    bremsstrahlung_nm2_per_eV,
)

AXIS = EnergyAxis(offset_eV=-100.0, step_eV=10.0, channels=2048)
DETECTOR = XrayDetector(axis=AXIS)


def recipe(**atoms_per_nm3: float) -> Recipe:
    return Recipe(
        title="a film",
        materials={"film": Material(atoms_per_nm3=atoms_per_nm3)},
        film=Film(material="film", thickness_nm=10.0),
    )


def slab(made: Recipe, thickness_nm: float) -> Matter:
    """One pixel of the first material."""
    inside = next(iter(made.materials.values())).atoms_per_nm3
    return Matter(
        elements=elements(made),
        materials=tuple(made.materials),
        atoms_per_nm2=torch.tensor([inside[name] * thickness_nm for name in elements(made)]).view(1, -1, 1, 1),
        thickness_nm=torch.full((1, len(made.materials), 1, 1), thickness_nm),
        passed=torch.ones(1, 1, 1),
    )


def spectrum(made: Recipe, detector: XrayDetector, thickness_nm: float) -> np.ndarray:
    return XraySpectra(made, detector).spectra(slab(made, thickness_nm))[0, 0, 0].double().numpy()


def weight_per_photon(element: str, family: str) -> float:
    """Atomic mass over the cross-section of a family of lines."""
    seen = sum(line.cross_section_nm2 for line in lines(element, 200.0) if line.shell.startswith(family))
    return float(xraydb.atomic_mass(element)) / seen


@pytest.mark.parametrize(
    ("element", "shell", "published_cm2"),
    [("O", "K", 7.509e-21), ("Si", "K", 1.729e-21), ("Ar", "K", 8.640e-22), ("Fe", "K", 3.033e-22),
     ("Ag", "K", 5.384e-23), ("Pd", "L3", 2.351e-21), ("Pd", "L2", 9.196e-22)],
)  # fmt: skip
def test_ionisation_is_near_the_distorted_wave_numbers(element, shell, published_cm2):
    """At 200 kV, after Bote & Salvat 2008 as emtables and pyTEMlib (xrays_X_section_200kV.json) give them."""
    assert vacancies_nm2(element, 200.0)[shell] * 1e-14 == pytest.approx(published_cm2, rel=0.15)


def test_an_electron_too_slow_ionises_nothing():
    assert casnati_nm2(2, 80725.0, 60.0) == 0
    assert casnati_nm2(2, 8979.0, 200.0) > casnati_nm2(2, 8979.0, 300.0) > 0
    with pytest.raises(ValueError, match="give above 0"):
        casnati_nm2(2, float("nan"), 200.0)


@pytest.mark.parametrize(
    ("element", "published"),
    [("Mg", 0.327781), ("Al", 0.330728), ("S", 0.321669), ("Ti", 0.379229), ("Fe", 0.432916), ("Cu", 0.513247),
     ("Ge", 0.655539)],
)  # fmt: skip
def test_k_factors_to_silicon_are_those_of_a_maker(element, published):
    """Thermo Fisher's at 200 kV for K lines, as pyTEMlib (k_factors_Thermo_200keV.json) keeps them; Si has 0.324726."""
    found = weight_per_photon(element, "K") / weight_per_photon("Si", "K")
    assert found == pytest.approx(published / 0.324726, rel=0.1)


@pytest.mark.parametrize(
    ("element", "line", "fluence_e_per_A2", "rel"),
    [("Ti", "Ka1", 4.4e8, 0.15), ("Sr", "La1", 3.0e8, 0.15), ("Au", "Ma", 1.7e8, 0.15), ("Cu", "La1", 3.0e8, 0.35)],
)
def test_one_atom_shows_at_the_fluence_that_was_worked_out_before(element, line, fluence_e_per_A2, rel):
    """16 counts of an element's strongest line from one atom, in 0.7 sr without losses, by pyTEMlib's numbers."""
    (section_nm2,) = (each.cross_section_nm2 for each in lines(element, 200.0) if each.name == line)
    counts = fluence_e_per_A2 * 100 * section_nm2 * 0.7 / (4 * math.pi)
    assert counts == pytest.approx(16, rel=rel)


def test_a_line_has_the_counts_and_the_width_that_are_written_down():
    made = recipe(Mn=80.0)
    found, energies = spectrum(made, DETECTOR, 10.0), AXIS.energies_eV()
    edges = xraydb.xray_edges("Mn")
    share = sum(line.intensity for name, line in xraydb.xray_lines("Mn", "K").items() if name.startswith("Ka"))
    section = casnati_nm2(2, edges["K"].energy, 200.0) * edges["K"].fyield * share
    expected = 800.0 * section * 0.7 / (4 * math.pi) * float(DETECTOR.efficiency(np.array([5895.0]))[0])
    inside = (energies > 5600) & (energies < 6200)
    background = np.interp(energies, energies[~inside], found[~inside])
    peak = np.where(inside, found - background, 0.0)
    assert peak.sum() == pytest.approx(expected, rel=0.01)
    middle = (peak * energies).sum() / peak.sum()
    spread = math.sqrt((peak * (energies - middle) ** 2).sum() / peak.sum())
    assert middle == pytest.approx(5895, abs=5)
    # a good detector has 125 eV at Mn Kα; the two lines lie 11 eV apart
    assert float(DETECTOR.resolution_eV(np.array([5895.0]))[0]) == pytest.approx(125, abs=3)
    assert 2.3548 * spread == pytest.approx(126, abs=3)


def test_strontium_titanate_is_quantified_as_it_is_made():
    """Window sums, a straight background under each, over a standard of each element alone."""
    made = named("srtio3_on_ge").model_copy(update={"populations": {}})
    made = made.model_copy(update={"film": made.film.model_copy(update={"dopant": 0.0})})
    here = Views(seeds=np.array([3]), places_nm=np.zeros((1, 2)), coefficients_nm=torch.zeros(1, 8),
                 electrons=torch.ones(1), frames=np.array([0]))  # fmt: skip
    matter = Composition(made, Camera(shape=(16, 16), pixel_nm=1.0)).matter(here)
    found = XraySpectra(made, DETECTOR).spectra(matter).mean(dim=(0, 1, 2)).double().numpy()

    def net(counts: np.ndarray, low_eV: float, high_eV: float) -> float:
        low, high = AXIS.channel_of(low_eV), AXIS.channel_of(high_eV)
        return float((counts[low : high + 1] - np.linspace(counts[low], counts[high], high - low + 1)).sum())

    atoms = {}
    for element, window in (("Sr", (13500.0, 14700.0)), ("Ti", (4250.0, 4750.0))):
        standard = spectrum(recipe(**{element: 10.0}), DETECTOR, 1.0)
        atoms[element] = net(found, *window) / net(standard, *window) * 10.0
    # oxygen's line lies beside titanium's L lines: what titanium gives there is known from its K lines
    window = (400.0, 650.0)
    beside = atoms["Ti"] / 10.0 * spectrum(recipe(Ti=10.0), DETECTOR, 1.0)
    beside += atoms["Sr"] / 10.0 * spectrum(recipe(Sr=10.0), DETECTOR, 1.0)
    atoms["O"] = net(found - beside, *window) / net(spectrum(recipe(O=10.0), DETECTOR, 1.0), *window) * 10.0
    assert atoms["Sr"] / atoms["Ti"] == pytest.approx(1.0, rel=0.02)
    assert atoms["O"] / atoms["Ti"] == pytest.approx(3.0, rel=0.02)
    assert atoms["Ti"] == pytest.approx(float(matter.atoms_per_nm2[:, matter.elements.index("Ti")].mean()), rel=0.02)


def test_counts_add_up_by_atoms():
    both = recipe(Cu=30.0, O=60.0)
    parts = spectrum(recipe(Cu=30.0), DETECTOR, 5.0) + spectrum(recipe(O=60.0), DETECTOR, 5.0)
    assert spectrum(both, DETECTOR, 5.0) == pytest.approx(parts, rel=1e-4)
    assert spectrum(both, DETECTOR, 10.0) == pytest.approx(2 * parts, rel=1e-4)


def test_bremsstrahlung_is_kramers_to_a_factor_of_a_few_and_ends_at_the_beams_energy():
    k = np.array([2e3, 10e3, 50e3, 199e3, 201e3])
    found = bremsstrahlung_nm2_per_eV("Ni", k, 200.0, 18.0)
    kramers = 5.606e-13 * 28**2 / 0.4835 / k  # 16π / (3√3) α rₑ² Z² / β² / k, in nm²
    assert (np.abs(np.log(found[:3] / kramers[:3])) < math.log(3)).all()
    assert found[-1] == 0
    assert found[3] < 0.1 * kramers[3]
    assert (np.diff(found) < 0).all()


def test_a_peak_stands_high_over_its_background():
    """Ni Kα of NiO over 10 eV of background: some 3000 … 5000 measured at 200 kV, more for an ideal instrument."""
    found = spectrum(recipe(Ni=55.0, O=55.0), DETECTOR, 50.0)
    peak = slice(AXIS.channel_of(7200.0), AXIS.channel_of(7750.0))
    background = found[AXIS.channel_of(6900.0) : AXIS.channel_of(7100.0)].mean()
    assert 2e3 < (found[peak].sum() - background * (peak.stop - peak.start)) / background < 2e4


def test_a_window_stops_soft_x_rays_and_thin_silicon_hard_ones():
    windowed = replace(DETECTOR, layers=POLYMER_WINDOW, open_share=0.77)
    at = np.array([20.0, 277.0, 525.0, 1740.0, 8000.0, 40000.0])
    bare, covered = DETECTOR.efficiency(at), windowed.efficiency(at)
    assert bare[0] == 0
    assert (covered[1:] < bare[1:]).all()
    assert covered[1] < 0.6 < bare[2] < 1
    assert covered[4] == pytest.approx(0.77, abs=0.02)
    assert bare[5] < 0.1
    assert WINDOWLESS == DETECTOR.layers


def test_absorption_is_that_of_the_tables_of_x_rays():
    """Silicon at Cu Kα: 63 cm²/g; oxygen at its own Kα: 1200 cm²/g (Henke, Gullikson & Davis 1993)."""
    for element, energy_eV, published, rel in (("Si", 8048.0, 63.0, 0.05), ("O", 524.9, 1200.0, 0.15)):
        per_gram = float(absorption_nm2(element, np.array([energy_eV]))[0]) * 1e-14 * 6.02214e23
        assert per_gram / float(xraydb.atomic_mass(element)) == pytest.approx(published, rel=rel)


def test_a_thick_specimen_keeps_its_soft_x_rays():
    made, absorbing = recipe(O=50.0, Fe=20.0), replace(DETECTOR, absorption=True)
    hard, soft = AXIS.channel_of(6400.0), AXIS.channel_of(520.0)
    for thickness_nm in (1.0, 300.0):
        free, kept = spectrum(made, DETECTOR, thickness_nm), spectrum(made, absorbing, thickness_nm)
        depth = sum(
            per_nm3 * thickness_nm * float(absorption_nm2(element, np.array([524.9]))[0])
            for element, per_nm3 in (("O", 50.0), ("Fe", 20.0))
        ) / math.sin(math.radians(18.0))
        assert kept[soft] / free[soft] == pytest.approx((1 - math.exp(-depth)) / depth, rel=0.02)
        assert kept[hard] / free[hard] > 0.98
    assert depth > 0.5


@pytest.mark.parametrize("name", SPECIMENS)
@pytest.mark.parametrize("absorption", [False, True])
def test_every_specimen_has_spectra(name, absorption):
    made = named(name)
    here = Views(seeds=np.array([3]), places_nm=np.zeros((1, 2)), coefficients_nm=torch.zeros(1, 8),
                 electrons=torch.ones(1), frames=np.array([0]))  # fmt: skip
    matter = Composition(made, Camera(shape=(8, 8), pixel_nm=made.look_nm / 8)).matter(here)
    made_of = XraySpectra(made, replace(DETECTOR, absorption=absorption))
    found = made_of.spectra(matter)
    assert found.shape == (1, 8, 8, 2048)
    assert bool(torch.isfinite(found).all())
    assert found.min() >= 0
    assert torch.equal(found, made_of.spectra(matter))
    assert 0 < float(found.sum(-1).max()) < 1e-3


def test_hydrogen_alone_has_no_lines():
    made = XraySpectra(recipe(H=50.0), replace(DETECTOR, absorption=True))
    assert made.lines == ()
    assert float(made.spectra(slab(recipe(H=50.0), 10.0)).sum()) > 0


def test_no_x_rays_where_a_bar_stops_the_beam():
    made = recipe(Cu=80.0)
    matter = replace(slab(made, 10.0), passed=torch.zeros(1, 1, 1))
    assert float(XraySpectra(made, DETECTOR).spectra(matter).abs().max()) == 0


def test_x_rays_are_counted_one_by_one():
    made = recipe(Cu=80.0)
    mean = XraySpectra(made, DETECTOR).spectra(slab(made, 10.0)).repeat(1, 300, 1, 1) * 1e7
    expected = mean.sum()
    counted = count_(mean, torch.tensor([9]))
    assert torch.equal(counted, counted.round())
    assert float(counted.sum() / expected) == pytest.approx(1, abs=4 / math.sqrt(float(expected)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"voltage_kV": float("nan")}, "voltage_kV = nan was asked; give from 10"),
        ({"solid_angle_sr": 13.0}, "solid_angle_sr = 13.0"),
        ({"takeoff_deg": 0.0}, "takeoff_deg = 0.0"),
        ({"noise_eV": -5.0}, "noise_eV = -5.0"),
        ({"open_share": 1.5}, "open_share = 1.5"),
        ({"silicon_nm": float("inf")}, "silicon_nm = inf"),
        ({"layers": (Layer("C", float("nan")),)}, "thickness_nm of C = nan"),
        ({"layers": (Layer("Moxtek", 300.0),)}, "'Moxtek' was asked; spectra are known of H to U"),
        ({"axis": EnergyAxis(-100.0, 1.0, 100)}, "let it reach beyond 50 eV"),
    ],
)
def test_an_absurd_detector_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        replace(DETECTOR, **changes)


def test_matter_without_tables_is_refused():
    with pytest.raises(ConfigError, match="map the same recipe"):
        XraySpectra(recipe(Cu=80.0), DETECTOR).spectra(slab(recipe(Au=59.0), 1.0))
    with pytest.raises(ValidationError, match="'Pu' is no element up to U"):
        recipe(Pu=50.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_agrees_with_the_cpu():
    for absorption in (False, True):
        made, detector = recipe(O=50.0, Fe=20.0), replace(DETECTOR, absorption=absorption)
        cpu = XraySpectra(made, detector).spectra(slab(made, 100.0))
        gpu = XraySpectra(made, detector, torch.device("cuda")).spectra(slab(made, 100.0)).cpu()
        assert torch.allclose(cpu, gpu, rtol=1e-3, atol=1e-14)
