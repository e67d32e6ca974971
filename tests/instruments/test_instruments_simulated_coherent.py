"""Phase objects of atoms and their CTEM images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from instruments.aberrations import NAMES
from instruments.physics import wavelength_nm
from instruments.simulated.coherent import (
    Grid,
    Illumination,
    atom_potential_spectrum,
    ctem,
    electron_factor_nm,
    interaction_constant,
    phase_grating,
)

GRID = Grid((96, 128), 0.02)


def lenses(*worlds: dict[str, float]) -> torch.Tensor:
    return torch.tensor([[world.get(name, 0.0) for name in NAMES] for world in worlds])


def noise(shape: tuple[int, ...], rad: float, seed: int = 4) -> torch.Tensor:
    return rad * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_interaction_constant_is_the_tabulated_one() -> None:
    """Kirkland (2010), section 5.2: 0.92440, 0.72884 and 0.65262 rad / (kV Å)."""
    found = [interaction_constant(voltage) for voltage in (100.0, 200.0, 300.0)]
    assert found == pytest.approx([0.0092440, 0.0072884, 0.0065262], rel=1e-4)


@pytest.mark.parametrize(("element", "forward_A"), [("C", 2.509), ("Si", 5.828), ("Cu", 5.600), ("Au", 10.573)])
def test_forward_scattering_is_near_doyle_and_turner(element: str, forward_A: float) -> None:
    """Acta Cryst. A24 (1968) 390, relativistic Hartree-Fock; the X-ray fit's curvature at 0 is good to 5 %."""
    assert electron_factor_nm(element, np.zeros(1))[0] * 10 == pytest.approx(forward_A, rel=0.05)


def test_far_out_the_nucleus_is_bare() -> None:
    """Rutherford: fₑ → Z / (8π² a₀ s²), less the few electrons of the inner shell."""
    assert electron_factor_nm("C", np.array([4.0]))[0] == pytest.approx(
        6 / (8 * math.pi**2 * 0.0529177 * 4 * 400), rel=0.03
    )


def test_one_atom_has_its_volume_of_potential() -> None:
    """The phase's sum over the frame is σ times the transform at 0; carbon: 47.878 V Å² · 2.47 Å."""
    atoms = {"C": torch.tensor([[0.0, 40.3, 70.8]], dtype=torch.float64)}
    phase = phase_grating(atoms, GRID, 200.0)
    at_zero = atom_potential_spectrum("C", np.zeros(1))[0]
    assert at_zero == pytest.approx(0.47878 * 0.2466, rel=1e-3)
    assert float(phase.sum()) * GRID.pixel_nm**2 == pytest.approx(interaction_constant(200.0) * at_zero, rel=1e-4)
    assert [int(n) for n in np.unravel_index(int(phase[0].argmax()), GRID.shape)] == [40, 71]


def test_atoms_lie_where_they_are_put_between_pixels_too() -> None:
    """Against the sum of plane waves, frequency by frequency, also next to the band limit."""
    rng = torch.Generator().manual_seed(8)
    places = torch.rand(12, 3, generator=rng, dtype=torch.float64) * torch.tensor([0.0, 96.0, 128.0])
    phase = phase_grating({"Si": places}, GRID, 200.0, debye_waller_nm2={"Si": 0.005})
    ky, kx = np.fft.fftfreq(96)[:, None], np.fft.fftfreq(128)[None, :]
    turns = ky * places[:, 1].numpy()[:, None, None] + kx * places[:, 2].numpy()[:, None, None]
    q_px = np.hypot(ky, kx)
    atom = atom_potential_spectrum("Si", q_px / 0.02, debye_waller_nm2=0.005) * (q_px <= 1 / 3)
    expected = np.exp(-2j * math.pi * turns).sum(0) * atom * interaction_constant(200.0) / 0.02**2
    found = np.fft.fft2(phase[0].numpy())
    assert np.abs(found - expected).max() < 0.004 * np.abs(expected).max()
    assert np.abs(found[q_px > 0.335]).max() < 1e-4 * np.abs(expected).max()
    edge = (q_px > 0.25) & (q_px <= 1 / 3)
    assert np.linalg.norm((found - expected)[edge]) < 0.1 * np.linalg.norm(expected[edge])


def test_each_world_has_its_own_atoms_and_borders_wrap() -> None:
    one = torch.tensor([[0.0, 0.0, 0.0]], dtype=torch.float64)
    other = torch.tensor([[1.0, 48.0, 64.0]], dtype=torch.float64)
    both = phase_grating({"Au": torch.cat([one, other])}, GRID, 200.0, worlds=2)
    assert torch.allclose(torch.roll(both[0], (48, 64), (0, 1)), both[1], atol=1e-5)
    assert float(both[0].max()) > 0.5


