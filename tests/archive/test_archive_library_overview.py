"""Overviews of earlier surveys: kept with their experiment, found for like specimens, gone with what replaces it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from test_archive_library import made
from test_archive_library_exchange import bundle_of

from archive.bundle import Member
from archive.bundle_reading import BundleError
from archive.library import Library
from archive.library_exchange import export_bundle, import_bundle, merge
from archive.library_overview import ALIKE, Overview, OverviewSite, earlier_overviews, insert_overview
from archive.library_records import Conditions, LibraryError, Outcome, canonical
from archive.overview_lines import overview_of_line
from configs.errors import ConfigError
from envs.overviews import LEVELS

NAMES = ("one_ratio", "two_nm")
SITE = {"target": 1, "above": 0.5, "interest": 1.0, "flagged": False, "row": [0.0, 1.0]}


def survey(number, pixel_nm=1.0, frames=10, **changes):
    return made(
        0, uid=f"survey:2026:1:night-{number}:a:survey 200 nm:HAADF", kind="survey", source=f"night-{number}",
        **{"conditions": Conditions(pixel_size_nm=pixel_nm), "outcome": Outcome(frames=frames)} | changes,
    )  # fmt: skip


def overview(seed, names=NAMES, count=30):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, len(names))).astype(np.float32).astype(float)
    sites = tuple(
        OverviewSite(n, 0.5 * n, 0.25 * n, n % 7 == 0, None if n % 5 else 4.0, tuple(row))
        for n, row in enumerate(rows.tolist())
    )
    return Overview(names, np.sort(random.normal(size=(len(LEVELS), len(names))), axis=0), sites)


def keep(library, one, seen):
    library.add(one)
    with library.transaction() as database:
        insert_overview(database, library.find(one.uid).id, seen)


def test_what_is_kept_comes_back_the_newest_first(place):
    with Library(place("library")) as library:
        for number in range(3):
            keep(library, survey(number), overview(number))
        found = earlier_overviews(library, ("Sr",), NAMES, 1.0, 2)
        assert [kept.experiment.source for kept, _ in found] == ["night-2", "night-1"]
        assert found[0][1].sites == overview(2).sites
        assert found[0][1].quantiles == pytest.approx(overview(2).quantiles, rel=1e-6)
        keep(library, survey(2), None)
        assert [kept.experiment.source for kept, _ in earlier_overviews(library, (), NAMES, 1.0, 2)] == [
            "night-1", "night-0",
        ]  # fmt: skip


def test_other_specimens_pixels_and_descriptors_are_not_found(place):
    with Library(place("library")) as library:
        keep(library, survey(1), overview(1))
        keep(library, survey(2, pixel_nm=1.0 + 1.5 * ALIKE), overview(2))
        keep(library, survey(3, elements=("Fe",)), overview(3))
        keep(library, survey(4), overview(4, (*NAMES, "three_nm")))
        found = earlier_overviews(library, ("Sr", "Ti"), NAMES, 1.0, 9)
        assert [kept.experiment.source for kept, _ in found] == ["night-1"]
        with pytest.raises(ConfigError, match="element"):
            earlier_overviews(library, ("Xq",), NAMES, 1.0, 9)


def test_an_experiment_that_is_told_anew_keeps_its_overview_until_a_new_one_comes(place):
    with Library(place("library")) as library:
        keep(library, survey(1), overview(1))
        assert library.add(survey(1, frames=20)) == "revised"
        ((_, kept),) = earlier_overviews(library, (), NAMES, 1.0, 9)
        with library.transaction() as database:
            insert_overview(database, 1, None)
        assert earlier_overviews(library, (), NAMES, 1.0, 9) == []
        (rows,) = library.database.execute("SELECT count(*) FROM overview_sites").fetchone()
    assert len(kept.sites) > 0
    assert rows == 0


def test_a_library_of_the_version_before_is_brought_up_and_keeps_what_it_had(tmp_path):
    from archive.library_schema import UPGRADES

    path = tmp_path / "library.sqlite"
    with Library(path) as library:
        library.add(survey(1))
        raw = library.database.execute
        raw("DROP TRIGGER overviews_follow")
        for table in ("overviews", "overview_sites"):
            raw(f"DROP TABLE {table}")
        raw(f"PRAGMA user_version = {len(UPGRADES) - 1}")
    with Library(path) as library:
        assert library.find(survey(1).uid) is not None
        keep(library, survey(2), overview(2))
        assert len(earlier_overviews(library, (), NAMES, 1.0, 9)) == 1


def counts(done):
    return {what: number for what, number in done.items() if number}


def test_overviews_travel_in_bundles_and_by_merging(place, tmp_path):
    with Library(place("ours")) as ours, Library(place("theirs")) as theirs, Library(place("third")) as third:
        keep(theirs, survey(1), overview(1))
        theirs.add(survey(2))
        export_bundle(theirs, tmp_path / "a.zip")
        assert counts(import_bundle(ours, tmp_path / "a.zip")) == {"new": 2}
        assert counts(import_bundle(ours, tmp_path / "a.zip")) == {"same": 2}
        merge(third, ours.where)
        for library in (ours, third):
            ((kept, found),) = earlier_overviews(library, ("Sr",), NAMES, 1.0, 9)
            assert kept.experiment.uid == survey(1).uid
            assert found.sites == overview(1).sites
        np.testing.assert_allclose(found.quantiles, overview(1).quantiles, rtol=1e-6)


def test_of_two_overviews_of_a_survey_the_one_with_more_verdicts_stays_and_nobody_changes_ours(place, tmp_path):
    judged = replace(overview(1), sites=tuple(replace(site, verdict=2.0) for site in overview(1).sites))
    with Library(place("ours")) as ours, Library(place("theirs")) as theirs:
        keep(theirs, survey(1), overview(1))
        export_bundle(theirs, tmp_path / "before.zip")
        import_bundle(ours, tmp_path / "before.zip")
        keep(theirs, survey(1), judged)
        export_bundle(theirs, tmp_path / "after.zip")
        for name in ("after", "before"):
            import_bundle(ours, tmp_path / f"{name}.zip")
            assert earlier_overviews(ours, (), NAMES, 1.0, 9)[0][1].sites == judged.sites
        keep(theirs, survey(1), overview(1))
        export_bundle(ours, tmp_path / "back.zip")
        import_bundle(theirs, tmp_path / "back.zip")
        assert earlier_overviews(theirs, (), NAMES, 1.0, 9)[0][1].sites == overview(1).sites


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"names": ["one_ratio"]}, "do not fit its 1 descriptors"),
        ({"quantiles": [[0.0, 1.0]]}, "do not fit"),
        ({"sites": []}, "sites"),
        ({"sites": [SITE, SITE]}, "tells a site twice"),
        ({"sites": [SITE | {"verdict": 7.0}]}, "verdict"),
        ({"sites": [SITE | {"above": "high"}]}, "above"),
        ({"sites": [SITE | {"row": [1e39, 0.0]}]}, "no descriptor is so large"),
        ({"sites": [SITE | {"target": -1}]}, "target"),
        ({"more": 1}, "Extra inputs"),
    ],
)
def test_one_wrong_overview_and_nothing_of_the_bundle_is_taken(place, tmp_path, wrong, said):
    line = {"uid": survey(1).uid, "names": list(NAMES), "quantiles": [[0.0, 0.0]] * len(LEVELS), "sites": [SITE]}
    with pytest.raises(LibraryError, match=said):
        overview_of_line(line | wrong)
    told = b'{"origin": "x", "overview": ' + json.dumps(line | wrong).encode() + b"}\n"
    experiment = b'{"origin": "x", "experiment": ' + canonical(survey(1)) + b"}\n"
    bundle = bundle_of(tmp_path / "b.zip", experiment, extra=[Member("overviews.jsonl", told)])
    with Library(place("ours")) as ours:
        with pytest.raises(BundleError, match=f"overviews.jsonl, line 1: .*{said}"):
            import_bundle(ours, bundle)
        assert len(ours) == 0
