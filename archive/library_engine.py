"""What the library asks of a database: SQLite by itself, PostgreSQL with pgvector for many laboratories at once.

SQL that both understand goes through ``execute``; the methods are what each does in its own way. Placeholders are
``?``, and a set of numbers is ``IN (SELECT value FROM json_each(?))`` with a JSON list: both engines know these.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from archive.library_records import LibraryError
from archive.library_sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    from archive.library_records import Conditions
    from archive.library_sqlite import Asked

SCHEMES = ("postgresql://", "postgres://")


class Engine(Protocol):
    """An open database of a library."""

    @property
    def name(self) -> str:
        """For messages: a path, or an address without its password."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        """A cursor: rows by iteration, ``fetchone`` or ``fetchall``, and ``rowcount``."""

    def transaction(self) -> AbstractContextManager[Engine]:
        """Nobody else writes meanwhile; all of it is durable at its end, or nothing. Raises LibraryError."""

    def index(self, number: int, text: str, facets: Sequence[str], how: Conditions) -> None:
        """Let an experiment be found by words, facets and settings."""

    def unindex(self, number: int) -> None:
        """Take away what an experiment is found by and its vectors; its row and its places stay."""

    def embed(self, number: int, model: str, vector: npt.ArrayLike) -> None:
        """Keep a vector (D,) of an experiment."""

    def matching(self, asked: Asked, count: int) -> list[int]:
        """Numbers of the experiments that fit: the best match first where few fit the words, else the newest."""

    def facet_counts(self, beginning: str) -> list[tuple[str, int]]:
        """(facet, experiments) of the facets that begin so, the most frequent first."""

    def nearest(
        self, model: str, vector: npt.ArrayLike, count: int, among: Collection[int] | None = None
    ) -> list[tuple[int, float]]:
        """(experiment, distance in spreads) of the ``count`` nearest, nearest first; ``among``: only these."""

    def close(self) -> None:
        """Safe twice."""


def on_server(where: Path | str) -> bool:
    """Whether it is an address of a server, and not a file."""
    return isinstance(where, str) and where.startswith(SCHEMES)


def open_engine(where: Path | str, *, create: bool, write: bool) -> Engine:
    """``where``: a file, or ``postgresql://…``; ``write``: else it is only read. Raises LibraryError."""
    if not on_server(where):
        return Sqlite(Path(where), create=create, write=write)
    try:
        opened: Engine = import_module("archive.library_postgres").Postgres(str(where), create=create, write=write)
    except ModuleNotFoundError as error:
        raise LibraryError(
            f"a library on a PostgreSQL server needs {error.name}: pip install 'adaptem[postgres]'"
        ) from error
    return opened
