"""What every command does when all is well."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import tifffile
from console_helpers import adaptem, checksums, config, refused, start, strict
from PIL import Image

from configs.load import load
from surveys.settings import SurveySettings


@pytest.fixture
def micrograph(tmp_path):
    """A TIFF that tells its scale: 0.5 nm a pixel."""
    path = tmp_path / "my micrograph.tif"
    image = np.random.default_rng(5).normal(120, 20, (512, 512)).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(path, image, imagej=True, resolution=(2.0, 2.0), metadata={"unit": "nm"})
    return path


def test_init_writes_a_config_that_loads_with_its_comments(tmp_path):
    out = tmp_path / "mine.yaml"
    result = adaptem("init", "--out", out, answers="3\n0.2\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("[") <= 6
    settings = load(out, SurveySettings)
    assert (settings.budget.hours, settings.flagging.false_discovery_rate) == (3.0, 0.2)
    assert "# of the microscope's time" in out.read_text()
    assert f"adaptem survey {out} --dry-run" in result.stdout


def test_init_from_an_image_takes_its_scale(micrograph, tmp_path):
    out = tmp_path / "mine.yaml"
    assert adaptem("init", "--image", micrograph, "--out", out, "--yes").exit_code == 0
    settings = load(out, SurveySettings)
    assert settings.name == "my_micrograph"
    assert settings.instrument.pixel_size_nm == pytest.approx(0.5)
    assert adaptem("survey", out, "--dry-run").exit_code == 0


def test_init_asks_for_a_scale_that_is_missing(tmp_path):
    Image.fromarray(np.zeros((512, 512), np.uint8)).save(tmp_path / "x.png")
    out = tmp_path / "mine.yaml"
    result = adaptem("init", "--image", tmp_path / "x.png", "--out", out, answers="0.25\n0.2\n1\n0.1\n")
    assert result.exit_code == 0, result.output
    settings = load(out, SurveySettings)
    assert (settings.instrument.pixel_size_nm, settings.budget.detail_fraction) == (0.25, 0.2)


def test_init_leaves_what_is_there(tmp_path):
    out = tmp_path / "mine.yaml"
    out.write_text("precious")
    assert "left as it is" in refused(adaptem("init", "--out", out, "--yes"))
    assert out.read_text() == "precious"


@pytest.mark.parametrize("words", [["--instrument", "nonesuch"], ["--instrument", "replay"]])
def test_init_writes_nothing_that_it_cannot_finish(words, tmp_path):
    refused(adaptem("init", *words, "--out", tmp_path / "mine.yaml", "--yes"))
    assert list(tmp_path.iterdir()) == []


def test_init_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert "--out" in refused(adaptem("init", "--yes", "--out", tmp_path / "file" / "mine.yaml"))


def test_config_prints_what_loads_back_equal(tmp_path):
    path, again = config(tmp_path), tmp_path / "again.yaml"
    again.write_text(adaptem("config", path, "--set", "budget.hours=0.25").stdout)
    assert load(again, SurveySettings) == load(path, SurveySettings, ["budget.hours=0.25"])
    assert strict(adaptem("config", path, "--json").stdout)["budget"]["hours"] == 1.0


def test_doctor_finds_the_installation_sound():
    result = adaptem("doctor")
    assert result.exit_code == 0, result.output
    found = strict(adaptem("doctor", "--json").stdout)
    assert {row["check"] for row in found} >= {"python", "packages", "sqlite", "disk", "drivers"}


def test_doctor_checks_an_instrument():
    result = adaptem("doctor", "--instrument", "simulated", "--json")
    assert result.exit_code == 0, result.output
    assert {"blank blanks", "NaN is refused"} <= {row["check"] for row in strict(result.stdout)}


def test_a_dry_run_moves_and_writes_nothing(tmp_path):
    path = config(tmp_path)
    before = checksums(tmp_path)
    result = adaptem("survey", path, "--dry-run", "--out", tmp_path / "night")
    assert result.exit_code == 0
    assert all(word in result.stdout for word in ("e/Å²", "electrons", "MB", "sites", "µm"))
    planned = strict(adaptem("survey", path, "--dry-run", "--json").stdout)
    assert planned["bytes"] > 0
    assert checksums(tmp_path) == before


def test_a_dry_run_touches_no_instrument(tmp_path, monkeypatch):
    def touched(*_args: object, **_options: object) -> None:
        raise AssertionError("the instrument was opened")

    for module in ("instruments.drivers.registry", "surveys.guarding"):
        monkeypatch.setattr(importlib.import_module(module), "open_microscope", touched)
    assert adaptem("survey", config(tmp_path), "--dry-run").exit_code == 0


def test_a_survey_from_its_command_to_its_report(tmp_path):
    process = start("survey", config(tmp_path), "--out", tmp_path / "night")
    said, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (0, "")
    assert said.splitlines()[0] == f"small → {tmp_path / 'night'}"
    assert said.splitlines()[-1] == f"report: {tmp_path / 'night' / 'report.html'}"
    assert strict((tmp_path / "night" / "report.json").read_text())["ended"]["data"]["reason"] == "complete"


def test_json_lines_and_nothing_else(tmp_path):
    process = start("survey", config(tmp_path), "--out", tmp_path / "night", "--json")
    said, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (0, "")
    *steps, end = [strict(line) for line in said.splitlines()]
    assert [row["step"] for row in steps] == list(range(len(steps)))
    assert end["exit"] == 0 and end["reason"] == "complete"
    again = [strict(line) for line in adaptem("resume", tmp_path / "night", "--json").stdout.splitlines()]
    assert again[-1]["exit"] == 0


def test_surveys_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = config(tmp_path)
    for number in (1, 2):
        assert f"surveys_data/small-00{number}" in adaptem("survey", path).stdout


def test_any_image_is_a_specimen(micrograph, tmp_path):
    sets = ("--set", "looks.detail.sites_across=8", "--set", "budget.detail_fraction=0.05")
    result = adaptem("survey", micrograph, *sets, "--out", tmp_path / "night")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "night" / "survey.json").read_text())["config"]["name"] == "my_micrograph"


def test_a_small_image_gets_as_many_sites_as_it_holds(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (200, 300), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    words = ("survey", tmp_path / "small.png", "--set", "instrument.pixel_size_nm=0.1", "--out", tmp_path / "n")
    result = adaptem(*words)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "n" / "survey.json").read_text())["config"]["looks"]["overview"]["sites"] == 3
    negative = adaptem(*words[:3], "instrument.pixel_size_nm=-1")
    assert "more than 0 nm wide, found -1" in refused(negative)


def test_status_and_explain_agree_with_the_report(finished):
    report = strict((finished / "report.json").read_text())
    status = strict(adaptem("status", finished, "--json").stdout)
    assert status["steps"] == report["done"]["steps"]
    assert status["state"].startswith("ended")
    assert status["state"] in adaptem("status", finished).stdout
    step = strict(adaptem("explain", finished, 1, "--json").stdout)
    assert step["number"] == 1
    told = adaptem("explain", finished, 1).stdout
    assert "reason:" in told and "decided by:" in told


def test_report_writes_it_again(finished):
    (finished / "report.html").unlink()
    assert adaptem("report", finished).stdout == f"report: {finished / 'report.html'}\n"
    assert (finished / "report.html").is_file()


def test_the_version_is_told():
    assert adaptem("--version").stdout.startswith("adaptem")
