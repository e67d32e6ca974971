"""What of a change the report says that the beam explains, on worlds where it does something and where it does nothing.

The agent watches three places; three others are seen by the runner alone, twice with the cheapest image
(``benchmarks.tracking_beam_worlds``, each world with its twin). off: told less true share of the change at the watched
places between the first and the last control exposure, where the truth is of the same particles without the beam; by
two exposures of each place, and by all readings and the laws. holds: the 90 % intervals. found: that nothing lies
outside of the interval. error: of the reaction's parameters,
in widths of the prior; beside the beam: by the readings of all places, where the beam may have moved what they tell.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.tracking import Tracker
from benchmarks.common import print_table
from benchmarks.tracking_beam_worlds import ELECTRONS, KINDS, Beamed, beamed
from benchmarks.tracking_draws import HORIZON_S
from benchmarks.tracking_judge import off_by, share_of, told_mean
from benchmarks.tracking_runs import QUICK, TICK_S, Seen, as_shown, drawn_wrong, mission_of
from benchmarks.tracking_worlds import PLACES_NM
from models.kinetics import DESCRIPTORS
from surveys.tracking_beside import kinetics_beside, part_of_beam
from surveys.tracking_dose import explained_by_dose, themselves
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from agent.tracking_mission import Mission
    from envs.tracked import Sensor
    from models.kinetics_nuisance import Reading

FITS = ("as if there were no beam", "beside the beam", "beside the beam, without controls")
CONTROLS_NM = tuple((x, 800.0) for x, _ in PLACES_NM)
_TIMES = 2
"""That a control region is exposed."""


def one(kind: str, strong: bool, seed: int, sensors: Mapping[str, dict[str, Sensor]]) -> dict[str, Any]:
    """What was told of one world, and what is so."""
    made = beamed(kind, strong, seed)
    whole = mission_of(made.world, sensors, ELECTRONS, seed)
    aside = _TIMES * len(CONTROLS_NM) * whole.electrons_of(whole.looks[QUICK])
    mission = replace(whole, electrons=ELECTRONS - aside)
    known, readings, controls = _follow(made, mission, seed)
    told = explained_by_dose(readings, controls)
    started_s, ended_s = controls[0].t_s, controls[-1].t_s
    found: dict[str, Any] = {"kind": kind, "beam": strong, "seed": seed, "looks": len(readings)}
    found["shares"] = _true_shares(made, mission, started_s, ended_s)
    if told is not None:
        found |= {"descriptor": told.descriptor, "explained": told.explained, "interval": told.interval}
    beside = kinetics_beside(mission, readings, controls, CONTROLS_NM, known.filter.lived)
    found["parts"] = {name: part_of_beam(beside, readings, n) for n, name in enumerate(DESCRIPTORS)}
    apart = kinetics_beside(mission, readings, [], [], known.filter.lived)
    for name, each in zip(FITS, (known.filter, beside, apart), strict=True):
        error, covered = off_by(each, made.world.law or "", made.world.truth)
        right = each.names[int(np.argmax(each.probabilities()))] == made.world.law
        found[name] = {"error": error, "covered": sum(covered), "of": len(covered), "right": right}
    return found


def _follow(made: Beamed, mission: Mission, seed: int) -> tuple[Tracker, list[Reading], list[Reading]]:
    """The agent at the watched places; the controls at the beginning, at the end, and evenly between."""
    tracker = Tracker(mission, made.world.coming)
    everywhere = replace(mission, places_nm=(*PLACES_NM, *CONTROLS_NM))
    seen = Seen(made.world, everywhere, drawn_wrong(seed), np.random.default_rng([seed, 79]))
    readings: list[Reading] = []
    controls: list[Reading] = []

    def look(n: int, place: int) -> Reading:
        each, t_s = mission.looks[n], tracker.now_s
        reading = everywhere.reading(each, place, t_s, seen.take(each, place, t_s))
        made.expose(each, everywhere.places_nm[place], t_s, reading.electrons)
        return reading

    ticks = round(HORIZON_S / TICK_S)
    aside = {round(n * (ticks - 1) / (_TIMES - 1)) for n in range(_TIMES)}
    for tick in range(ticks):
        if tick in aside:
            controls += [look(QUICK, len(PLACES_NM) + n) for n in range(len(CONTROLS_NM))]
        choice = tracker.act()
        if choice.look is not None:
            readings.append(look(choice.look, choice.place))
            tracker.observe(readings[-1])
        for duration_s, conditions in made.world.coming(tick * TICK_S, (tick + 1) * TICK_S):
            tracker.wait(duration_s, conditions)
    return tracker, readings, controls


def _true_shares(made: Beamed, mission: Mission, from_s: float, to_s: float) -> dict[str, float]:
    """Of each descriptor's change at the watched places: what is there only with the beam."""
    look = mission.looks[QUICK]
    half, told = look.field_of_view_nm / 2, {}
    for name, t_s, beam in (("start", from_s, True), ("end", to_s, True), ("without", to_s, False)):
        each = []
        for place, (x, y) in enumerate(PLACES_NM):
            radii, fraction = made.seen((x - half, x + half), (y - half, y + half), t_s, beam)
            view = mission.view(look, place)
            each.append(themselves(as_shown(radii, fraction, view), view))
        told[name] = np.mean(each, axis=0)
    change = told["end"] - told["start"]
    part = np.divide(told["end"] - told["without"], change, out=np.full(len(change), np.nan), where=change != 0)
    return dict(zip(DESCRIPTORS, map(float, part), strict=True))


