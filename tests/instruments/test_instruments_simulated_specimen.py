"""The specimen is a function of place: the same from wherever it is looked at, at any magnification."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.simulated.damage import FluenceMap
from instruments.simulated.hashing import smooth_noise, uniform
from instruments.simulated.projection import Canvas, Ellipsoids
from instruments.simulated.rare import AREA_RATIOS, SIZES_NM, rare_features
from instruments.simulated.settings import RARE_KINDS, HoleSettings, SpecimenSettings
from instruments.simulated.specimen import Specimen
from instruments.types import Footprint

places = st.floats(-1e5, 1e5)


def canvas(x_nm: float, y_nm: float, size_px: int = 64, pixel_nm: float = 1.0) -> Canvas:
    return Canvas(
        x0_nm=x_nm + pixel_nm * (size_px - 1) / 2,
        y0_nm=y_nm + pixel_nm * (size_px - 1) / 2,
        pixel_nm=pixel_nm,
        shape=(size_px, size_px),
    )


def test_hash_is_even_and_independent() -> None:
    values = uniform(3, 1, np.arange(-200, 200)[:, None], np.arange(500)[None, :]).astype(float)
    assert np.histogram(values, 50, (0, 1))[0] == pytest.approx(4000, rel=0.08)
    assert abs(np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(values.ravel(), uniform(4, 1, *np.ogrid[-200:200, :500]).ravel())[0, 1]) < 0.01


def test_noise_has_unit_variance() -> None:
    field = smooth_noise(5, 0, np.arange(0, 3000, 1.7), np.arange(0, 3000, 1.7), 8.0)
    assert field.mean() == pytest.approx(0, abs=0.02)
    assert field.std() == pytest.approx(1, abs=0.03)


@settings(max_examples=15, deadline=None)
@given(places, places, st.integers(-40, 40), st.integers(-40, 40))
def test_overlapping_frames_agree(x_nm: float, y_nm: float, across: int, down: int) -> None:
    specimen = Specimen(SpecimenSettings(), 11)
    first = specimen.project(canvas(x_nm, y_nm), None)
    second = Specimen(SpecimenSettings(), 11).project(canvas(x_nm + across, y_nm + down), None)

    def shared(image: np.ndarray, dx: int, dy: int) -> np.ndarray:  # column falls as x grows
        return image[max(0, -dy) : 64 - max(0, dy), max(0, -dx) : 64 - max(0, dx)]

    for one, two in (
        (first.film_nm, second.film_nm),
        (first.light_nm, second.light_nm),
        (first.heavy_nm, second.heavy_nm),
    ):
        np.testing.assert_allclose(shared(one, across, down), shared(two, -across, -down), atol=0.2)


@settings(max_examples=30, deadline=None)
@given(places, places, st.floats(50, 900), st.sampled_from(["uniform", "clustered"]))
def test_features_do_not_depend_on_who_asks(x_nm: float, y_nm: float, size_nm: float, layout: str) -> None:
    chosen = SpecimenSettings(rare_layout=layout, rare_fraction=0.01)
    small = rare_features(chosen, 4, (x_nm, x_nm + size_nm), (y_nm, y_nm + size_nm))
    large = rare_features(chosen, 4, (x_nm - 777, x_nm + size_nm + 333), (y_nm - 555, y_nm + size_nm + 111))
    assert set(small) == {f for f in large if x_nm <= f.x_nm <= x_nm + size_nm and y_nm <= f.y_nm <= y_nm + size_nm}
    assert len({f.id for f in large}) == len(large)


@pytest.mark.parametrize("layout", ["uniform", "clustered"])
@pytest.mark.parametrize("fraction", [0.002, 0.005, 0.015])
def test_rare_features_cover_the_set_area(layout: str, fraction: float) -> None:
    chosen = SpecimenSettings(rare_layout=layout, rare_fraction=fraction)
    covered = []
    for seed in range(6):
        found = rare_features(chosen, seed, (0, 12800), (0, 12800))
        covered.append(sum(AREA_RATIOS[f.kind] * f.size_nm**2 for f in found) / 12800**2)
        assert {f.kind for f in found} == set(RARE_KINDS)
        assert all(SIZES_NM[f.kind][0] <= f.size_nm <= SIZES_NM[f.kind][1] for f in found)
    assert np.mean(covered) == pytest.approx(fraction, rel=0.12)


def test_clustered_is_clustered_and_none_is_none() -> None:
    def spread(layout: str) -> float:
        found = rare_features(SpecimenSettings(rare_layout=layout), 3, (0, 12800), (0, 12800))
        counts, _, _ = np.histogram2d([f.x_nm for f in found], [f.y_nm for f in found], 64, ((0, 12800), (0, 12800)))
        return float(counts.var() / counts.mean())

    assert spread("uniform") < 1.3
    assert spread("clustered") > 2
    assert rare_features(SpecimenSettings(rare_layout="none"), 3, (0, 12800), (0, 12800)) == ()


@pytest.mark.parametrize("kind", RARE_KINDS)
def test_every_kind_changes_the_specimen_at_its_place_only(kind: str) -> None:
    chosen = SpecimenSettings(rare_kinds=(kind,), rare_layout="uniform", heavy_per_um2=0, light_per_um2=0)
    specimen, plain = (
        Specimen(chosen, 2),
        Specimen(SpecimenSettings(rare_layout="none", heavy_per_um2=0, light_per_um2=0), 2),
    )
    feature = specimen.features((0, 4000), (0, 4000))[0]
    around = canvas(feature.x_nm, feature.y_nm, 160, 0.5)
    one, other = specimen.project(around, None), plain.project(around, None)
    changed = (
        np.abs(one.film_nm - other.film_nm)
        + np.abs(one.light_nm - other.light_nm)
        + np.abs(one.heavy_nm - other.heavy_nm)
    )
    rows, columns = np.nonzero(changed > 0.5)
    extent = np.hypot(around.xs_nm[columns] - feature.x_nm, around.ys_nm[rows] - feature.y_nm).max()
    assert 0.4 * feature.size_nm < extent < 0.62 * feature.size_nm


@pytest.mark.parametrize("pixel_nm", [0.1, 0.4, 1.5, 3.0, 6.0])
def test_volume_does_not_depend_on_the_pixel(pixel_nm: float) -> None:
    size = 2 * int(30 / pixel_nm) + 1
    one = np.ones(1)
    ball = Ellipsoids(0.3 * one, -0.2 * one, 5 * one, 3 * one, 4 * one, 0.7 * one)
    volume = canvas(0, 0, size, pixel_nm).thickness(ball).sum() * pixel_nm**2
    assert volume == pytest.approx(4 / 3 * np.pi * 5 * 3 * 4, rel=0.05)


def test_mean_thickness_is_continuous_into_the_coarse_view() -> None:
    specimen = Specimen(SpecimenSettings(rare_layout="none"), 8)
    fine, coarse = specimen.project(canvas(0, 0, 256, 19.0), None), specimen.project(canvas(0, 0, 256, 21.0), None)
    assert fine.heavy_nm.mean() == pytest.approx(coarse.heavy_nm.mean(), rel=0.1)
    assert fine.light_nm.mean() == pytest.approx(coarse.light_nm.mean(), rel=0.1)


def test_holes_are_empty_and_the_origin_is_not() -> None:
    specimen = Specimen(SpecimenSettings(holes=HoleSettings(pitch_nm=600, diameter_nm=250)), 1)
    assert specimen.project(canvas(300, 300), None).film_nm.max() == 0
    assert specimen.project(canvas(0, 0), None).film_nm.min() > 5


def test_the_beam_thins_and_destroys_what_it_hits() -> None:
    chosen = SpecimenSettings(rare_kinds=("lattice",), rare_layout="uniform", heavy_per_um2=0, light_per_um2=0)
    specimen = Specimen(chosen, 2)
    feature = specimen.features((0, 4000), (0, 4000))[0]
    around = canvas(feature.x_nm, feature.y_nm, 64, 0.3)
    fresh = specimen.project(around, None)
    hit = specimen.project(around, np.full((64, 64), 3000.0, dtype=np.float32))
    assert hit.light_nm.mean() < 0.6 * fresh.light_nm.mean()
    assert hit.light_nm[24:40, 24:40].std() < 0.1 * fresh.light_nm[24:40, 24:40].std()
    assert hit.film_nm.mean() > fresh.film_nm.mean()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            Footprint,
            x_nm=st.floats(-900, 900),
            y_nm=st.floats(-900, 900),
            width_nm=st.floats(30, 700),
            height_nm=st.floats(30, 700),
            rotation_deg=st.sampled_from([0.0, 0.0, 30.0, -75.0]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.floats(-1000, 1000),
    st.floats(-1000, 1000),
)
def test_fluence_is_the_sum_of_what_covered_a_place(footprints: list[Footprint], x_nm: float, y_nm: float) -> None:
    fluence = FluenceMap()
    for n, footprint in enumerate(footprints):
        fluence.add(footprint, 2.0**n)
    assert fluence.at(x_nm, y_nm) == sum(2.0**n for n, f in enumerate(footprints) if f.contains(x_nm, y_nm))
    drawn = fluence.on(canvas(0, 0, 300, 12.5))
    total = sum(2.0**n * f.area_nm2 for n, f in enumerate(footprints))
    assert drawn is not None
    assert drawn.sum() * 12.5**2 == pytest.approx(total, rel=0.25)


def test_drawing_costs_what_the_frame_costs_not_the_place() -> None:
    """A frame a metre away is drawn from as few particles as one at the origin."""
    specimen = Specimen(SpecimenSettings(), 6)
    near, far = (specimen.project(canvas(x, x), None) for x in (0.0, 1e9))
    assert near.film_nm.shape == far.film_nm.shape
    assert far.film_nm.mean() == pytest.approx(15, rel=0.5)
    assert np.isfinite(far.heavy_nm).all()


def test_world_height_is_a_smooth_function_of_place() -> None:
    specimen = Specimen(SpecimenSettings(slope_nm_per_um=40), 3)
    heights = np.array([specimen.height_nm(x, x) for x in np.linspace(-5000, 5000, 201)])
    assert specimen.height_nm(0, 0) == 0
    assert np.abs(np.diff(heights)).max() < 8
    assert np.ptp(heights) > 20