def test_thermal_motion_widens_atoms_and_keeps_their_sum() -> None:
    atoms = {"Au": torch.tensor([[0.0, 48.0, 64.0]], dtype=torch.float64)}
    still, warm = (phase_grating(atoms, GRID, 200.0, debye_waller_nm2={"Au": b}) for b in (0.0, 0.02))
    assert float(warm.sum()) == pytest.approx(float(still.sum()), rel=1e-4)
    assert float(warm.max()) < 0.8 * float(still.max())


def test_nothing_gives_an_even_image() -> None:
    image = ctem(torch.zeros(1, 32, 48), lenses({"C10": -80.0}), 0.02, Illumination(200.0, 3.0, 0.3))
    assert torch.allclose(image, torch.ones(1, 32, 48), atol=1e-5)


def test_a_focused_wide_open_lens_shows_no_phase() -> None:
    phase = torch.fft.irfft2(torch.fft.rfft2(noise((1, 64, 64), 0.3)) * (torch.fft.rfftfreq(64) < 0.1), s=(64, 64))
    rows = torch.fft.fftfreq(64).abs()[:, None] < 0.1
    phase = torch.fft.ifft2(torch.fft.fft2(phase) * rows).real
    assert float((ctem(phase, lenses({}), 0.02, Illumination(200.0)) - 1).abs().max()) < 1e-3


@pytest.mark.parametrize("optics", [{"C10": -60.0}, {"C10": 45.0, "C30": 1.2e6}, {"C10": -40.0, "C12a": 15.0}])
def test_weak_objects_show_thon_rings(optics: dict[str, float]) -> None:
    """Contrast 2 sin χ · φ, so dark rings where sin χ = 0 (Thon, Z. Naturforsch. 21a (1966) 476)."""
    side, pixel_nm = 128, 0.05
    phase = torch.zeros(1, side, side)
    phase[0, 0, 0] = 0.02
    image = ctem(phase, lenses(optics), pixel_nm, Illumination(300.0))
    k = np.fft.fftfreq(side, pixel_nm)
    wavelength = wavelength_nm(300.0)
    x, y = np.meshgrid(k * wavelength, k * wavelength)
    r2 = x**2 + y**2
    chi = (2 * math.pi / wavelength) * (
        optics["C10"] * r2 / 2 + optics.get("C12a", 0) * (x**2 - y**2) / 2 + optics.get("C30", 0) * r2**2 / 4
    )
    gain = (torch.fft.fft2(image - 1) / torch.fft.fft2(phase))[0].numpy()
    inside = (r2 > 0) & (np.hypot(x, y) < 0.98 * 2 / 3 * wavelength / (2 * pixel_nm))
    # the sign too: underfocus makes what has phase dark
    assert np.abs(gain[inside] - 2 * np.sin(chi[inside])).max() < 0.05
    assert np.ptp(np.sin(chi[inside])) > 1.8


def test_atoms_are_dark_in_underfocus() -> None:
    phase = phase_grating({"Au": torch.tensor([[0.0, 48.0, 64.0]], dtype=torch.float64)}, GRID, 300.0)
    under, over = (ctem(phase, lenses({"C10": c10}), 0.02, Illumination(300.0))[0, 48, 64] for c10 in (-5.0, 5.0))
    assert float(under) < 0.95 < 1.05 < float(over)


def test_envelopes_damp_what_is_fine() -> None:
    """Frank's envelopes: of focus exp(−(πλΔk²)² / 2), of angles exp(−(θ₀ ∂χ)² / 4)."""
    side, pixel_nm, cycles = 64, 0.05, 12
    k = cycles / (side * pixel_nm)
    phase = (1e-3 * torch.cos(2 * math.pi * cycles * torch.arange(float(side)) / side)).expand(1, side, side)
    wavelength = wavelength_nm(200.0)
    c10 = -0.5 / (wavelength * k**2)  # sin χ = −1
    bare = float((ctem(phase, lenses({"C10": c10}), pixel_nm, Illumination(200.0)) - 1).std())
    for how, expected in (
        (Illumination(200.0, focal_spread_nm=5.0), math.exp(-((math.pi * wavelength * 5.0 * k**2) ** 2) / 2)),
        (
            Illumination(200.0, illumination_semi_angle_mrad=2.0),
            math.exp(-((2e-3 * 2 * math.pi * c10 * k) ** 2) / 4),
        ),
    ):
        assert 0.2 < expected < 0.95
        found = float((ctem(phase, lenses({"C10": c10}), pixel_nm, how) - 1).std()) / bare
        assert found == pytest.approx(expected, rel=0.01)


