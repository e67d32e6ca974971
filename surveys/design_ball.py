"""What images show of a ball in a film, or on it: mass and thickness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from instruments.simulated.scattering import WIDEST_MRAD, cross_section_nm2
from surveys.design_detectors import (
    COARSE_NM,
    ELASTIC,
    FILTER,
    FRAME_PX,
    READ_ELECTRONS,
    bytes_of,
    dark_ring,
    detector_of,
    least_us,
)
from surveys.design_optics import Probe, probe_in
from surveys.design_proposal import Proposal, filter_weights, offsets_nm, patch_px
from surveys.design_statistics import Search, bends_per_nm2, filtered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from surveys.design_question import ParticleFeature, Question

Ring: TypeAlias = tuple[float, float]


def ball_ways(question: Question, feature: ParticleFeature, technique: str) -> Iterator[Proposal]:
    """A ball by how much more or less it scatters than the film: mass and thickness."""
    made, film = question.instrument, question.specimen
    alpha, radius = made.convergence_mrad, feature.diameter_nm / 2
    rings = {"HAADF": made.haadf_mrad, "BF": made.bf_mrad, "ABF": made.abf_mrad, "4D-STEM": dark_ring(question)}
    ring = rings.get(technique)
    if ring is None:  # what the objective aperture stops is lost to a wide beam's image
        outside: Ring = (made.objective_mrad, WIDEST_MRAD)
    else:
        outside = (ring[1], WIDEST_MRAD) if ring[0] < alpha else ring
    cone = 0.0 if technique == "CTEM" else alpha
    held = film.density_per_nm3()
    inside = {} if feature.material is None else feature.material.density_per_nm3()
    sections = {e: cross_section_nm2(e, *outside, made.voltage_kV, cone) for e in {*held, *inside}}
    of_film, of_ball = (sum(n * sections[e] for e, n in part.items()) for part in (held, inside))
    probe, frame_px = probe_in(film, made, atoms_show=False), FRAME_PX[technique]
    for pixel_nm in sorted({max(round(feature.diameter_nm / n, 3), COARSE_NM) for n in (4, 6, 8)}):
        half = patch_px(radius + pixel_nm, pixel_nm)
        offsets = offsets_nm(half, pixel_nm)
        chord = 2 * np.sqrt(np.maximum(radius**2 - offsets[..., 0] ** 2 - offsets[..., 1] ** 2, 0.0))
        depth = of_film * film.thickness_nm + chord * (of_ball - (of_film if feature.embedded else 0.0))
        scattered, before = -np.expm1(-depth), -math.expm1(-of_film * film.thickness_nm)
        if ring is None:
            seen, plain = 1 - scattered, 1 - before
        elif ring[0] < alpha:
            inner, outer = (min(angle, alpha) for angle in ring)
            caught = (outer**2 - inner**2) / alpha**2
            seen, plain = caught * (1 - scattered), caught * (1 - before)
        else:
            seen, plain = scattered, before
        signal, background = seen - plain, np.full(chord.shape, plain)
        weights = filter_weights(signal, background)
        side_nm = (frame_px - 2 * half) * pixel_nm
        search = Search(places=(frame_px - 2 * half) ** 2, bends=side_nm**2 * bends_per_nm2(weights, pixel_nm))
        structure = 0.0
        if technique == "4D-STEM":  # a probe narrower than the pixels meets few atoms, another number at each
            narrow = _mean_square_per_nm2(probe)
            granular = sum(n * sections[e] ** 2 for e, n in held.items()) * film.thickness_nm * narrow
            structure = float(np.sum(weights**2) * granular * pixel_nm**4)
        read = READ_ELECTRONS if technique in ("HAADF", "BF", "ABF") else 0.0
        yield Proposal(
            technique=technique,
            detector=detector_of(technique),
            pixel_nm=pixel_nm,
            frame_px=frame_px,
            curve=filtered(
                weights, background, signal, pixel_nm, search, question.false_alarm,
                structure=structure, read_electrons=read,
            ),
            least_us=least_us(question, technique),
            settings={} if ring is None else {"ring_mrad": f"{ring[0]:g}-{ring[1]:g}"},
            weights=weights,
            margin_px=half,
            ring_mrad=ring,
            bytes_per_px=bytes_of(question, technique),
            share=plain,
            evidence=(ELASTIC, FILTER),
            factor=1.3 if technique != "4D-STEM" else 2.0,
        )  # fmt: skip


def _mean_square_per_nm2(probe: Probe) -> float:
    """∫ p² over the plane, of a probe p whose integral is 1: its transfer function's by Parseval."""
    k = (np.arange(400) + 0.5) / 400 * probe.limit_per_nm
    return float(2 * math.pi * np.sum(probe.transfer(k) ** 2 * k) * (k[1] - k[0]))
