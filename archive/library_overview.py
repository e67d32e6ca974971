"""What a survey's overviews showed of the sites that then had a look of their own, and what came of those looks.

An earlier survey so teaches the next on like specimens where a close look pays: which sights from above went with
something unusual, or with what a person called remarkable, and which did not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from archive.library_search import Query, numbers
from archive.library_vectors import packed, unpacked
from envs.belief import judged
from envs.explanations import ExplainingScorer
from envs.overviews import LEVELS, quantiles_of, scaled, telling
from envs.step import Kind, Purpose

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from archive.library import Library
    from archive.library_engine import Engine
    from archive.library_records import Kept
    from envs.scorers import Scorer
    from envs.step import Step

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

ALIKE: Ratio = 0.2
"""Relative difference of pixels up to which overviews are alike."""
MOST_SITES = 400
"""Of one specimen of one survey."""
_MOST_ASKED = 5_000


@dataclass(frozen=True, slots=True)
class OverviewSite:
    """A site that was seen from above and had a look of its own."""

    target: int
    above: float
    """Interest from above, against all that the survey saw: robust spreads, 0 = ordinary."""
    interest: float
    """Of its own look, likewise."""
    flagged: bool
    verdict: float | None
    """What people said of it, blind, from 1 (ordinary) to 5 (remarkable), the mean; None = nobody was asked."""
    row: tuple[float, ...]
    """(F,) what it looks like from above."""


@dataclass(frozen=True, slots=True)
class Overview:
    """One specimen of one survey, seen from above."""

    names: tuple[str, ...]
    """Of the F descriptors."""
    quantiles: Array
    """(Q, F) over all cells, as ``envs.overviews`` has them."""
    sites: tuple[OverviewSite, ...]


def overview_of(
    steps: Iterable[Step], scorer: Scorer, flagged: Collection[int], verdicts: Mapping[int, float]
) -> Overview | None:
    """Of one specimen; None where no site was seen both ways. Reads steps, never pixels.

    ``scorer``: fresh, of the kind that the survey had; ``flagged``: sites; ``verdicts``: by site. Controls, which no
    scorer judged, are not in it.
    """
    above: dict[int, tuple[str, tuple[float, ...]]] = {}
    own: dict[int, tuple[str, tuple[float, ...]]] = {}
    for step in steps:
        shown = step.shown
        if step.kind is not Kind.LOOK or step.score is None or step.look is None or shown is None:
            continue
        scorer.observe(step.look, np.array(step.score.descriptors, dtype=np.float64).reshape(-1, len(scorer.names)))
        for cell, row in zip(step.score.cells, step.score.descriptors, strict=True):
            if not np.isfinite(row).all():
                continue
            if cell != step.target:
                above[cell] = step.look, tuple(row)
            elif shown.purpose is Purpose.DETAIL:
                own[cell] = step.look, tuple(row)
    cells = np.array([row for _, row in above.values()]).reshape(-1, len(scorer.names))
    cells = cells[telling(cells, scorer.names)]
    both = sorted(set(above) & set(own))
    if not both or not len(cells):
        return None
    quantiles = quantiles_of(scaled(cells, scorer.names))
    judge = scorer.completed() if isinstance(scorer, ExplainingScorer) else scorer
    sites = []
    for target in both:
        from_above, interest = (
            float(judged(judge.interest(look, np.array([row])))[0]) for look, row in (above[target], own[target])
        )
        if np.isfinite(from_above) and np.isfinite(interest):
            verdict, row = verdicts.get(target), above[target][1]
            sites.append(OverviewSite(target, from_above, interest, target in flagged, verdict, row))
    return Overview(scorer.names, quantiles, tuple(_spread_out(sites))) if sites else None


def _spread_out(sites: list[OverviewSite]) -> list[OverviewSite]:
    """At most so many as are kept: what was judged or flagged, and others evenly."""
    marked = [site for site in sites if site.flagged or site.verdict is not None][:MOST_SITES]
    rest = [site for site in sites if not (site.flagged or site.verdict is not None)]
    room = MOST_SITES - len(marked)
    if len(rest) > room:
        rest = [rest[int(n)] for n in np.unique(np.linspace(0, len(rest) - 1, max(room, 1)).astype(int))][:room]
    return sorted([*marked, *rest], key=lambda site: site.target)


def insert_overview(database: Engine, number: int, overview: Overview | None) -> None:
    """Keep the overview of an experiment instead of the one that it had."""
    database.execute("DELETE FROM overviews WHERE experiment = ?", (number,))
    database.execute("DELETE FROM overview_sites WHERE experiment = ?", (number,))
    if overview is None:
        return
    database.execute(
        "INSERT INTO overviews VALUES (?, ?, ?)",
        (number, json.dumps(overview.names), packed(overview.quantiles.ravel())),
    )
    rows = [(number, s.target, s.above, s.interest, int(s.flagged), s.verdict, packed(s.row)) for s in overview.sites]
    for row in rows:
        database.execute("INSERT INTO overview_sites VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def take_overview(database: Engine, uid: str, content: str, overview: Overview, *, ours: str) -> None:
    """Keep what another library tells, where this one has the same telling of its experiment.

    ``ours``: this library's id; what it told first nobody else changes. Of two overviews the one on which people said
    more stays.
    """
    row = database.execute(
        "SELECT id FROM experiments WHERE uid = ? AND content = ? AND origin <> ?", (uid, content, ours)
    ).fetchone()
    if row is None:
        return
    there = overview_at(database, row[0])
    if there is None or _judged(there) < _judged(overview):
        insert_overview(database, row[0], overview)


def _judged(overview: Overview) -> int:
    return sum(site.verdict is not None for site in overview.sites)


def earlier_overviews(
    library: Library, elements: Sequence[str], names: Sequence[str], pixel_size_nm: float, count: int
) -> list[tuple[Kept, Overview]]:
    """The newest ``count`` of like specimens: all the elements, the same descriptors, pixels within ``ALIKE``.

    Raises ConfigError for an unknown element.
    """
    near = (pixel_size_nm * (1 - ALIKE), pixel_size_nm * (1 + ALIKE))
    query = Query(elements=tuple(elements), ranges={"pixel_size_nm": near}, kind="survey")
    found: list[tuple[Kept, Overview]] = []
    for kept in library.many(numbers(library, query, _MOST_ASKED)):
        overview = overview_at(library.database, kept.id)
        if overview is not None and overview.names == tuple(names):
            found.append((kept, overview))
    return sorted(found, key=lambda pair: -pair[0].id)[:count]


def overview_at(database: Engine, number: int) -> Overview | None:
    """Of the experiment of this number."""
    row = database.execute("SELECT names, quantiles FROM overviews WHERE experiment = ?", (number,)).fetchone()
    if row is None:
        return None
    names = tuple(json.loads(row[0]))
    told = database.execute(
        "SELECT target, above, interest, flagged, verdict, vector FROM overview_sites WHERE experiment = ?"
        " ORDER BY target",
        (number,),
    )
    sites = tuple(OverviewSite(t, a, i, bool(f), v, tuple(unpacked(blob).tolist())) for t, a, i, f, v, blob in told)
    return Overview(names, unpacked(row[1]).astype(np.float64).reshape(len(LEVELS), len(names)), sites)
