"""The copier: what it copies is the survey, it goes on where it was, and nothing it does changes the survey."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from contextlib import closing

import numpy as np
import pytest
from archive_samples import frame, intent, new_folder, recorder
from typer.testing import CliRunner

from archive.errors import FolderError
from archive.export import facts_of
from archive.export_crate import write_crate
from archive.labels import LabelJournal
from archive.mirror import Mirror, MirrorError
from archive.reader import SurveyReader
from console.main import app


def never(_):
    raise AssertionError("nothing was to be waited for")


def state(folder):
    """Every byte, but for where SQLite notes who reads."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def same(copy, original):
    with SurveyReader(copy) as one, SurveyReader(original) as other:
        rows = list(other.exposures())
        assert [row.id for row in one.exposures()] == [row.id for row in rows]
        for row in rows:
            if row.frame is not None:
                for name, data in other.frame(row.id).items():
                    np.testing.assert_array_equal(one.frame(row.id)[name], data)


def test_a_running_survey_is_followed_and_left_as_it_is(tmp_path):
    with new_folder(tmp_path / "night") as folder:
        keeper = recorder(folder)
        copier = Mirror(folder.path, tmp_path / "facility")
        for number in range(1, 4):
            exposure_id = intent(keeper)
            keeper.commit(exposure_id, frame(exposure_id))
            intent(keeper)  # one that is under way
            before = state(folder.path)
            done = copier.once()
            assert state(folder.path) == before
            assert done.frames == number
            same(copier.place, folder.path)
        assert copier.once().copied == 0
        keeper.close()
    # a new copier goes on from the manifest, and ends because nobody writes any more
    again = Mirror(tmp_path / "night", tmp_path / "facility")
    again.run(watch=True, wait=never)
    again.tidy()
    same(copier.place, tmp_path / "night")
    checked = subprocess.run(["sha256sum", "-c", "--quiet", "manifest-sha256.txt"], cwd=copier.place, check=False)
    assert checked.returncode == 0


