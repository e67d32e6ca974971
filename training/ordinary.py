"""How far the objects of ordinary specimens reach: what flags know before a survey begins.

    python -m training.ordinary                          a minute on one core; remakes envs/ordinary_tails.json
    python -m training.ordinary --specimens 2 --out /tmp/tails.json

Simulated specimens without anything rare, each of other densities, sizes, film and dose, a quarter with holes, are
seen from above; every property of the most extreme object of each place is counted in spreads of its own survey. No
rare feature is shown, so no kind of it is favoured. The seeds are those of no benchmark.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from archive.software import commit
from envs.actions import LookAt
from envs.descriptors import NAMES, transformed
from envs.extremes import OBJECTS, SHARES, TAILS, OrdinaryTails, off_middle
from instruments.simulated.settings import HoleSettings, SimulatedSettings, SpecimenSettings
from surveys.sights import sights
from training.episode import EpisodeSettings, opened

Array: TypeAlias = npt.NDArray[np.float64]

SEED = 5_000_000
HOLED_EVERY = 4


def ordinary(number: int, sites: int = 32) -> EpisodeSettings:
    """The survey of an ordinary specimen; all numbers are drawn by ``number``."""
    rng = np.random.default_rng((SEED, number))
    pitch_nm = float(rng.uniform(400, 900))
    specimen = SpecimenSettings(
        rare_layout="none",
        holes=HoleSettings(pitch_nm=pitch_nm, diameter_nm=pitch_nm * float(rng.uniform(0.3, 0.6)))
        if number % HOLED_EVERY == HOLED_EVERY - 1
        else None,
        heavy_per_um2=float(rng.uniform(200, 1400)),
        light_per_um2=float(rng.uniform(50, 400)),
        heavy_radius_nm=float(np.exp(rng.uniform(*np.log((2.5, 5.0))))),
        light_radius_nm=float(np.exp(rng.uniform(*np.log((5.5, 11.0))))),
        size_spread=float(rng.uniform(0.15, 0.4)),
        film_grain=float(rng.uniform(0.03, 0.14)),
        film_variation=float(rng.uniform(0.03, 0.3)),
    )
    return EpisodeSettings(
        instrument=SimulatedSettings(specimen=specimen),
        sites=sites,
        site_nm=float(rng.uniform(55, 70)),
        overview_dwell_us=float(np.exp(rng.uniform(*np.log((1.0, 8.0))))),
    )


def reached(settings: EpisodeSettings, seed: int) -> Array:
    """(N, O) of all places seen from above: spreads above their survey's median, of each object's property."""
    env, _ = opened(settings, seed)
    patches = env.situation.task.tree.of_kind("patch")
    steps = [env.apply(env.catalogue.encode(LookAt(int(patch), 0))) for patch in patches]
    env.close()
    rows = transformed([sight.descriptors for sight in sights(steps)])
    return off_middle(rows, rows)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specimens", type=int, default=16)
    parser.add_argument("--out", type=Path, default=TAILS)
    options = parser.parse_args()
    begun_s = time.process_time()
    numbers = track(range(options.specimens), "looking", transient=True)
    places = np.concatenate([reached(ordinary(number), SEED + number) for number in numbers])
    found = OrdinaryTails.fitted(places).spreads.round(4)
    about = {
        "specimens": options.specimens,
        "places": len(places),
        "commit": commit() or "unknown",
        "cpu_s": round(time.process_time() - begun_s),
        "shares": SHARES.tolist(),
        "spreads": {NAMES[column]: found[:, n].tolist() for n, column in enumerate(OBJECTS)},
    }
    options.out.write_text(json.dumps(about, indent=1) + "\n")
    Console().print({name: told for name, told in about.items() if name not in ("shares", "spreads")})


if __name__ == "__main__":
    main()