def shares(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a kind of world: the beam's part of the clearest change as it was told, against the truth."""
    rows = []
    for strong in (True, False):
        for kind in (*KINDS, "all"):
            mine = [f for f in found if f["beam"] == strong and kind in (f["kind"], "all")]
            told = [f for f in mine if f.get("interval") is not None]
            true = np.array([f["shares"][f["descriptor"]] for f in told])
            row: dict[str, Any] = {"kind": kind, "beam": "yes" if strong else "does nothing", "worlds": len(mine)}
            row["true_share"] = f"{true.min():.2f} to {true.max():.2f}" if told else "–"
            two = np.array([(f["interval"][0], f["explained"], f["interval"][1]) for f in told]).reshape(-1, 3)
            every = np.array([f["parts"][f["descriptor"]] for f in told]).reshape(-1, 3)
            for name, (low, middle, high) in (("two_exposures", two.T), ("all_readings", every.T)):
                row[f"off, {name}"] = told_mean(list(middle - true)) if told else "–"
                row[f"rms, {name}"] = float(np.sqrt(np.mean(np.square(middle - true)))) if told else float("nan")
                row[f"holds, {name}"] = share_of(int(((low <= true) & (true <= high)).sum()), len(told))
                row[f"found, {name}"] = share_of(int(((low > 0) | (high < 0)).sum()), len(mine))
            rows.append(row)
    return rows


def kinetics(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a way of fitting: errors of the reaction's parameters, and over those as if there were no beam."""
    rows = []
    for strong in (True, False):
        mine = [f for f in found if f["beam"] == strong]
        for name in FITS:
            each = [f[name] for f in mine]
            logs = np.array([np.log(f[name]["error"] / f[FITS[0]]["error"]) for f in mine])
            mean, low, high = (float(np.exp(v)) for v in interval(logs))
            row: dict[str, Any] = {"fit": name, "beam": "yes" if strong else "does nothing", "worlds": len(mine)}
            row["error"] = told_mean([e["error"] for e in each])
            row["over_no_beam"] = f"{mean:.2f} ({low:.2f}–{high:.2f})" if name != FITS[0] else "–"
            row["right_law"] = share_of(sum(e["right"] for e in each), len(each))
            row["covered"] = share_of(sum(e["covered"] for e in each), sum(e["of"] for e in each))
            rows.append(row)
    return rows


def beam(seeds: range, sensors: Mapping[str, dict[str, Sensor]], keep: Path | None) -> list[dict[str, Any]]:
    """Every world with and without a beam; goes on where ``keep`` has ended."""
    lines = keep.read_text(encoding="utf-8").splitlines() if keep is not None and keep.exists() else []
    found = [json.loads(line) for line in lines]
    flown = {(f["kind"], f["beam"], f["seed"]) for f in found}
    for seed, kind, strong in itertools.product(seeds, KINDS, (True, False)):
        if (kind, strong, seed) in flown:
            continue
        found.append(one(kind, strong, seed, sensors))
        if keep is not None:
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found[-1]) + "\n")
    rows, fits = shares(found), kinetics(found)
    print_table(rows, title="What of a change the beam explains, told against true")
    print_table(fits, title="The reaction's parameters where the beam does the same besides")
    return [*rows, *fits]
