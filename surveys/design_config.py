"""From a plan to a survey that runs: the config of a technique's row."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.quality import frame_quality
from instruments.simulated.scattering import cross_section_nm2
from surveys.design import fields_across
from surveys.design_bench import settings_for, sparse
from surveys.design_detectors import COARSE_NM, FINE_NM, READ_ELECTRONS
from surveys.design_optics import lattice_image, probe_in
from surveys.design_posed import posed
from surveys.geometry import FEWEST_SITE_PX
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from surveys.design import Plan, Row

_OVERVIEW_SITES = 4
_MOST_SITES = 64
"""Along and across the area."""
_OVERVIEW_PX = 256
_OVERVIEW_SHARE = 0.05
"""Of the detail look's fluence that an overview may take."""
_SEEN_ELECTRONS = 20.0
"""Sent on a pixel of an overview at least."""
_HEADROOM = 2.5
"""Of the limits over what is planned: looks overlap, and controls are made beside."""
_OVERLAID = 3
"""More looks than one that a corner gets where frames are to overlap."""
_ROUNDING = 1e-4
"""Of the overlap, so that six digits do not ask for one more frame."""
_READS = ("HAADF", "BF", "ABF")
"""Detectors whose electronics add noise."""
_E_PER_PA_US = 6.241509


def survey_of(plan: Plan, row: Row) -> dict[str, Any]:
    """A survey that looks for the feature as the row proposes, on a simulated specimen that holds some, as a config.

    Raises pydantic's ValidationError where the settings do not make a survey.
    """
    question, proposal = plan.question, row.proposal
    recipes = posed(question, *sparse(question, proposal))
    instrument = settings_for(question, proposal, recipes.with_feature).model_dump(mode="json", exclude_defaults=True)
    column = instrument.setdefault("column", {})
    column |= {"current_pA": row.current_pA, "max_current_pA": max(500.0, 2 * row.current_pA)}
    column |= {"focus_offset_nm": 0.0, "stig_offset_nm": 0.0}
    instrument |= {
        "kind": "simulated",
        "stage": {"drift_nm": 0.0, "reach_nm": 0.0, "creep_nm": 0.0, "readback_nm": 0.0, "backlash_nm": 0.0},
        "field_of_view_nm": [0.5, 20000.0],
        "dwell_us": [1e-7, 1e7],
    }
    across = sites_across(plan, row)
    overlap = 1 - proposal.searched_nm / proposal.field_nm if across > 1 else 0.0
    side_nm = ((across - 1) * proposal.searched_nm + proposal.field_nm) * (1 + 1e-5)  # rounded, frames still fit
    sites = min(_OVERVIEW_SITES, int(side_nm / proposal.field_nm))
    pixels = _overview_px(proposal.field_nm * sites, sites)
    overview_nm2 = (proposal.field_nm * sites / pixels) ** 2
    least = min(_SEEN_ELECTRONS / (100 * overview_nm2), row.fluence_e_per_A2)  # fewer would look like no beam
    overview_us = max(_OVERVIEW_SHARE * row.fluence_e_per_A2, least) * 100 * overview_nm2
    overview_us /= _E_PER_PA_US * row.current_pA
    hours = row.hours * across**2 / row.fields
    headroom = _HEADROOM if overlap == 0 else _HEADROOM + _OVERLAID
    named = proposal.detector in ("camera", "EELS", "EDS")
    electrons = row.fluence_e_per_A2 * 100 * proposal.field_nm**2 * across**2
    data: dict[str, Any] = {
        "name": question.name,
        "seed": question.seed,
        "instrument": instrument,
        "specimens": [{"name": "film", "area": {"width_nm": side_nm, "height_nm": side_nm}}],
        "current_pA": row.current_pA,
        "looks": {
            "overview": {"sites": sites, "shape": [pixels, pixels], "dwell_us": overview_us},
            "detail": {
                "field_of_view_nm": proposal.field_nm,
                "shape": [proposal.frame_px, proposal.frame_px],
                "dwell_us": row.dwell_us,
                "frames": row.frames,
                **({"overlap_ratio": overlap - _ROUNDING} if overlap > 0 else {}),
                **({"signals": ["HAADF", proposal.detector]} if named else {}),
            },
        },
        "budget": {"hours": max(_HEADROOM * hours, 0.2), "electrons": _HEADROOM * electrons},
        "limits": {
            "backlash_nm": 0.0,
            "stage_uncertainty_nm": 0.0,
            "reach_tolerance_nm": 0.1,
            "max_current_pA": 1.2 * row.current_pA,
            "max_fluence_e_per_A2": headroom * row.fluence_e_per_A2,
            "field_of_view_nm": [0.5, 20000.0],
            "dwell_us": [1e-7, 1e7],
        },
        "skills": {"refocus": None},
        "controls": {"count": 1},
        "expectation": expected(plan, row),
    }
    told: dict[str, Any] = _short(data)
    SurveySettings.model_validate(told)
    return told


