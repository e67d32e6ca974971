"""Energy-loss spectrum images: against closed forms, published energies and a film of known composition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch
from pydantic import ValidationError
from scipy.special import ndtr

from configs.errors import ConfigError
from instruments.simulated import inelastic
from instruments.simulated.composition import Composition, Matter
from instruments.simulated.eels import EnergyLoss, Spectrometer
from instruments.simulated.energies import EnergyAxis
from instruments.simulated.library import SPECIMENS, named
from instruments.simulated.packing import composition, elements
from instruments.simulated.poisson import count_
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Views

WIDE = EnergyAxis(offset_eV=-20.0, step_eV=1.0, channels=3000)


def recipe(**atoms_per_nm3: float) -> Recipe:
    return Recipe(
        title="a film",
        materials={"film": Material(atoms_per_nm3=atoms_per_nm3)},
        film=Film(material="film", thickness_nm=10.0),
    )


def slab(made: Recipe, *thickness_nm: float) -> Matter:
    """Pixels in a row, each of one thickness of the first material."""
    thick = torch.tensor(thickness_nm)[None, None, None, :]
    names, materials = elements(made), list(made.materials.values())
    inside = composition(materials[0])
    others = torch.zeros(1, len(materials) - 1, 1, len(thickness_nm))
    return Matter(
        elements=names,
        materials=tuple(made.materials),
        atoms_per_nm2=torch.cat([inside.get(name, 0.0) * thick for name in names], dim=1),
        thickness_nm=torch.cat([thick, others], dim=1),
        passed=torch.ones(1, 1, len(thickness_nm)),
    )


def spectra(made: Recipe, spectrometer: Spectrometer, *thickness_nm: float) -> np.ndarray:
    """(N, C)"""
    return EnergyLoss(made, spectrometer).spectra(slab(made, *thickness_nm))[0, 0].double().numpy()


def test_zero_loss_and_all_losses_together_are_all_the_electrons():
    made = Spectrometer(axis=WIDE, elastic_losses=False)
    for atoms in ({"C": 100.0}, {"Si": 50.0}, {"Sr": 16.8, "Ti": 16.8, "O": 50.4}, {"Au": 59.0}):
        found = spectra(recipe(**atoms), made, 0.0, 1.0, 50.0, 120.0)
        assert found.sum(1) == pytest.approx([1.0] * 4, abs=3e-3)
        assert found.min() >= 0


def test_the_zero_loss_is_a_gaussian_of_the_resolution():
    axis = EnergyAxis(offset_eV=-5.03, step_eV=0.05, channels=400)
    found = spectra(recipe(C=100.0), Spectrometer(axis=axis, resolution_eV=0.9), 0.0)[0]
    sigma = 0.9 / 2.3548
    expected = np.diff(ndtr(axis.borders_eV() / sigma))
    assert found == pytest.approx(expected, abs=1e-6)
    energies = axis.energies_eV()[found > found.max() / 2]
    assert energies[-1] - energies[0] == pytest.approx(0.9, abs=0.06)


@pytest.mark.parametrize("thickness_nm", [5.0, 40.0, 200.0])
def test_the_log_ratio_gives_the_thickness_in_mean_free_paths(thickness_nm):
    axis = EnergyAxis(offset_eV=-6.0, step_eV=0.1, channels=20000)
    made = Spectrometer(axis=axis, resolution_eV=0.3, elastic_losses=False)
    silicon = recipe(Si=49.94)
    found = spectra(silicon, made, thickness_nm)[0]
    zero_loss = found[axis.energies_eV() < 1.0].sum()
    free_path_nm = inelastic.mean_free_path_nm({"Si": 49.94}, 200.0, 30.0, 21.4)
    assert math.log(found.sum() / zero_loss) == pytest.approx(thickness_nm / free_path_nm, rel=0.02)
    depth = EnergyLoss(silicon, made).relative_thickness(slab(silicon, thickness_nm))
    assert float(depth) == pytest.approx(thickness_nm / free_path_nm, rel=1e-4)


def test_plasmons_stand_at_the_free_electron_energy():
    """Al 15.0, Si 16.7, Mg 10.3 and Be 18.7 eV are measured; free electrons are within 7 % of that."""
    for atoms, measured_eV in (
        ({"Al": 60.2}, 15.0),
        ({"Si": 49.94}, 16.7),
        ({"Mg": 43.0}, 10.3),
        ({"Be": 123.0}, 18.7),
    ):
        assert inelastic.plasmon_eV(atoms) == pytest.approx(measured_eV, rel=0.07)
    axis = EnergyAxis(offset_eV=-5.0, step_eV=0.1, channels=1000)
    found = spectra(recipe(Al=60.2), Spectrometer(axis=axis, damping=0.03, resolution_eV=0.2), 50.0)[0]
    low = axis.channel_of(5.0)
    assert axis.energies_eV()[low + found[low:].argmax()] == pytest.approx(inelastic.plasmon_eV({"Al": 60.2}), abs=0.3)


def test_many_losses_follow_poissons_law():
    """Summed order by order, in double precision and real space."""
    axis = EnergyAxis(offset_eV=-10.0, step_eV=1.0, channels=600)
    silicon, thickness_nm = recipe(Si=49.94), 300.0
    made = EnergyLoss(silicon, Spectrometer(axis=axis, elastic_losses=False))
    found = made.spectra(slab(silicon, thickness_nm))[0, 0, 0].double().numpy()
    losses = made.tables.double().numpy()
    single = (thickness_nm * losses[0] + thickness_nm * 49.94 * losses[1])[10:]
    order, expected = np.zeros(590), np.zeros(590)
    order[0] = 1.0
    for n in range(1, 25):
        expected += order
        order = np.convolve(order, single)[:590] / n
    mean = thickness_nm * float(made.means[0]) + thickness_nm * 49.94 * float(made.means[1])
    expected *= math.exp(-mean)
    zero_loss = np.diff(ndtr((np.arange(22) - 10.5) * 2.3548))
    expected = np.convolve(expected, zero_loss)[:600]
    assert mean > 1.8
    # the last channels also take in, through the resolution, what lies beyond the end
    assert found[:595] == pytest.approx(expected[:595], rel=1e-3, abs=1e-7)


@pytest.mark.parametrize(
    ("element", "per_nm3", "onset_eV"),
    [("C", 100.0, 284), ("N", 50.0, 401), ("O", 50.0, 532), ("Ti", 57.0, 456), ("Fe", 85.0, 708), ("Si", 50.0, 1839)],
)
def test_edges_rise_at_their_tabulated_energies(element, per_nm3, onset_eV):
    """Energies of the EELS Atlas (Ahn & Krivanek 1983); the tables of free atoms differ by up to 10 eV."""
    axis = EnergyAxis(offset_eV=0.8 * onset_eV, step_eV=0.5, channels=int(0.8 * onset_eV))
    found = spectra(recipe(**{element: per_nm3}), Spectrometer(axis=axis), 10.0)[0]
    steepest = axis.energies_eV()[np.argmax(np.diff(np.log(found)))]
    assert steepest == pytest.approx(onset_eV, abs=10 if element == "N" else 3)


def test_counted_strontium_titanate_is_quantified_as_it_is_made():
    """Power laws under the edges, then signals over cross-sections, from a noiseless spectrum of a thin film."""
    made = named("srtio3_on_ge").model_copy(update={"populations": {}})
    axis = EnergyAxis(offset_eV=300.0, step_eV=1.0, channels=600)
    mapper = Composition(made.model_copy(update={"film": made.film.model_copy(update={"dopant": 0.0})}),
                         Camera(shape=(16, 16), pixel_nm=1.0))  # fmt: skip
    here = Views(seeds=np.array([3]), places_nm=np.zeros((1, 2)), coefficients_nm=torch.zeros(1, 8),
                 electrons=torch.ones(1), frames=np.array([0]))  # fmt: skip
    found = EnergyLoss(mapper.recipe, Spectrometer(axis=axis)).spectra(mapper.matter(here))
    spectrum, energies = found.mean(dim=(0, 1, 2)).double().numpy(), axis.energies_eV()
    atoms = {}
    for element, before, window in (("Ti", (400, 445), (460, 520)), ("O", (495, 525), (540, 590))):
        fitted = (energies >= before[0]) & (energies <= before[1])
        slope, height = np.polyfit(np.log(energies[fitted]), np.log(spectrum[fitted]), 1)
        seen = (energies >= window[0]) & (energies <= window[1])
        signal = (spectrum[seen] - np.exp(height + slope * np.log(energies[seen]))).sum()
        nodes, strength = inelastic.core_strength(element)
        fine = np.linspace(window[0] - 0.5, window[1] + 0.5, 2001)
        per_eV = inelastic.loss_nm2_per_eV(np.interp(fine, nodes, strength), fine, 200.0, 30.0)
        # what the element holds below its edge belongs to the background
        low = np.linspace(*before, 200)
        below = inelastic.loss_nm2_per_eV(np.interp(low, nodes, strength), low, 200.0, 30.0)
        if below.min() > 0:
            line = np.polyfit(np.log(low), np.log(below), 1)
            per_eV -= np.exp(np.polyval(line, np.log(fine)))
        atoms[element] = signal / np.trapezoid(per_eV, fine)
    assert atoms["O"] / atoms["Ti"] == pytest.approx(3.0, rel=0.1)


def test_thick_matter_repeats_an_edge_a_plasmon_higher():
    axis = EnergyAxis(offset_eV=200.0, step_eV=0.5, channels=500)
    thin, thick = spectra(recipe(C=100.0), Spectrometer(axis=axis), 1.0, 150.0)
    onset, later = axis.channel_of(290.0), axis.channel_of(310.0)
    assert thick[later] / thick[onset] > 1.1 * thin[later] / thin[onset]


def test_an_axis_may_begin_anywhere():
    whole = EnergyAxis(offset_eV=-20.0, step_eV=0.5, channels=1500)
    part = EnergyAxis(offset_eV=230.0, step_eV=0.5, channels=1000)
    lithium = recipe(Li=46.0, O=23.0)
    for thickness_nm in (5.0, 200.0):
        all_of_it = spectra(lithium, Spectrometer(axis=whole), thickness_nm)[0]
        some = spectra(lithium, Spectrometer(axis=part), thickness_nm)[0]
        assert some == pytest.approx(all_of_it[500:], rel=2e-3, abs=1e-10)


def test_what_is_scattered_beyond_the_aperture_is_missing():
    gold, axis = recipe(Au=59.0), WIDE
    kept = spectra(gold, Spectrometer(axis=axis), 10.0)[0].sum()
    small = spectra(gold, Spectrometer(axis=axis, collection_mrad=10.0), 10.0)[0].sum()
    assert 0 < small < kept < 0.9
    ratio = [spectra(gold, Spectrometer(axis=axis, elastic_losses=e), 10.0)[0] for e in (True, False)]
    assert ratio[0] / ratio[0].sum() == pytest.approx(ratio[1] / ratio[1].sum(), rel=1e-3, abs=1e-12)


def test_an_aperture_narrower_than_the_probe_cuts_it():
    cut = Spectrometer(axis=WIDE, collection_mrad=10.0, convergence_mrad=20.0)
    assert spectra(recipe(C=100.0), cut, 0.0)[0].sum() == pytest.approx(0.25, rel=1e-5)
    assert replace(cut, convergence_mrad=0.0).entering == replace(cut, convergence_mrad=10.0).entering == 1.0


def test_nothing_comes_through_what_is_far_too_thick():
    found = spectra(recipe(Au=59.0), Spectrometer(axis=WIDE), 1e3, 1e5, 1e7)
    assert np.isfinite(found).all()
    assert found.sum(1)[1:] == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("name", SPECIMENS)
def test_every_specimen_has_spectra(name):
    made = named(name)
    mapper = Composition(made, Camera(shape=(8, 8), pixel_nm=made.look_nm / 8))
    here = Views(seeds=np.array([3]), places_nm=np.zeros((1, 2)), coefficients_nm=torch.zeros(1, 8),
                 electrons=torch.ones(1), frames=np.array([0]))  # fmt: skip
    matter = mapper.matter(here)
    made_of = EnergyLoss(made, Spectrometer(axis=EnergyAxis(-20.0, 1.0, 1024), elastic_losses=False))
    found = made_of.spectra(matter)
    assert found.shape == (1, 8, 8, 1024)
    assert bool(torch.isfinite(found).all())
    assert torch.equal(found, made_of.spectra(matter))
    # what is lost beyond 1 keV, or in matter of many mean free paths, is not on the axis
    assert found.sum(-1).numpy() == pytest.approx(np.ones((1, 8, 8)), abs=0.01)


def test_electrons_are_counted_one_by_one():
    mean = EnergyLoss(recipe(C=100.0), Spectrometer(axis=WIDE)).spectra(slab(recipe(C=100.0), *[20.0] * 400))
    expected = mean.clone() * 1e6
    counted = count_(mean * 1e6, torch.tensor([5]))
    assert torch.equal(counted, counted.round())
    assert float(counted.sum() / expected.sum()) == pytest.approx(1, abs=1e-4)
    edge = slice(320, 400)
    assert float(counted[..., edge].var(dim=2).sum() / expected[..., 0, edge].sum()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"voltage_kV": float("nan")}, "voltage_kV = nan was asked; give from 10"),
        ({"collection_mrad": 0.0}, "collection_mrad = 0.0"),
        ({"collection_mrad": 1e4}, "collection_mrad = 10000.0"),
        ({"resolution_eV": -1.0}, "resolution_eV = -1.0"),
        ({"damping": 0.0}, "damping = 0.0"),
        ({"convergence_mrad": float("inf")}, "convergence_mrad = inf"),
        ({"axis": EnergyAxis(-100.0, 0.1, 100)}, "let it reach a loss above 0"),
        ({"axis": EnergyAxis(20000.0, 0.01, 2000)}, "give wider channels or a lower end"),
    ],
)
def test_an_absurd_spectrometer_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        replace(Spectrometer(axis=WIDE), **changes)


def test_matter_without_tables_is_refused():
    carbon, silicon = recipe(C=100.0), recipe(Si=50.0)
    with pytest.raises(ConfigError, match="map the same recipe"):
        EnergyLoss(carbon, Spectrometer(axis=WIDE)).spectra(slab(silicon, 1.0))
    with pytest.raises(ConfigError, match="check atoms_per_nm3"):
        EnergyLoss(recipe(Au=1e6), Spectrometer(axis=WIDE))
    film = slab(carbon, 1.0)
    huge = Matter(elements=film.elements, materials=film.materials, passed=film.passed.expand(1, 1, 4_000_000),
                  atoms_per_nm2=film.atoms_per_nm2.expand(1, 1, 1, 4_000_000),
                  thickness_nm=film.thickness_nm.expand(1, 1, 1, 4_000_000))  # fmt: skip
    with pytest.raises(ConfigError, match="take fewer pixels or wider channels"):
        EnergyLoss(carbon, Spectrometer(axis=WIDE)).spectra(huge)
    for stranger in ("Pu", "Xx"):
        with pytest.raises(ValidationError, match=f"'{stranger}' is no element up to U"):
            recipe(**{stranger: 10.0})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_agrees_with_the_cpu():
    made, matter = Spectrometer(axis=WIDE), slab(recipe(C=100.0), 1.0, 50.0, 300.0)
    cpu = EnergyLoss(recipe(C=100.0), made).spectra(matter)
    gpu = EnergyLoss(recipe(C=100.0), made, torch.device("cuda")).spectra(matter).cpu()
    assert torch.allclose(cpu, gpu, rtol=1e-3, atol=1e-8)
