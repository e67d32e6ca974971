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
person has looked at every yes among the controls), of all that is interesting.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.common import arguments, finish
from review.statistics import corrected_missed, least_recall, most_missed, wald_missed

SITES, FLAGGED, CONTROLS, SEEDED = 4000, 300, 200, 20
SENSITIVITY, FALSE_YES = 0.8, 0.01
PREVALENCES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)
RECALLS = (0.3, 0.6, 0.9)

exact = cache(lambda rest, found: most_missed(rest, CONTROLS, found))
wald = cache(lambda rest, found: wald_missed(rest, CONTROLS, found))
corrected = cache(lambda rest, found, noticed: corrected_missed(rest, CONTROLS, found, noticed, SEEDED))


def held(said: float | None, true: float | None) -> bool:
    """Whether a printed bound is no larger than the truth; nothing printed promises nothing."""
    return said is None or true is None or said <= true + 1e-12


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
    return {"prevalence": prevalence, "recall": caught / interesting} | {n: c / reviews for n, c in counts.items()}


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
    promised = ("exact", "would flag", "corrected")
    low = [(row["prevalence"], row["recall"], name) for row in rows for name in promised if row[name] < least]
    worst = min(row["wald"] for row in rows)
    print(f"significantly below 95 %: {low or 'none'}; the textbook's interval held in {worst:.0%} at worst")
    return 0 if options.quick or not low else 1


if __name__ == "__main__":
    raise SystemExit(main())
