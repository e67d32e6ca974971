"""The copier: what it copies is the survey, it goes on where it was, and nothing it does changes the survey."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from archive_samples import frame, intent, new_folder, recorder
from typer.testing import CliRunner

from archive.errors import FolderError
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
