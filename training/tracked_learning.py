"""A version learned from labels, in MLflow: how much taught it, how it was judged, its files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
os.environ.setdefault("DO_NOT_TRACK", "true")

import mlflow

from surveys.learned import ARRAYS, CARD, read_card
from training.tracking import DATABASE

if TYPE_CHECKING:
    from pathlib import Path

    from training.learning import Outcome

EXPERIMENT = "adaptem learned from labels"


def track(done: Outcome, store: Path) -> str:
    """One run a version, in an SQLite store beside the versions; the run's id."""
    client = mlflow.MlflowClient(f"sqlite:///{(store / DATABASE).resolve()}")
    found = client.get_experiment_by_name(EXPERIMENT)
    places = (store / "artifacts").resolve().as_uri()
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, places)
    run: str = client.create_run(experiment, run_name=done.version).info.run_id
    card = read_card(done.folder)
    for name in ("version", "hash", "lessons", "audit", "wanted"):
        client.log_param(run, name, card[name])
    for survey, position in card["read"].items():
        where = card["folders"].get(survey, survey)
        client.set_tag(run, f"labels of {where.replace('/', ' ').strip()[-200:]}", str(position))
    client.set_tag(run, "live", str(done.live))
    client.set_tag(run, "why", done.why)
    for where, report in done.evaluation.items():
        for name, value in report.items():
            if isinstance(value, float | int):
                client.log_metric(run, f"{where.replace(',', '')}/{name}", float(value))
    for name in (ARRAYS, CARD):
        client.log_artifact(run, str(done.folder / name))
    client.set_terminated(run)
    return run
