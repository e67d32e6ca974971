"""Where the hypotheses of ``agent.hole_belief`` come from: fits to a survey whose predictions are damaged on purpose.

    python -m benchmarks.holes_prior --grids 00028gr,00033gr,00029gr

For each kind of damage the effects of grids, squares and patches, out of three, that make the measurements most
probable, and with them the coefficients: means over several draws of the damage. The hypotheses are these, rounded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from agent.hole_belief import HoleBelief, Hypothesis
from benchmarks.common import DATA, arguments, finish
from envs.holes import read_holes

DAMAGE = {"good": ("given", 0.05), "one in five wrong": ("flipped20", 0.2), "one in three wrong": ("flipped35", 0.35),
          "says little": ("flipped50", 0.5), "inverted": ("inverted", 0.95)}  # fmt: skip
MEAN, SPREAD = (0.0, 3.3, 0.0, 0.0, 0.0, 0.0), (3.0, 1.5, 3.0, 3.0, 3.0, 3.0)
EFFECTS = ((0.3, 0.2, 0.3), (0.6, 0.3, 0.4), (0.6, 0.6, 0.8), (1.0, 1.0, 1.2))


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--table", type=Path, metavar="CSV", default=DATA / "hole_survey" / "holes.csv")
    parser.add_argument("--grids", default="00028gr,00033gr,00029gr", help="words of their names")
    options = parser.parse_args()
    if not options.table.exists():
        print(f"no table of holes at {options.table}: give --table, or set ADAPTEM_DATA to the folder that has one")
        return 0
    holes, rows = read_holes(options.table).within(options.grids.split(",")), []
    for name, (kind, mistaken) in DAMAGE.items():
        broad = [
            Hypothesis(name="broad", weight=1, mistaken=mistaken, mean=MEAN, spread=SPREAD, effects=effects)
            for effects in EFFECTS
        ]
        found, evidence = [], []
        for seed in range(2 if options.quick else 6):
            damaged = holes.damaged(kind, seed)
            belief = HoleBelief(damaged.score, damaged.parents, damaged.place_px, broad)
            belief.learn(np.arange(len(damaged)), damaged.good.astype(np.float64))
            found.append(belief.calibration())
            evidence.append(belief.log_evidence())
        best = int(np.argmax(np.mean(evidence, axis=0)))
        a, b_own, b_near, b_patch, b_square, b_surprise = (float(x) for x in np.mean(found, axis=0)[best])
        effects = " ".join(f"{x:g}" for x in EFFECTS[best])
        means = {"a": a, "b score": b_own, "b near": b_near, "b patch": b_patch, "b square": b_square,
                 "b surprise": b_surprise}  # fmt: skip
        rows.append(
            {"damage": name, **means, "effects": effects, "log evidence": float(np.mean(evidence, axis=0)[best])}
        )
    finish(rows, options, title=f"Fits to {len(holes)} holes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