def test_many_foci_give_a_weak_object_its_envelope_and_keep_every_electron() -> None:
    weak, strong = noise((1, 64, 64), 1e-3), noise((1, 64, 64), 0.3)
    how = Illumination(200.0, focal_spread_nm=4.0)
    optics = lenses({"C10": -20.0})
    one, many = (ctem(weak, optics, 0.05, how, focal_nodes=n) - 1 for n in (1, 7))
    assert float((one - many).std()) < 0.02 * float(one.std())
    sharp = float(ctem(strong, optics, 0.05, Illumination(200.0)).mean())
    kept, damped = (float(ctem(strong, optics, 0.05, how, focal_nodes=n).mean()) for n in (7, 1))
    assert kept == pytest.approx(sharp, rel=1e-5)
    assert damped < kept - 1e-3


def test_strong_objects_are_not_linear() -> None:
    optics, how = lenses({"C10": -30.0}), Illumination(200.0)
    single, double = (ctem(noise((1, 64, 64), rad), optics, 0.05, how) - 1 for rad in (0.3, 0.6))
    assert float((double - 2 * single).std()) > 0.1 * float(double.std())


def test_planes_over_the_depth_keep_electrons_and_become_one_where_they_touch() -> None:
    waves = (0.6 * torch.cos(math.pi / 6 * torch.arange(96.0))).expand(1, 96, 96).contiguous()
    optics, how = lenses({"C10": -12.0}), Illumination(200.0)
    one = ctem(waves, optics, 0.05, how)
    touching, apart = (ctem(waves, optics, 0.05, how, slices=6, slice_nm=nm) for nm in (0.0, 8.0))
    torch.testing.assert_close(touching, one, atol=1e-3, rtol=0)
    assert float(apart.mean()) == pytest.approx(1.0, abs=1e-3)
    assert float((apart - one).std()) > 0.1 * float(one.std())


def test_the_objective_takes_what_it_stops_and_absorption_what_it_eats() -> None:
    fine = (0.5 * torch.cos(math.pi / 3 * torch.arange(48.0))).expand(1, 48, 48)  # 1 / 0.3 nm: 8.4 mrad at 200 kV
    wide, small = (
        float(ctem(fine, lenses({}), 0.05, Illumination(200.0, objective_mrad=a)).mean()) for a in (15.0, 5.0)
    )
    assert wide == pytest.approx(1.0, abs=1e-2)
    assert small == pytest.approx(float(torch.special.bessel_j0(torch.tensor(0.5))) ** 2, abs=1e-3)
    thick = torch.full((1, 48, 48), 0.4)
    eaten = ctem(0 * fine, lenses({}), 0.05, Illumination(200.0), absorption=thick)
    assert float(eaten.mean()) == pytest.approx(math.exp(-0.4), rel=1e-5)


def test_equal_objects_give_equal_images() -> None:
    made = [ctem(noise((2, 32, 32), 0.4), lenses({"C10": -9.0}, {}), 0.05, Illumination(200.0, 3.0)) for _ in range(2)]
    assert torch.equal(*made)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: Illumination(200.0, focal_spread_nm=-1.0), "0 or more"),
        (lambda: Illumination(math.nan), "positive voltage"),
        (lambda: Illumination(200.0, objective_mrad=0.0), "None for out"),
        (lambda: Grid((2, 64), 0.02), "both sides"),
        (lambda: atom_potential_spectrum("C", np.zeros(1), debye_waller_nm2=-0.1), "0 or more"),
        (lambda: phase_grating({}, GRID, 200.0), "no element"),
        (lambda: phase_grating({"C": torch.zeros(1, 2)}, GRID, 200.0), "world, row, column"),
        (lambda: phase_grating({"C": torch.full((1, 3), math.nan)}, GRID, 200.0), "numbers"),
        (lambda: phase_grating({"C": torch.ones(1, 3)}, GRID, 200.0), "worlds"),
        (lambda: phase_grating({"C": torch.zeros(1, 3)}, GRID, 200.0, debye_waller_nm2={"Si": 0.1}), "Debye"),
        (lambda: ctem(torch.zeros(8, 8), lenses({}), 0.05, Illumination(200.0)), "B, Y, X"),
        (lambda: ctem(torch.zeros(2, 8, 8), lenses({}), 0.05, Illumination(200.0)), "B, Y, X"),
        (lambda: ctem(torch.full((1, 8, 8), math.inf), lenses({}), 0.05, Illumination(200.0)), "infinity"),
        (
            lambda: ctem(
                torch.zeros(1, 8, 8), lenses({}), 0.05, Illumination(200.0), absorption=torch.full((1, 8, 8), -1.0)
            ),
            "0 or more",
        ),
        (lambda: ctem(torch.zeros(1, 8, 8), lenses({}), 0.05, Illumination(200.0), focal_nodes=0), "nodes"),
    ],
)
def test_what_does_not_fit_is_refused(call: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()  # type: ignore[operator]
