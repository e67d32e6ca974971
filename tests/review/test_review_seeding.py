"""Seeded positives: known features in ordinary places, which nobody can tell by their stream."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from learning_samples import flagged, judged, made
from PIL import Image
from review_browser import event, served
from review_samples import MadeUp, flag

from configs.errors import ConfigError
from envs.step import Purpose
from review.feature import Feature, UnlikeError, transplanted
from review.gallery import Gallery, site_of
from review.judged import Judged, first_of_each_feature
from review.seeding import features_of, sow
from review.study import Study
from review.tally import tally
from surveys.places import Place
from training.feedback import lessons


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Two nights with flags; of the first, two of three flags were confirmed."""
    place = tmp_path_factory.mktemp("nights")
    old, new = (flagged(made(place / f"m{seed}", seed), place / name, 12) for seed, name in ((3, "old"), (4, "new")))
    judged(old, lambda place: 5 if place.flag and place.flag["rank"] % 3 else 2).close()
    return old, new


@pytest.fixture
def new(nights, tmp_path):
    return shutil.copytree(nights[1], tmp_path / "new")


def test_confirmed_features_come_into_ordinary_places_once(nights, new):
    old, _ = nights
    known = [told["target"] for told, _, _ in features_of(old)]
    study = Study(new)
    before = {place.key for place in study.places}
    assert len(known) == 8 and sow(study, [old], 10) == 8 == sow(study, [old], 99)
    study.close()
    again = Study(new)
    places = [place for place in again.places if place.injected]
    assert len(places) == 8 and not {place.key for place in places} & before
    assert {place.streams for place in places} == {("seeded",)} and not any(place.trains for place in places)
    assert sorted(place.injected["target"] for place in places) == sorted(known)
    gallery = Gallery(new, again.places, again.features)
    for place in places[:3]:
        for view in ("place", "around", "channels"):
            as_it_is, shown = (
                np.asarray(Image.open(io.BytesIO(gallery.picture(
                    place.exposure_id, place.specimen, site_of(place), view, "same", seeded))))
                for seeded in (None, place.key)
            )  # fmt: skip
            assert as_it_is.shape == shown.shape and (as_it_is != shown).mean() > 0.02
    gallery.close()
    again.close()


def test_a_reviewer_meets_them_blind_and_their_sensitivity_is_counted(nights, new):
    study = Study(new)
    sow(study, nights[:1], 8)
    study.close()
    with served(new, size=200) as (study, _, browser):
        batch = browser.batch()
        items = study.journal.batch(batch).items
        seeded = {item.id: item for item in items if item.data["injected"]}
        assert len(seeded) == 8
        told = browser.ask(f"/batches/{batch}")[2].decode() + json.dumps(browser.items(batch))
        assert "injected" not in told and "seeded" not in told
        kinds = {}
        for item in items:
            status, headers, picture = browser.ask(f"/picture/{item.id}/place/same")
            image = Image.open(io.BytesIO(picture))
            kinds.setdefault((status, image.size, image.mode, image.format, *sorted(set(headers))), []).append(item)
        assert len(kinds) == 1
        missed = sorted(seeded)[:2]
        browser.post(*(event(batch, item.id, verdict=4 if item.id in seeded and item.id not in missed else 1)
                       for item in items), event(batch, None, "lock"))  # fmt: skip
        (row,) = tally(study.places, study.sites, study.journal)["reviewers"]
        assert (row["seeded"], row["noticed"]) == (8, 6) and row["sensitivity_interval"][0] < 0.75
        page = browser.ask(f"/batches/{batch}/result")[2].decode()
        assert page.count("a known feature, put into this ordinary place") == 8
        assert page.count('class="more"') == sum(item.data["flag"] is not None and len(item.data["streams"]) == 1
                                                 for item in items)  # fmt: skip
    said = lessons([new])
    hosts = {item.data["target"] for item in seeded.values()}
    assert not hosts & {one.target for one in (*said.teaching, *said.audit)} and said.teaching and said.audit


def test_copies_of_one_feature_count_once():
    """As records of earlier versions have them: what was said first of each feature."""

    def place(target, feature):
        told = {"survey": "old", "specimen": "a", "target": feature, "exposure_id": 3}
        return Place(specimen="a", target=target, x_nm=0.0, y_nm=0.0, width_nm=1.0, height_nm=1.0, exposure_id=1,
                     streams=("seeded",), near=True, injected=told)  # fmt: skip

    said = [(1, 7, 5), (2, 7, 1), (3, 8, 2), (4, 8, 5), (5, 7, 5)]
    judged = [Judged("Ada", place(target, feature), verdict, None) for target, feature, verdict in said]
    assert [(one.place.target, one.interesting) for one in first_of_each_feature(judged)] == [(1, True), (3, False)]


def test_what_cannot_be_known_or_would_be_seen_is_refused(nights, new, tmp_path):
    study = Study(new)
    with pytest.raises(ConfigError, match="nobody has judged"):
        sow(study, nights[1:])
    judged(new, lambda place: 2).close()
    with pytest.raises(ConfigError, match="nobody confirmed a feature"):
        sow(study, [new])
    fine = MadeUp(tmp_path / "fine")
    fine.look(Purpose.SURVEY)
    fine.record.flags([flag(fine.look(target=4))])
    fine.event("end", "done", reason="complete")
    fine.close()
    judged(tmp_path / "fine", lambda place: 5).close()
    with pytest.raises(ConfigError, match=r"the feature's 0\.5 nm"):
        sow(study, [tmp_path / "fine"])
    assert study.seeded == ()
    study.close()


def test_a_feature_takes_the_level_of_its_host_and_keeps_its_noise():
    rng = np.random.default_rng(1)
    host, ordinary = (rng.poisson(level, (64, 64)).astype(np.float32) for level in (50, 40))
    mixed = transplanted(host, ordinary)
    rim = np.ones((64, 64), bool)
    rim[10:-10, 10:-10] = False
    for part in (rim, ~rim):
        assert abs(mixed[part].mean() - 50) < 1.5 and abs(mixed[part].std() - 50**0.5) < 1.3
    assert (mixed == np.round(mixed)).all() and mixed.min() >= 0
    bright = ordinary.copy()
    bright[24:40, 24:40] += 100
    assert transplanted(host, bright)[28:36, 28:36].mean() > 50 + 100
    with pytest.raises(UnlikeError, match="has a level of 20"):
        transplanted(host, ordinary / 2)
    with pytest.raises(UnlikeError, match="pixels into a place"):
        transplanted(host, ordinary[:50])


def test_a_feature_is_kept_as_numbers_and_turned_in_eight_ways():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    feature = Feature(image, image[:2], {"HAADF": image})
    again = Feature.of_bytes(feature.as_bytes())
    np.testing.assert_array_equal(again.site, image)
    np.testing.assert_array_equal(again.around, image[:2])
    assert list(again.channels) == ["HAADF"]
    assert len({feature.turned(n).site.tobytes() + bytes(feature.turned(n).site.shape) for n in range(8)}) == 8
