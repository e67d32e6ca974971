"""An experiment as rows of the library's tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from archive.library_records import MODEL_NAME, LibraryError, canonical
from archive.library_vectors import unpacked

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


def insert(database: Engine, experiment: Experiment, content: str, origin: str, utc: str) -> int:
    """A new row, found by its words, facets and settings. Gives its number."""
    row = {**_row(experiment, content, utc), "origin": origin}
    sql = " ".join(
        ["INSERT INTO experiments (", ", ".join(row), ") VALUES (", ", ".join("?" * len(row)), ") RETURNING id"]
    )
    (placed,) = database.execute(sql, tuple(row.values())).fetchone()
    _index(database, int(placed), experiment)
    return int(placed)


def revise(database: Engine, number: int, experiment: Experiment, content: str, utc: str) -> None:
    """The row of the same experiment, told anew: its number and its places stay, its vectors are taken away."""
    row = _row(experiment, content, utc)
    database.unindex(number)
    sql = " ".join(["UPDATE experiments SET", ", ".join(f"{name} = ?" for name in row), "WHERE id = ?"])
    database.execute(sql, (*row.values(), number))
    _index(database, number, experiment)
    database.execute("UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE key = 'replaced'")


def _row(experiment: Experiment, content: str, utc: str) -> dict[str, object]:
    how, came = experiment.conditions, experiment.outcome
    return {
        "uid": experiment.uid, "content": content, "added_utc": utc, "kind": experiment.kind,
        "technique": experiment.technique, "specimen": experiment.specimen, "created_utc": experiment.created_utc,
        **{name: getattr(how, name) for name in (*SETTINGS, "temperature_K")},
        "frames": came.frames, "usable_frames": came.usable_frames, "data": canonical(experiment).decode(),
    }  # fmt: skip


def _index(database: Engine, number: int, experiment: Experiment) -> None:
    text = " ".join(
        filter(None, (experiment.title, experiment.material, experiment.specimen, experiment.signal, experiment.words,
                      experiment.operator, experiment.instrument, experiment.source, *experiment.found))
    )  # fmt: skip
    database.index(number, text, facets(experiment.elements, experiment.technique), experiment.conditions)


def embed(database: Engine, number: int, embeddings: Mapping[str, npt.ArrayLike]) -> None:
    """Keep a vector a model. Raises LibraryError for a name that is none, and another size than the model's others."""
    for model, vector in embeddings.items():
        if not MODEL_NAME.fullmatch(model):
            raise LibraryError(f"vectors of the model {model[:80]!r} were given: a name has letters, digits and ._-")
        size = np.size(vector)
        row = database.execute("SELECT vector FROM embeddings WHERE model = ? LIMIT 1", (model,)).fetchone()
        if row is not None and (known := len(unpacked(row[0]))) != size:
            raise LibraryError(
                f"a vector of {size} numbers was given for the model {model}, whose vectors here have {known}: another "
                "model needs another name; nothing of this was kept"
            )
        database.embed(number, model, vector)
