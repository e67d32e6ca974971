"""An experiment as rows of the library's tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from archive.library_records import canonical
from archive.library_vectors import packed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping

    import numpy.typing as npt

    from archive.library_records import Experiment

_NOWHERE = 1e9
"""In the tree of settings: what nobody told lies in no range."""
SETTINGS = ("voltage_kV", "current_pA", "dwell_us", "pixel_size_nm", "fluence_e_per_A2")
"""What the tree is by, in the order of its columns."""
_FLOOR = 1e-9


def facets(elements: Collection[str], technique: str | None = None) -> list[str]:
    """Elements and technique as words that nobody writes.

    >>> facets(["Sr"], "4D-STEM")
    ['zelsr', 'zte4dstem']
    """
    words = [f"zel{symbol.lower()}" for symbol in elements]
    return words if technique is None else [*words, f"zte{technique.lower().replace('-', '')}"]


def tree_place(value: float) -> float:
    """Where a setting lies in the tree: the decimal logarithm, so that ranges of any decade are alike."""
    return math.log10(max(value, _FLOOR))


def insert(
    database: sqlite3.Connection, experiment: Experiment, content: str, origin: str, utc: str, number: int | None
) -> int:
    """A row of each table; ``number``: in the place of one that was taken away. Gives the number."""
    how, came = experiment.conditions, experiment.outcome
    cursor = database.execute(
        "INSERT INTO experiments (id, uid, content, origin, added_utc, kind, technique, specimen, created_utc,"
        " voltage_kV, current_pA, dwell_us, pixel_size_nm, fluence_e_per_A2, temperature_K, frames, usable_frames,"
        " data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number, experiment.uid, content, origin, utc, experiment.kind, experiment.technique, experiment.specimen,
         experiment.created_utc, how.voltage_kV, how.current_pA, how.dwell_us, how.pixel_size_nm, how.fluence_e_per_A2,
         how.temperature_K, came.frames, came.usable_frames, canonical(experiment).decode()),
    )  # fmt: skip
    placed = int(cursor.lastrowid or 0)
    text = " ".join(
        filter(None, (experiment.title, experiment.material, experiment.specimen, experiment.signal, experiment.words,
                      experiment.operator, experiment.instrument, experiment.source, *experiment.found))
    )  # fmt: skip
    words = " ".join(facets(experiment.elements, experiment.technique))
    database.execute("INSERT INTO words (rowid, text, facets) VALUES (?, ?, ?)", (placed, text, words))
    box: list[float] = []
    for name in SETTINGS:
        value = getattr(how, name)
        box += [_NOWHERE if value is None else tree_place(value)] * 2
    database.execute("INSERT INTO settings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (placed, *box))
    return placed


def embed(database: sqlite3.Connection, number: int, embeddings: Mapping[str, npt.ArrayLike]) -> None:
    """Keep a vector a model."""
    rows = [(number, model, packed(vector)) for model, vector in embeddings.items()]
    database.executemany("INSERT INTO embeddings VALUES (?, ?, ?)", rows)