def test_a_storage_that_fails_is_tried_again(tmp_path, monkeypatch):
    with new_folder(tmp_path / "night") as folder:
        keeper = recorder(folder)
        keeper.commit(intent(keeper), frame(1))
        keeper.close()
    real, calls, waits = shutil.copyfile, [], []

    def unsteady(source, target):
        calls.append(source)
        if len(calls) in (2, 3, 4):
            raise OSError(5, "Input/output error")
        return real(source, target)

    monkeypatch.setattr(shutil, "copyfile", unsteady)
    done = Mirror(tmp_path / "night", tmp_path / "facility").run(watch=False, wait=waits.append)
    assert (done.retries, waits) == (3, [1.0, 2.0, 4.0])
    same(tmp_path / "facility" / "night", tmp_path / "night")
    monkeypatch.setattr(shutil, "copyfile", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(MirrorError, match="3 times: No space left"):
        Mirror(tmp_path / "night", tmp_path / "full").run(watch=False, wait=waits.append, most_retries=2)


def test_a_copy_that_came_out_wrong_is_not_believed(tmp_path, monkeypatch):
    with new_folder(tmp_path / "night") as folder:
        keeper = recorder(folder)
        keeper.commit(intent(keeper), frame(1))
        keeper.close()

    def flips(source, target):
        data = bytearray(source.read_bytes())
        data[0] ^= 1
        target.write_bytes(data)

    monkeypatch.setattr(shutil, "copyfile", flips)
    with pytest.raises(MirrorError, match="read back"):
        Mirror(tmp_path / "night", tmp_path / "facility").once()
    assert not (tmp_path / "facility" / "night" / "journal.sqlite").exists()
    assert not list((tmp_path / "facility").rglob("*.partial"))


@pytest.fixture
def night(tmp_path):
    """Two frames, and nobody writes any more."""
    with new_folder(tmp_path / "night") as folder:
        keeper = recorder(folder)
        for number in (1, 2):
            keeper.commit(intent(keeper), frame(number))
        keeper.close()
    return tmp_path / "night"


@pytest.mark.parametrize("damage", ["absent", "changed"])
def test_a_frame_that_the_survey_lost_is_not_told_to_be_copied(night, tmp_path, damage):
    chunk = sorted(night.rglob("c.1.*"))[0]
    if damage == "absent":
        chunk.unlink()
    else:
        other = sorted(night.rglob("c.0.*"))[0]
        chunk.write_bytes(other.read_bytes())  # whole by itself, but another frame
    with pytest.raises(MirrorError, match="does not hold exposure 2 as it was committed"):
        Mirror(night, tmp_path / "facility").run(watch=False, wait=never)
    assert not (tmp_path / "facility" / "night" / "journal.sqlite").exists()


def test_a_frame_that_was_lost_later_is_in_the_copy_still(night, tmp_path):
    copier = Mirror(night, tmp_path / "facility")
    assert copier.once().frames == 2
    sorted(night.rglob("c.1.*"))[0].unlink()
    assert Mirror(night, tmp_path / "facility").once().frames == 2
    sorted(copier.place.rglob("c.0.*"))[0].unlink()
    assert Mirror(night, tmp_path / "facility").once().frames == 2  # copied again
    (sorted(copier.place.rglob("c.1.*"))[0]).unlink()
    with pytest.raises(MirrorError, match="exposure 2"):
        Mirror(night, tmp_path / "facility").once()


def test_what_waiting_does_not_mend_is_told_at_once(night, tmp_path, monkeypatch):
    (tmp_path / "afile").touch()
    with pytest.raises(MirrorError, match="name another folder"):
        Mirror(night, tmp_path / "afile").run(watch=False, wait=never)
    told = []
    real = shutil.copyfile
    failures = iter([OSError(5, "Input/output error"), OSError(28, "No space left on device")])

    def unsteady(source, target):
        for failure in failures:
            raise failure
        return real(source, target)

    monkeypatch.setattr(shutil, "copyfile", unsteady)
    Mirror(night, tmp_path / "facility").run(watch=False, wait=lambda _: None, tell=told.append)
    assert [line.split(" ", 1)[1] for line in told] == [
        "fails (Input/output error): tried again until it is back", "is back",
    ]  # fmt: skip


def test_a_survey_that_cannot_be_read_is_not_tried_again(night, tmp_path):
    shutil.rmtree(night / "frames")
    with pytest.raises(MirrorError, match="cannot be read"):
        Mirror(night, tmp_path / "facility").run(watch=False, wait=never)


def test_labels_under_way_and_history_are_in_the_copy_and_in_the_crate(night, tmp_path):
    (night / "history.json").write_text("[]")
    with closing(LabelJournal(night / "labels.sqlite")) as labels:  # open: what it wrote stands in the log
        copier = Mirror(night, tmp_path / "facility")
        copier.once()
        assert copier.once().copied == 0
        with SurveyReader(night) as reader:
            write_crate(reader, facts_of(reader), tmp_path / "night.zip")
        with zipfile.ZipFile(tmp_path / "night.zip") as packed:
            packed.extractall(tmp_path / "unpacked")
        for place in (copier.place, tmp_path / "unpacked"):
            with closing(LabelJournal(place / "labels.sqlite")) as copied:
                assert copied.id == labels.id
            assert (place / "history.json").read_text() == "[]"


def test_where_it_may_not_copy_to(tmp_path):
    with new_folder(tmp_path / "night") as folder:
        recorder(folder).close()
        with pytest.raises(MirrorError, match="into itself"):
            Mirror(folder.path, tmp_path)
        (tmp_path / "other" / "night").mkdir(parents=True)
        (tmp_path / "other" / "night" / "mine.txt").write_text("mine")
        with pytest.raises(FolderError, match="other files"):
            Mirror(folder.path, tmp_path / "other").once()
    told = CliRunner().invoke(app, ["mirror", str(tmp_path / "night"), str(tmp_path / "there")])
    assert told.exit_code == 0, told.output
    assert "holds 0 frames" in told.output
    assert CliRunner().invoke(app, ["mirror", str(tmp_path / "none"), str(tmp_path)]).exit_code == 2
