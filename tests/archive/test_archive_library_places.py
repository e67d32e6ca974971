"""How unusual a place is among earlier surveys of like specimens: right as often as it says, said when unknown."""

from __future__ import annotations

import numpy as np
import pytest
from test_archive_library import made

from archive import library_opening
from archive.library import Library
from archive.library_places import Place, histories, insert_places, kept_places
from archive.library_records import Conditions
from archive.library_schema import UPGRADES
from archive.sqlite_writing import schema_version

LIKE = Conditions(voltage_kV=200.0, pixel_size_nm=0.2, fluence_e_per_A2=100.0)
WIDTH = 28


def survey(number, **changes):
    return made(0, uid=f"survey:2026:1:night-{number}:a:detail 50 nm:HAADF", kind="survey", source=f"night-{number}",
                **{"conditions": LIKE, **changes})  # fmt: skip


def places(random, count, own, shift=0.0):
    rows = own + shift + random.normal(size=(count, WIDTH))
    return [Place(n + 1, n, n == 0, row.astype(np.float32)) for n, row in enumerate(rows)]


def fill(library, random, surveys, count=40, **changes):
    for number in range(surveys):
        one = survey(number, **changes)
        library.add(one)
        with library.transaction() as database:
            insert_places(database, library.find(one.uid).id, places(random, count, 0.5 * random.normal(size=WIDTH)))


def test_p_values_of_ordinary_places_are_uniform_and_those_of_strange_ones_small(place):
    random = np.random.default_rng(1)
    with Library(place("library")) as library:
        fill(library, random, 12)
        ordinary = []
        for _ in range(15):
            new = places(random, 10, 0.5 * random.normal(size=WIDTH))
            ordinary += [h.p_value for h in histories(library, survey(99), new)]
        strange = histories(library, survey(99), places(random, 5, 0.0, shift=3.0))
    assert 0.35 < np.mean(ordinary) < 0.65
    assert np.mean(np.array(ordinary) < 0.1) < 0.2
    assert max(h.p_value for h in strange) < 0.01
    assert (strange[0].places, strange[0].surveys) == (480, 12)
    assert len(strange[0].nearest) == 3
    assert "p = " in str(strange[0]) and "12 earlier surveys" in str(strange[0])


def test_what_was_seen_before_is_named(place):
    random = np.random.default_rng(2)
    with Library(place("library")) as library:
        fill(library, random, 3)
        known = Place(7, 70, True, np.full(WIDTH, 4.0, np.float32))
        with library.transaction() as database:
            insert_places(database, 2, [known, *places(random, 30, 0.0)])
        (history,) = histories(library, survey(99), [Place(1, 1, True, known.vector + 0.05)])
    nearest = history.nearest[0]
    assert (nearest.survey, nearest.exposure, nearest.flagged) == ("night-1", 7, True)
    assert "night-1 exposure 7 (flagged)" in str(history)


@pytest.mark.parametrize(
    "changes",
    [{"elements": ("Fe",)}, {"technique": "BF"}, {"conditions": Conditions(pixel_size_nm=2.0, fluence_e_per_A2=100.0)}],
)
def test_unlike_specimens_and_looks_are_not_asked(place, changes):
    random = np.random.default_rng(3)
    with Library(place("library")) as library:
        fill(library, random, 4, **changes)
        (history,) = histories(library, survey(99), places(random, 1, 0.0))
    assert (history.places, history.surveys, history.p_value) == (0, 0, None)
    assert str(history).startswith("Too few")


def test_of_a_specimen_whose_elements_nobody_told_nothing_is_claimed(place):
    random = np.random.default_rng(4)
    with Library(place("library")) as library:
        fill(library, random, 3)
        (history,) = histories(library, survey(99, elements=()), places(random, 1, 0.0))
    assert (history.places, history.surveys, history.p_value) == (0, 0, None)
    assert "elements" in str(history)


def test_a_single_earlier_survey_and_the_survey_itself_say_nothing(place):
    random = np.random.default_rng(4)
    with Library(place("library")) as library:
        fill(library, random, 2)
        (own,) = histories(library, survey(1), places(random, 1, 0.0))  # survey 1 is in the library
    assert (own.surveys, own.p_value) == (1, None)


def test_no_more_than_its_share_of_places_is_kept():
    many = places(np.random.default_rng(5), 1000, 0.0)
    kept = kept_places(many)
    assert len(kept) == 200
    assert kept[0].flagged
    assert len({place.target for place in kept}) == 200


def test_a_library_of_the_first_version_is_brought_up(tmp_path, monkeypatch):
    path = tmp_path / "library.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(library_opening, "UPGRADES", UPGRADES[:1])
        with Library(path) as old:
            assert schema_version(old.database) == 1
            old.database.execute("INSERT INTO meta VALUES ('mine', 'kept')")
    with Library(path) as new:
        assert schema_version(new.database) == len(UPGRADES)
        assert new.database.execute("SELECT value FROM meta WHERE key = 'mine'").fetchone() == ("kept",)
        assert new.add(made(1)) == "new"
