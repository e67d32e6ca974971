from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from archive_samples import EXPOSURE, counts, frame, intent, new_folder, recorder, step

import archive.store as store_module
from archive.errors import ArchiveError, DamagedFrame, JournalFull
from archive.folder import SurveyFolder
from archive.reader import SurveyReader
from archive.streams import array_folder
from instruments.errors import BudgetError
from instruments.types import Exposure

if TYPE_CHECKING:
    from envs.recorder import Recorder


@pytest.fixture
def survey(tmp_path):
    with new_folder(tmp_path / "s") as folder:
        yield folder


def one_step(keeper, number):
    exposure_id = intent(keeper)
    keeper.commit(exposure_id, frame(exposure_id))
    keeper.step(step(number, exposure_id))
    return exposure_id


def test_a_frame_comes_back_whole_while_the_survey_runs(survey):
    keeper: Recorder = recorder(survey)
    exposure_id = one_step(keeper, 0)
    keeper.event("note", "hello", time_s=1.0)
    with SurveyReader(survey.path) as reader:
        again, made = reader.recorded(exposure_id), frame(exposure_id)
        for name, signal in made.signals.items():
            np.testing.assert_array_equal(reader.frame(exposure_id)[name], signal.data)
            assert again.signals[name].axes == signal.axes
        assert (again.stage, again.optics, again.holder) == (made.stage, made.optics, made.holder)
        second = one_step(keeper, 1)
        assert [s.number for s in reader.steps()] == [0, 1]
        np.testing.assert_array_equal(reader.frame(second)["HAADF"], counts(second))
        assert reader.events()[0].message == "hello"
        assert reader.rows.signals(second)[0].mean == pytest.approx(30, abs=1)
    keeper.close()


def test_no_frame_is_made_up(survey):
    keeper = recorder(survey)
    lost, refused = intent(keeper), intent(keeper)
    keeper.fail(lost, "camera blank", spent=True)
    keeper.fail(refused, "over the limit", spent=False)
    with SurveyReader(survey.path) as reader:
        with pytest.raises(ArchiveError, match=r"lost \(camera blank\)"):
            reader.frame(lost)
        with pytest.raises(ArchiveError, match=r"failed \(over the limit\)"):
            reader.frame(refused)
        with pytest.raises(ArchiveError, match="none of that id"):
            reader.frame(99)
    keeper.close()


def test_a_start_after_a_crash_mends_and_reports(survey):
    keeper = recorder(survey)
    ids = [one_step(keeper, number) for number in range(3)]
    open_intent = intent(keeper)
    keeper.journal.close()  # as a crash: nothing is trimmed, the intent stays open
    stored = keeper._store
    haadf = next(name for name in stored._used if name.startswith("HAADF"))
    folder = array_folder(survey.frames, haadf)
    (folder / "c.1.0.0").unlink()
    (folder / "c.9.0.abc.partial").write_bytes(b"half")
    (survey.frames / "BF.zarr.partial").mkdir()
    again = recorder(survey)
    assert again.recovery.lost == (open_intent,)
    assert again.recovery.debris == 2
    assert len(again.recovery.damaged) == 1
    assert "missing" in again.recovery.damaged[0]
    assert again.rows.exposure(open_intent).state == "lost"
    assert one_step(again, 3) == open_intent + 1
    again.close()
    with SurveyReader(survey.path) as reader:
        np.testing.assert_array_equal(reader.frame(ids[2])["HAADF"], counts(ids[2]))
        with pytest.raises(DamagedFrame):
            reader.frame(ids[1])


def test_a_closed_survey_can_be_read_where_nobody_may_write(survey):
    keeper = recorder(survey)
    exposure_id = one_step(keeper, 0)
    keeper.close()
    assert not survey.journal.with_name("journal.sqlite-wal").exists()
    with SurveyReader(survey.path) as reader:
        assert reader.frame(exposure_id)["HAADF"].shape == (32, 32)


