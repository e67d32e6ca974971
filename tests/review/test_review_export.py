"""Labels as files, and what the commands of the morning after refuse."""

from __future__ import annotations

import csv
import io
import json
import socket

import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from review_browser import event, survey
from typer.testing import CliRunner

from archive.labels import LabelEvent
from archive.reader import SurveyReader
from console.main import app
from review.study import Study


def adaptem(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def refused(result):
    assert result.exit_code == 2 and result.stdout == "", result.output
    return result.stderr


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A survey of which one batch is locked."""
    folder = survey(tmp_path_factory.mktemp("judged") / "night")
    study = Study(folder)
    batch = study.batch_for("Ada")
    told = [event(batch.id, item.id, verdict=4 if item.data["flag"] else 1) for item in batch.items]
    note = event(batch.id, batch.items[0].id, "note", text='=HYPERLINK("evil"), two\nlines')
    study.journal.keep([LabelEvent(**one) for one in (*told, note, event(batch.id, None, "lock"))])
    study.close()
    return folder


def test_labels_are_exported_as_csv_and_as_lines_of_json(judged, tmp_path):
    rows = list(csv.DictReader(io.StringIO(adaptem("labels", judged).stdout)))
    assert len(rows) == 13
    assert {(row["blind"], row["trains"]) for row in rows if row["rank"]} == {("4", "True")}
    assert {(row["blind"], row["trains"]) for row in rows if not row["rank"]} == {("1", "False")}
    assert [row["note"] for row in rows if row["note"]] == ['\'=HYPERLINK("evil"), two\nlines']
    assert "wrote 13 labels" in adaptem("labels", judged, "--as", "jsonl", "--out", tmp_path / "l.jsonl").stdout
    lines = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 13 and {tuple(line["streams"]) for line in lines} == {("policy",), ("control",), ("seeded",)}


def test_what_cannot_be_exported_is_told(tmp_path):
    folder = survey(tmp_path / "night")
    assert "nobody has judged" in refused(adaptem("labels", folder))
    study = Study(folder)
    study.batch_for("Ada")
    study.close()
    assert "no batch is locked yet" in refused(adaptem("labels", folder))
    assert "survey" in refused(adaptem("labels", tmp_path))


def test_the_page_is_not_opened_to_other_computers_by_mistake(judged):
    assert "--allow-remote" in refused(adaptem("review", judged, "--host", "0.0.0.0"))  # noqa: S104
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot be had" in refused(adaptem("review", judged, "--port", taken.getsockname()[1]))


def test_a_parquet_table_holds_what_the_lines_of_json_hold(judged, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'parquet' is not installed")
    assert "name its file by --out" in refused(adaptem("labels", judged, "--as", "parquet"))
    assert adaptem("labels", judged, "--as", "parquet", "--out", tmp_path / "labels.parquet").exit_code == 0
    lines = [json.loads(line) for line in adaptem("labels", judged, "--as", "jsonl").stdout.splitlines()]
    table = parquet.read_table(tmp_path / "labels.parquet")
    assert set(table.schema.names) == set(lines[0]) and len(lines) > 5
    assert table.to_pylist() == [{name: line[name] for name in table.schema.names} for line in lines]


def test_flags_are_exported_in_every_form(judged, tmp_path):
    rows = list(csv.DictReader(io.StringIO(adaptem("labels", judged, "--flags").stdout)))
    lines = [json.loads(line) for line in adaptem("labels", judged, "--flags", "--as", "jsonl").stdout.splitlines()]
    with SurveyReader(judged) as reader:
        flags = reader.flags()
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    for row, line, flag in zip(rows, lines, flags, strict=True):
        assert line["sites"] == [site["target"] for site in flag["sites"]] == [line["target"]]
        assert line["by_control"] == []
        same = ("rank", "specimen", "x_nm", "exposure_id", "score", "p_value", "q_value", "surprise", "reason", "tags")
        assert {name: line[name] for name in same} == {name: flag[name] for name in same}
        assert json.loads(line["contributions"]) == json.loads(row["contributions"]) == flag["contributions"]
        assert (float(row["score"]), row["reason"], row["tags"]) == (flag["score"], flag["reason"], "policy")
    told = adaptem("labels", judged, "--flags", "--out", tmp_path / "flags.csv").stdout
    assert "wrote 6 flags" in told and len((tmp_path / "flags.csv").read_text("utf-8").splitlines()) == 7
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'parquet' is not installed")
    assert adaptem("labels", judged, "--flags", "--as", "parquet", "--out", tmp_path / "f.parquet").exit_code == 0
    table = parquet.read_table(tmp_path / "f.parquet")
    assert set(table.schema.names) == set(lines[0])
    assert table.to_pylist() == [{name: line[name] for name in table.schema.names} for line in lines]
    bare = survey(tmp_path / "bare", flags=0)
    assert "no flags" in refused(adaptem("labels", bare, "--flags"))
