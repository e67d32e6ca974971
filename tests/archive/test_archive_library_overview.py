"""Overviews of earlier surveys: kept with their experiment, found for like specimens, gone with what replaces it."""

from __future__ import annotations

import numpy as np
import pytest
from test_archive_library import made

from archive.library import Library
from archive.library_overview import ALIKE, Overview, OverviewSite, earlier_overviews, insert_overview
from archive.library_records import Conditions, Outcome
from configs.errors import ConfigError
from envs.overviews import LEVELS

NAMES = ("one_ratio", "two_nm")


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
    """A bundle carries none: an imported telling must not empty what is known of the survey's sites."""
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
