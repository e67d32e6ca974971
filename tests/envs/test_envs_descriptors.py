from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from timing import least_cpu_s

from envs.descriptors import DESCRIPTORS, FABRIC, NAMES, describe_windows, natural, shows_nothing, transformed
from envs.quality import frame_quality
from envs.scorers import Window

Image = npt.NDArray[np.float64]
PIXEL_NM = 0.5
MIDDLE = Window((64, 128), (64, 128))


def tiles(size_px: int, width_px: int = 256) -> list[Window]:
    starts = range(0, width_px, size_px)
    return [Window((r, r + size_px), (c, c + size_px)) for r in starts for c in starts]


def noise(mean: float = 50.0, width_px: int = 256, seed: int = 0) -> Image:
    return np.random.default_rng(seed).poisson(mean, (width_px, width_px)).astype(np.float64)


def lattice(spacing_px: float, angle_deg: float = 0.0, width_px: int = 256) -> Image:
    rows, columns = np.mgrid[:width_px, :width_px]
    angle = np.radians(angle_deg)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = -columns * np.sin(angle) + rows * np.cos(angle)
    return 60 + 15 * np.cos(2 * np.pi * along / spacing_px) + 15 * np.cos(2 * np.pi * across / spacing_px)


def disc(image: Image, row_px: float, column_px: float, radius_px: float, height: float, hole_px: float = 0.0) -> Image:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    distance = np.hypot(rows - row_px, columns - column_px)
    return image + height * ((distance <= radius_px) & (distance >= hole_px))


def value(image: Image, name: str, window: Window | None = None) -> float:
    whole = Window((0, image.shape[0]), (0, image.shape[1]))
    return float(describe_windows(image, [window or whole], PIXEL_NM)[0, NAMES.index(name)])


@pytest.mark.parametrize("size_px", [16, 32, 64, 256])
def test_every_window_size_gives_finite_numbers(size_px: int) -> None:
    rows = describe_windows(noise(), tiles(size_px), PIXEL_NM)
    assert rows.shape == ((256 // size_px) ** 2, len(DESCRIPTORS))
    assert np.isfinite(rows).all()
    assert np.isfinite(transformed(rows)).all()


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.full((64, 64), 7.0), -noise(3.0, 64)])
def test_flat_and_negative_frames_are_described_too(image: Image) -> None:
    assert np.isfinite(transformed(describe_windows(image, tiles(16, 64), PIXEL_NM))).all()


def test_a_window_without_contrast_shows_nothing() -> None:
    image = noise(width_px=64)
    image[:32, :32] = 0.0
    windows = [Window((0, 16), (0, 16)), Window((40, 56), (40, 56))]
    assert shows_nothing(describe_windows(image, windows, PIXEL_NM)).tolist() == [True, False]


def test_names_tell_units_and_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(name.endswith(("_counts", "_ratio", "_nm", "_number")) for name in NAMES)
    assert 0 < len(FABRIC) < len(NAMES)


def test_natural_undoes_transformed() -> None:
    rows = describe_windows(noise(), tiles(64), PIXEL_NM)
    np.testing.assert_allclose(natural(transformed(rows)), rows, rtol=1e-6, atol=1e-9)


def test_the_frame_is_not_changed_and_the_same_frame_gives_the_same_numbers() -> None:
    image = noise()
    before = image.copy()
    first = describe_windows(image, tiles(32), PIXEL_NM)
    assert (describe_windows(image, tiles(32), PIXEL_NM) == first).all()
    assert (image == before).all()


