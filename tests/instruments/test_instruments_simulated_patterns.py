"""Diffraction patterns of a scanned probe: what physics says of them."""

from __future__ import annotations

import math

import pytest
import torch

from instruments.aberrations import NAMES
from instruments.annuli import Annulus, angles, mask
from instruments.physics import wavelength_nm
from instruments.simulated.coherent import Illumination, PhaseObject, ctem
from instruments.simulated.patches import Window, probes
from instruments.simulated.patterns import detect, incoherent, masks_of, moments_of, patterns

WINDOW = Window(size_px=64, pixel_nm=0.02, voltage_kV=200.0, convergence_mrad=16.0)
WAVELENGTH_NM = wavelength_nm(200.0)


def lenses(*worlds: dict[str, float]) -> torch.Tensor:
    return torch.tensor([[world.get(name, 0.0) for name in NAMES] for world in worlds])


SHARP = lenses({})


def smooth(worlds: int, side: int, rad: float, seed: int = 1, pixels: float = 6.0) -> torch.Tensor:
    """Periodic random phases of a standard deviation, without detail finer than some pixels."""
    noise = torch.randn(worlds, side, side, generator=torch.Generator().manual_seed(seed))
    k = torch.fft.fftfreq(side)
    keep = torch.hypot(k[:, None], k[None, :]) < 1 / pixels
    field = torch.fft.ifft2(torch.fft.fft2(noise) * keep).real
    return field * (rad / field.std())


