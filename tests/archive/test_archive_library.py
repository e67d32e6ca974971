"""The library: what is added is found, by every way of asking; the rules of duplicates; what is refused."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.library import Library
from archive.library_recommend import FEW, posterior, recommend
from archive.library_records import (
    Conditions,
    Experiment,
    LibraryError,
    Outcome,
    Result,
    canonical,
    experiment_of,
    result_of,
)
from archive.library_search import Query, element_counts, numbers, search, statistics
from configs.errors import ConfigError


def made(number, **changes):
    values = {
        "uid": f"file:{number}",
        "kind": "file",
        "title": f"film number{number}",
        "technique": "HAADF",
        "elements": ("Sr", "Ti", "O"),
        "conditions": Conditions(voltage_kV=200.0, dwell_us=4.0, fluence_e_per_A2=100.0, pixel_size_nm=0.1),
        "outcome": Outcome(frames=10, usable_frames=8, snr=3.0),
    }
    return Experiment(**values | changes)


@pytest.fixture
def library(place):
    with Library(place("library")) as opened:
        yield opened


def test_what_is_added_is_found_in_every_way(library):
    library.add(made(1, words="threading dislocation", material="SrTiO3"))
    library.add(made(2, technique="EELS", elements=("Fe", "O"), specimen="S-7"))
    library.add(made(3, conditions=Conditions(voltage_kV=80.0, dwell_us=40.0)))
    find = lambda **asked: [kept.experiment.uid[-1] for kept in search(library, Query(**asked))]  # noqa: E731
    assert find(words="dislocation") == find(words="DISLOC*") == find(words="film threading") == ["1"]
    assert find(elements=("o",)) == ["3", "2", "1"]
    assert find(elements=("O", "Fe")) == find(technique="EELS") == find(words="S-7") == ["2"]
    assert find(ranges={"voltage_kV": (100.0, None)}) == ["2", "1"]
    assert find(ranges={"voltage_kV": (None, 100.0), "dwell_us": (40.0, 40.0)}) == ["3"]
    assert find(ranges={"fluence_e_per_A2": (None, None)}) == ["2", "1"]  # who did not tell is in no range
    assert find(words="film", technique="HAADF", elements=("Ti",), ranges={"dwell_us": (1.0, 10.0)}) == ["1"]
    assert find(words="nothing") == []
    assert element_counts(library) == {"O": 3, "Sr": 2, "Ti": 2, "Fe": 1}


@given(st.text(max_size=30))
def test_no_text_is_an_operator(words):
    with Library(_shared()) as library:
        numbers(library, Query(words=words))


def _shared(cache=[]):  # noqa: B006 - one file for all examples
    if not cache:
        import tempfile
        from pathlib import Path

        cache.append(Path(tempfile.mkdtemp()) / "library.sqlite")
        with Library(cache[0]) as library:
            library.add(made(1))
    return cache[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"elements": ("Xx",)}, "no chemical element"),
        ({"technique": "haadf"}, "known are HAADF"),
        ({"ranges": {"voltage": (1.0, 2.0)}}, "known are voltage_kV"),
        ({"ranges": {"voltage_kV": (2.0, 1.0)}}, "nothing lies there"),
        ({"ranges": {"voltage_kV": (float("nan"), None)}}, "give numbers"),
    ],
)
def test_what_cannot_be_asked_is_named(library, asked, said):
    with pytest.raises(ConfigError, match=said):
        search(library, Query(**asked))


def test_the_rules_of_a_second_telling(library):
    assert library.add(made(1)) == "new"
    assert library.add(made(1)) == library.add(made(1, title="copy of it", source="elsewhere.dm3")) == "same"
    grown = made(1, outcome=Outcome(frames=20, usable_frames=9))
    assert library.add(grown, {"m": [1.0, 2.0]}) == "revised"
    assert len(library) == 1
    assert library.find("file:1").experiment == grown
    assert library.add(made(1)) == "conflict"  # with fewer frames than are known
    assert library.add(made(1, words="theirs", outcome=Outcome(frames=99)), origin="another") == "conflict"
    assert library.find("file:1").experiment == grown
    assert [rule for rule, _, _ in library.conflicts()] == ["fewer frames", "another origin"]
    assert [kept.id for kept in search(library, Query(words="number1"))] == [1]
    assert library.like("m", [1.0, 2.0]) == [(1, 0.0)]


def test_likeness_is_exact_and_follows_what_others_add(library):
    rows = np.random.default_rng(4).normal(size=(300, 8)).astype(np.float32) * [1, 10, 1, 1, 1e-3, 1, 1, 1]
    for number, row in enumerate(rows[:200]):
        library.add(made(number), {"m": row})
    library.like("m", rows[0])
    with Library(library.where) as other:
        for number, row in enumerate(rows[200:], start=200):
            other.add(made(number), {"m": row})
        found = other.like("m", rows[250], 10)
    assert library.like("m", rows[250], 3)[0] == (251, 0.0)
    plain = np.abs(
        (rows - np.median(rows, axis=0)) / (1.4826 * np.median(np.abs(rows - np.median(rows, axis=0)), axis=0))
    )
    scaled = np.sign(rows - np.median(rows, axis=0)) * plain
    far = np.sqrt(((scaled - scaled[250]) ** 2).mean(axis=1))
    assert [number for number, _ in found] == (np.argsort(far)[:10] + 1).tolist()
    np.testing.assert_allclose([distance for _, distance in found], np.sort(far)[:10], atol=1e-3)
    assert {number for number, _ in library.like("m", rows[250], 5, among=[3, 7, 9])} == {3, 7, 9}
    assert library.like("other", rows[0]) == []


def test_what_is_not_known_of_an_image_counts_as_usual(library):
    for number in range(9):
        library.add(made(number), {"m": [float(number), float(number)]})
    (nearest, far), *_ = library.like("m", [np.nan, 4.0], 1)
    assert (nearest, far) == (5, 0.0)


def test_outcomes_and_recommendations_count_an_experiment_once(library):
    for number in range(30):
        usable = 90 if number < 20 else 10
        dwell = 4.0 if number < 20 else 0.4
        how = Conditions(voltage_kV=200.0, dwell_us=dwell, fluence_e_per_A2=25 * dwell, pixel_size_nm=0.2)
        library.add(made(number, conditions=how, outcome=Outcome(frames=100, usable_frames=usable, snr=dwell)))
    slow, quick = recommend(library, ["Sr", "Ti"])
    assert (slow.settings.dwell_us, slow.usable.experiments, slow.fallback) == (4.0, 20, None)
    assert slow.usable.mean == pytest.approx(19 / 22)
    low, high = slow.usable.interval
    assert low < 19 / 22 < high < 1
    assert quick.usable.mean == pytest.approx(2 / 12)
    assert slow.snr_per_root_fluence == pytest.approx(0.4)
    (row, other) = statistics(library)
    assert (row.dwell_decade, row.experiments, row.frames, row.usable_ratio) == (0, 20, 2000, pytest.approx(0.9))
    assert other.dwell_decade == -1


def test_few_like_experiments_are_said_to_be_few(library):
    for number in range(40):
        library.add(made(number, elements=("Fe",), outcome=Outcome(frames=4, usable_frames=4)))
    library.add(made(99, outcome=Outcome(frames=2, usable_frames=0)))
    (only,) = recommend(library, ["Sr"])
    assert f"fewer than {FEW}" in only.fallback
    assert "the 40 of HAADF on other specimens" in only.fallback
    assert only.usable.mean == pytest.approx(2 * (41 / 42) / 3)
    (strange,) = recommend(library, ["Au"])
    assert "no experiment on Au" in strange.fallback
    assert recommend(library, ["Sr"], technique="EDS") == []


def test_a_posterior_covers_as_often_as_it_says():
    random = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        truth = random.uniform()
        low, high = posterior(random.random(15) < truth).interval
        covered += low <= truth <= high
    assert 0.86 < covered / 400 < 0.94  # 0.9 is promised


def test_results_of_other_techniques(library):
    xrd = Result(specimen="S-7", quantity="lattice parameter", value=0.3905, unit="nm", uncertainty=1e-4,
                 technique="XRD", source="pattern 12")  # fmt: skip
    assert (library.add_result(xrd), library.add_result(xrd)) == ("new", "same")
    assert library.results("s-7") == [(xrd, library.id)]
    assert library.results(quantity="lattice parameter") == [(xrd, library.id)]
    assert result_of(canonical(xrd)) == xrd
    for wrong in ({"value": float("nan")}, {"uncertainty": -1.0}, {"unit": ""}):
        with pytest.raises(LibraryError):
            library.add_result(replace(xrd, **wrong))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"technique": "seeing"}, "technique"),
        ({"elements": ("sr",)}, "written 'Sr'"),
        ({"conditions": Conditions(dwell_us=float("inf"))}, "dwell_us"),
        ({"outcome": Outcome(frames=1, usable_frames=2)}, "usable"),
    ],
)
def test_what_makes_no_sense_is_not_kept(library, wrong, said):
    with pytest.raises(LibraryError, match=said):
        library.add(made(1, **wrong))
    assert len(library) == 0


def test_a_record_comes_back_as_it_was():
    whole = made(1, found=("a void",), tags={"b": 1, "a": {"z": [1, 2]}})
    assert experiment_of(canonical(whole)) == whole
    assert whole.content == replace(whole, tags={"a": {"z": [1, 2]}, "b": 1}).content
    with pytest.raises(LibraryError, match="no experiment"):
        experiment_of('{"uid": 3}')


def test_a_newer_library_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "library.sqlite"
    Library(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(LibraryError, match="install a newer adaptem"):
        Library(path)
    assert path.read_bytes() == before
    for text in (b"no database at all, " * 300, b"SQLite format 3\0" + bytes(5000)):
        path.write_bytes(text)
        with pytest.raises(LibraryError, match="as a library"):
            Library(path)
    with pytest.raises(LibraryError, match="found none"):
        Library(tmp_path / "nowhere.sqlite", create=False)
