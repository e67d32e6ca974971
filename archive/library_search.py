"""Questions to the library: words, elements, technique and ranges of settings together; what came of experiments."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from archive.library_records import TECHNIQUES
from archive.library_rows import SETTINGS, facets, tree_place
from configs.elements import element
from configs.errors import ConfigError

if TYPE_CHECKING:
    from archive.library import Library
    from archive.library_records import Kept

_FEW = 2_000
"""Of more finds by words than this the newest come first, not the best match; fewer by settings are all looked at."""
_FAR = 1e8
_SLACK = 1e-5
"""Of the tree, which keeps 32 bits; the exact numbers are compared afterwards."""
_COLUMNS = (*SETTINGS, "temperature_K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked; everything that is given must hold."""

    words: str = ""
    """All of them, in any order; the beginning of a word with a * behind it."""
    elements: tuple[str, ...] = ()
    """All of them."""
    technique: str | None = None
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=lambda: MappingProxyType({}))
    """(least, largest) by the name of a condition; who did not tell it is not found."""
    kind: str | None = None


def search(library: Library, query: Query, count: int = 20) -> list[Kept]:
    """The experiments that fit: the best match first where few fit the words, else the newest. Raises ConfigError."""
    return library.many(numbers(library, query, count))


def numbers(library: Library, query: Query, count: int = 20) -> list[int]:
    """The numbers of those that fit, as ``search``. Raises ConfigError.

    Settings that few have lead: the tree gives them, and the words are looked for among them. Otherwise the words lead,
    and each of theirs is looked up until ``count`` fit.
    """
    ask = library.database.execute
    match = _match(query)
    where, values = _exact(query)
    tree, corners = _tree(query)
    if tree:
        few = [
            row[0] for row in ask(" ".join(["SELECT id FROM settings WHERE", tree, "LIMIT ?"]), (*corners, _FEW + 1))
        ]
        if len(few) <= _FEW:
            fit = " ".join(["SELECT e.id FROM experiments e WHERE e.id IN (SELECT value FROM json_each(?)) AND", where])
            found = {row[0] for row in ask(fit, (json.dumps(few), *values))}
            if match and found:
                found &= {row[0] for row in ask("SELECT rowid FROM words WHERE words MATCH ?", (match,))}
            return sorted(found, reverse=True)[:count]
    if not match:
        parts = ["SELECT e.id FROM experiments e WHERE", where, "ORDER BY e.id DESC LIMIT ?"]
        return [row[0] for row in ask(" ".join(parts), (*values, count))]
    (hits,) = ask("SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)", (match, _FEW)).fetchone()
    order = "ORDER BY w.rank LIMIT ?" if query.words and hits < _FEW else "ORDER BY w.rowid DESC LIMIT ?"
    joined = "SELECT e.id FROM words w CROSS JOIN experiments e WHERE w.words MATCH ? AND e.id = w.rowid AND"
    return [row[0] for row in ask(" ".join([joined, where, order]), (match, *values, count))]


def _match(query: Query) -> str:
    """In FTS5's own language; every word quoted, so that no person's text is taken for an operator."""
    words = []
    plain = "".join(
        sign if sign.isprintable() and sign != '"' else " " for sign in query.words
    )  # no NUL, no half signs
    for word in plain.split():
        prefix = word.endswith("*") and len(word.strip("*")) > 0
        words.append(f'"{word.rstrip("*")}"{"*" if prefix else ""}')
    try:
        elements = tuple(element(symbol) for symbol in query.elements)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if query.technique is not None and query.technique not in TECHNIQUES:
        raise ConfigError(f"technique {query.technique!r} was asked; known are {', '.join(TECHNIQUES)}")
    parts = [f"text : {word}" for word in words]
    parts += [f'facets : "{word}"' for word in facets(elements, query.technique)]
    return " AND ".join(parts)


def _exact(query: Query) -> tuple[str, list[Any]]:
    """WHERE and its values; its words are ours, whatever is asked."""
    where: list[str] = ["1"]
    values: list[Any] = []
    for name, (least, largest) in query.ranges.items():
        if name not in _COLUMNS:
            raise ConfigError(f"a range of {name!r} was asked; known are {', '.join(_COLUMNS)}")
        if least is not None and largest is not None and least > largest:
            raise ConfigError(f"{name} from {least:g} to {largest:g} was asked: nothing lies there")
        if any(bound is not None and not math.isfinite(bound) for bound in (least, largest)):
            raise ConfigError(f"{name} from {least} to {largest} was asked: give numbers")
        where.append(f"e.{name} BETWEEN ? AND ?")
        values += [-math.inf if least is None else least, math.inf if largest is None else largest]
    if query.kind is not None:
        where.append("e.kind = ?")
        values.append(query.kind)
    return " AND ".join(where), values


def _tree(query: Query) -> tuple[str, list[float]]:
    """The same for the tree of settings, a little wider; empty where no setting of the tree is asked for."""
    where, corners = [], []
    for name in SETTINGS:
        least, largest = query.ranges.get(name, (None, None))
        if least is not None or largest is not None:
            column = name.split("_")[0]
            where.append(f"{column}_low >= ? AND {column}_high <= ?")
            corners += [
                -_FAR if least is None else tree_place(least) - _SLACK,
                _FAR if largest is None else tree_place(largest) + _SLACK,
            ]
    return " AND ".join(where), corners


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of the experiments of one technique at one voltage and decade of dwell."""

    technique: str
    voltage_kV: float | None
    dwell_decade: int | None
    """10 to this power, in µs."""
    experiments: int
    frames: int
    usable_ratio: float | None
    """Mean over the experiments that told, each counted once."""


def statistics(library: Library, query: Query | None = None) -> list[Row]:
    """Outcomes by technique, voltage and decade of dwell, the most frequent first. Raises ConfigError."""
    asked = query or Query()
    chosen = None if asked == Query() else str(numbers(library, asked, 1_000_000))
    rows = library.database.execute(
        "SELECT technique, voltage_kV, CASE WHEN dwell_us > 0 THEN CAST(floor(log10(dwell_us)) AS INTEGER) END AS ten,"
        " count(*) AS n, coalesce(sum(frames), 0), avg(CASE WHEN frames > 0 THEN 1.0 * usable_frames / frames END)"
        " FROM experiments WHERE ?1 IS NULL OR id IN (SELECT value FROM json_each(?1))"
        " GROUP BY technique, voltage_kV, ten ORDER BY n DESC, technique",
        (chosen,),
    )
    return [
        Row(technique=t, voltage_kV=v, dwell_decade=d, experiments=n, frames=f, usable_ratio=u)
        for t, v, d, n, f, u in rows
    ]


def element_counts(library: Library) -> dict[str, int]:
    """Experiments by element, the most frequent first."""
    rows = library.database.execute(
        "SELECT term, doc FROM terms WHERE col = 'facets' AND term GLOB 'zel*' ORDER BY doc DESC"
    )
    return {term.removeprefix("zel").capitalize(): count for term, count in rows}
