"""What is known of a followed specimen at the end, as plain values for the record and the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from models.kinetics import DESCRIPTORS, FRACTION, NUMBER, VOLUME, View
from models.kinetics_forecast import course, half_time
from surveys.tracking_dose import explained_by_dose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.tracking import Tracker
    from models.kinetics import Conditions
    from models.kinetics_nuisance import Reading

_LIKELY = 0.05
_MOST_SHOWN = 3
_PLACE_SDS = (0.1, 0.04, 0.03, 0.15, 0.05)
"""By how much places of some 50 particles differ in their change by chance."""


def summarise(
    tracker: Tracker,
    readings: Sequence[Reading],
    controls: Sequence[Reading],
    coming: Sequence[tuple[float, Conditions]],
) -> dict[str, Any]:
    """Laws with their probabilities, parameters and courses; none of these; changes; what dose explains."""
    known = tracker.filter
    probabilities = known.probabilities()
    order = np.argsort(-probabilities)
    laws = []
    for n in order[:_MOST_SHOWN]:
        if probabilities[n] < _LIKELY and n != order[0]:
            continue
        name = known.names[int(n)]
        laws.append(
            {
                "law": name,
                "probability": float(probabilities[n]),
                "parameters": [asdict(each) for each in known.estimates(name)],
                "half_times": _half_times(tracker, name, coming),
                "courses": _courses(tracker, name, coming, readings),
            }
        )
    share = explained_by_dose(readings, controls, _PLACE_SDS)
    return {
        "descriptors": list(DESCRIPTORS),
        "laws": laws,
        "probabilities": dict(zip(known.names, map(float, probabilities), strict=True)),
        "none_of_these": tracker.none.said,
        "log_evidence_against_all": float(np.clip(tracker.none.log_highest, -700, 700)),
        "log_threshold": tracker.none.log_threshold,
        "changes": [asdict(change) for change in tracker.changes],
        "looks": len(readings),
        "dose": None if share is None else {**asdict(share), "explained": share.explained, "sd": share.explained_sd},
        "dose_told": _told_of_dose(share, controls),
    }


def _told_of_dose(share: object, controls: Sequence[Reading]) -> str:
    if share is not None:
        return str(share)
    if not controls:
        return "no control region was exposed, so that what the beam did cannot be told from what happened by itself"
    return "no change is clear enough to say what part of it the beam explains"


def _half_times(tracker: Tracker, law: str, coming: Sequence[tuple[float, Conditions]]) -> dict[str, Any]:
    return {DESCRIPTORS[n]: asdict(half_time(tracker.filter, law, n, coming)) for n in (NUMBER, VOLUME, FRACTION)}


def _courses(
    tracker: Tracker, law: str, coming: Sequence[tuple[float, Conditions]], readings: Sequence[Reading]
) -> list[dict[str, Any]]:
    """At every place, as its images show it; where there are none, as its spectra do."""
    found = []
    for place in range(len(tracker.mission.places_nm)):
        here = [r for r in readings if r.view.place == place]
        images = [r for r in here if r.channel == "image"] or here
        if not images:
            continue
        usual: View = images[-1].view
        told = course(tracker.filter, law, usual, coming)
        found.append(
            {
                "place": place,
                "times_s": told.times_s.tolist(),
                **{name: np.nan_to_num(getattr(told, name)).tolist() for name in ("low", "middle", "high")},
            }
        )
    return found
