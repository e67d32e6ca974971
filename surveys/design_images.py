"""What images show of a feature: HAADF, BF, ABF, CTEM and virtual detectors of 4D-STEM."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from instruments.physics import wavelength_nm
from instruments.simulated.scattering import WIDEST_MRAD, cross_section_nm2
from surveys.design_atom import ctem_change, peak_phase_rad, ring_changes
from surveys.design_ball import ball_ways
from surveys.design_detectors import (
    ELASTIC,
    FILTER,
    FINE_NM,
    FRAME_PX,
    READ_ELECTRONS,
    bytes_of,
    dark_ring,
    detector_of,
    least_us,
)
from surveys.design_optics import lattice_image, lattice_of, probe_in, sites_nm, spread
from surveys.design_proposal import Evidence, Proposal, Refused, filter_weights, offsets_nm, patch_px, tapered
from surveys.design_question import DopantFeature, ParticleFeature, Question
from surveys.design_statistics import Search, filtered

if TYPE_CHECKING:
    from collections.abc import Iterator

Array: TypeAlias = npt.NDArray[np.float64]
Ring: TypeAlias = tuple[float, float]

_WEAK_RAD = 1.0
_REACH_NM = 0.16
"""Of a filter for what is scattered incoherently by one column."""
_RADII, _RADIUS_STEP_NM = 24, 0.016
_DEFOCI_NM = (0.0, -2.0, -4.0, -6.0, -8.0, -12.0)
_PROBE = Evidence(
    "probe: overlap of two apertures, averaged over the film's depth; closed form (surveys.design_optics)",
    "Hopkins, Proc. R. Soc. A 231 (1955) 91; annulus: Jesson & Pennycook, Proc. R. Soc. A 441 (1993) 261",
)
_LONE = Evidence(
    "one atom alone as a phase object under a probe or in a wide beam (surveys.design_atom)",
    "Kirkland, Advanced Computing in Electron Microscopy, 2nd ed. (2010), ch. 5-6",
)


def image_proposal(question: Question, technique: str) -> Proposal | Refused:
    """The best of a technique's ways to see the question's feature; or why it does not."""
    feature, made = question.feature, question.instrument
    if technique == "4D-STEM" and dark_ring(question)[0] >= made.camera_reach_mrad:
        return Refused(
            technique=technique,
            why=f"a camera out to {made.camera_reach_mrad:g} mrad shows no ring beside a disc of "
            f"{made.convergence_mrad:g} mrad",
        )
    ring = {"BF": made.bf_mrad, "ABF": made.abf_mrad}.get(technique)
    if isinstance(feature, DopantFeature) and ring is not None and ring[0] >= made.convergence_mrad:
        return Refused(
            technique=technique,
            why=f"a ring of {ring[0]:g}-{ring[1]:g} mrad lies outside the disc of {made.convergence_mrad:g} mrad: it "
            "gives no bright field; set instrument.abf_mrad or a wider convergence_mrad",
        )
    if isinstance(feature, DopantFeature):
        if technique == "HAADF":
            return _best(_dopant_annular(question, feature, technique, question.instrument.haadf_mrad))
        why = _too_strong(question)
        found = (
            [] if technique != "4D-STEM" else list(_dopant_annular(question, feature, technique, dark_ring(question)))
        )
        if why is None:
            found += (_dopant_wide if technique == "CTEM" else _dopant_rings)(question, feature, technique)
        return _best(iter(found)) if found else Refused(technique=technique, why=why or "")
    if isinstance(feature, ParticleFeature):
        return _best(ball_ways(question, feature, technique))
    return Refused(technique=technique, why="its contrast does not tell elements apart: thickness would pass for it")


def _best(ways: Iterator[Proposal]) -> Proposal:
    """The way that needs the fewest electrons."""
    return min(ways, key=lambda each: each.curve.dose_e_per_A2(0.9))


def _fine_nm(question: Question, wide_mrad: float) -> tuple[float, ...]:
    """Pixels that carry what the aperture passes, and coarser ones.

    A whole number of them spans the lattice, so that columns are sampled alike.
    """
    nyquist = wavelength_nm(question.instrument.voltage_kV) / (4e-3 * wide_mrad)
    period_nm = float(np.hypot(*lattice_of(question.specimen).cell_nm[0]))
    parts = {math.ceil(period_nm / min(nyquist * f, FINE_NM)) for f in (1.0, 1.5, 2.2)}
    return tuple(period_nm / n for n in sorted(parts))


def _columns(question: Question, feature: DopantFeature, side_nm: float) -> Search:
    """Every column of the element that is replaced."""
    seen = lattice_of(question.specimen)
    columns = sum(name == feature.replaces for name in seen.elements)
    return Search(places=max(1.0, side_nm**2 / seen.area_nm2 * columns))


def _dopant_annular(question: Question, feature: DopantFeature, technique: str, ring: Ring) -> Iterator[Proposal]:
    """A dopant by what it scatters incoherently, among the columns that hold the same element."""
    made, film = question.instrument, question.specimen
    elements = {*film.density_per_nm3(), feature.element}
    sections = {e: cross_section_nm2(e, *ring, made.voltage_kV, made.convergence_mrad) for e in elements}
    probe, frame_px = probe_in(film, made), FRAME_PX[technique]
    depth = film.thickness_nm * sum(n * sections[e] for e, n in film.density_per_nm3().items())
    kept = -math.expm1(-depth) / depth
    heaviest = max(elements, key=lambda e: sections[e])
    change = feature.atoms * (sections[feature.element] - sections[feature.replaces]) * kept
    site = sites_nm(film, feature.replaces)[0]
    for pixel_nm in _fine_nm(question, made.convergence_mrad):
        half = patch_px(_REACH_NM, pixel_nm)
        offsets = offsets_nm(half, pixel_nm)
        signal = change * spread(probe, np.hypot(offsets[..., 0], offsets[..., 1]), left=ring, element=heaviest)
        background = kept * lattice_image(film, sections, probe, site + offsets, left=ring, element=heaviest)
        weights = tapered(filter_weights(signal, background), offsets, _REACH_NM)
        search = _columns(question, feature, (frame_px - 2 * half) * pixel_nm)
        read = READ_ELECTRONS if technique == "HAADF" else 0.0
        yield Proposal(
            technique=technique,
            detector=detector_of(technique),
            pixel_nm=pixel_nm,
            frame_px=frame_px,
            curve=filtered(weights, background, signal, pixel_nm, search, question.false_alarm, read_electrons=read),
            least_us=least_us(question, technique),
            settings={"ring_mrad": f"{ring[0]:g}-{ring[1]:g}"},
            weights=weights,
            margin_px=half,
            ring_mrad=ring,
            site=feature.replaces,
            bytes_per_px=bytes_of(question, technique),
            share=-math.expm1(-depth),
            evidence=(ELASTIC, _PROBE, FILTER),
            factor=1.3 if technique == "HAADF" else 1.7,
            doubt=None if technique == "HAADF" else _near_disc(question),
        )


def _dopant_rings(question: Question, feature: DopantFeature, technique: str) -> Iterator[Proposal]:
    """A dopant by what its wave changes within the bright disc."""
    made, film = question.instrument, question.specimen
    alpha = made.convergence_mrad
    virtual: tuple[Ring, ...] = ((0.0, round(alpha / 2, 1)), (round(alpha / 2, 1), round(alpha, 1)))
    rings = {"BF": (made.bf_mrad,), "ABF": (made.abf_mrad,)}.get(technique, virtual)
    radii = tuple((np.arange(_RADII) * _RADIUS_STEP_NM).round(4).tolist())
    lost = sum(
        n * film.thickness_nm * cross_section_nm2(e, alpha, WIDEST_MRAD, made.voltage_kV)
        for e, n in film.density_per_nm3().items()
    )
    for defocus_nm in _DEFOCI_NM:
        changes = [
            ring_changes(e, rings, made.voltage_kV, alpha, defocus_nm, radii)
            for e in (feature.element, feature.replaces)
        ]
        for ring, change in zip(rings, (changes[0] - changes[1]) * feature.atoms * math.exp(-lost), strict=True):
            inner, outer = (min(angle, alpha) for angle in ring)
            share = (outer**2 - inner**2) / alpha**2 * math.exp(-lost)
            blurred = _blurred(radii, change, math.hypot(made.source_size_nm, film.debye_waller_nm))
            yield from _phase_ways(question, feature, technique, (radii, blurred), share, defocus_nm, ring)


def _blurred(radii_nm: tuple[float, ...], change: Array, blur_nm: float) -> Array:
    """(R,) a round change seen with a source whose image is a Gaussian, or of an atom that trembles.

    An atom stands still while an electron passes: images add up over its places (Einstein's model).
    """
    most = len(radii_nm) - 1
    step_nm = radii_nm[1]
    x, y = np.meshgrid(*[np.arange(-most, most + 1) * step_nm] * 2)
    image = np.interp(np.hypot(x, y), radii_nm, change, right=0.0)
    return np.asarray(ndimage.gaussian_filter(image, blur_nm / step_nm, mode="constant")[most, most:])


def _dopant_wide(question: Question, feature: DopantFeature, technique: str) -> Iterator[Proposal]:
    """A dopant in a wide beam's image."""
    made, film = question.instrument, question.specimen
    for defocus_nm in _DEFOCI_NM[1:]:
        images = [
            ctem_change(e, made.voltage_kV, defocus_nm, made.objective_mrad, made.focal_spread_nm)
            for e in (feature.element, feature.replaces)
        ]
        image, step_nm = (images[0][0] - images[1][0]) * feature.atoms, images[0][1]
        middle = image.shape[0] // 2
        radii = tuple((np.arange(29) * step_nm).tolist())
        line = _blurred(radii, image[middle, middle : middle + 29], film.debye_waller_nm)
        yield from _phase_ways(question, feature, technique, (radii, line), 1.0, defocus_nm, None)


def _phase_ways(
    question: Question,
    feature: DopantFeature,
    technique: str,
    profile: tuple[tuple[float, ...], Array],
    share: float,
    defocus_nm: float,
    ring: Ring | None,
) -> Iterator[Proposal]:
    """Proposals of a round change of the share, (radii, change), on an even background."""
    made, frame_px = question.instrument, FRAME_PX[technique]
    for pixel_nm in _fine_nm(question, made.objective_mrad if technique == "CTEM" else made.convergence_mrad):
        half = patch_px(profile[0][-1], pixel_nm)
        offsets = offsets_nm(half, pixel_nm)
        signal = np.interp(np.hypot(offsets[..., 0], offsets[..., 1]), *profile, right=0.0)
        weights = tapered(filter_weights(signal, np.full(signal.shape, share)), offsets, profile[0][-1])
        search = _columns(question, feature, (frame_px - 2 * half) * pixel_nm)
        settings: dict[str, float | str] = {"defocus_nm": defocus_nm}
        if ring is not None:
            settings["ring_mrad"] = f"{ring[0]:g}-{ring[1]:g}"
        yield Proposal(
            technique=technique,
            detector=detector_of(technique),
            pixel_nm=pixel_nm,
            frame_px=frame_px,
            curve=filtered(weights, np.full(signal.shape, share), signal, pixel_nm, search, question.false_alarm),
            least_us=least_us(question, technique),
            settings=settings,
            weights=weights,
            margin_px=half,
            ring_mrad=ring,
            defocus_nm=defocus_nm,
            site=feature.replaces,
            bytes_per_px=bytes_of(question, technique),
            share=share,
            evidence=(_LONE, FILTER),
            factor=2.0,
        )


def _too_strong(question: Question) -> str | None:
    """Why atoms cannot be taken one by one, where they cannot."""
    film, seen = question.specimen, lattice_of(question.specimen)
    phase = max(
        peak_phase_rad(name, question.instrument.voltage_kV, film.debye_waller_nm, atoms * film.thickness_nm)
        for name, atoms in zip(seen.elements, np.array(seen.atoms) / seen.repeat_nm, strict=True)
    )
    if phase <= _WEAK_RAD:
        return None
    return (
        f"a column of this film turns the wave's phase by {phase:.2g} rad: beyond about {_WEAK_RAD:g} rad no closed "
        "form tells what waves do, and none is given"
    )


def _near_disc(question: Question) -> str | None:
    """A ring close to the bright disc is not free of interference in a crystal that is strong."""
    why = _too_strong(question)
    return None if why is None else "the ring lies close to the bright disc, where columns this strong interfere"