def test_an_exposure_without_room_is_refused_before_the_beam(survey):
    free = [1 << 30]
    keeper = recorder(survey, reserve_bytes=1 << 29, free_bytes=lambda path: free[0])
    assert (survey.path / "ballast").stat().st_size == 1 << 20
    intent(keeper)
    free[0] = (1 << 29) + 1000
    with pytest.raises(
        BudgetError, match=r"needs up to 1\.0 MiB and a reserve of 512\.0 MiB, found 512\.0 MiB"
    ) as caught:
        intent(keeper)
    assert str(survey.path) in str(caught.value)
    assert not (survey.path / "ballast").exists()
    keeper.event("disk", "full", time_s=1.0)
    assert len(list(keeper.rows.exposures())) == 1
    keeper.close()


def test_the_bound_learns_from_what_was_seen(survey):
    asked = []

    def free(path):
        return asked[-1] if asked else 1 << 40

    keeper = recorder(survey, bytes_per_pixel=1.0, free_bytes=free)
    one_step(keeper, 0)  # two signals of two bytes
    asked.append((1 << 20) + 2 * 1024 * 1024)
    with pytest.raises(BudgetError):
        intent(keeper, Exposure(field_of_view_nm=1.0, shape=(1024, 1024), dwell_us=1.0))
    keeper.close()


def test_a_disk_that_fills_during_the_exposure_loses_that_one_and_says_so(survey, monkeypatch):
    keeper = recorder(survey)
    kept = one_step(keeper, 0)
    exposure_id = intent(keeper)
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "sync_file", _no_space)
        with pytest.raises(BudgetError, match="No space left on device"):
            keeper.commit(exposure_id, frame(exposure_id))
    assert keeper.rows.exposure(exposure_id).state == "lost"
    later = one_step(keeper, 1)
    keeper.close()
    with SurveyReader(survey.path) as reader:
        for good in (kept, later):
            np.testing.assert_array_equal(reader.frame(good)["HAADF"], counts(good))


def _no_space(path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 6 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", mount], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["/bin/umount", mount], check=True)


@pytest.mark.parametrize("checked", [True, False], ids=["room is asked for", "somebody else fills the disk"])
def test_a_full_disk_harms_no_committed_frame(small_disk, checked):
    """With the room check the exposure is refused before the beam; without it the frame is lost and says so."""
    path = small_disk / "s"
    free = {} if checked else {"free_bytes": lambda path: 1 << 40}
    committed, refusals = [], []
    with new_folder(path) as folder:
        keeper = recorder(folder, bytes_per_pixel=4.0, **free)
        for number in range(3000):
            try:
                exposure_id = intent(keeper, EXPOSURE)
                keeper.commit(exposure_id, frame(exposure_id))
            except (BudgetError, JournalFull) as error:
                refusals.append(error)
                break
            committed.append(exposure_id)
            keeper.step(step(number, exposure_id, cells=1))
        keeper.event("disk", "full", time_s=1.0)
        states = {row.state for row in keeper.rows.exposures()}
        keeper.journal.close()
    assert refusals
    assert len(committed) > 50
    assert states == ({"committed"} if checked else states & {"committed", "lost", "intent"})
    with SurveyFolder.open(path) as folder:
        again = recorder(folder)
        assert again.recovery.damaged == ()
        again.journal.close()
    with SurveyReader(path) as reader:
        for exposure_id in committed:
            np.testing.assert_array_equal(reader.frame(exposure_id)["HAADF"], counts(exposure_id))


def test_every_stream_says_whose_it_is(tmp_path):
    """Found without its survey, an array still tells the survey's name, its people and its licence."""
    with new_folder(tmp_path / "s") as folder:
        keeper = recorder(folder)
        exposure_id = intent(keeper)
        keeper.commit(exposure_id, frame(exposure_id))
        keeper.close()
        streams = [zarr.open_group(path, mode="r") for path in folder.frames.glob("*.zarr") if (path / "0").is_dir()]
        told = [stream.attrs["adaptem"] for stream in streams]
    assert told
    assert all(about["survey"] == "s" and about["who"] == dict(folder.meta.who) for about in told)
