"""The lattice of an image against what was drawn: vectors, columns, strain, turn, and how far each may be off."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from models.lattice import measure_lattice

FIRST, SECOND = (9.3, 0.8), (-0.5, 10.1)


def drawn(seed, gradient=((0.0, 0.0), (0.0, 0.0)), side=224, counts=60.0, base=((0.0, 0.0, 1.0),), second=SECOND):
    """Counts of an image of round columns, the lattice's vectors as rows (x, y up), and (N, 2) rows and columns."""
    rng = np.random.default_rng(seed)
    vectors = np.array([FIRST, second]) @ (np.eye(2) + np.array(gradient)).T
    origin = rng.uniform(0, 9, 2)
    rows, columns = np.mgrid[:side, :side]
    image, places = np.full((side, side), 0.15), []
    cells = np.mgrid[-40:41, -40:41].reshape(2, -1).T
    for u, v, height in base:
        at = (cells + np.array([u, v])) @ vectors + origin + side / 2
        for x, y in at[((at > -8) & (at < side + 8)).all(axis=1)]:
            row, column = side - y, x
            near = np.s_[max(int(row) - 8, 0) : int(row) + 9, max(int(column) - 8, 0) : int(column) + 9]
            image[near] += height * np.exp(-((rows[near] - row) ** 2 + (columns[near] - column) ** 2) / (2 * 1.9**2))
            places.append((row, column))
    return rng.poisson(counts * image).astype(float), vectors, np.array(places)


def test_vectors_columns_and_their_uncertainties_are_right():
    off, wrong = [], []
    for seed in range(3):
        image, vectors, places = drawn(seed)
        found = measure_lattice(image)
        off.append((found.vectors_px - vectors) / found.vectors_sd_px)
        apart = cKDTree(places).query(found.columns_px)[0]
        assert len(found.columns_px) > 400 and apart.max() < 1.0
        assert found.position_sd_px == pytest.approx(np.sqrt(np.mean(apart**2) / 2), rel=0.25)
        wrong.append((found.strain / found.strain_sd).std(axis=0))
        assert (found.turn_deg / found.turn_sd_deg).std() == pytest.approx(1.0, abs=0.3)
    assert np.abs(off).max() < 4
    assert np.mean(wrong, axis=0) == pytest.approx(np.ones(3), abs=0.3)
    lengths, sd = found.spacings_px
    assert np.allclose(lengths, [np.hypot(*FIRST), np.hypot(*SECOND)], atol=4 * sd.max())
    assert found.orientation_deg[0] == pytest.approx(np.degrees(np.arctan2(0.8, 9.3)), abs=4 * found.orientation_deg[1])


@pytest.mark.parametrize("ratio", [2.4, 3.0])
def test_a_long_cell_is_measured_as_others_are(ratio):
    """Layers edge on: the nearest rows are farther than twice the shortest vector."""
    image, vectors, _ = drawn(0, counts=150.0, second=(-0.8 * ratio, 9.3 * ratio))
    found = measure_lattice(image)
    assert len(found.columns_px) > 150
    assert (np.abs(found.vectors_px - vectors) < 4 * found.vectors_sd_px).all()
    assert np.quantile(np.abs(found.strain / found.strain_sd), 0.9) < 3


def test_one_half_turned_and_stretched_is_told_from_the_other():
    turn = np.radians(1.5)
    image, _, _ = drawn(0)
    other, _, _ = drawn(1, ((np.cos(turn) - 1 + 0.012, -np.sin(turn)), (np.sin(turn), np.cos(turn) - 1)))
    image[:, 112:] = other[:, 112:]
    found = measure_lattice(image)
    left, right = found.columns_px[:, 1] < 88, found.columns_px[:, 1] > 136

    def between(values, sd):
        told = np.median(values[right]) - np.median(values[left])
        return told, 3 * float(np.median(sd)) / np.sqrt(min(left.sum(), right.sum()) / 18)

    told, error = between(found.turn_deg, found.turn_sd_deg)
    assert told == pytest.approx(1.5, abs=error)
    told, error = between(found.strain[:, 0], found.strain_sd[:, 0])
    assert told == pytest.approx(0.012, abs=error + 0.001)
    told, error = between(found.strain[:, 1], found.strain_sd[:, 1])
    assert told == pytest.approx(0.0, abs=error + 0.001)


def test_a_second_kind_of_column_in_the_cell_changes_no_vector():
    image, vectors, _ = drawn(2, base=((0.0, 0.0, 1.0), (0.5, 0.5, 0.45)), counts=200)
    found = measure_lattice(image)
    assert np.abs((found.vectors_px - vectors) / found.vectors_sd_px).max() < 4


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.random.default_rng(0).poisson(20, (192, 192)), "it shows no lattice"),
        (50 + 30 * np.sin(np.arange(192) * 0.7) + np.random.default_rng(1).normal(0, 3, (192, 192)), "lattice"),
        (np.full((64, 64), np.nan), "finite"),
        (np.zeros((4, 64, 64)), "an image"),
        (drawn(0, side=48)[0], "lattice"),
    ],
)
def test_what_shows_no_lattice_is_refused_in_words(image, says):
    with pytest.raises(ValueError, match=says):
        measure_lattice(image)


def test_a_simulated_titanate_has_its_own_spacing_and_turn():
    pytest.importorskip("numba", reason="the extra 'simulate' is not installed")
    torch = pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
    from instruments.simulated.library import SPECIMENS
    from instruments.simulated.recipe import Recipe
    from instruments.simulated.renderer import Camera, Renderer, Views

    told = SPECIMENS["srtio3_on_ge"].model_dump()
    told["film"] |= {"angle_deg": 12.0, "antiphase_nm": 0.0, "dislocation_nm": 0.0}
    told["populations"] = {}
    pixel_nm = 0.03
    renderer = Renderer(Recipe.model_validate(told), Camera(shape=(256, 256), pixel_nm=pixel_nm))
    shares = renderer.shares(
        Views(
            seeds=np.array([5]),
            places_nm=np.array([[100.0, 50.0]]),
            coefficients_nm=torch.zeros(1, 8),
            electrons=torch.ones(1),
            frames=np.arange(1),
        )
    )[0, 0].numpy()
    image = np.random.default_rng(0).poisson(100 * shares / shares.mean())
    found = measure_lattice(image)
    lengths, sd = found.spacings_px
    assert lengths * pixel_nm == pytest.approx([0.3905, 0.3905], abs=3 * sd.max() * pixel_nm)
    turned, turned_sd = found.orientation_deg
    assert turned == pytest.approx(-12.0, abs=3 * turned_sd)  # the specimen's y grows downwards as the image shows it
    assert found.angle_deg == pytest.approx(90.0, abs=0.1)
