"""The same agent on rendered frames and spectra of the simulated microscope, behind its guard: a few worlds of each.

A holder reads with an error of its calibration, as real ones do, and a rate is told at the temperature or concentration
that it reads: the truth is told for that reading, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.tracking import Tracker
from agent.tracking_mission import Mission
from envs.step import Decision
from envs.track_worlds import LOOKS, PLACES_NM, copper_sensors, make_track_env
from models.kinetics import Expected, rate_factor
from models.kinetics_laws import all_laws
from surveys.tracking_holder import Holder

TRUTH: dict[str, tuple[str, dict[str, float]]] = {
    "growth": ("growth, reaction-limited", {"nucleation_per_s": 4e-3, "growth_nm_per_s": 0.02}),
    "dissolution": ("dissolution, reaction-limited", {"rate_nm_per_s": 0.01}),
    "coarsening": ("Ostwald ripening", {"rate_nm3_per_s": 0.6}),
    "transformation": ("transformation after Avrami", {}),
    "front": ("first-order front", {"speed_nm_per_s": 4.0, "start_nm": -900.0}),
}
STEADY = {"concentration_mM": 0.08, "temperature_K": 2.0}


def rendered(seeds: range) -> list[dict[str, Any]]:
    """One row a world."""
    return [one(process, seed) for process in TRUTH for seed in seeds]


def one(process: str, seed: int) -> dict[str, Any]:
    env = make_track_env(processes=(process,), seed=seed)
    task, heated = env.situation.task, process not in ("growth", "dissolution")
    name = "temperature_K" if heated else "concentration_mM"
    expected = Expected(
        horizon_s=task.horizon_s,
        span_nm=2000.0,
        temperature_K=730.0 if heated else None,
        supply=None if heated else "concentration_mM",
        places_nm=PLACES_NM,
    )
    mission = Mission(
        laws=all_laws(expected),
        looks=LOOKS,
        sensors=copper_sensors(LOOKS, phases=process in ("transformation", "front")),
        places_nm=PLACES_NM,
        current_pA=50.0,
        electrons=task.electrons,
        horizon_s=task.horizon_s,
        tick_s=task.tick_s,
        sets=96,
        seed=seed,
    )
    holder = Holder(STEADY)
    held = holder.read(env.holder(), [name])

    def forecast(from_s: float, to_s: float) -> list[tuple[float, dict[str, float]]]:
        return [(to_s - from_s, held)] if to_s > from_s else []

    known = Tracker(mission, forecast)
    while not env.over():
        began_s, choice = env.now_s, known.act()
        action = task.actions - 1 if choice.look is None else choice.look * len(PLACES_NM) + choice.place
        taken = env.apply(Decision(action=action))
        if taken.measured is not None and choice.look is not None:
            known.observe(mission.reading(LOOKS[choice.look], choice.place, began_s, taken.measured))
        known.wait(env.now_s - began_s, held)
        held = holder.read(env.holder(), [name])
    env.close()
    known.settle()
    law, truth = TRUTH[process]
    read = rate_factor(expected, np.array([1.5]), held)[0]  # over that of the true 730 K, or 1 mM
    there = {n: value if n == "start_nm" else value / read for n, value in truth.items()}
    probabilities = known.filter.probabilities()
    estimates = {each.name: each for each in known.filter.estimates(law)}
    return {
        "process": process,
        "seed": seed,
        "likeliest": known.filter.names[int(np.argmax(probabilities))],
        "right": float(probabilities[known.filter.names.index(law)]),
        "none": known.none_of_these,
        "covered": sum(bool(estimates[n].low <= value <= estimates[n].high) for n, value in there.items()),
        "estimates": ", ".join(
            f"{n} {estimates[n].mean:.3g} ({estimates[n].low:.3g}–{estimates[n].high:.3g}), is {value:.3g}"
            for n, value in there.items()
        ),
        "electrons": env.electrons,
    }