def test_order_and_company_of_windows_do_not_matter() -> None:
    image, windows = noise(), tiles(64)
    together = describe_windows(image, windows, PIXEL_NM)
    np.testing.assert_allclose(describe_windows(image, windows[::-1], PIXEL_NM)[::-1], together, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("spacing_px", [6.0, 10.0, 16.0])
def test_spacing_of_a_lattice_is_read_in_nanometres(spacing_px: float) -> None:
    assert value(lattice(spacing_px), "spacing_nm") == pytest.approx(spacing_px * PIXEL_NM, rel=0.1)


def test_a_lattice_has_spots_and_noise_has_none() -> None:
    assert value(lattice(8.0) + noise(5.0), "lattice_strength_ratio") > 20 * value(noise(), "lattice_strength_ratio")
    assert value(noise(), "lattice_spots_number") < 0.5 < value(lattice(8.0) + noise(5.0), "lattice_spots_number")


def test_a_turned_lattice_turns_its_fourfold_orientation() -> None:
    upright, turned = (value(lattice(8.0, angle), "fold4_cos_ratio") for angle in (0.0, 45.0))
    assert upright > 0.8
    assert turned < -0.8


def test_twice_the_dose_leaves_the_shape_of_things() -> None:
    image = lattice(8.0)
    for name in ("coarse_contrast_ratio", "spacing_nm", "fold4_cos_ratio", "asymmetry_ratio"):
        assert value(2 * image, name) == pytest.approx(value(image, name), rel=0.02, abs=0.01)
    assert value(2 * image, "mean_counts") == pytest.approx(2 * value(image, "mean_counts"))


def test_size_elongation_and_hollowness_of_an_object() -> None:
    ball = disc(noise(), 96, 96, 20, 60)
    shell = disc(disc(noise(), 96, 96, 20, 30), 96, 96, 20, 60, hole_px=14)
    assert value(ball, "bright_largest_nm", MIDDLE) == pytest.approx(40 * PIXEL_NM, rel=0.15)
    assert value(ball, "bright_elongation_ratio", MIDDLE) < 1.5
    solid, hollow = (value(image, "bright_hollowness_ratio", MIDDLE) for image in (ball, shell))
    assert hollow > 1.1 * solid
    rod = noise()
    rod[70:120, 92:100] += 60
    assert value(rod, "bright_elongation_ratio", MIDDLE) > 4
    assert value(rod, "dark_elongation_ratio", MIDDLE) < 1.5


def test_a_dark_crack_is_a_dark_object() -> None:
    cracked = noise(100.0)
    cracked[70:120, 94:98] -= 60
    assert value(cracked, "dark_elongation_ratio", MIDDLE) > 4
    assert value(noise(100.0), "dark_elongation_ratio", MIDDLE) < 1.5


def test_an_object_belongs_to_the_window_that_holds_its_centre() -> None:
    image = disc(noise(), 96, 160, 15, 60)
    rows = describe_windows(image, tiles(64), PIXEL_NM)
    largest = rows[:, NAMES.index("bright_largest_nm")].reshape(4, 4)
    assert np.unravel_index(largest.argmax(), largest.shape) == (1, 2)


def test_a_bright_phase_is_not_an_object_to_its_own_middle() -> None:
    image = noise()
    image[:, 128:] += 50
    assert value(image, "local_brightness_ratio", Window((96, 160), (128, 192))) > 1.05
    assert value(image, "local_brightness_ratio", Window((96, 160), (192, 256))) < 1.25


@pytest.mark.parametrize(
    ("image", "window", "words"),
    [
        (noise(), Window((0, 300), (0, 64)), "reaches outside a frame of 256×256"),
        (np.zeros((2, 8, 8)), Window((0, 8), (0, 8)), "got an array of shape"),
    ],
)
def test_what_cannot_be_described_is_refused(image: Image, window: Window, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        describe_windows(image, [window], PIXEL_NM)


def test_a_window_cut_off_by_the_edge_tells_nothing_and_stops_nothing() -> None:
    rows = describe_windows(noise(), [Window((0, 64), (0, 7)), Window((0, 64), (0, 64))], PIXEL_NM)
    assert np.isnan(rows[0]).all()
    assert np.isfinite(rows[1]).all()


def test_describing_is_quick_enough_for_the_loop() -> None:
    """64 windows cost about as much as 40 Fourier transforms of the frame."""
    image, windows = noise(), tiles(32)
    fourier_s = least_cpu_s(lambda: [np.fft.rfft2(image) for _ in range(20)]) / 20
    assert least_cpu_s(lambda: describe_windows(image, windows, PIXEL_NM)) < 250 * fourier_s


def test_quality_tells_blank_blurred_noisy_and_saturated_frames() -> None:
    sharp = lattice(8.0) + noise(2.0)
    assert frame_quality(np.zeros((64, 64), dtype=np.float32))["blank"] == 1.0
    good = frame_quality(sharp.astype(np.float32))
    assert good["blank"] == 0.0
    assert good["saturated_fraction"] < 1e-3
    noisy = frame_quality((lattice(8.0) + noise(400.0)).astype(np.float32))
    assert noisy["snr"] < good["snr"]
    clipped = frame_quality(np.minimum(sharp, 70.0).astype(np.float32))
    assert clipped["saturated_fraction"] > 0.05
    blurred = frame_quality((lattice(32.0) + noise(2.0)).astype(np.float32))
    assert blurred["sharpness"] < good["sharpness"]