def places(*rows_and_columns: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(rows_and_columns, dtype=torch.float64)


def centre_mrad(found: torch.Tensor, window: Window = WINDOW) -> torch.Tensor:
    sums = found.flatten(-2) @ moments_of(window)
    return sums[..., :2] / sums[..., 2:]


def test_nothing_gives_the_aperture() -> None:
    pattern = patterns(PhaseObject(torch.zeros(1, 96, 96)), places((48, 48), (40.3, 51.8)), SHARP, WINDOW)[0]
    disc = torch.from_numpy(mask(Annulus(0, 16.0), *WINDOW.frame)).float()
    pixels = math.pi * (16.0 / WINDOW.mrad_per_px) ** 2
    for one in pattern:
        assert float(one.sum()) == pytest.approx(1.0, abs=1e-5)
        assert float(one.max()) == pytest.approx(1 / pixels, rel=0.06)
        # the edge is soft over one pixel of amplitude, so that the disc is a little smaller
        inner, outer = (
            torch.from_numpy(mask(Annulus(0, 16.0 + sign * 1.5 * WINDOW.mrad_per_px), *WINDOW.frame)).float()
            for sign in (-1, 1)
        )
        assert float((one * (1 - outer)).sum()) < 1e-6
        assert float((one * inner).sum()) == pytest.approx(float(inner.sum()) / pixels, rel=0.06)
        assert float((one * disc).sum()) > 0.95


@pytest.mark.parametrize("rad", [0.05, 1.0])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_phase_object_loses_no_electron(rad: float, size: int) -> None:
    window = Window(size, 0.02, 200.0, 16.0 if size > 32 else 20.0)
    # of the patch's own period, else its borders scatter
    specimen = PhaseObject(smooth(1, size, rad, pixels=size / 2.5), periodic=True)
    found = patterns(specimen, places((10, 10.5), (0, 7)), SHARP, window)
    assert found.sum((-2, -1)).flatten().tolist() == pytest.approx([1.0, 1.0], abs=2e-4)


def test_what_leaves_the_band_is_missing() -> None:
    """A grating of period 2.5 pixels: order 1 leaves, order 2 folds back in between (Raman–Nath)."""
    window = Window(64, 0.02, 200.0, 7.5)
    phase = (0.8 * torch.cos(2 * math.pi * 0.4 * torch.arange(110.0)))[:, None].expand(110, 110)[None]
    found = patterns(PhaseObject(phase), places((55, 55)), SHARP, window)
    orders = [0.8**n / 2**n / math.factorial(n) * (1 - 0.16 / (n + 1) + 0.0128 / (n + 1) / (n + 2)) for n in (0, 2)]
    assert float(found.sum()) == pytest.approx(orders[0] ** 2 + 2 * orders[1] ** 2, abs=5e-3)


@pytest.mark.parametrize("axis", [0, 1])
def test_electrons_go_where_the_phase_grows(axis: int) -> None:
    ramp = torch.arange(128.0) * 0.3
    phase = ramp[:, None].expand(128, 128) if axis == 0 else ramp[None, :].expand(128, 128)
    both = patterns(PhaseObject(torch.stack([phase, 0 * phase])), places((64, 64.25)), lenses({}, {}), WINDOW)
    moved = (centre_mrad(both[0]) - centre_mrad(both[1]))[0].tolist()
    expected = [0.0, 0.0]
    expected[axis] = 0.3 / 0.02 * WAVELENGTH_NM / (2 * math.pi) * 1e3
    assert moved == pytest.approx(expected, abs=0.01)


def test_the_disc_itself_moves_under_a_ramp_of_whole_pixels() -> None:
    ramp = (2 * math.pi * 5 / 64) * torch.arange(128.0)
    both = patterns(
        PhaseObject(torch.stack([ramp.expand(128, 128), torch.zeros(128, 128)])),
        places((64, 64)),
        lenses({}, {}),
        WINDOW,
    )
    assert torch.allclose(both[0, 0], torch.roll(both[1, 0], 5, dims=1), atol=1e-7)


def test_the_centre_of_mass_is_the_slope_seen_by_the_probe() -> None:
    """Ehrenfest: λ / 2π times the mean of the slope over the probe's intensity."""
    phase = smooth(1, 128, 0.7, seed=3, pixels=16)
    where = places((61, 66), (70.5, 58.25))
    found = centre_mrad(patterns(PhaseObject(phase), where, SHARP, WINDOW))[0]
    k = torch.fft.fftfreq(128, 0.02)
    spectrum = torch.fft.fft2(phase[0])
    slopes = [torch.fft.ifft2(spectrum * 2j * math.pi * axis).real for axis in (k[:, None], k[None, :])]
    for n, (row, column) in enumerate([(61, 66), (71, 58)]):
        shift = (where[n] - torch.tensor([row, column])).float()
        spot = probes(SHARP, WINDOW, shift[None])[0, 0].abs().square()
        cut = slice(row - 32, row + 32), slice(column - 32, column + 32)
        expected = [float((spot * slope[cut]).sum()) * WAVELENGTH_NM / (2 * math.pi) * 1e3 for slope in slopes]
        assert found[n].tolist() == pytest.approx(expected, abs=0.02)


def test_moving_the_probe_by_a_fraction_is_moving_the_object_back() -> None:
    phase = smooth(1, 64, 0.5, seed=5, pixels=12)  # of the patch's own period: then nothing depends on its borders
    k = torch.fft.fftfreq(64)
    turn = torch.exp(2j * math.pi * (0.375 * k[:, None] - 0.25 * k[None, :]))
    moved = torch.fft.ifft2(torch.fft.fft2(phase) * turn).real
    there = patterns(PhaseObject(phase, periodic=True), places((40.375, 7.75)), lenses({"C10": -3.0}), WINDOW)
    back = patterns(PhaseObject(moved, periodic=True), places((40, 8)), lenses({"C10": -3.0}), WINDOW)
    assert float((there - back).abs().max()) < 2e-5 * float(back.max())
    unmoved = patterns(PhaseObject(phase, periodic=True), places((40, 8)), lenses({"C10": -3.0}), WINDOW)
    assert float((there - unmoved).abs().max()) > 1e-2 * float(back.max())


def test_many_kinds_of_probe_give_what_few_give() -> None:
    """More rests of a pixel than are kept ready take another way."""
    rng = torch.Generator().manual_seed(2)
    where = 48 + 32 * torch.rand(40, 2, generator=rng, dtype=torch.float64)
    specimen = PhaseObject(smooth(2, 128, 0.5))
    optics = lenses({"C10": -4.0}, {"C12a": 3.0, "C21b": 200.0})
    together = patterns(specimen, where, optics, WINDOW)
    apart = torch.cat([patterns(specimen, where[n : n + 8], optics, WINDOW) for n in range(0, 40, 8)], dim=1)
    assert torch.allclose(together, apart, atol=1e-8)


def test_bright_field_is_what_reciprocity_says() -> None:
    """A point on the axis of a STEM's detector sees what a plane wave shows in a CTEM through the mirrored lens."""
    side = 64
    phase = smooth(1, side, 0.4, seed=7, pixels=8)
    optics = lenses({"C10": -9.0, "C12b": 4.0, "C21a": 300.0, "C30": 2e4})
    mirrored = optics.clone()
    mirrored[:, [NAMES.index(name) for name in NAMES if name[:2] == "C2"]] *= -1
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    where = torch.stack([rows.flatten(), columns.flatten()], dim=1)[::7]
    found = patterns(PhaseObject(phase, periodic=True), where, optics, WINDOW)[0, :, 32, 32]

    # the same soft aperture for both: the probe's own amplitudes
    lens = torch.fft.fft2(probes(mirrored, WINDOW, torch.zeros(1, 2))[0, 0], norm="ortho")
    centring = torch.exp(2j * math.pi * torch.arange(-32, 32) / 64 * 32)
    transfer = torch.fft.ifftshift(lens * centring[:, None] * centring[None, :])
    wave = torch.fft.ifft2(torch.fft.fft2(torch.polar(torch.ones(side, side), phase[0])) * transfer)
    expected = wave.abs().square().flatten()[::7]
    assert torch.allclose(found, expected, rtol=2e-3, atol=1e-7)

    image = ctem(phase, mirrored, WINDOW.pixel_nm, Illumination(200.0, objective_mrad=WINDOW.convergence_mrad))
    seen = image.flatten()[::7]
    assert float(torch.corrcoef(torch.stack([found, seen]))[0, 1]) > 0.99


def test_detectors_get_what_the_patterns_show() -> None:
    detectors = [Annulus(0, 8), Annulus(16, 36.5), Annulus(16, 40, (30, 120)), Annulus(0, WINDOW.limit_mrad)]
    specimen = PhaseObject(smooth(2, 128, 1.5, pixels=5), absorption=torch.full((2, 128, 128), 0.1))
    where = places(*((50 + 1.5 * n, 60 + 0.5 * n) for n in range(17)))
    optics = lenses({"C10": -4.0}, {"C10": 6.0})
    masks = torch.cat([masks_of(WINDOW, detectors), moments_of(WINDOW)], dim=1)
    live = detect(specimen, where, optics, WINDOW, masks)
    stored = patterns(specimen, where, optics, WINDOW).flatten(-2) @ masks
    assert torch.allclose(live, stored, rtol=1e-4, atol=1e-5)
    assert float(live[..., 1].std()) > 1e-3


@pytest.mark.parametrize("slices", [1, 2], ids=["compiled", "in tensors"])
@pytest.mark.parametrize("side", [128, 100])
def test_detectors_over_borders_and_at_any_place_get_it_too(slices: int, side: int) -> None:
    phase = smooth(1, side, 0.8, pixels=5)[:, None].expand(1, slices, side, side).contiguous()
    specimen = PhaseObject(phase[:, 0] if slices == 1 else phase, periodic=True)
    where = torch.rand(50, 2, generator=torch.Generator().manual_seed(2)) * (side - 1)
    masks = masks_of(WINDOW, [Annulus(0, 8), Annulus(16, 36.5)])
    live = detect(specimen, where, SHARP, WINDOW, masks)
    stored = patterns(specimen, where, SHARP, WINDOW).flatten(-2) @ masks
    assert torch.allclose(live, stored, rtol=1e-4, atol=1e-5)


def test_absorption_takes_electrons_away() -> None:
    specimen = PhaseObject(torch.zeros(1, 96, 96), absorption=torch.full((1, 96, 96), 0.7))
    assert float(patterns(specimen, places((48, 48)), SHARP, WINDOW).sum()) == pytest.approx(math.exp(-0.7), rel=1e-4)


def test_slices_without_thickness_are_one_slice() -> None:
    phase = smooth(1, 96, 0.3, pixels=12)
    one = patterns(PhaseObject(phase), places((48, 47.5)), SHARP, WINDOW)
    thin = patterns(PhaseObject(torch.stack([phase * 0.4, phase * 0.6], dim=1)), places((48, 47.5)), SHARP, WINDOW)
    assert float((one - thin).abs().max()) < 1e-3 * float(one.max())


def test_an_object_below_an_empty_slice_sees_a_probe_out_of_focus() -> None:
    phase = smooth(1, 128, 0.3, pixels=10)
    below = PhaseObject(torch.stack([0 * phase, phase], dim=1), slice_nm=5.0)
    there = patterns(below, places((64, 64)), lenses({"C10": -2.0}), WINDOW)
    same = patterns(PhaseObject(phase), places((64, 64)), lenses({"C10": 3.0}), WINDOW)
    other = patterns(PhaseObject(phase), places((64, 64)), lenses({"C10": -7.0}), WINDOW)
    assert float((there - same).abs().sum()) < 2e-3
    assert float((there - other).abs().sum()) > 0.02


def test_an_even_scatterer_is_seen_whole_and_a_point_through_the_probe() -> None:
    share = torch.zeros(1, 96, 96)
    share[0, 50, 44] = 1.0
    where = places((50, 44), (50, 47), (53, 44))
    spot = probes(SHARP, WINDOW, torch.zeros(1, 2))[0, 0].abs().square()
    found = incoherent(share, where, SHARP, WINDOW)[0]
    assert found.tolist() == pytest.approx([float(spot[32, 32]), float(spot[32, 29]), float(spot[29, 32])], rel=1e-4)
    even = incoherent(torch.full((1, 96, 96), 0.01), where, SHARP, WINDOW)
    assert even.flatten().tolist() == pytest.approx([0.01] * 3, rel=1e-5)
    corner = incoherent(torch.full((1, 96, 96), 0.01), places((0, 95.5)), SHARP, WINDOW, periodic=True)
    assert float(corner) == pytest.approx(0.01, rel=1e-5)


def test_equal_worlds_give_equal_numbers() -> None:
    specimen, where = PhaseObject(smooth(1, 128, 1.0)), places((60.5, 60), (66, 70.25))
    assert torch.equal(patterns(specimen, where, SHARP, WINDOW), patterns(specimen, where, SHARP, WINDOW))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: Window(63, 0.02, 200.0, 16.0), "even number"),
        (lambda: Window(64, math.nan, 200.0, 16.0), "positive"),
        (lambda: Window(64, 0.02, 200.0, 60.0), "smaller pixels"),
        (lambda: Window(64, 0.02, 200.0, 1.0), "more pixels"),
        (lambda: PhaseObject(torch.full((1, 96, 96), math.nan)), "NaN"),
        (lambda: PhaseObject(torch.zeros(1, 96, 96), absorption=torch.full((1, 96, 96), -0.1)), "0 or more"),
        (lambda: PhaseObject(torch.zeros(1, 96, 96, dtype=torch.float64)), "float32"),
        (lambda: PhaseObject(torch.zeros(1, 96, 96), absorption=torch.zeros(96, 96)), "shape"),
        (lambda: PhaseObject(torch.zeros(1, 2, 96, 96), slice_nm=-1.0), "0 or more"),
        (lambda: masks_of(WINDOW, [Annulus(20, 60)]), "smaller pixels"),
        (lambda: patterns(PhaseObject(torch.zeros(1, 48, 96)), places((24, 48)), SHARP, WINDOW), "canvas larger"),
        (lambda: patterns(PhaseObject(torch.zeros(1, 96, 96)), places((31, 48)), SHARP, WINDOW), "periodic"),
        (lambda: patterns(PhaseObject(torch.zeros(1, 96, 96)), places((48, math.nan)), SHARP, WINDOW), "NaN"),
        (lambda: patterns(PhaseObject(torch.zeros(2, 96, 96)), places((48, 48)), SHARP, WINDOW), "for 2 worlds"),
        (
            lambda: patterns(PhaseObject(torch.zeros(1, 96, 96)), places((48, 48)), lenses({"C10": -60.0}), WINDOW),
            "less defocus",
        ),
        (lambda: incoherent(torch.full((1, 96, 96), -1.0), places((48, 48)), SHARP, WINDOW), "0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(call: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()  # type: ignore[operator]


def test_axes_have_their_signs() -> None:
    rows, columns = angles(*WINDOW.frame)
    assert rows[40, 32] > 0 and columns[32, 40] > 0 and rows[32, 32] == columns[32, 32] == 0
