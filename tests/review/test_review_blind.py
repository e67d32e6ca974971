"""What a browser is told of a blind batch: nothing from which a score or a stream could be known."""

from __future__ import annotations

import io
import json
import re
from dataclasses import fields
from html.parser import HTMLParser

import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from PIL import Image
from review_browser import event, served, survey

from envs.step import Tag
from review.sampling import shuffled
from surveys.flagging import Flag, Site
from surveys.places import Place

SAID = {"id", "verdict", "note", "given", "seen"}
"""All that an item of a blind batch may have."""
ATTRIBUTES = {
    "role",
    "id",
    "tabindex",
    "aria-selected",
    "aria-label",
    "data-item",
    "data-verdict",
    "data-given",
    "data-seen",
    "data-note",
}
FIELDS = {field.name for kind in (Place, Flag, Site, Tag) for field in fields(kind)}


class Tiles(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tiles, self.names = [], set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names |= {name for name, _ in attrs}
        if tag == "li":
            self.tiles.append(dict(attrs))


def leaves(value):
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one)
            yield key
    elif isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)
    elif value is not None:
        yield value


def test_a_blind_batch_tells_neither_score_nor_stream(tmp_path):
    with served(survey(tmp_path / "night")) as (study, _, browser):
        batch = browser.batch()
        status, headers, html = browser.ask(f"/batches/{batch}")
        told = json.loads(browser.ask(f"/api/batches/{batch}")[2])
        page = Tiles(html.decode())
        items = study.journal.batch(batch).items
        assert status == 200 and len(items) == 13

        assert set(told) == {"batch", "items"} and all(set(item) == SAID for item in told["items"])
        assert all(set(tile) == ATTRIBUTES for tile in page.tiles)
        assert not page.names & FIELDS
        same = [{k: v for k, v in tile.items() if k not in ("id", "data-item", "aria-label")} for tile in page.tiles]
        assert all(one == same[0] for one in same)

        secret = {str(one) for item in items for one in leaves(dict(item.data)) if len(str(one)) >= 4}
        assert {"gridspecimen", "8.123456", "control", "seeded", "0.12345", "score", "inclusion_probability"} <= secret
        text = html.decode() + json.dumps(told) + " ".join(headers.values())
        assert [one for one in sorted(secret) if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text)] == []


def test_pictures_of_all_streams_are_made_alike(tmp_path):
    with served(survey(tmp_path / "night")) as (study, _, browser):
        items = study.journal.batch(browser.batch()).items
        for view in ("thumb", "place"):
            answers = [browser.ask(f"/picture/{item.id}/{view}/same") for item in items]
            assert {status for status, _, _ in answers} == {200}
            assert len({tuple(sorted(set(headers.items()) - _own(headers))) for _, headers, _ in answers}) == 1
            pictures = [Image.open(io.BytesIO(content)) for _, _, content in answers]
            assert len({(picture.size, picture.mode, picture.format) for picture in pictures}) == 1
            assert all(not set(picture.info) & {"exif", "xmp", "comment"} for picture in pictures)


def _own(headers):
    return {(name, value) for name, value in headers.items() if name in ("content-length", "date")}


def test_ids_and_order_come_from_the_seed_alone(tmp_path):
    with served(survey(tmp_path / "night")) as (study, _, _):
        places = study.places
    one, other = shuffled("b", places, 5), shuffled("b", places[::-1], 5)
    assert [item.id for item in one] == [item.id for item in other]
    assert [item.id for item in one] != [item.id for item in shuffled("b", places, 6)]
    assert len({item.id for item in one}) == len(places)
    first = {shuffled("b", places, seed)[0].place for seed in range(40)}
    assert len(first) > len(places) / 2


def test_nothing_is_revealed_before_the_lock_and_everything_after(tmp_path):
    folder = survey(tmp_path / "night")
    earlier = {"specimen": "gridspecimen", "rank": 2, "p_value": 0.04, "told": "nearest are <cases> of night-007"}
    (folder / "history.json").write_text(json.dumps([earlier, earlier | {"rank": 3, "p_value": None}]))
    with served(folder) as (study, _, browser):
        batch = browser.batch()
        items = browser.items(batch)
        assert b"night-007" not in browser.ask(f"/batches/{batch}")[2]
        assert browser.ask(f"/batches/{batch}/result")[1]["location"] == f"/batches/{batch}"
        browser.post(*(event(batch, item["id"], verdict=2) for item in items))
        assert browser.ask(f"/batches/{batch}/result")[0] == 303
        assert b"precision" not in browser.ask("/figures")[2]
        browser.post(event(batch, None, "lock"))
        page = browser.ask(f"/batches/{batch}/result")[2].decode()
        assert page.count("nearest are &lt;cases&gt; of night-007") == 1
        for words in ("flag 6", "random control", "seeded positive", "The ordinary place most like it", "8.12"):
            assert words in page
        assert browser.ask(f"/batches/{batch}")[0] == 303
        browser.post(event(batch, items[0]["id"], verdict=5))
        phases = [(row.kind, row.phase) for row in study.journal.events(batch)]
        assert phases[-2:] == [("lock", "blind"), ("verdict", "revealed")]
        assert browser.ask("/")[0] == 200  # nothing is left to judge
