"""Does the recall that the review prints hold?

    python -m benchmarks.recall_bound            about a minute
    python -m benchmarks.recall_bound --quick    fewer reviews

Simulated reviews of 4,000 sites of which 300 are flagged at most; 200 of all that is not flagged were drawn as random
controls and judged. ``prevalence``: share of the sites that is interesting; ``recall``: share of those that is flagged.
Each column is the share of reviews in which what was printed held; at a promised 95 % it is to be ``least`` or more,
below which it would be significantly too low (one-sided, 99 %).

exact: the bound of the page, with a reviewer who makes no error. wald: the textbook's normal interval, same reviews.
would flag: the page's bound with a reviewer who notices 80 % of what is interesting and calls 1 % of the rest
interesting too, as a bound of what it is named for: the recall of what this reviewer would call interesting.
all: that same bound taken for the recall of all that is interesting, which it is not. corrected: the bound for which 20
seeded positives tell the sensitivity, with a reviewer who notices 80 % and calls nothing ordinary interesting (a second
person has looked at every yes among the controls), of all that is interesting. own frame: the page's bound, with its
own code from places to the figure, where half of the interesting controls become flags by their own frame, with a
reviewer who makes no error.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.common import arguments, finish
from envs.step import Stream
from review.judged import Judged
from review.recall import recall_bounds
from review.statistics import corrected_missed, least_recall, most_missed, wald_missed
from surveys.places import Place

SITES, FLAGGED, CONTROLS, SEEDED = 4000, 300, 200, 20
SENSITIVITY, FALSE_YES = 0.8, 0.01
PREVALENCES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)
RECALLS = (0.3, 0.6, 0.9)


def exact(rest: int, found: int) -> int:
    return most_missed(rest, CONTROLS, found)


@cache
def corrected(rest: int, found: int, noticed: int) -> int:
    return corrected_missed(rest, CONTROLS, found, noticed, SEEDED)


@cache
def wald(rest: int, found: int) -> float:
    return wald_missed(rest, CONTROLS, found)


def held(said: float | None, true: float | None) -> bool:
    """Whether a printed bound is no larger than the truth; nothing printed promises nothing."""
    return said is None or true is None or said <= true + 1e-12


def held_with_own_frames(caught: int, interesting: int, reviews: int) -> float:
    """Share of the reviews in which the bound held, though drawing an interesting site flags it in one of two."""

    @cache  # many reviews hold the same place
    def judged(target: int, is_drawn: bool, is_flagged: bool, by_control: bool) -> Judged:
        place = Place(
            specimen="a", target=target, x_nm=0.0, y_nm=0.0, width_nm=1.0, height_nm=1.0, exposure_id=1,
            streams=(Stream.CONTROL.value if is_drawn else Stream.POLICY.value,),
            flag={"sites": [{"target": target, "by_control": by_control}]} if is_flagged else None, near=True,
        )  # fmt: skip
        return Judged("", place, 5 if target < interesting else 1, None)

    count, rng = 0, np.random.default_rng((71_000, interesting, caught))
    for _ in range(reviews):
        drawn = set(rng.choice(SITES, CONTROLS, replace=False).tolist())
        late = {target for target in drawn if caught <= target < interesting and rng.random() < 0.5}
        found = [
            judged(target, target in drawn, target < caught or target in late, target in late)
            for target in sorted({*range(caught), *drawn})
        ]
        places = [one.place for one in found]
        count += held(recall_bounds(found, places, {"a": SITES}, 0, 0).recall, caught / interesting)
    return count / reviews


def row_of(prevalence: float, recall: float, reviews: int, rng: np.random.Generator) -> dict[str, Any]:
    interesting = round(prevalence * SITES)
    caught = min(round(interesting * recall), FLAGGED)
    missed, rest = interesting - caught, SITES - FLAGGED
    counts = dict.fromkeys(("exact", "wald", "would flag", "all", "corrected"), 0)
    for _ in range(reviews):
        found = int(rng.hypergeometric(missed, rest - missed, CONTROLS))
        true = least_recall(caught, missed)
        counts["exact"] += held(least_recall(caught, exact(rest, found)), true)
        counts["wald"] += wald(rest, found) >= missed
        # what the reviewer would call each site interesting is fixed before any is drawn
        confirmed = int(rng.binomial(caught, SENSITIVITY) + rng.binomial(FLAGGED - caught, FALSE_YES))
        noticed, mistaken = int(rng.binomial(missed, SENSITIVITY)), int(rng.binomial(rest - missed, FALSE_YES))
        seen = int(rng.hypergeometric(noticed + mistaken, rest - noticed - mistaken, CONTROLS))
        said = least_recall(confirmed, exact(rest, seen))
        counts["would flag"] += held(said, least_recall(confirmed, noticed + mistaken))
        counts["all"] += held(said, true)
        known = int(rng.binomial(SEEDED, SENSITIVITY))
        adjudicated = int(rng.binomial(found, SENSITIVITY))
        counts["corrected"] += corrected(rest, adjudicated, known) >= missed
    shares = {name: count / reviews for name, count in counts.items()}
    shares["own frame"] = held_with_own_frames(caught, interesting, reviews)
    return {"prevalence": prevalence, "recall": caught / interesting} | shares


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--reviews", type=int, default=2000, metavar="N", help="of each row")
    parser.add_argument("--seed", type=int, default=70_000)
    options = parser.parse_args()
    reviews = 200 if options.quick else options.reviews
    rng = np.random.default_rng(options.seed)
    least = float(stats.binom.ppf(0.01, reviews, 0.95)) / reviews
    rows = [row_of(one, recall, reviews, rng) | {"least": least} for one in PREVALENCES for recall in RECALLS]
    finish(rows, options, title=f"share of {reviews} reviews in which the printed bound held")
    promised = ("exact", "would flag", "corrected", "own frame")
    low = [(row["prevalence"], row["recall"], name) for row in rows for name in promised if row[name] < least]
    worst = min(row["wald"] for row in rows)
    print(f"significantly below 95 %: {low or 'none'}; the textbook's interval held in {worst:.0%} at worst")
    return 0 if options.quick or not low else 1


if __name__ == "__main__":
    raise SystemExit(main())
