"""Answers about earlier folders count where their images are like the new ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from configs.errors import ConfigError
from envs.descriptors import NAMES
from envs.overviews import quantiles_of
from models.encoder import load_encoder
from surveys.folder import flag_images
from surveys.folder_earlier import FolderKind, heard, keep_beside, read_earlier
from surveys.folder_said import write_to_say

SPREAD = np.random.default_rng(0).standard_normal((400, len(NAMES)))
KIND = FolderKind("descriptors", 64, 0.5, NAMES, quantiles_of(SPREAD))
CELLS = [("a.png", row, column) for row in range(0, 640, 64) for column in range(0, 640, 64)]


def flagged(folder, kind=KIND, unusual=4, said=40, content=""):
    """What ``adaptem flag`` leaves of an image, with the first cells of its table answered, some of them with yes."""
    folder.mkdir(exist_ok=True)
    image = folder.parent / f"{folder.name}-images" / "a.png"
    image.parent.mkdir(exist_ok=True)
    image.write_text(content or folder.name)
    p_values = {cell: (n + 1) / 101 for n, cell in enumerate(CELLS)}
    table = write_to_say(CELLS[:40], kind.cell_px, [image], folder)
    head, *rows = table.read_text().splitlines()
    words = ["yes"] * unusual + ["no"] * (said - unusual) + [""] * (40 - said)
    table.write_text("\n".join([head, *(row + word for row, word in zip(rows, words, strict=True))]) + "\n")
    keep_beside(table, kind, p_values, [image])
    return folder


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "new.png"
    path.write_text("new")
    return path


def test_what_was_said_of_like_images_comes_back_with_its_p_values(tmp_path, image):
    folders = [flagged(tmp_path / "one"), flagged(tmp_path / "two", unusual=2, said=10)]
    found = heard(read_earlier(folders), KIND, [image])
    assert [each.folder for each in found.folders] == folders and not found.passed_over
    first, second = (each.answered for each in found.folders)
    assert first.unusual.tolist() == [1.0] * 4 + [0.0] * 36 and second.unusual.sum() == 2 and len(second.unusual) == 10
    assert first.p_values == pytest.approx(np.arange(1, 41) / 101, rel=1e-3)
    assert "in 2 earlier folder(s) 6 of 50 cells were said to be unusual" in str(found)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (replace(KIND, cell_px=32), "its cells had 32 pixels, not 64"),
        (replace(KIND, by="network"), "it was judged by network, not by descriptors"),
        (replace(KIND, pixel_size_nm=0.7), "its pixels have 0.7 nm, these 0.5"),
        (replace(KIND, pixel_size_nm=None), "its files tell no size of their pixels, these 0.5 nm"),
        (replace(KIND, names=NAMES[::-1]), "its cells were described in other numbers"),
        (replace(KIND, quantiles=quantiles_of(SPREAD + 3)), "its images are unlike these: by 3.0 spreads, and"),
    ],
)
def test_one_of_other_images_does_not_count_and_why_is_told(tmp_path, image, kind, why):
    folders = [flagged(tmp_path / "one", kind), flagged(tmp_path / "two")]
    found = heard(read_earlier(folders), KIND, [image])
    assert [each.folder for each in found.folders] == folders[1:]
    assert found.passed_over[folders[0]].startswith(why)


def test_another_brightness_is_no_other_image(tmp_path, image):
    brighter = SPREAD.copy()
    brighter[:, NAMES.index("mean_counts")] += 50
    found = heard(
        read_earlier([flagged(tmp_path / "one", replace(KIND, quantiles=quantiles_of(brighter)))]), KIND, [image]
    )
    assert len(found.folders) == 1


def test_nothing_counts_twice(tmp_path, image):
    one, again = flagged(tmp_path / "one"), flagged(tmp_path / "again", content="one")
    own, silent = flagged(tmp_path / "own", content="new"), flagged(tmp_path / "silent", unusual=0, said=0)
    found = heard(read_earlier([own, silent, one, one, again]), KIND, [image])
    assert [each.folder for each in found.folders] == [one]
    assert found.passed_over == {
        own: "images of this folder are among its own",
        silent: "nothing is said in it yet",
        one: "it was named twice, and counts once at most",
        again: f"images of {one} are among its own",
    }


def test_of_several_tables_those_that_fit_count_together(tmp_path, image):
    folder = flagged(tmp_path / "one", replace(KIND, cell_px=32))
    flagged(folder)
    assert (folder / "say-2.json").is_file()
    assert len(heard(read_earlier([folder]), KIND, [image]).folders[0].answered.unusual) == 40
    assert len(heard(read_earlier([folder]), replace(KIND, cell_px=32), [image]).folders) == 1


def test_no_folder_is_as_if_none_was_named(image):
    found = heard(read_earlier([]), KIND, [image])
    assert found.folders == () and found.passed_over == {}


def respelled(folder, old, new, name="say.csv"):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def changed(folder, **values):
    path = folder / "say.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_answers_about_one_cell_in_two_tables_may_not_differ(tmp_path, image):
    folder = flagged(tmp_path / "one")
    for suffix in ("csv", "json"):
        shutil.copy(folder / f"say.{suffix}", folder / f"say-2.{suffix}")
    assert len(heard(read_earlier([folder]), KIND, [image]).folders[0].answered.unusual) == 40
    respelled(folder, "yes", "no", "say-2.csv")
    with pytest.raises(ConfigError, match=r"say-2\.csv and .*say\.csv say yes and no of one cell, at row 0, column 0;"):
        read_earlier([folder])


def test_a_table_in_which_nothing_is_said_needs_nothing_beside_it(tmp_path, image):
    folder = flagged(tmp_path / "one")
    (folder / "say-2.csv").write_text((folder / "say.csv").read_text().splitlines()[0] + "\n")
    shutil.copy(folder / "say.csv", folder / "say-filled.csv")
    found = heard(read_earlier([folder]), KIND, [image])
    assert len(found.folders[0].answered.unusual) == 40 and not found.passed_over


def test_a_table_of_which_nothing_is_known_is_passed_over_where_another_is(tmp_path, image):
    folder = flagged(tmp_path / "one")
    shutil.copy(folder / "say.csv", folder / "say-2.csv")
    found = heard(read_earlier([folder]), KIND, [image])
    assert len(found.folders[0].answered.unusual) == 40
    assert found.passed_over[folder / "say-2.csv"].startswith(
        "say-2.json, which was written with it, is not there; flag"
    )


def test_answers_in_a_copy_of_another_name_are_not_read_and_it_is_told(tmp_path, image):
    folder = flagged(tmp_path / "one")
    shutil.copy(folder / "say.csv", folder / "say-filled.csv")
    respelled(folder, ",yes\n", ",\n")
    respelled(folder, ",no\n", ",\n")
    (why,) = heard(read_earlier([folder]), KIND, [image]).passed_over.values()
    assert why == "nothing is said in it yet (say-filled.csv is not read: answer in say.csv)"


def test_what_is_no_folder_of_flags_is_refused_before_any_image_is_described(tmp_path, image):
    looked = []
    with pytest.raises(ConfigError, match=r"has no say\.csv"):
        flag_images(load_encoder(), [image], earlier=[tmp_path], progress=lambda paths: looked.append(paths) or paths)
    assert not looked


def test_what_lies_beside_a_table_stays_whole_where_it_cannot_be_written(tmp_path, image):
    folder = flagged(tmp_path / "one")
    whole = (folder / "say.json").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["say.csv", "say.json"]
    (folder / "say.json.partial").mkdir()
    with pytest.raises(OSError, match="partial"):
        keep_beside(folder / "say.csv", replace(KIND, pixel_size_nm=0.7), {}, [image])
    assert (folder / "say.json").read_bytes() == whole


def test_the_expected_share_is_told_where_a_folder_counts(tmp_path, image):
    assert heard([], KIND, [image]).expected is None
    share, low, high = heard(read_earlier([flagged(tmp_path / "one")]), KIND, [image]).expected
    assert 0 < low < share < high < 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "say.csv").unlink(), "has no say.csv; name a folder that adaptem flag wrote"),
        (lambda folder: (folder / "say.csv").rename(folder / "say-mine.csv"), "has no say.csv; name a folder that"),
        (lambda folder: (folder / "say.json").unlink(), "flag its images again into the same folder: answers stay"),
        (lambda folder: (folder / "say.json").write_text("{"), "say.json: is damaged"),
        (lambda folder: changed(folder, more=1), "say.json: is damaged"),
        (lambda folder: changed(folder, quantiles=[[0.0]]), "quantiles and names do not fit"),
        (lambda folder: changed(folder, p_values={"a.png": [[0, 0, 1.5]]}), "a p-value beyond 0 and 1"),
        (lambda folder: changed(folder, p_values={"a.png": []}), "a.png at row 0, column 0 was not judged"),
        (
            lambda folder: changed(folder, images={"a.png": "0"}),
            "a.png was another image then; set image, image_sha256 and",
        ),
        (lambda folder: respelled(folder, ",64,yes", ",32,yes"), "line 2: of cells of 32 pixels; set image, image_sha"),
    ],
)
def test_what_is_damaged_is_refused_in_words(tmp_path, image, spoil, says):
    folder = flagged(tmp_path / "one")
    spoil(folder)
    with pytest.raises(ConfigError, match=says) as raised:
        read_earlier([folder])
    assert "--said" not in str(raised.value) and "--cell" not in str(raised.value)
