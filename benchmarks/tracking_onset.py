"""Where annealing begins in titanium: what the experts' counts say it is, and the rule that looks for it.

    python -m benchmarks.tracking_onset           a minute on one core
    python -m benchmarks.tracking_onset --quick   fewer drawn courses

First, from the experts' counts alone: their best 1 to 5 steps by least squares and by Poisson's likelihood, with
Schwarz's criterion (BIC); a flat line that bends down, its bend with the scatter integrated; and where they first fall,
however often they change (``models.changes.first_fall``), for several scatters and chances of a change.

Second, the rule on drawn courses of 13 frames: levels that fall with a chance of one in 13 before each frame by a tenth
to a half, counts that scatter. Of six frames each is the second next, or the next while a fall is likelier than
``share``. near: the middle of what is told lies within one frame of the first fall, held: its 90 % interval does.
``none`` and ``line``: courses without a fall, with the share in which one is told with more than 0.9, and straight
lines, with the frame in which the middle of what is told lies.

Third, the counter's counts of the movie, the first and third frame labelled, told with several scatters.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks import titanium
from benchmarks.common import arguments, print_table, write
from models.changes import first_fall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array: TypeAlias = npt.NDArray[np.float64]

FRAMES, MOST, FIRST = 13, 6, (0, 2)
SHARES = (0.3, 0.5, 0.7, 1.0)


def next_frame(frames: Sequence[int], numbers: Sequence[float], sds: Sequence[float], share: float = 0.5) -> int:
    """The one after the last, while a fall is likelier than ``share``; else the second next."""
    if len(frames) < len(FIRST):
        return FIRST[len(frames)]
    return frames[-1] + (1 if 1 - fell(frames, numbers, sds)[-1] > share else 2)


def fell(frames: Sequence[int], numbers: Sequence[float], sds: Sequence[float], chance: float = 1 / FRAMES) -> Array:
    """Probability of the first fall before each frame but the first, and of none yet."""
    return first_fall(np.array(numbers), np.array(sds), 1 - (1 - chance) ** np.diff(frames))


def reached(at: Array, told: Array, share: float) -> float:
    """Where the fall has begun with that probability, evenly between frames; NaN where it never is."""
    return float(np.interp(share, np.concatenate([[0.0], np.cumsum(told[:-1])]), at, right=np.nan))


def definitions(counts: Array, at_C: Array) -> list[dict[str, Any]]:
    """What the counts themselves say of where they begin to fall."""
    number, rows = len(counts), []

    def squares(part: Array) -> float:
        return float(((part - part.mean()) ** 2).sum())

    def poisson(part: Array) -> float:
        return float(part.sum() - part.sum() * np.log(part.mean()))

    def gap(n: int) -> str:
        return f"{at_C[n - 1]:.0f}-{at_C[n]:.0f}"

    for name, cost in (("squares", squares), ("Poisson", poisson)):
        for steps in range(6):
            sets = list(combinations(range(1, number), steps))
            costs = [sum(cost(counts[i:j]) for i, j in pairwise([0, *each, number])) for each in sets]
            least, best = min(zip(costs, sets, strict=True))
            fit = number * np.log(least / number) if cost is squares else 2 * least
            bic = float(fit + 2 * steps * np.log(number))
            rows.append({"by": f"{steps} steps, {name}", "where": ", ".join(map(gap, best)), "says": f"BIC {bic:.1f}"})
    bends = np.linspace(at_C[0], at_C[-2], 500)
    lines = [np.stack([np.ones(number), -np.maximum(at_C - bend, 0)], axis=1) for bend in bends]
    left = np.array([float(np.linalg.lstsq(each, counts)[1][0]) for each in lines])
    logs = -(number - 2) / 2 * np.log(left) - np.linalg.slogdet([each.T @ each for each in lines])[1] / 2
    share = np.cumsum(np.exp(logs - logs.max()))
    low, high = (bends[np.searchsorted(share / share[-1], each)] for each in (0.05, 0.95))
    told = f"squares {left.min():.0f}; 90 % from {low:.0f} to {high:.0f}"
    rows.append({"by": "a bend", "where": f"{bends[np.argmin(left)]:.0f}", "says": told})
    for scatter in (None, 0.03, 0.06, 0.08, 0.13):
        for chance in (1 / FRAMES, 0.3):
            sds = np.sqrt(counts) if scatter is None else scatter * counts
            found = fell(range(number), list(counts), list(sds), chance)
            place = int(np.argmax(found))
            by = f"first fall, scatter {'of roots' if scatter is None else f'{scatter:.0%}'}, chance {chance:.2f}"
            rows.append({"by": by, "where": gap(place + 1), "says": f"{found[place]:.3f}"})
    return rows


def flown(count: Callable[[int], tuple[float, float]], share: float) -> tuple[list[int], Array]:
    """Six frames in time order, and what is told of the first fall. ``count``: number and deviation of a frame."""
    frames: list[int] = []
    told: list[tuple[float, float]] = []
    while len(frames) < MOST:
        n = next_frame(frames, *_pairs(told), share)
        if n >= FRAMES:
            break
        frames.append(n)
        told.append(count(n))
    return frames, fell(frames, *_pairs(told))


def drawn(draws: int, scatter: float, share: float) -> dict[str, Any]:
    """The rule on drawn courses."""
    near: list[bool] = []
    held: list[bool] = []
    none: list[bool] = []
    lines: dict[float, list[float]] = {0.4: [], 0.6: []}
    rng = np.random.default_rng(5)
    for _ in range(draws):
        falls = np.append(False, rng.random(FRAMES - 1) < 1 / FRAMES)
        factors = np.where(falls, rng.uniform(0.5, 0.9, FRAMES), 1.0)
        noise = np.exp(rng.normal(0, scatter, FRAMES))
        frames, told = _noted(500 * np.cumprod(factors) * noise, scatter, share)
        if falls.any():
            low, middle, high = (reached(np.array(frames, float), told, each) for each in (0.05, 0.5, 0.95))
            true = int(np.argmax(falls)) - 0.5
            near.append(abs(middle - true) <= 1)
            held.append(low <= true + 0.5 and not high < true - 0.5)  # NaN: as late as may be
        none.append(1 - _noted(500 * noise, scatter, share)[1][-1] > 0.9)
        for fall, middles in lines.items():
            frames, told = _noted(500 * (1 - fall * np.arange(FRAMES) / (FRAMES - 1)) * noise, scatter, share)
            middles.append(reached(np.array(frames, float), told, 0.5))
    return {
        "scatter": scatter, "share": share, "fall": len(near), "near": float(np.mean(near)),
        "held": float(np.mean(held)), "none_called": float(np.mean(none)),
        **{f"line_{fall:g}": float(np.nanmedian(middles)) + 1 for fall, middles in lines.items()},
    }  # fmt: skip


def ours(counts: Array, at_C: Array) -> list[dict[str, Any]]:
    """The counter's counts of all frames, by the scatter that is stated and the rule."""
    rows = []
    for scatter in (0.03, 0.04, 0.05, 0.06, 0.08):
        for share in (*SHARES, None):
            if share is None:
                frames, told = list(range(FRAMES)), fell(range(FRAMES), list(counts), list(scatter * counts))
            else:
                frames, told = _noted(counts, scatter, share)
            low, middle, high = (reached(at_C[frames], told, each) for each in (0.05, 0.5, 0.95))
            rows.append(
                {"scatter": scatter, "share": "all frames" if share is None else f"{share:g}", "middle_C": middle,
                 "low_C": low, "high_C": high, "taken_C": ", ".join(f"{each:.0f}" for each in at_C[frames])}
            )  # fmt: skip
    return rows


def _noted(counts: Array, scatter: float, share: float) -> tuple[list[int], Array]:
    return flown(lambda n: (float(counts[n]), float(scatter * counts[n])), share)


def _pairs(told: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [number for number, _ in told], [sd for _, sd in told]


def main() -> int:
    options = arguments(__doc__).parse_args()
    rows = [drawn(60 if options.quick else 600, scatter, share) for scatter in (0.04, 0.06, 0.08) for share in SHARES]
    print_table(rows, title="the rule on drawn courses" + (" (quick: not a result)" if options.quick else ""))
    if titanium.FOLDER.exists():
        from benchmarks import tracking_titanium as recorded

        at_C = titanium.table()[:, 2]
        for title, found in (
            ("the experts' counts", definitions(np.array(recorded.experts()), at_C)),
            ("our counts", ours(np.array(recorded.counted()), at_C)),
        ):
            print_table(found, title=title)
            rows += found
    write(rows, options, title="onset")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
