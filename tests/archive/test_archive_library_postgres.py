"""What is the server's own: addresses, versions, a server that is not there. The contract itself is tested on both."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError
from test_archive_library import made

from archive.library import Library
from archive.library_exchange import export_bundle, import_bundle, merge
from archive.library_records import LibraryError
from archive.library_search import Query, numbers
from surveys.settings import LibrarySettings


def test_a_library_of_a_newer_adaptem_and_another_programs_tables_are_not_touched(schema):
    address = schema()
    with pytest.raises(LibraryError, match="found none"):
        Library(address, create=False)
    with Library(address) as library:
        library.add(made(1))
        library.database.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(LibraryError, match="install a newer adaptem"):
        Library(address)
    import psycopg

    other = schema()
    with psycopg.connect(other, autocommit=True) as theirs:
        theirs.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    with pytest.raises(LibraryError, match="of another program"):
        Library(other)


def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path):
    pytest.importorskip("psycopg", reason="pip install 'adaptem[postgres]'")
    with pytest.raises(LibraryError, match="asked to open the library") as caught:
        Library("postgresql://ada:geheim@127.0.0.1:1/none")
    assert "geheim" not in str(caught.value)
    with pytest.raises(LibraryError, match="address"):
        Library("postgresql://ada@host:port:port/x y?z")
    with pytest.raises(ValidationError, match="pattern"):
        LibrarySettings(server="postgresql://ada:geheim@host/base")
    assert LibrarySettings(server="postgresql://ada@host/base").server is not None


def test_words_are_the_same_words_on_both(schema, tmp_path):
    texts = ["Größe GRÖSSE", "S-7 film_on Ge", "naïve 'quoted' \\ back", "a" * 3000, "4D-STEM of Fe₂O₃", "x:* | y & z"]
    with Library(schema()) as server, Library(tmp_path / "l.sqlite") as file:
        for number, text in enumerate(texts):
            for library in (server, file):
                library.add(made(number, title="", words=text))
        words = "grosse größe GROSSE* s-7 7 film film_on nai* quoted 4d x z aa* ...".split()
        for asked in (*words, "stem fe", "a" * 3000):
            assert numbers(server, Query(words=asked)) == numbers(file, Query(words=asked)), asked


def test_libraries_of_both_kinds_exchange(schema, tmp_path):
    with Library(schema()) as server, Library(tmp_path / "l.sqlite") as file:
        for number in range(4):
            server.add(made(number), {"m": [number, float("nan")]})
        assert export_bundle(server, tmp_path / "b.zip") == 4
        assert import_bundle(file, tmp_path / "b.zip")["new"] == 4
        assert merge(file, server.where)["same"] == 4
        file.add(made(9), {"m": [9.0, 1.0]})
        assert merge(server, file.where) == {"new": 1, "same": 4, "revised": 0, "conflict": 0}
        assert [far for _, far in server.like("m", [2.0, float("nan")], 5)] == pytest.approx(
            [far for _, far in file.like("m", [2.0, float("nan")], 5)]
        )


def test_the_commands_work_on_a_server(schema, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from console.main import app

    monkeypatch.setenv("ADAPTEM_LIBRARY", schema())

    def run(*words):
        result = CliRunner().invoke(app, ["library", *map(str, words)])
        assert result.exit_code == 0, result.output
        return result.output

    import numpy as np
    from PIL import Image

    image = np.random.default_rng(1).poisson(40, (96, 96)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "HAADF_1.png")
    assert "holds 1 experiments" in run("add", tmp_path / "HAADF_1.png", "--material", "SrTiO3")
    (found,) = json.loads(run("search", "--like", tmp_path / "HAADF_1.png", "--json"))["experiments"]
    assert found["distance"] == 0.0
    assert json.loads(run("recommend", "--material", "SrTiO3", "--json"))[0]["n"] == 1
    assert json.loads(run("stats", "--json"))["elements"] == {"O": 1, "Sr": 1, "Ti": 1}
    run("export", tmp_path / "out.zip")
    assert json.loads(run("import", tmp_path / "out.zip", "--json"))["same"] == 1
