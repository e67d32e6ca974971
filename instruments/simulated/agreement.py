"""Where images of crystals are known to agree with multislice: how thick, and how far from focus.

``python -m benchmarks.fidelity`` compares the two, and checks this rule against every row: it must name all that fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.physics import wavelength_nm
from instruments.simulated.packing import composition
from instruments.simulated.scattering import atomic_number

if TYPE_CHECKING:
    from instruments.simulated.recipe import Material

DARK_PER_NM2, DARK_DEFOCUSED_PER_NM2, WAVES_PER_NM2 = 10_000.0, 6_000.0, 20_000.0
"""So many electrons (of the atoms, along the beam) an area may have for a dark field in focus, out of focus, and where
waves interfere: 7.1, 4.3 and 14 nm of SrTiO₃, 2.1, 1.3 and 4.3 nm of Au."""
FAINT_PER_NM2 = 1_000.0
"""A crystal with less, such as graphene, has a contrast under 2 % in a bright field out of focus."""
FAINT_DEPTHS = 1.6
"""So many depths of focus from the middle, a ring under the cone has lost its contrast, to a few per cent."""
COMPARED_NM = 20.0
"""Defocus up to which was compared."""
COMPARED_PROBES = ((200.0, 21.4), (60.0, 31.0))
"""Voltages in kV and cones in mrad that were compared."""
COMPARED_BRIGHT_MRAD = ((0.0, 10.0), (11.0, 22.0))
COMPARED_DARK_MRAD = (60.0, 90.0), (120.0, 200.0)
"""Inner and outer angles of a dark field. Compared were 60–130 and 60–140: what a ring such as 70–200 gets beyond that
is a fifth of all, from still nearer to the nuclei."""
NEAR = 0.1
"""So much of itself a number may differ from one that was compared."""


def electrons_per_nm3(material: Material) -> float:
    """Of the atoms: the sum of Z over a volume, which sets how soon a fast electron is scattered twice."""
    return sum(per_nm3 * atomic_number(element) for element, per_nm3 in composition(material).items())


def depth_of_focus_nm(voltage_kV: float, convergence_mrad: float) -> float:
    """λ / α².

    >>> round(depth_of_focus_nm(200.0, 21.4), 1)
    5.5
    """
    return wavelength_nm(voltage_kV) / (convergence_mrad * 1e-3) ** 2


def doubt(
    material: Material,
    thickness_nm: float,
    defocus_nm: float,
    *,
    voltage_kV: float,
    convergence_mrad: float,
    ring_mrad: tuple[float, float] | None,
    tilt_deg: float = 0.0,
) -> str | None:
    """Why a fine image of a crystal is not to be trusted; None: it agrees with multislice.

    ``defocus_nm``: C10 at the entrance face; the probe counts as in focus within a depth of focus of the crystal's
    middle. ``ring_mrad``: the detector; None is a wide beam's screen. A correlation of at least 0.9 over a cell is
    called agreement, and of a dark field in focus also a contrast within 10 %. ``tilt_deg``: of the zone axis. What was
    not compared is doubted.
    """
    dense, name = electrons_per_nm3(material), material.crystal
    depth_nm, off_nm = depth_of_focus_nm(voltage_kV, convergence_mrad), abs(defocus_nm + thickness_nm / 2)
    where = "in focus" if off_nm <= depth_nm else f"{off_nm:.3g} nm out of focus"
    waves = ring_mrad is None or ring_mrad[0] < convergence_mrad
    most = WAVES_PER_NM2 if waves else DARK_PER_NM2 if off_nm <= depth_nm else DARK_DEFOCUSED_PER_NM2
    if thickness_nm * dense > most:
        return (
            f"{name} is {thickness_nm:.3g} nm thick, and {where}; such images agree with multislice up to "
            f"{most / dense:.2g} nm: contrast is not to be trusted, and out of focus may be inverted"
        )
    faint = ring_mrad is not None and waves and (ring_mrad[0] > 0 or thickness_nm * dense < FAINT_PER_NM2)
    if faint and off_nm > FAINT_DEPTHS * depth_nm:
        return (
            f"{name} is {where}; so far out a bright field on {ring_mrad} mrad shows next to nothing of it, "
            "and what it shows differs from multislice"
        )
    if abs(defocus_nm) > COMPARED_NM:
        return f"C10 is {defocus_nm:.3g} nm; crystals were compared with multislice up to ± {COMPARED_NM:g} nm"
    if tilt_deg:
        return f"{name} leans by up to {tilt_deg:g}°; crystals were compared with multislice on their zone axis"
    if not any(
        _near(voltage_kV, kV) and (ring_mrad is None or _near(convergence_mrad, mrad)) for kV, mrad in COMPARED_PROBES
    ):
        known = ", ".join(f"{kV:g} kV with {mrad:g} mrad" for kV, mrad in COMPARED_PROBES)
        return f"{voltage_kV:g} kV with {convergence_mrad:g} mrad was never compared with multislice, only {known}"
    if ring_mrad is not None and not _ring_compared(ring_mrad):
        (least, inner), (outer, most) = COMPARED_DARK_MRAD
        known = ", ".join(f"{low:g}–{high:g}" for low, high in COMPARED_BRIGHT_MRAD)
        return (
            f"a ring of {ring_mrad[0]:g}–{ring_mrad[1]:g} mrad was never compared with multislice, only {known} mrad "
            f"and dark fields from {least:g}…{inner:g} to {outer:g}…{most:g} mrad"
        )
    return None


def _ring_compared(ring_mrad: tuple[float, float]) -> bool:
    dark = all(low <= angle <= high for angle, (low, high) in zip(ring_mrad, COMPARED_DARK_MRAD, strict=True))
    return dark or any(all(map(_near, ring_mrad, known)) for known in COMPARED_BRIGHT_MRAD)


def _near(value: float, compared: float) -> bool:
    return abs(value - compared) <= NEAR * compared
