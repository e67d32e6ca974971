"""Specimens by recipe under the microscope: geometry, counting, harm, patterns, truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from instruments_recipe import ATOMS, SHARP, WIDE, focused, look, world
from pydantic import ValidationError

from instruments.annuli import Annulus, mask
from instruments.checks import check_microscope
from instruments.clock import SimulatedClock
from instruments.errors import LimitError, NotSupported
from instruments.powers import HasDiffraction, HasSpectra
from instruments.simulated.damage import FluenceMap
from instruments.simulated.library import named
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.scenes import Sight
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Footprint, Optics


def test_the_conformance_suite_passes():
    results = check_microscope(
        SimulatedMicroscope(World(SimulatedSettings(specimen="au_on_carbon"), 3, SimulatedClock()))
    )
    assert [result for result in results if not result.ok] == []
    assert sum(result.checked for result in results) >= 7


@pytest.mark.parametrize("name", ["srtio3_on_ge", "battery_liquid_cell"])
def test_one_seed_one_frame_and_two_seeds_two(name):
    frames = [focused(world(name, seed)).acquire(ATOMS).signals["HAADF"].data for seed in (1, 1, 2)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_asking_for_fewer_detectors_changes_no_count():
    every = focused(world()).acquire(ATOMS).signals
    one = focused(world()).acquire(replace(ATOMS, signals=("ADF",))).signals
    assert list(every) == ["HAADF", "ADF", "ABF", "BF"]
    assert list(one) == ["ADF"]
    assert np.array_equal(one["ADF"].data, every["ADF"].data)


@pytest.mark.parametrize("exposure", [ATOMS, WIDE], ids=["atoms", "wide"])
@pytest.mark.parametrize("detector", ["HAADF", "ABF"])
def test_a_scan_that_is_turned_shows_the_same_place_turned(exposure, detector):
    made = world("au_on_carbon" if exposure is WIDE else "srtio3_on_ge")
    scope = focused(made)
    scope.tune(Optics(stig_a_nm=3.0, stig_b_nm=1.0))  # the lens does not turn with the scan
    straight = look(made, exposure, detector)[detector]
    turned = look(made, replace(exposure, rotation_deg=90.0), detector)[detector]
    # along +column the place now moves by −y instead of −x, along +row by +x
    np.testing.assert_allclose(np.rot90(turned, -1), straight, atol=0.03 * float(np.ptp(straight)))


def test_the_beam_takes_the_structure_where_it_was_and_nowhere_else():
    tender = named("srtio3_on_ge").model_copy(update={"critical_fluence_e_per_A2": 300.0, "mass_loss": 0.1})
    made = world({"recipe": tender, "contamination_nm": 0.0})
    scope, exposure = focused(made), replace(ATOMS, field_of_view_nm=4.0, signals=("HAADF",))
    x_nm, y_nm = made.place_nm()
    here = Footprint(x_nm=x_nm, y_nm=y_nm, width_nm=4.0, height_nm=4.0)
    fluence = FluenceMap()
    fluence.add(replace(here, x_nm=x_nm + 100.0), 1e5)
    fresh = look(made, exposure, "HAADF")["HAADF"]
    assert np.array_equal(fresh, look(made, exposure, "HAADF", fluence=fluence)["HAADF"])
    fluence.add(here, 3000.0)
    spent = look(made, exposure, "HAADF", fluence=fluence)["HAADF"]
    assert spent.std() < 0.5 * fresh.std()
    assert spent.mean() == pytest.approx(0.9 * fresh.mean(), rel=0.02)
    scope.acquire(exposure)
    assert made.true_fluence_e_per_A2(x_nm, y_nm) > 0


def test_a_frame_harms_what_it_shows():
    """One frame shows what two of half the dose show on average, on a fresh place and on one that was exposed."""
    tender = named("srtio3_on_ge").model_copy(update={"critical_fluence_e_per_A2": 300.0, "mass_loss": 0.3})
    made = world({"recipe": tender, "contamination_nm": 2.0}, bf={})
    focused(made)
    x_nm, y_nm = made.place_nm()
    here = Footprint(x_nm=x_nm, y_nm=y_nm, width_nm=4.0, height_nm=4.0)

    def seen(before: float, own: float) -> np.ndarray:
        fluence = FluenceMap()
        if before:
            fluence.add(here, before)
        shares = look(made, ATOMS, "HAADF", "BF", fluence=fluence, own_e_per_A2=own)
        return np.stack([shares["HAADF"], shares["BF"]])

    for before in (0.0, 200.0):
        # a dark field is nearly linear in what is left; a bright field, of the mean phase, to a fifth of what changes
        steps = [seen(before + 100.0 * n, 100.0) for n in range(5)]
        whole, blind = seen(before, 500.0), seen(before, 0.0)
        lost = np.abs(blind - np.mean(steps, axis=0)).max((1, 2))
        assert (np.abs(whole - np.mean(steps, axis=0)).max((1, 2)) < (0.1, 0.25) * lost).all()
    assert seen(0.0, 3000.0)[0].std() < 0.25 * seen(0.0, 0.0)[0].std()  # (1 − exp(−10)) / 10 of the order
    faint = ATOMS.fluence_e_per_A2(1e-4)
    assert np.array_equal(seen(0.0, faint), seen(0.0, 0.0))


def test_a_frame_beyond_the_range_of_its_model_says_so():
    """Far out of focus, or a ring that was never compared: doubted, each detector for itself."""
    thin = named("srtio3_on_ge")
    scope = focused(world({"recipe": thin, "contamination_nm": 0.0}))
    exposure = replace(ATOMS, signals=("HAADF", "ADF"))
    told = scope.acquire(exposure).doubts
    assert [one.partition(":")[0] for one in told if "never compared" in one] == ["ADF"]
    far = focused(world({"recipe": thin, "contamination_nm": 0.0}), 60.0).acquire(replace(exposure, signals=("HAADF",)))
    assert far.doubts
    assert far.doubts[0].startswith("HAADF: ")
    assert focused(world("au_on_carbon")).acquire(WIDE).doubts == ()  # no atoms are shown


def test_knock_on_needs_the_voltage_and_carbon_comes_to_stay():
    fluence = FluenceMap()
    fluence.add(Footprint(x_nm=0.0, y_nm=0.0, width_nm=500.0, height_nm=500.0), 3e6)
    for voltage_kV, least, most in ((60.0, 0.99, 1.01), (200.0, 0.02, 0.55)):
        column = SHARP.model_copy(update={"voltage_kV": voltage_kV})
        made = world({"recipe": "mos2", "contamination_nm": 0.0}, column=column)
        fresh, spent = (look(made, ATOMS, "HAADF", fluence=map_)["HAADF"].mean() for map_ in (FluenceMap(), fluence))
        assert least < spent / fresh < most
    dirty = world({"recipe": "graphene", "contamination_nm": 3.0}, column=SHARP.model_copy(update={"voltage_kV": 60.0}))
    before, after = (look(dirty, ATOMS, "HAADF", fluence=map_)["HAADF"].mean() for map_ in (FluenceMap(), fluence))
    assert after > 2 * before  # 3 nm of carbon on one layer of it


def test_patterns_hold_what_the_other_detectors_get():
    made = world(camera={}, column=SHARP.model_copy(update={"source_size_nm": 0.0}))
    focused(made)
    exposure = Exposure(field_of_view_nm=1.6, shape=(16, 16), dwell_us=100.0)
    seen = look(made, exposure, "BF", "ABF", "camera")
    patterns = seen["camera"]
    assert patterns.shape == (16, 16, 64, 64)
    assert patterns.sum((2, 3)).mean() == pytest.approx(0.99, abs=0.01)  # what leaves beyond 64 mrad
    for name, ring in (("BF", Annulus(0.0, 10.0)), ("ABF", Annulus(11.0, 22.0))):
        virtual = (patterns * mask(ring, (64, 64), (2.0, 2.0), (32.0, 32.0))).sum((2, 3))
        assert virtual.mean() == pytest.approx(seen[name].mean(), rel=0.04)  # of it 3 % by pixels of 2 mrad
        assert np.corrcoef(virtual.ravel(), seen[name].ravel())[0, 1] > 0.95


def test_the_camera_counts_every_electron_once_and_its_dead_pixels_none():
    made = world("graphene", camera={"pixels": 32})
    exposure = Exposure(field_of_view_nm=2.0, shape=(8, 8), dwell_us=500.0, signals=("camera",))
    frame = focused(made).acquire(exposure)
    signal = frame.signals["camera"]
    assert [axis.name for axis in signal.axes] == ["row", "column", "ky", "kx"]
    assert (signal.axes[2].scale, signal.axes[2].offset) == (4.0, -64.0)
    assert signal.data.sum() == pytest.approx(frame.electrons, rel=0.01)
    worn = focused(world("graphene", camera={"pixels": 32, "dead_fraction": 0.05})).acquire(exposure)
    dead = (worn.signals["camera"].data != signal.data).any((0, 1))
    assert 0 < dead[10:22, 10:22].sum() < 25
    assert (worn.signals["camera"].data[..., dead] == 0).all()
    with pytest.raises(LimitError, match="scan fewer pixels"):
        focused(made).acquire(replace(exposure, shape=(2048, 2048)))
    with pytest.raises(LimitError, match="focus first"):
        focused(made, 900.0).acquire(exposure)
    with pytest.raises(NotSupported, match="camera"):
        focused(world()).acquire(exposure)


def test_a_camera_with_more_electrons_than_it_counts_is_full_and_does_not_begin_anew():
    made = world("graphene", camera={}, column=SHARP.model_copy(update={"convergence_mrad": 1.5}))
    exposure = Exposure(field_of_view_nm=2.0, shape=(4, 4), dwell_us=1000.0, signals=("camera",))
    patterns = focused(made).acquire(exposure).signals["camera"].data
    assert (patterns[..., 32, 32] == 65535).all()  # the direct beam


def test_what_the_beam_has_done_opens_no_grid_bar():
    tender = named("au_on_carbon").model_copy(update={"critical_fluence_e_per_A2": 10.0, "mass_loss": 0.5})
    made = world({"recipe": tender, "contamination_nm": 5.0}, bf={})
    bars = tender.bars
    assert bars is not None
    fluence = FluenceMap()
    bar_nm = bars.pitch_um * 500.0
    fluence.add(Footprint(x_nm=bar_nm, y_nm=0.0, width_nm=1000.0, height_nm=1000.0), 1000.0)
    sight = Sight(exposure=WIDE, centre_nm=(bar_nm, 0.0), probe=made.probe(), fluence=fluence, number=1)
    seen = made.scene.look(sight, ("HAADF", "BF"))
    assert seen["HAADF"].max() == pytest.approx(0.0, abs=1e-4)
    assert seen["BF"].max() == pytest.approx(0.0, abs=1e-4)


def test_many_exposures_nearby_do_not_thin_out_what_a_place_has_received():
    fluence = FluenceMap()
    fluence.add(Footprint(x_nm=0.0, y_nm=0.0, width_nm=4.0, height_nm=4.0), 100.0)
    xs_nm, ys_nm = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    for n in range(100):
        fluence.add(Footprint(x_nm=20.0 + 4.0 * n, y_nm=0.0, width_nm=4.0, height_nm=4.0), 1.0)
    np.testing.assert_allclose(fluence.under(xs_nm, ys_nm), 100.0)
    for n in range(2000):
        fluence.add(Footprint(x_nm=1e-3 * n, y_nm=0.0, width_nm=4.0, height_nm=4.0), 1.0)
    xs_nm, ys_nm = np.meshgrid(np.linspace(-1.5, 1.5, 256), np.linspace(-1.5, 1.5, 250))
    exact = [fluence.at(x_nm, y_nm) for x_nm, y_nm in ((-1.5, -1.5), (0.0, 0.0), (1.5, 1.5))]
    found = fluence.under(xs_nm, ys_nm)
    assert found.shape == (250, 256)
    np.testing.assert_allclose([found[0, 0], found[125, 128], found[-1, -1]], exact, rtol=0.02)


def test_spectrometers_are_read_where_they_are_named_and_count_what_is_there():
    made = world(eels={"step_eV": 1.0, "channels": 600}, eds={})
    scope = focused(made)
    assert set(scope.acquire(ATOMS).signals) == {"HAADF", "ADF", "ABF", "BF"}
    exposure = Exposure(field_of_view_nm=2.0, shape=(16, 16), dwell_us=1000.0, signals=("EELS", "EDS"))
    frame = scope.acquire(exposure)
    eels, eds = frame.signals["EELS"], frame.signals["EDS"]
    assert eels.data.shape == (16, 16, 600)
    assert (eels.axes[-1].name, eels.axes[-1].unit, eels.axes[-1].offset) == ("energy", "eV", -20.0)
    energies = -20.0 + np.arange(600)
    spectrum = eels.data.sum((0, 1))
    assert energies[spectrum.argmax()] == 0.0
    before, behind = (int(spectrum[(energies > e) & (energies < e + 20)].sum()) for e in (430, 460))
    assert behind > before + 5 * np.sqrt(before + behind)  # titanium's edge at 456 eV
    assert 0 < eds.data.sum() < 1e-4 * frame.electrons
    assert scope.power(HasSpectra).channels() == {"EELS": 600, "EDS": 2048}
    assert scope.power(HasDiffraction) is None
    again = focused(world(eels={"step_eV": 1.0, "channels": 600})).acquire(replace(exposure, signals=("EELS",)))
    assert not np.array_equal(again.signals["EELS"].data, eels.data)  # frame 1, not frame 2


def test_lines_that_start_off_their_place_differ_from_frame_to_frame():
    made = world("au_on_carbon", scan={"line_jitter_nm": 1.0})
    plain = look(world("au_on_carbon"), WIDE, "HAADF")["HAADF"]
    jittered = look(made, WIDE, "HAADF")["HAADF"]
    assert np.array_equal(plain, look(world("au_on_carbon", scan={}), WIDE, "HAADF")["HAADF"])
    assert not np.allclose(jittered, plain)
    assert jittered.mean() == pytest.approx(plain.mean(), rel=0.02)
    lagging = look(world("au_on_carbon", scan={"flyback_nm": 6.0}), WIDE, "HAADF")["HAADF"]
    np.testing.assert_allclose(lagging[:, 40:], plain[:, 40:], atol=0.02 * np.ptp(plain))
    assert np.abs(lagging[:, :8] - plain[:, :8]).max() > 0.1 * np.ptp(plain) or plain[:, :8].std() < 1e-4


def test_patterns_and_spectra_come_from_where_the_scan_really_stood():
    scan = Exposure(field_of_view_nm=0.8, shape=(4, 8), dwell_us=20.0)
    slow = {"camera": {"pixels": 32, "reach_mrad": 60.0}, "eels": {"step_eV": 1.0, "channels": 600}}
    plain = look(world(**slow), scan, "HAADF", "camera", "EELS")
    late = {"flyback_nm": scan.pixel_size_nm, "flyback_us": 1e9}  # one pixel behind, from the first to the last
    behind = look(world(**slow, scan=late), scan, "HAADF", "camera", "EELS")
    for name in ("HAADF", "camera", "EELS"):
        np.testing.assert_allclose(behind[name][:, 1:], plain[name][:, :-1], atol=1e-4 * plain[name].max())
        assert not np.allclose(behind[name][:, 1:], plain[name][:, 1:], atol=1e-2 * plain[name].max())


def test_rare_particles_are_where_the_truth_says():
    made = world("oxide_flakes")
    feature = next(iter(made.features(Footprint(x_nm=0.0, y_nm=0.0, width_nm=4000.0, height_nm=4000.0))))
    assert feature.rare
    again = made.features(Footprint(x_nm=feature.x_nm, y_nm=feature.y_nm, width_nm=1.0, height_nm=1.0))
    assert feature in again
    sight = Sight(
        exposure=WIDE, centre_nm=(feature.x_nm, feature.y_nm), probe=made.probe(), fluence=FluenceMap(), number=1
    )
    image = made.scene.look(sight, ("HAADF",))["HAADF"]
    assert image[30:34, 30:34].mean() > 3 * np.median(image)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"specimen": "au_on_carbo"}, "did you mean 'au_on_carbon'"),
        ({"specimen": {"recipe": "nowhere.yaml"}}, "no such file"),
        ({"specimen": {"recipe": "graphene", "slope": 1}}, "slope"),
        ({"abf": {}}, "needs a specimen by recipe"),
        ({"specimen": "graphene", "haadf": {"angles_mrad": (90, 50)}}, "is no ring"),
        ({"haadf": {"angles_mrad": (50, 90)}}, "haadf.angles_mrad needs a specimen by recipe"),
        ({"scan": {"line_jitter_nm": 1.0}}, "scan needs a specimen by recipe"),
    ],
)
def test_what_cannot_be_is_told(settings, told):
    with pytest.raises(ValidationError, match=told):
        SimulatedSettings.model_validate(settings)
