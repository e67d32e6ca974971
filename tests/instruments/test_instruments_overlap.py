from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from timing import least_cpu_s

from instruments.overlap import box, deepest
from instruments.types import Footprint

SIZES = st.floats(0.5, 30.0)
PLACES = st.floats(-20.0, 20.0)
ANGLES = st.sampled_from([0.0, 90.0, 30.0, 45.0, -10.0])


def footprints(angles: st.SearchStrategy[float]) -> st.SearchStrategy[Footprint]:
    return st.builds(Footprint, x_nm=PLACES, y_nm=PLACES, width_nm=SIZES, height_nm=SIZES, rotation_deg=angles)


def stacks(angles: st.SearchStrategy[float]) -> st.SearchStrategy[list[tuple[Footprint, float]]]:
    return st.lists(st.tuples(footprints(angles), st.integers(1, 50).map(float)), max_size=7)


def sums(points: np.ndarray, stack: list[tuple[Footprint, float]], margin_nm: float) -> np.ndarray:
    """Sum of the weights of the footprints, grown by a margin, at points (N, 2)."""
    total = np.zeros(len(points))
    for footprint, weight in stack:
        angle = math.radians(footprint.rotation_deg)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        local = (points - [footprint.x_nm, footprint.y_nm]) @ turn
        halves = np.array([footprint.width_nm, footprint.height_nm]) / 2 + margin_nm
        total += weight * (np.abs(local) <= halves).all(axis=1)
    return total


def check_against_dense_points(region: Footprint, stack: list[tuple[Footprint, float]]) -> None:
    """No point has more than what is claimed; and what is claimed is had within half a diagonal of some point."""
    found = deepest(region, stack)
    spacing = max(region.width_nm, region.height_nm) / 60
    along = np.arange(-region.width_nm / 2, region.width_nm / 2 + spacing, spacing)
    across = np.arange(-region.height_nm / 2, region.height_nm / 2 + spacing, spacing)
    local = np.stack(np.meshgrid(along, across), axis=-1).reshape(-1, 2)
    angle = math.radians(region.rotation_deg)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = local @ turn + [region.x_nm, region.y_nm]
    inside = sums(points, [(region, 1.0)], -0.002) == 1
    assert found >= sums(points[inside], stack, -0.002).max(initial=0.0) - 1e-6
    assert found <= sums(points, stack, spacing).max(initial=0.0) + 1e-6


@given(footprints(st.just(0.0)), stacks(st.just(0.0)))
def test_upright_agrees_with_dense_points(region: Footprint, stack: list[tuple[Footprint, float]]) -> None:
    check_against_dense_points(region, stack)


@given(footprints(ANGLES), stacks(ANGLES))
def test_rotated_agrees_with_dense_points(region: Footprint, stack: list[tuple[Footprint, float]]) -> None:
    check_against_dense_points(region, stack)


@given(footprints(st.just(0.0)), stacks(st.just(0.0)))
def test_both_methods_agree(region: Footprint, stack: list[tuple[Footprint, float]]) -> None:
    other = (Footprint(x_nm=1e6, y_nm=0.0, width_nm=1.0, height_nm=1.0, rotation_deg=33.0), 5.0)
    assert deepest(region, stack) == pytest.approx(deepest(region, [*stack, other]))


def square(x_nm: float, y_nm: float = 0.0, side_nm: float = 2.0, turn_deg: float = 0.0) -> Footprint:
    return Footprint(x_nm=x_nm, y_nm=y_nm, width_nm=side_nm, height_nm=side_nm, rotation_deg=turn_deg)


@pytest.mark.parametrize("turn_deg", [0.0, 90.0, 45.0])
def test_shared_edges_are_not_overlap(turn_deg: float) -> None:
    """A raster of tiles that touch gives one tile's dose, though rounding makes them overlap by a hair."""
    tiles = [(square(0.1 * n, 0.0, 0.1 * (1 + 1e-9)), 1.0) for n in range(5)]
    assert deepest(square(0.2, 0.0, 0.1, turn_deg), tiles) == 1.0


def test_the_depth_counts_only_inside_the_region() -> None:
    deep = [(square(10.0), 5.0), (square(10.5), 5.0), (square(0.0), 1.0)]
    assert deepest(square(0.0), deep) == 1.0
    assert deepest(square(5.0, 0.0, 12.0), deep) == 10.0
    assert deepest(square(5.0, 0.0, 12.0, 7.0), deep) == 10.0
    assert deepest(square(100.0), deep) == 0.0


def test_three_that_overlap_by_pairs_only() -> None:
    """Pairwise overlaps in different places do not add up: exact, unlike a sum of all that touch."""
    bars = [
        (Footprint(x_nm=0.0, y_nm=-3.0, width_nm=10.0, height_nm=1.0), 1.0),
        (Footprint(x_nm=-3.0, y_nm=0.0, width_nm=1.0, height_nm=10.0, rotation_deg=0.0), 2.0),
        (Footprint(x_nm=0.0, y_nm=0.0, width_nm=12.0, height_nm=1.0, rotation_deg=-45.0), 4.0),
    ]
    assert deepest(square(0.0, 0.0, 20.0), bars) == 6.0
    assert deepest(square(0.0, 0.0, 20.0), [(bar, 1.0) for bar, _ in bars]) == 2.0


def test_box_holds_the_corners() -> None:
    left, right, low, high = box(square(1.0, 2.0, 2.0, 45.0))
    assert (left, right) == pytest.approx((1 - math.sqrt(2), 1 + math.sqrt(2)))
    assert (low, high) == pytest.approx((2 - math.sqrt(2), 2 + math.sqrt(2)))


def test_many_on_one_place_stay_affordable() -> None:
    rng = np.random.default_rng(0)
    stack = [(square(rng.uniform(-1, 1), rng.uniform(-1, 1), 5.0), 1.0) for _ in range(60)]
    assert deepest(square(0.0), stack) == 60.0
    half_s = least_cpu_s(lambda: deepest(square(0.0), stack[:30]))
    assert least_cpu_s(lambda: deepest(square(0.0), stack)) < 30 * half_s  # by the cube it would be 8 times
