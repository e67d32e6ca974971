"""What the imaging detectors have in common, whatever they look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from surveys.design_proposal import Evidence

if TYPE_CHECKING:
    from surveys.design_question import Question

Ring: TypeAlias = tuple[float, float]

FINE_NM, COARSE_NM = 0.12, 0.2
"""Widest pixels of a view in which atoms show, and narrowest of one in which they do not."""
READ_ELECTRONS = 0.25
FRAME_PX = {"HAADF": 256, "BF": 128, "ABF": 128, "CTEM": 256, "4D-STEM": 40}
_SHUTTER_US = 1e4
"""Shortest exposure of a wide beam's camera; all its pixels share it."""
ELASTIC = Evidence(
    "elastic cross-sections of atoms onto rings, eikonal approximation (instruments.simulated.scattering)",
    "Glauber 1959; Molière, Z. Naturforsch. A 2 (1947) 133; X-ray factors of Waasmaier & Kirfel, Acta Cryst. A51 "
    "(1995) 416",
)
FILTER = Evidence(
    "matched filter at unknown position, w = Δ/(b + Δ/2), threshold for 5 % false frames from the expected number of "
    "exceedances",
    "Kay, Fundamentals of Statistical Signal Processing II (1998), ch. 4; Adler, The Geometry of Random Fields (1981)",
)


def dark_ring(question: Question) -> Ring:
    """What a camera sees beside the bright disc."""
    made = question.instrument
    return round(1.2 * made.convergence_mrad, 1), made.camera_reach_mrad


def least_us(question: Question, technique: str) -> float:
    """Shortest dwell of one pixel."""
    made = question.instrument
    shutter_us = _SHUTTER_US / FRAME_PX["CTEM"] ** 2
    return {"4D-STEM": made.camera_least_us, "CTEM": shutter_us}.get(technique, made.dwell_us[0])


def bytes_of(question: Question, technique: str) -> int:
    """What one pixel takes on disk."""
    return question.instrument.camera_pixels**2 if technique == "4D-STEM" else 2


def detector_of(technique: str) -> str:
    """The signal's name in a survey."""
    return "camera" if technique == "4D-STEM" else technique
