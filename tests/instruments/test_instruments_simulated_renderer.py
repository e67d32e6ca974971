"""Batches of frames of named specimens: determinism, geometry, energy, truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch

from configs.errors import ConfigError
from instruments.aberrations import Aperture, transfer
from instruments.simulated.counter import nodes, noise, noise_among
from instruments.simulated.features import particles
from instruments.simulated.incoherence import WHOLE, detail
from instruments.simulated.library import SPECIMENS, named
from instruments.simulated.optics import Lens, image, image_compiled, image_tensors
from instruments.simulated.recipe import Film, Material, Population, Recipe
from instruments.simulated.renderer import Camera, Renderer, Views

ATOMS = Camera(shape=(64, 64), pixel_nm=0.02)
COARSE = Camera(shape=(64, 64), pixel_nm=1.0)


def views(n: int = 2, **changes: object) -> Views:
    made = Views(
        seeds=np.arange(n) + 3,
        places_nm=np.linspace(-500.0, 700.0, 2 * n).reshape(n, 2),
        coefficients_nm=torch.zeros(n, 8),
        electrons=torch.full((n,), 200.0),
        frames=np.arange(n),
    )
    return replace(made, **changes)


@pytest.mark.parametrize("name", SPECIMENS)
@pytest.mark.parametrize("camera", [ATOMS, COARSE], ids=["atoms", "coarse"])
def test_one_seed_one_frame_whatever_the_batch(name, camera):
    renderer = Renderer(named(name), camera)
    state = np.random.get_state()[1].copy(), torch.get_rng_state()
    both, again = renderer.electrons(views()), renderer.electrons(views())
    assert torch.equal(both, again)
    one = views()
    alone = Views(
        seeds=one.seeds[1:], places_nm=one.places_nm[1:], coefficients_nm=one.coefficients_nm[1:],
        electrons=one.electrons[1:], frames=one.frames[1:],
    )  # fmt: skip
    assert torch.equal(both[1:], renderer.electrons(alone))
    assert np.array_equal(state[0], np.random.get_state()[1])
    assert torch.equal(state[1], torch.get_rng_state())
    assert bool(torch.isfinite(both).all())
    assert both.min() >= 0


@pytest.mark.parametrize("camera", [ATOMS, COARSE], ids=["atoms", "coarse"])
def test_no_bit_of_a_frame_depends_on_the_batch(camera):
    optics = torch.linspace(-1, 1, 20)[:, None] * torch.tensor([5.0, 1, 1, 20, 20, 20, 20, 500])
    many = views(20, coefficients_nm=optics)
    renderer = Renderer(named("au_on_carbon"), camera)
    together = renderer.shares(many)
    for n in (0, 7, 19):
        assert torch.equal(together[n : n + 1], renderer.shares(many.part(np.array([n]))))


def test_two_seeds_are_two_specimens_and_two_frames_two_noises():
    renderer = Renderer(named("au_on_carbon"), Camera(shape=(64, 64), pixel_nm=2.0))
    first, second = renderer.shares(views(places_nm=np.zeros((2, 2))))
    assert not torch.allclose(first, second)
    same = views(places_nm=np.zeros((2, 2)), seeds=np.array([3, 3]))
    shares, counted = renderer.shares(same), renderer.electrons(same)
    assert torch.equal(shares[0], shares[1])
    assert not torch.equal(counted[0], counted[1])


@pytest.mark.parametrize("name", ["srtio3_on_ge", "pt_on_ceria", "steel_lamella"])
@pytest.mark.parametrize("camera", [ATOMS, COARSE], ids=["atoms", "coarse"])
def test_the_stage_moves_the_picture_and_nothing_else(name, camera):
    """Stage +x moves features to +column, +y to +row: the place under pixel (r, c) is x − pixel · c, y − pixel · r."""
    renderer = Renderer(named(name), camera)
    particle = particles(named(name), 3, (0.0, 500.0), (0.0, 500.0))[0]
    place = np.array([[particle.x_nm, particle.y_nm]])
    here = views(1, places_nm=place)
    there = views(1, places_nm=place + camera.pixel_nm * np.array([[7, -4]]))
    before, after = renderer.shares(here)[0, 0].numpy(), renderer.shares(there)[0, 0].numpy()
    inner = slice(16, 48)
    assert after[inner, inner] == pytest.approx(before[20:52, 9:41], rel=5e-3, abs=2e-3 * float(before.max()))


def test_a_scan_turned_by_90_degrees_is_the_picture_turned():
    renderer = Renderer(named("pt_on_ceria"), COARSE)
    place = np.array([[30.0, 10.0]])
    straight = renderer.shares(views(1, places_nm=place))[0, 0].numpy()
    turned = renderer.shares(views(1, places_nm=place, rotations_rad=np.array([math.pi / 2])))[0, 0].numpy()
    assert turned == pytest.approx(np.rot90(straight, 1), abs=1e-4) or turned == pytest.approx(
        np.rot90(straight, -1), abs=1e-4
    )


def recipe(**changes: object) -> Recipe:
    plain = Recipe(
        title="a crystal",
        materials={"titanate": Material(crystal="SrTiO3"), "gold": Material(crystal="Au")},
        film=Film(material="titanate", thickness_nm=3.0, variation=0.0),
    )
    return plain.model_copy(update=changes)


def test_the_mean_signal_does_not_change_where_atoms_begin_to_show():
    for made in (recipe(), recipe(populations={"dot": Population(material="gold", per_um2=2000.0, radius_nm=3.0)})):
        means = []
        for pixel_nm, pixels in ((0.149, 256), (0.151, 256), (0.4, 96), (1.2, 32)):
            renderer = Renderer(made, Camera(shape=(pixels, pixels), pixel_nm=pixel_nm))
            means.append(float(renderer.shares(views(1, places_nm=np.zeros((1, 2)))).mean()))
        assert means == pytest.approx([means[0]] * 4, rel=0.03)


def test_a_thin_crystal_scatters_by_its_cross_sections():
    camera = Camera(shape=(96, 96), pixel_nm=0.05, annuli_mrad=((70.0, 200.0), (30.0, 60.0)))
    renderer = Renderer(recipe(), camera)
    found = renderer.shares(views(1))[0].mean(dim=(1, 2)).numpy()
    assert found == pytest.approx(-np.expm1(-3.0 * renderer._packed.paths[0]), rel=0.02)


def test_particles_too_small_to_tell_apart_keep_their_matter():
    made = recipe(
        film=None, populations={"dot": Population(material="gold", per_um2=1500.0, radius_nm=2.0, spread=0.2)}
    )
    dots = Renderer(made, Camera(shape=(256, 256), pixel_nm=4.0)).shares(views(1, places_nm=np.zeros((1, 2))))
    mean = Renderer(made, Camera(shape=(32, 32), pixel_nm=32.0)).shares(views(1, places_nm=np.zeros((1, 2))))
    assert float(dots.mean()) == pytest.approx(float(mean.mean()), rel=0.06)


@pytest.mark.parametrize("name", [name for name, made in SPECIMENS.items() if made.populations])
def test_every_particle_of_the_truth_shows(name):
    made = named(name)
    kind, population = max(made.populations.items(), key=lambda item: item[1].rare)
    half = 1500.0 / math.sqrt(population.per_um2)
    truth = [p for p in particles(made, 7, (-half, half), (-half, half)) if p.kind == kind][:6]
    assert truth
    pixel_nm = population.radius_nm / 6
    without = made.model_copy(update={"populations": {k: v for k, v in made.populations.items() if k != kind}})
    if without.film is None and not without.populations:
        pytest.skip("nothing would be left without it")
    for particle in truth:
        here = views(1, seeds=np.array([7]), places_nm=np.array([[particle.x_nm, particle.y_nm]]))
        camera = Camera(shape=(64, 64), pixel_nm=pixel_nm)
        shown = Renderer(made, camera).shares(here)[0, 0].numpy()
        # its middle, or its shell, differs from what was there without it
        changed = np.abs(shown - _without(made, kind, camera, here))
        assert changed[20:44, 20:44].max() > 0.02 * shown.max()


def _without(made: Recipe, kind: str, camera: Camera, here: Views) -> np.ndarray:
    """The same specimen with one population made invisible: streams of the others stay theirs."""
    tiny = made.populations[kind].model_copy(update={"radius_nm": 1e-6})
    return (
        Renderer(made.model_copy(update={"populations": {**made.populations, kind: tiny}}), camera)
        .shares(here)[0, 0]
        .numpy()
    )


def test_the_batch_path_images_as_the_wave_optics_say():
    rng = np.random.default_rng(3)
    aperture = Aperture((128, 128), 0.02, 200.0, 21.4)
    coefficients = rng.uniform(-1, 1, (4, 8)) * np.array([12, 3, 3, 50, 50, 50, 50, 1000.0])
    objects = rng.random((4, 2, 128, 128)).astype(np.float32)
    exact = transfer(coefficients, aperture, source_size_nm=0.04, depths_nm=(0.5, 1.5))
    expected = np.fft.irfft2(np.fft.rfft2(objects) * exact[:, None], s=(128, 128))
    found = image(
        torch.from_numpy(objects), torch.from_numpy(coefficients).float(), aperture, blur_nm=0.04, depths_nm=(0.5, 1.5)
    )
    assert np.abs(found.numpy() - expected).std() < 0.01 * expected.std()


@pytest.mark.parametrize(
    ("shape", "pixel_nm"),
    [
        ((160, 96), 0.02),
        ((96, 90), 0.03),
        ((75, 128), 0.049),
        ((160, 128), 0.3),
        ((75, 80), 0.3),
        ((48, 288), 0.02),
        ((32, 36), 0.04),
        ((40, 64), 0.05),
    ],
)
@pytest.mark.parametrize("signals", [1, 2])
def test_compiled_images_are_those_of_the_tensors(shape, pixel_nm, signals):
    rings = ((30.0, 200.0), (90.0, 200.0))
    details = (WHOLE,) if signals == 1 else tuple(detail("Sr", ring, 200.0, 21.4) for ring in rings)
    coefficients = np.random.default_rng(4).uniform(-1, 1, (3, 8)) * np.array([12, 3, 3, 50, 50, 50, 50, 1000.0])
    objects, optics = torch.rand(3, signals, *shape), torch.from_numpy(coefficients).float()
    lens = Lens(
        aperture=Aperture(shape, pixel_nm, 200.0, 21.4), blur_nm=0.04, depths_nm=(0.5, 1.5), details=details,
        window_nm=2.4,
    )  # fmt: skip
    for part in (shape, (shape[0] - 20, shape[1] - 14)):
        compiled = torch.from_numpy(image_compiled(objects.numpy(), optics.numpy(), lens, part))
        tensors = image_tensors(objects, optics, lens, part)
        assert torch.allclose(compiled, tensors, rtol=0, atol=1e-4 * float(tensors.std()))


def test_odd_frames_and_odd_lengths_are_imaged_too():
    coefficients = torch.tensor([[4.0, 1, -2, 20, 0, 0, 0, 300]])
    for shape in ((97, 96), (96, 97), (77, 91)):
        aperture = Aperture(shape, 0.03, 200.0, 21.4)
        objects = torch.rand(1, 1, *shape)
        exact = transfer(coefficients.numpy(), aperture, source_size_nm=0.05, depths_nm=(0.5,))
        expected = np.fft.irfft2(np.fft.rfft2(objects.numpy()) * exact[:, None], s=shape)
        found = image(objects, coefficients, aperture, blur_nm=0.05, depths_nm=(0.5,))
        assert np.abs(found.numpy() - expected).std() < 0.01 * expected.std()


def test_a_middle_part_is_cut_from_the_image():
    objects, coefficients = torch.rand(2, 1, 96, 90), torch.tensor([[4.0, 1, -2, 20, 0, 0, 0, 300]]).repeat(2, 1)
    for pixel_nm in (0.03, 0.3):
        aperture = Aperture((96, 90), pixel_nm, 200.0, 21.4)
        whole = image(objects, coefficients, aperture, blur_nm=0.05, depths_nm=(0.5,))
        part = image(objects, coefficients, aperture, blur_nm=0.05, depths_nm=(0.5,), shape=(64, 60))
        assert torch.allclose(part, whole[..., 16:80, 15:75], atol=2e-6)  # rounded otherwise: columns go in pairs


@pytest.mark.parametrize("most", [0, 1000], ids=["asked one by one", "known"])
def test_noise_from_nodes_is_the_noise(most):
    known = nodes(np.uint64(5), -3.5, 4.0, 10.0, 12.5, most)
    for x, y in np.random.default_rng(2).uniform((-3.5, 10.0), (4.0, 12.5), (50, 2)):
        assert noise_among(np.uint64(5), known, x, y) == pytest.approx(noise(np.uint64(5), x, y), abs=1e-12)


def test_defocus_blurs_and_the_best_focus_lies_inside_the_crystal():
    renderer = Renderer(recipe(), ATOMS)
    contrast = {}
    for defocus_nm in (-12.0, -1.5, 9.0):
        coefficients = torch.zeros(1, 8)
        coefficients[0, 0] = defocus_nm
        contrast[defocus_nm] = float(renderer.shares(views(1, coefficients_nm=coefficients)).std())
    assert contrast[-1.5] > 2 * max(contrast[-12.0], contrast[9.0])


def test_grid_bars_stop_everything():
    made = named("au_on_carbon")
    on_bar = views(1, places_nm=np.array([[made.bars.pitch_um * 500.0, 0.0]]))
    camera = Camera(shape=(64, 64), pixel_nm=20.0, annuli_mrad=((70.0, 200.0), (10.0, 1500.0)))
    dark, lost = Renderer(made, camera).shares(on_bar)[0]
    assert float(dark.max()) == 0
    assert float(lost.min()) == pytest.approx(1.0)


def test_an_opening_whose_film_broke_is_empty_from_near_and_from_far():
    made, count = named("au_on_carbon"), 60
    places = np.array([[n * made.bars.pitch_um * 1e3, 0.0] for n in range(count)])
    seen = views(count, seeds=np.full(count, 5), places_nm=places)
    near = Renderer(made, Camera(shape=(16, 16), pixel_nm=200.0)).shares(seen)  # clear of the bars
    far = Renderer(made, Camera(shape=(128, 128), pixel_nm=650.0)).shares(seen)
    broken = near.amax((1, 2, 3)) == 0
    assert 1 <= int(broken.sum()) <= 8 and not broken[0]
    assert torch.equal(broken, far[:, 0, 56:72, 56:72].amax((1, 2)) == 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"coefficients_nm": torch.full((2, 8), float("nan"))}, "coefficients_nm holds what is not a finite"),
        ({"electrons": torch.tensor([1.0, -1.0])}, "electrons holds"),
        ({"places_nm": np.full((2, 2), np.inf)}, "places_nm holds"),
        ({"coefficients_nm": torch.zeros(3, 8)}, "coefficients_nm has 3 rows, seeds has 2"),
        ({"coefficients_nm": torch.zeros(2, 3)}, "give \\(B, 8\\)"),
    ],
)
def test_bad_views_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        Renderer(recipe(), ATOMS).shares(views(**changes))


def test_an_absurd_batch_or_camera_is_refused():
    none = np.zeros(0, dtype=np.int64)
    empty = Views(
        seeds=none, places_nm=np.zeros((0, 2)), coefficients_nm=torch.zeros(0, 8), electrons=torch.zeros(0), frames=none
    )
    with pytest.raises(ConfigError, match="a batch of 0 frames"):
        Renderer(recipe(), ATOMS).shares(empty)
    with pytest.raises(ConfigError, match="pixels at most"):
        Camera(shape=(1 << 15, 1 << 15), pixel_nm=0.1)
    with pytest.raises(ConfigError, match="pixel_nm = nan"):
        Camera(shape=(64, 64), pixel_nm=float("nan"))
