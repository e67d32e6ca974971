"""What happens when an experiment is told anew: the later telling stands, and nothing of the earlier one is lost."""

from __future__ import annotations

import numpy as np
import pytest
from test_archive_library import made

from archive.library import Library
from archive.library_exchange import export_bundle, import_bundle, merge
from archive.library_places import Place, insert_places
from archive.library_records import LibraryError, Outcome
from archive.library_search import Query, numbers


@pytest.fixture
def ours(place):
    with Library(place("ours")) as library:
        yield library


@pytest.fixture
def theirs(tmp_path):
    with Library(tmp_path / "theirs.sqlite") as library:
        yield library


def words_of(library):
    return library.find("file:1").experiment.words


def test_an_older_bundle_undoes_no_newer_one(ours, theirs, tmp_path):
    for number, words in enumerate(("old", "corrected", "corrected twice")):
        theirs.add(made(1, words=words))
        export_bundle(theirs, tmp_path / f"v{number}.zip")
    took = [import_bundle(ours, tmp_path / f"v{number}.zip") for number in (0, 1, 0, 2, 1, 0, 2)]
    assert [next(name for name, count in each.items() if count) for each in took] == [
        "new", "revised", "same", "revised", "same", "same", "same",
    ]  # fmt: skip
    assert words_of(ours) == "corrected twice"
    assert [each.words for each in ours.replaced("file:1")] == ["old", "corrected"]
    assert ours.conflicts() == []
    assert [numbers(ours, Query(words=word)) for word in ("old", "twice")] == [[], [1]]


def test_an_older_telling_that_was_never_seen_is_a_conflict(ours, theirs, tmp_path):
    for number, words in enumerate(("first", "second", "third")):
        theirs.add(made(1, words=words))
        export_bundle(theirs, tmp_path / f"v{number}.zip")
    import_bundle(ours, tmp_path / "v2.zip")
    assert import_bundle(ours, tmp_path / "v1.zip")["conflict"] == 1
    assert words_of(ours) == "third"
    assert [rule for rule, _, _ in ours.conflicts()] == ["told no later"]


def test_a_growing_survey_of_an_earlier_adaptem_is_taken_by_its_frames(ours, theirs):
    theirs.add(made(1))
    merge(ours, theirs.where)
    grown = made(1, outcome=Outcome(frames=11, usable_frames=9))
    assert ours.add_all([(grown, {}, theirs.id)], source=ours_source(theirs))["revised"] == 1
    same_frames = made(1, words="other", outcome=Outcome(frames=11, usable_frames=9))
    assert ours.add_all([(same_frames, {}, theirs.id)], source=ours_source(theirs))["conflict"] == 1


def ours_source(library):
    from archive.library_records import Source

    return Source("0" * 64, "merged", library.id, None, None)


def test_a_file_that_is_added_again_keeps_what_was_said_of_it(ours):
    said = {"material": "SrTiO3", "specimen": "STO-12", "licence": "CC-BY-4.0", "words": "dislocation dm4"}
    assert ours.add(made(1, **said)) == "new"
    assert ours.add(made(1, elements=(), words="dm4")) == "same"
    assert ours.add(made(1, elements=(), words="dm4", specimen="STO-13")) == "revised"
    kept = ours.find("file:1").experiment
    assert (kept.material, kept.elements, kept.licence) == ("SrTiO3", ("Sr", "Ti", "O"), "CC-BY-4.0")
    assert (kept.specimen, kept.words, kept.revision) == ("STO-13", "dislocation dm4", 1)
    assert [each.specimen for each in ours.replaced("file:1")] == ["STO-12"]
    assert ours.add(made(1, **said)) == "revised"  # told back by ourselves: the latest word
    assert ours.find("file:1").experiment.specimen == "STO-12"


def test_places_stay_when_an_experiment_is_told_anew(ours):
    ours.add(made(1), {"m": [1.0, 2.0]})
    with ours.transaction() as database:
        insert_places(database, 1, [Place(1, 1, False, np.ones(28, np.float32))])
    assert ours.add(made(1, words="anew"), {"m": [3.0, 2.0]}) == "revised"
    assert ours.database.execute("SELECT count(*) FROM places").fetchone()[0] == 1
    assert ours.like("m", [3.0, 2.0]) == [(1, 0.0)]


def test_vectors_of_another_size_do_not_get_in(ours):
    ours.add(made(1), {"descriptors-1": np.ones(40)})
    with pytest.raises(LibraryError, match="whose vectors here have 40"):
        ours.add(made(2), {"descriptors-1": np.ones(3)})
    with pytest.raises(LibraryError, match="letters, digits"):
        ours.add(made(2), {"../../evil": np.ones(3)})
    assert len(ours) == 1
    assert ours.like("descriptors-1", np.ones(40)) == [(1, 0.0)]
