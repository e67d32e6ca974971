"""The reaction beside the beam: what laws say of all places, where the beam may have moved what readings tell, too.

What the beam does is taken for a smooth function of the fluence, whatever it is, and the same at all places
(``models.kinetics_nuisance``): the regions with little dose tell it from what goes on by itself.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from models.kinetics import DESCRIPTORS, shown, stacked
from models.kinetics_filter import KineticFilter
from models.kinetics_nuisance import Chance
from surveys.tracking_dose import explained_by_dose, themselves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.tracking_mission import Mission
    from models.kinetics import Conditions
    from models.kinetics_nuisance import Reading

Ratio: TypeAlias = float

_BEAM: Ratio = 1.0
"""By how much the beam may have moved logarithms of numbers by the end, as a standard deviation."""
_WANDERING: Ratio = 2.0
"""Of places, as in ``Calibration``: what the beam does to the particles of a place is in part chance."""
_LEAST_E_PER_A2 = 1e-6
_WIDER: Ratio = 1.7
_NEVER_NEARER: Ratio = 0.05
"""By how much intervals of the beam's part are widened about their middle, and how near it they never come: all laws
leave out the same, so that their own held 11 of 14 (``benchmarks.tracking --only beam``, seeds from 1300)."""
_LIKELY: Ratio = 0.02
_DRAWS = 400


def told_of_dose(
    mission: Mission,
    readings: Sequence[Reading],
    controls: Sequence[Reading],
    controls_nm: Sequence[tuple[float, float]],
    lived: Sequence[tuple[float, Conditions]] | None,
) -> dict[str, Any]:
    """What the beam explains, and where it did anything the likeliest law beside it; as values, and in words.

    ``lived``: as of ``kinetics_beside``; None: laws are not asked, which takes some seconds.
    """
    share = explained_by_dose(readings, controls)
    if share is None:
        told = "no control region was exposed, so that what the beam did cannot be told from what happened by itself"
        if controls:
            told = "no change is clear enough to say what part of it the beam explains"
        return {"dose": None, "dose_told": told}
    found = {**asdict(share), "explained": share.explained, "interval": share.interval, "part": None, "beside": None}
    told = str(share)
    if lived is not None:
        try:
            known = kinetics_beside(mission, readings, controls, controls_nm, lived)
        except np.linalg.LinAlgError as error:
            return {"dose": found, "dose_told": f"{told}; the laws could not take up all readings ({error})"}
        part = part_of_beam(known, readings, DESCRIPTORS.index(share.descriptor), mission.seed)
        if part is None:
            return {"dose": found, "dose_told": f"{told}; the laws foretell no change of it"}
        found["part"], (low, middle, high) = part, part
        told += f"; by all readings and the laws {middle:.0%}, in 90 % between {low:.0%} and {high:.0%}"
        if not low <= 0.0 <= high:
            found["beside"], beside = _likeliest(known)
            told += f". Laws are told as if there were no beam; beside it: {beside}"
    return {"dose": found, "dose_told": told}


def _likeliest(known: KineticFilter) -> tuple[dict[str, Any], str]:
    """The likeliest law with its parameters, as values and in words."""
    n = int(np.argmax(known.probabilities()))
    name, probability = known.names[n], float(known.probabilities()[n])
    parameters = [asdict(each) for each in known.estimates(name)]
    of = (f"{p['name']} {p['mean']:.3g} ({p['low']:.3g} to {p['high']:.3g})" for p in parameters if p["counts"])
    told = f"{name}, probability {probability:.2f}, {', '.join(of)}"
    return {"law": name, "probability": probability, "parameters": parameters}, told


def kinetics_beside(
    mission: Mission,
    readings: Sequence[Reading],
    controls: Sequence[Reading],
    controls_nm: Sequence[tuple[float, float]],
    lived: Sequence[tuple[float, Conditions]],
) -> KineticFilter:
    """What all laws say of the readings of all places, where the beam may have moved what they tell.

    ``controls_nm``: the control regions in the order of their places, which follow the watched ones; ``lived``:
    (duration in s, conditions that held) since time 0.
    """
    places_nm = (*mission.places_nm, *controls_nm)
    seen = _with_fluence([*readings, *controls])
    most = max((each.before_e_per_A2 for each in seen), default=0.0)
    known = KineticFilter(
        [law.watching(places_nm) for law in mission.laws],
        len(places_nm),
        mission.horizon_s,
        replace(
            mission.calibration,
            beam=_BEAM,
            beam_at_e_per_A2=max(most, _LEAST_E_PER_A2),
            wandering=_WANDERING,
        ),
        mission.sets,
        mission.seed,
        sorted({each.view.width_nm for each in seen}),
    )
    waiting = list(seen)
    for duration_s, conditions in lived:
        end_s = known.time_s + duration_s
        while waiting and waiting[0].t_s <= end_s:
            known.wait(waiting[0].t_s - known.time_s, conditions)
            known.learn(waiting.pop(0))
        known.wait(end_s - known.time_s, conditions)
    for each in waiting:
        known.learn(each)
    return known


def _with_fluence(readings: Sequence[Reading]) -> list[Reading]:
    """In order of time, each with what its view had been exposed to; views of a place share a middle."""
    found: list[Reading] = []
    for each in sorted(readings, key=lambda reading: reading.t_s):
        before = [r for r in found if r.view.place == each.view.place]
        fluence = sum(r.electrons / (10 * max(r.view.width_nm, each.view.width_nm)) ** 2 for r in before)
        found.append(replace(each, before_e_per_A2=float(fluence)))
    return found


def part_of_beam(
    known: KineticFilter, watched: Sequence[Reading], descriptor: int, seed: int = 0
) -> tuple[Ratio, Ratio, Ratio] | None:
    """Of a descriptor's change until now at watched places: low, middle and high of what is there only with the beam.

    In 90 %, by what all laws say of all places together (``kinetics_beside``); None: these foretell no change at all.
    """
    rng = np.random.default_rng(seed)
    last = {r.view.place: r for r in _with_fluence(watched) if r.channel == "image"}
    last = last or {r.view.place: r for r in _with_fluence(watched)}
    parts = []
    for each in known.ensembles(_LIKELY):
        count = max(round(_DRAWS * each.probability), 2)
        kept = np.searchsorted(np.cumsum(each.weights), (np.arange(count) + 0.5) / count).clip(0, len(each.weights) - 1)
        values, white, layout = each.values[kept], each.white[kept], each.told.nuisance.layout
        states = stacked([each.law.start(values), {name: column[kept] for name, column in each.state.items()}])
        unknown = each.told.unknown(known.time_s)
        errors = white @ each.told.reach + rng.multivariate_normal(
            np.zeros(len(unknown)), unknown, count, method="eigh"
        )
        without = errors.copy()
        without[:, -layout.beams :] = 0.0
        shown_at = []
        for reading in last.values():
            view = reading.view
            chance = Chance.of(each.law, states, values, np.full(count, 1 / count), [view])[0]
            own = reading.electrons / (10 * view.width_nm) ** 2
            effect = layout.effect(view, reading.channel, chance, before_e_per_A2=reading.before_e_per_A2 + own)
            start, end = shown(each.law.sizes(states, values, view), view)
            courses = (start + without @ effect[0].T, end + errors @ effect[1].T, end + without @ effect[1].T)
            shown_at.append([themselves(told.T, view)[descriptor] for told in courses])
        start, end, alone = np.mean(shown_at, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            parts.append((end - alone) / (end - start))
    every = np.concatenate(parts)
    if not np.isfinite(every).any():
        return None
    low, middle, high = np.quantile(every[np.isfinite(every)], (0.05, 0.5, 0.95)).tolist()
    below, above = (max(_WIDER * reach, _NEVER_NEARER) for reach in (middle - low, high - middle))
    return middle - below, middle, middle + above
