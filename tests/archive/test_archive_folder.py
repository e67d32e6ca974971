from __future__ import annotations

import os
import subprocess
import sys

import pytest
from archive_samples import new_folder

import archive.folder as module
from archive.errors import FolderError, FolderInUse
from archive.folder import SurveyFolder, holder, read_meta, write_health


def test_a_folder_keeps_what_the_survey_is(tmp_path):
    path = tmp_path / "new" / "survey"
    with new_folder(path) as folder:
        assert read_meta(path) == folder.meta
    assert folder.meta.who == {"operator": "Ada"}
    assert folder.meta.created_utc == "2026-11-03T20:00:00+00:00"
    assert {"python", "numpy", "zarr"} <= folder.meta.versions.keys()


def test_an_earlier_survey_is_not_touched(tmp_path):
    new_folder(tmp_path / "s").close()
    before = (tmp_path / "s" / "survey.json").read_bytes()
    with pytest.raises(FolderError, match="adaptem resume"):
        new_folder(tmp_path / "s")
    assert (tmp_path / "s" / "survey.json").read_bytes() == before
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "journal.sqlite").touch()
    with pytest.raises(FolderError, match=r"journal\.sqlite"):
        new_folder(tmp_path / "t")


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "s"
    code = (
        "import sys; from pathlib import Path; from archive.folder import SurveyFolder;"
        "SurveyFolder.open(Path(sys.argv[1]))"
    )
    with new_folder(path):
        assert holder(path) == os.getpid()
        other = subprocess.run([sys.executable, "-c", code, path], check=False, capture_output=True, text=True)
        assert f"is in use by process {os.getpid()}" in other.stderr
        with pytest.raises(FolderInUse):
            new_folder(path)
    assert holder(path) is None
    SurveyFolder.open(path).close()


def test_a_killed_writer_leaves_no_lock(tmp_path):
    path = tmp_path / "s"
    new_folder(path).close()
    code = (
        "import sys, os; from pathlib import Path; from archive.folder import SurveyFolder;"
        "f = SurveyFolder.open(Path(sys.argv[1])); print('locked', flush=True); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False, capture_output=True).stdout == b"locked\n"
    SurveyFolder.open(path).close()


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(FolderError, match=r"no survey\.json"):
        SurveyFolder.open(tmp_path)
    (tmp_path / "survey.json").write_text('{"seed": "many"}')
    with pytest.raises(FolderError, match="unreadable"):
        SurveyFolder.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="choose another"):
        new_folder(tmp_path / "file" / "s")


def test_a_network_disk_and_a_full_one_are_refused(tmp_path, monkeypatch):
    meta = new_folder(tmp_path / "s").meta
    with pytest.raises(FolderError, match="free some"):
        SurveyFolder.create(tmp_path / "t", meta, room_bytes=1 << 60)
    monkeypatch.setattr(module, "file_system", lambda path: "nfs4")
    with pytest.raises(FolderError, match=r"network file system \(nfs4\)"):
        SurveyFolder.create(tmp_path / "u", meta)
    assert not (tmp_path / "u").exists()


@pytest.mark.skipif(not os.path.exists("/proc/self/mounts"), reason="this system does not list its mounts")
def test_the_file_system_is_known(tmp_path):
    assert module.file_system(module.Path("/proc/self")) == "proc"
    assert module.file_system(tmp_path)


def test_health_is_replaced_whole(tmp_path):
    write_health(tmp_path, {"state": "running", "free_bytes": 1})
    write_health(tmp_path, {"state": "paused"})
    assert (tmp_path / "health.json").read_text() == '{"state":"paused"}'
    assert [path.name for path in tmp_path.iterdir()] == ["health.json"]
