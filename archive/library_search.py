"""Questions to the library: words, elements, technique and ranges of settings together; what came of experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from archive.library_records import TECHNIQUES
from archive.library_rows import SETTINGS, facets
from archive.library_sqlite import Asked
from configs.elements import element
from configs.errors import ConfigError

if TYPE_CHECKING:
    from archive.library import Library
    from archive.library_records import Kept

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


def of_specimen(library: Library, specimen: str) -> list[Kept]:
    """Every experiment on a specimen of exactly this name, the newest first."""
    rows = library.database.execute("SELECT id FROM experiments WHERE specimen = ? ORDER BY id DESC", (specimen,))
    return library.many([row[0] for row in rows])


def numbers(library: Library, query: Query, count: int = 20) -> list[int]:
    """The numbers of those that fit, as ``search``. Raises ConfigError."""
    where, values = _exact(query)
    try:
        elements = tuple(element(symbol) for symbol in query.elements)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if query.technique is not None and query.technique not in TECHNIQUES:
        raise ConfigError(f"technique {query.technique!r} was asked; known are {', '.join(TECHNIQUES)}")
    asked = Asked(
        words=_words(query.words), facets=tuple(facets(elements, query.technique)), where=where, values=tuple(values),
        ranges={name: query.ranges[name] for name in SETTINGS if name in query.ranges},
    )  # fmt: skip
    return library.database.matching(asked, count)


def _words(text: str) -> tuple[tuple[str, bool], ...]:
    """(word, whether it is only a beginning), without what no word is made of: NUL, half signs, quotes."""
    plain = "".join(sign if sign.isprintable() and sign != '"' else " " for sign in text)
    found = []
    for word in plain.split():
        beginning = word.endswith("*") and len(word.strip("*")) > 0
        found.append((word.rstrip("*"), beginning))
    return tuple(found)


def _exact(query: Query) -> tuple[str, list[Any]]:
    """WHERE and its values; its words are ours, whatever is asked."""
    where: list[str] = ["1 = 1"]
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
    sql = [
        "SELECT technique, voltage_kV, CASE WHEN dwell_us > 0 THEN CAST(floor(log10(dwell_us)) AS INTEGER) END AS ten,"
        " count(*) AS n, coalesce(sum(frames), 0),"
        " avg(CASE WHEN frames > 0 THEN CAST(usable_frames AS DOUBLE PRECISION) / frames END) FROM experiments",
        "" if chosen is None else "WHERE id IN (SELECT value FROM json_each(?))",
        "GROUP BY technique, voltage_kV, ten ORDER BY n DESC, technique",
    ]
    rows = library.database.execute(" ".join(sql), () if chosen is None else (chosen,))
    return [
        Row(technique=t, voltage_kV=v, dwell_decade=d, experiments=n, frames=f, usable_ratio=u)
        for t, v, d, n, f, u in rows
    ]


def element_counts(library: Library) -> dict[str, int]:
    """Experiments by element, the most frequent first."""
    return {term.removeprefix("zel").capitalize(): count for term, count in library.database.facet_counts("zel")}
