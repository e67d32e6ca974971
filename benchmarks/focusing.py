"""How well focus and aberrations are found on unseen worlds, against classical sweeps and the Cramér–Rao bound.

    python -m benchmarks.focusing            an hour on one core; --jobs N: processes that share it
    python -m benchmarks.focusing --quick    a few worlds; --worlds N and --only TASK: a part of it

Frames are the simulator's: all specimens of the library at random places, with their own depth, thermal blur and
neighbourhood, and drift and changes of current between exposures. The estimator is told the size of the source, a
thickness up to 20 % wrong, and twice the drift that is usual. Focus counts to the middle of the specimen's depth. Bands
and widths of the sweeps are chosen on other worlds (seeds below 1000). Intervals: 95 %, of 2000 bootstrap samples over
worlds. ``--json FILE`` is written anew after each world, of those seen by then.
"""

from __future__ import annotations

from typing import Any

from benchmarks.common import arguments, finish, write
from benchmarks.focus_coarse import coarse
from benchmarks.focus_fine import fine
from benchmarks.focus_pair import pair
from benchmarks.focus_seven import seven
from instruments.simulated.library import SPECIMENS

TASKS = {"coarse": coarse, "pair": pair, "fine": fine, "seven": seven}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--worlds", type=int, default=200, help="a task; 200 is what the claims are made of")
    parser.add_argument("--only", choices=TASKS, help="one task")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the worlds")
    options = parser.parse_args()
    count, tuning = (10, 10) if options.quick else (options.worlds, 40)
    title = f"Focusing on {count} unseen worlds of {len(SPECIMENS)} specimens"
    rows: list[dict[str, Any]] = []

    def keep(so_far: list[dict[str, Any]]) -> None:
        write([*rows, *so_far], options, title=f"{title}, unfinished")

    for name in TASKS:
        if options.only in (None, name):
            rows += TASKS[name](count, tuning, options.jobs, keep)
    finish(rows, options, title=title)


if __name__ == "__main__":
    main()
