"""A library's file: another kind is not touched, several may make one at once, and it is read where none may write."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from test_archive_library import made

from archive import library_opening
from archive.journal import Journal
from archive.library import Library
from archive.library_exchange import merge
from archive.library_opening import APPLICATION_ID
from archive.library_records import LibraryError, OlderLibraryError
from archive.library_schema import UPGRADES
from archive.library_search import Query, numbers
from archive.sqlite_writing import schema_version

NOBODY = 65534


def content(path):
    with closing(sqlite3.connect(path)) as database:
        return [*database.execute("PRAGMA user_version"), *database.iterdump()]


@pytest.mark.parametrize("options", [{}, {"create": False}, {"create": False, "write": False}])
def test_another_kind_of_file_is_refused_and_stays_as_it_is(tmp_path, options):
    with closing(Journal(tmp_path / "journal.sqlite", create=True)):
        pass
    (tmp_path / "labels.sqlite").touch()
    with closing(sqlite3.connect(tmp_path / "photos.sqlite")) as database:
        database.execute("CREATE TABLE photos (a)")
    with closing(sqlite3.connect(tmp_path / "meta.sqlite")) as database:
        database.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
        database.execute("PRAGMA user_version = 99")
    with closing(sqlite3.connect(tmp_path / "theirs.sqlite")) as database:
        database.execute("CREATE TABLE theirs (a)")
        database.execute("PRAGMA application_id = 77")
    for name in ("journal", "photos", "meta", "theirs"):
        path = tmp_path / f"{name}.sqlite"
        before, beside = hashlib.sha256(path.read_bytes()).digest(), sorted(tmp_path.iterdir())
        with pytest.raises(LibraryError, match="database of another kind"):
            Library(path, **options)
        assert (hashlib.sha256(path.read_bytes()).digest(), sorted(tmp_path.iterdir())) == (before, beside)


def test_an_empty_file_is_made_a_library_only_where_one_is_to_be_made(tmp_path):
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(LibraryError, match="found an empty file"):
        Library(tmp_path / "empty.sqlite", create=False)
    assert (tmp_path / "empty.sqlite").stat().st_size == 0
    with Library(tmp_path / "empty.sqlite") as library:
        assert library.add(made(1)) == "new"
        assert library.database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_a_newer_library_without_a_log_keeps_every_byte(tmp_path):
    path = tmp_path / "library.sqlite"
    Library(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("PRAGMA journal_mode = DELETE")
    before = path.read_bytes()
    with pytest.raises(LibraryError, match="nothing was changed"):
        Library(path)
    assert path.read_bytes() == before


@pytest.fixture
def older(tmp_path, monkeypatch):
    """A library of the first version, as it was before files were marked."""
    path = tmp_path / "older.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(library_opening, "UPGRADES", UPGRADES[:1])
        with Library(path) as library:
            library.add(made(1))
            library.database.execute("PRAGMA application_id = 0")
    return path


def test_a_library_of_before_the_mark_is_known_by_its_name_in_meta(older):
    before = content(older)
    with pytest.raises(OlderLibraryError, match="brings it there"):
        Library(older, create=False, write=False)
    assert content(older) == before
    with Library(older, create=False) as library:
        assert len(library) == 1
        assert schema_version(library.database) == len(UPGRADES)
        assert library.database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_several_may_make_it_at_once(tmp_path):
    together = threading.Barrier(6)

    def make(path):
        together.wait()
        with Library(path) as library:
            return library.id

    with ThreadPoolExecutor(6) as pool:
        for n in range(15):
            assert len(set(pool.map(make, [tmp_path / f"{n}.sqlite"] * 6))) == 1


@contextmanager
def nobody_writes(folder):
    """Permissions hold back nobody who is root."""
    root = os.geteuid() == 0
    folder.chmod(0o555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_it_is_asked_and_merged_where_nobody_may_write(tmp_path):
    with tempfile.TemporaryDirectory() as name, Library(tmp_path / "ours.sqlite") as ours:
        folder = Path(name)
        with Library(folder / "library.sqlite") as library:
            library.add(made(1), {"m": [1.0, 2.0]})
        before = sorted(folder.iterdir())
        with nobody_writes(folder):
            with Library(folder / "library.sqlite", create=False, write=False) as read:
                assert numbers(read, Query(words="film")) == [1]
                assert read.like("m", [1.0, 2.0]) == [(1, 0.0)]
                with pytest.raises(LibraryError, match="readonly"):
                    read.add(made(2))
            assert merge(ours, folder / "library.sqlite")["new"] == 1
            with pytest.raises(LibraryError, match=r"readonly|unable"):
                Library(folder / "library.sqlite")
        assert sorted(folder.iterdir()) == before


def test_what_is_read_only_follows_what_others_add(tmp_path):
    path = tmp_path / "library.sqlite"
    with Library(path) as library, Library(path, create=False, write=False) as read:
        library.add(made(1), {"m": [1.0, 2.0]})
        assert read.like("m", [1.0, 2.0]) == [(1, 0.0)]
        library.add(made(2), {"m": [3.0, 2.0]})
        assert [number for number, _ in read.like("m", [3.0, 2.0])] == [2, 1]
