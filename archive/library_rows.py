"""An experiment as rows of the library's tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from archive.library_records import canonical

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy.typing as npt

    from archive.library_engine import Engine
    from archive.library_records import Experiment

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


def insert(database: Engine, experiment: Experiment, content: str, origin: str, utc: str, number: int | None) -> int:
    """A row of each table; ``number``: in the place of one that was taken away. Gives the number."""
    how, came = experiment.conditions, experiment.outcome
    row: dict[str, object] = {
        "uid": experiment.uid, "content": content, "origin": origin, "added_utc": utc, "kind": experiment.kind,
        "technique": experiment.technique, "specimen": experiment.specimen, "created_utc": experiment.created_utc,
        **{name: getattr(how, name) for name in (*SETTINGS, "temperature_K")},
        "frames": came.frames, "usable_frames": came.usable_frames, "data": canonical(experiment).decode(),
    }  # fmt: skip
    if number is not None:
        row["id"] = number
    sql = " ".join(
        ["INSERT INTO experiments (", ", ".join(row), ") VALUES (", ", ".join("?" * len(row)), ") RETURNING id"]
    )
    (placed,) = database.execute(sql, tuple(row.values())).fetchone()
    text = " ".join(
        filter(None, (experiment.title, experiment.material, experiment.specimen, experiment.signal, experiment.words,
                      experiment.operator, experiment.instrument, experiment.source, *experiment.found))
    )  # fmt: skip
    database.index(placed, text, facets(experiment.elements, experiment.technique), how)
    return int(placed)


def embed(database: Engine, number: int, embeddings: Mapping[str, npt.ArrayLike]) -> None:
    """Keep a vector a model."""
    for model, vector in embeddings.items():
        database.embed(number, model, vector)
