"""Questions to the library: words, elements, technique and ranges of settings together; what came of experiments."""

from __future__ import annotations

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
    from archive.library import Kept, Library

_RANKED = 2_000
"""Of more finds than this the newest are given, not the best match: ranking them would take longer than it says."""
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
    """The experiments that fit, the best match first, or the newest. Raises ConfigError."""
    return library.many(numbers(library, query, count))


def numbers(library: Library, query: Query, count: int = 20) -> list[int]:
    """The numbers of those that fit, as ``search``. Raises ConfigError."""
    match = _match(query)
    tables, where, values = _conditions(query)
    if not match:
        parts = ["SELECT e.id FROM", tables, "WHERE", where, "ORDER BY e.id DESC LIMIT ?"]
        return [row[0] for row in library.database.execute(" ".join(parts), (*values, count))]
    many = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    (found,) = library.database.execute(many, (match, _RANKED)).fetchone()
    order = "ORDER BY w.rank" if query.words and found < _RANKED else "ORDER BY w.rowid DESC"
    parts = [
        "SELECT e.id FROM words w CROSS JOIN",
        tables,
        "WHERE w.words MATCH ? AND e.id = w.rowid AND",
        where,
        order,
    ]
    return [row[0] for row in library.database.execute(" ".join([*parts, "LIMIT ?"]), (match, *values, count))]


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


def _conditions(query: Query) -> tuple[str, str, list[Any]]:
    """Tables, WHERE and values: the words of the first two are ours, whatever is asked."""
    where: list[str] = ["1"]
    values: list[Any] = []
    for name, (least, largest) in query.ranges.items():
        if name not in _COLUMNS:
            raise ConfigError(f"a range of {name!r} was asked; known are {', '.join(_COLUMNS)}")
        if least is not None and largest is not None and least > largest:
            raise ConfigError(f"{name} from {least:g} to {largest:g} was asked: nothing lies there")
        if any(bound is not None and not math.isfinite(bound) for bound in (least, largest)):
            raise ConfigError(f"{name} from {least} to {largest} was asked: give numbers")
        low = -math.inf if least is None else least
        high = math.inf if largest is None else largest
        where.append(f"e.{name} BETWEEN ? AND ?")
        values += [low, high]
        if name in SETTINGS:
            column = name.split("_")[0]
            where.append(f"s.{column}_low >= ? AND s.{column}_high <= ?")
            values += [
                tree_place(low) - _SLACK if least is not None else -1e8,
                tree_place(high) + _SLACK if largest is not None else 1e8,
            ]
    if query.kind is not None:
        where.append("e.kind = ?")
        values.append(query.kind)
    joined = any(name in SETTINGS for name in query.ranges)
    if joined:
        where.append("s.id = e.id")
    return ("settings s CROSS JOIN experiments e" if joined else "experiments e"), " AND ".join(where), values


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
