"""Whatever is wrong, a person gets one clear line and an exit code; no beam, no trace, nothing recorded touched."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest
from console_helpers import adaptem, checksums, config, refused, start
from PIL import Image

from archive.folder import SurveyFolder

SCALE = ("--set", "instrument.pixel_size_nm=0.1")


@pytest.fixture
def night(tmp_path):
    return tmp_path / "night"


@pytest.fixture(params=["png", "tif", "jpg"])
def truncated(request, tmp_path):
    path = tmp_path / f"half.{request.param}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_a_truncated_image(truncated, night):
    told = refused(adaptem("survey", truncated, *SCALE, "--out", night))
    assert str(truncated) in told and "whole" in told
    assert not night.exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.png", None, "no such image"),
        ("text.png", b"a letter", "cannot be read as an image"),
        ("empty.tif", b"", "cannot be read as an image"),
        ("words.docx", b"a letter", ".docx"),
        ("missing.yaml", None, "no such file"),
        ("empty.yaml", b"", "the file is empty"),
        ("binary.yaml", b"\xff\xfe\x00", "not a text file"),
        ("broken.yaml", b"a: [1", "not valid YAML"),
        ("folder.yaml/", None, "this is a folder"),
    ],
)
def test_a_source_that_cannot_be_read(name, content, says, tmp_path, night):
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    told = refused(adaptem("survey", path, *SCALE, "--out", night))
    assert says in told and path.name in told
    assert not night.exists()


def test_an_image_that_does_not_tell_its_scale(tmp_path, night):
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(tmp_path / "x.png")
    assert "--set instrument.pixel_size_nm" in refused(adaptem("survey", tmp_path / "x.png", "--out", night))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("looks.detail.dwel_us=3", "did you mean dwell_us"),
        ("instrument.kind=nonesuch", "'nonesuch' is no driver that is installed"),
        ("budget.hours=-1", "budget.hours"),
        ("budget.hours", "a.b=value"),
        ("looks.detail.dwell_us=.nan", "not a finite number"),
    ],
)
def test_a_config_that_cannot_be_used(override, says, tmp_path, night):
    told = refused(adaptem("survey", config(tmp_path), "--set", override, "--out", night))
    assert says in told
    assert not night.exists()


def test_all_problems_are_told_at_once_each_with_its_line(tmp_path):
    path = config(tmp_path)
    path.write_text(path.read_text().replace("dwell_us", "dwel_us"))
    result = adaptem("config", path)
    assert result.exit_code == 2
    lines = path.read_text().splitlines()
    wrong = {str(number) for number, line in enumerate(lines, start=1) if "dwel_us" in line}
    told = [line for line in result.stderr.splitlines() if "did you mean dwell_us" in line]
    assert wrong <= {line.split(":")[2] for line in told}


def test_a_budget_that_cannot_pay_for_one_look(tmp_path, night):
    result = adaptem("survey", config(tmp_path), "--set", "budget.electrons=10", "--out", night)
    assert result.exit_code == 2
    assert all("cannot pay for one" in line for line in result.stderr.splitlines())
    assert not night.exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    told = refused(adaptem("survey", config(tmp_path), "--out", tmp_path / "file" / "night"))
    assert "choose another" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o500)
    assert "choose another" in refused(adaptem("survey", config(tmp_path), "--out", tmp_path / "theirs" / "night"))


def test_a_folder_that_holds_a_survey(finished, tmp_path):
    before = checksums(finished)
    told = refused(adaptem("survey", config(tmp_path), "--out", finished))
    assert "adaptem resume" in told and "choose another folder" in told
    assert checksums(finished) == before


def test_a_folder_that_another_run_writes_to(finished, tmp_path):
    with SurveyFolder.open(finished):
        before = checksums(finished)
        process = start("survey", config(tmp_path), "--out", finished)
        said, told = process.communicate(timeout=60)
        assert (process.returncode, said) == (2, "")
        assert f"process {os.getpid()}" in told and len(told.splitlines()) == 1
        assert checksums(finished) == before


def test_a_disk_without_room(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        shape = "looks.detail.shape=[512,512]"
        told = refused(adaptem("survey", config(tmp_path), "--set", shape, "--out", disk / "night"))
        assert "MiB free" in told and "choose another disk" in told
        assert list(disk.iterdir()) in ([], [disk / "night"])
        assert not list(disk.rglob("*.*"))
    finally:
        subprocess.run(["umount", disk], check=True)


WORDS = [["status"], ["report"], ["explain", 3], ["resume"], ["pause"], ["stop"], ["end", "--because", "x"]]


@pytest.mark.parametrize("words", WORDS)
def test_a_folder_without_a_survey(words, tmp_path):
    told = refused(adaptem(words[0], tmp_path, *words[1:]))
    assert "survey.json" in told and "give a survey's folder" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["status"], ["report"], ["explain", 1], ["resume"]])
def test_a_journal_that_is_damaged(words, finished, tmp_path):
    for name in ("survey.json", "journal.sqlite"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    (tmp_path / "journal.sqlite").write_bytes(b"not a journal at all" * 500)
    told = refused(adaptem(words[0], tmp_path, *words[1:]), code=1)
    assert told.startswith("record:")


def test_a_step_that_is_not_there(finished):
    assert "adaptem status" in refused(adaptem("explain", finished, 9999))


def test_nothing_runs_that_could_be_paused(finished):
    before = checksums(finished)
    assert "nothing runs" in refused(adaptem("pause", finished))
    stopped = adaptem("stop", finished)
    assert stopped.exit_code == 0 and "nothing runs" in stopped.stdout
    assert "has ended" in refused(adaptem("end", finished, "--because", "x"))
    assert checksums(finished) == before


def test_brackets_are_no_markup(tmp_path):
    path = tmp_path / "[bold]odd :smile: [red].yaml"
    path.write_text("nam: '[red]'\n")
    result = adaptem("config", path)
    assert result.exit_code == 2
    assert str(path) in result.stderr


def test_wide_lines_are_not_cut(finished, tmp_path):
    deep = tmp_path / ("long" * 40)
    assert str(deep) in refused(adaptem("status", deep))
    table = adaptem("explain", finished, 1).stdout
    assert "predicted interest" in table and "…" not in table


def test_a_driver_that_is_not_the_configs_own():
    assert "--config" in refused(adaptem("doctor", "--instrument", "nonesuch"))