def sites_across(plan: Plan, row: Row) -> int:
    """Frames along each side of the area that the survey covers."""
    return min(fields_across(plan.question.limits.field_nm, row.proposal), _MOST_SITES)


def coverage(plan: Plan, row: Row) -> Iterator[str]:
    """Where the survey is not all that was asked, or gives places more than the fluence, in words."""
    proposal, across = row.proposal, sites_across(plan, row)
    asked = fields_across(plan.question.limits.field_nm, proposal)
    if across < asked:
        yield (
            f"the survey covers {across} × {across} frames, {across * proposal.searched_nm:.4g} of "
            f"{plan.question.limits.field_nm:g} nm each way, and takes {row.hours * across**2 / row.fields:.2g} of the "
            f"{row.hours:.2g} h: run it {math.ceil(asked / across) ** 2} times on neighbouring areas for all of it"
        )
    if across > 1 and proposal.margin_px:
        yield (
            f"frames overlap by {2 * proposal.margin_px} of {proposal.frame_px} pixels, where nothing is sought: there "
            f"the film gets up to 4 times the fluence, {4 * row.fluence_e_per_A2:.3g} e/Å²"
        )


def _sharpness(plan: Plan, row: Row) -> dict[str, float]:
    """Of a crystal's dark field, whose image is known: what the survey will measure of it, as it measures it."""
    question, proposal = plan.question, row.proposal
    ring = proposal.ring_mrad
    if proposal.detector != "HAADF" or proposal.site is None or ring is None:
        return {}
    made, film = question.instrument, question.specimen
    sections = {e: cross_section_nm2(e, *ring, made.voltage_kV, made.convergence_mrad) for e in film.density_per_nm3()}
    probe = replace(probe_in(film, made), focus_nm=proposal.defocus_nm)
    places = np.stack(np.meshgrid(*[np.arange(proposal.frame_px) * proposal.pixel_nm] * 2), axis=-1)
    heaviest = max(sections, key=lambda e: sections[e])
    image = lattice_image(film, sections, probe, places, left=ring, element=heaviest)
    sent = row.fluence_e_per_A2 * 100 * proposal.pixel_nm**2 / row.frames
    return {"sharpness": frame_quality((image * sent).astype(np.float32))["sharpness"]}


def rounded(value: float) -> float:
    """To six digits.

    >>> rounded(45151.97840371853)
    45152.0
    """
    return float(f"{value:.6g}")


def _short(value: Any) -> Any:
    """The same with six digits of each number."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    return rounded(value) if isinstance(value, float) else value


def expected(plan: Plan, row: Row) -> dict[str, Any]:
    """What the plan says that a detail look will show, for the survey to compare."""
    proposal = row.proposal
    sent = row.fluence_e_per_A2 * 100 * proposal.pixel_nm**2
    counted = proposal.share * sent / row.frames
    read = READ_ELECTRONS if proposal.detector in _READS else 0.0
    ring = {"ring_mrad": list(proposal.ring_mrad)} if proposal.detector == "camera" and proposal.ring_mrad else {}
    return {
        "technique": proposal.technique,
        "signal": proposal.detector,
        "electrons_per_px": counted,
        "noise_ratio": 1 + read**2 / counted,
        **ring,
        "fluence_e_per_A2": row.fluence_e_per_A2,
        "feature_snr": proposal.curve.snr(row.fluence_e_per_A2),
        "lost": row.lost,
        **_sharpness(plan, row),
        "detection": [
            [rounded(float(dose)), round(proposal.curve.probability(float(dose)), 4)]
            for dose in np.geomspace(row.fluence_e_per_A2 / 10, row.fluence_e_per_A2 * 10, 11)
        ],
    }


def _overview_px(field_nm: float, sites: int) -> int:
    """Pixels across an overview: enough for each site, and either fine or coarse enough for the model."""
    pixels = max(_OVERVIEW_PX, sites * FEWEST_SITE_PX)
    if FINE_NM < field_nm / pixels < COARSE_NM:
        pixels = max(sites * FEWEST_SITE_PX, math.floor(field_nm / COARSE_NM))
    return 2 * (pixels // 2)
