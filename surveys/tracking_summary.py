"""What is known of a followed specimen at the end, as plain values for the record and the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from models.kinetics import DESCRIPTORS, FRACTION, NUMBER, VOLUME, View
from models.kinetics_forecast import course, half_time
from surveys.tracking_beside import told_of_dose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.tracking import Tracker
    from envs.keeping import Keeper
    from models.kinetics import Conditions
    from models.kinetics_nuisance import Reading
    from surveys.tracking_focus import FocusKeeper

_LIKELY = 0.05
_MOST_SHOWN = 3


def summarise(
    tracker: Tracker,
    readings: Sequence[Reading],
    controls: Sequence[Reading],
    controls_nm: Sequence[tuple[float, float]],
    coming: Sequence[tuple[float, Conditions]],
    *,
    final: bool = True,
) -> dict[str, Any]:
    """Laws with their probabilities, parameters and courses; none of these; changes; what dose explains.

    Where it is not ``final`` the laws are not asked what the beam did, which takes some seconds.
    """
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
    return {
        "descriptors": list(DESCRIPTORS),
        "laws": laws,
        "probabilities": dict(zip(known.names, map(float, probabilities), strict=True)),
        "none_of_these": tracker.none_of_these,
        "why_none": _why_none(tracker),
        "log_evidence_against_all": float(np.clip(tracker.none.log_highest, -700, 700)),
        "log_threshold": tracker.none.log_threshold,
        "changes": [asdict(change) for change in tracker.changes],
        "looks": len(readings),
        "looks_by_place": [
            sum(reading.view.place == place for reading in readings) for place in range(len(tracker.mission.places_nm))
        ],
        **told_of_dose(tracker.mission, readings, controls, controls_nm, known.lived if final else None),
    }


def _why_none(tracker: Tracker) -> str:
    """Why none of the laws explains what was seen; empty: nothing speaks against all of them."""
    why = []
    if tracker.none.said:
        highest, least = min(tracker.none.log_highest, 700.0), tracker.none.log_threshold
        why.append(f"the evidence against all of them is e^{highest:.1f}, the alarm at e^{least:.1f}")
    if tracker.changes:
        told = ", ".join(f"{each.t_s:.0f} s at place {each.place}" for each in tracker.changes[:_MOST_SHOWN])
        why.append(f"{len(tracker.changes)} changes were foretold by none of them, the first at {told}")
    return "; ".join(why)


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


def told_of_drift(keeper: Keeper | None) -> dict[str, Any] | None:
    """How far the specimen has drifted, and how it is known; None: nobody looked."""
    if keeper is None:
        return None
    x_nm, y_nm = (float(of_all) for of_all in keeper.mean[:, 1:].mean(axis=1))
    images = keeper.sure + keeper.unsure
    if keeper.sure:
        told = f"the specimen drifted by ({x_nm:+.0f}, {y_nm:+.0f}) nm, told by {keeper.sure} of {images} images"
    elif images:
        told = f"none of {images} images told of drift: they did not show what an earlier one had shown"
    else:
        told = "no image could tell of drift: none was taken twice of one place with one look"
    counts = {"sure": keeper.sure, "unsure": keeper.unsure}
    return {"x_nm": x_nm, "y_nm": y_nm, **counts, "told": told, "trouble": keeper.trouble}


def told_of_focus(keeper: FocusKeeper | None) -> dict[str, Any] | None:
    """How the focus was looked after; None: it was not."""
    if keeper is None:
        return None
    told = f"the focus was swept {keeper.sweeps} times, with {keeper.spent:.3g} electrons"
    return {"sweeps": keeper.sweeps, "electrons": keeper.spent, "told": told, "trouble": keeper.trouble}


def trouble_of(found: dict[str, Any]) -> list[str]:
    """What did not go as it should, in words."""
    lines = [f"{each['what']} ({each['t_s']:.0f} s)" for each in found["orders_refused"]]
    if found["not_learned"]:
        lines.append(
            f"the agent did not take up {len(found['not_learned'])} of what it was told, so that laws and parameters "
            f"lack it ({found['not_learned'][0]})"
        )
    if found["late"]:
        lines.append(f"{found['late']} decisions came too late and were taken in turn")
    if found["broken"]:
        lines.append(f"the agent broke at {found['broken']} decisions, which were taken in turn")
    lines += [f"the holder gave no {name} in {count} readings" for name, count in found["holder_gaps"].items()]
    lines += [found["drift"]["trouble"]] if found["drift"] and found["drift"]["trouble"] else []
    lines += [found["focus"]["trouble"]] if found["focus"] and found["focus"]["trouble"] else []
    never = [str(place) for place, looks in enumerate(found["looks_by_place"]) if not looks]
    if never:
        lines.append(f"no look at place {', '.join(never)} came about")
    return lines
