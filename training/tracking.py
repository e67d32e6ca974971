"""A training run in MLflow: an SQLite store beside the runs, written by the driver alone, nothing sent home.

Parameters, metrics by environment step, the learning curve, a picture of one survey, and the policy as a pyfunc "from
code" whose weights are safetensors. A new database is made here, before anything else opens it: two processes that
make one at the same time break it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

import mlflow
from mlflow.entities import Metric, Param

from training import tracked_policy
from training.run import CONFIG, MLFLOW_RUN, POLICY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.settings import TrainSettings

EXPERIMENT, ALIAS, DATABASE = "adaptem", "champion", "mlflow.db"
_MOST_PARAM = 500
"""Characters of a parameter: longer ones are in config.yaml."""


class Tracker:
    """One run; the same one where it is resumed. As a context it tells MLflow how the run ended, however it does."""

    def __init__(self, settings: TrainSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        mlflow.set_tracking_uri(f"sqlite:///{(settings.out / DATABASE).resolve()}")
        self._client = mlflow.MlflowClient()
        found = self._client.get_experiment_by_name(EXPERIMENT)
        places = (settings.out / "artifacts").resolve().as_uri()
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT, places)
        self._logged: Counter[tuple[str, int]] = Counter()
        kept = folder / MLFLOW_RUN
        if kept.exists():
            self.run = kept.read_text("utf-8").strip()
            self._client.update_run(self.run, "RUNNING")
            for name in self._client.get_run(self.run).data.metrics:
                self._logged.update((name, each.step) for each in self._client.get_metric_history(self.run, name))
            return
        self.run = self._client.create_run(experiment, run_name=settings.name).info.run_id
        kept.write_text(self.run, encoding="utf-8")
        params = [Param(name, text[:_MOST_PARAM]) for name, text in _flat(settings.model_dump(mode="json")).items()]
        for first in range(0, len(params), 100):
            self._client.log_batch(self.run, params=params[first : first + 100])

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        status = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._client.set_terminated(self.run, status)

    def log(self, row: Mapping[str, float]) -> None:
        """Every number of a row, at its environment step, in one call; not those that a resumed run makes again."""
        step, now_ms = int(row.get("env_steps", 0)), int(time.time() * 1000)
        names = [name for name in row if name != "env_steps" and not self._logged[name, step]]
        self._logged -= Counter((name, step) for name in row)
        self._client.log_batch(self.run, metrics=[Metric(name, float(row[name]), now_ms, step) for name in names])

    def finish(self, about: Mapping[str, Any], pictures: list[Path]) -> str:
        """Keep files and policy, and point the alias ``champion`` at the best so far; the registered version.

        ``about``: ``hash`` and ``score`` of the policy, and the ``commit``. Weights are registered once.
        """
        for path in [self._folder / CONFIG, self._folder / POLICY, *pictures]:
            self._client.log_artifact(self.run, str(path))
        for name in ("commit", "hash"):
            self._client.set_tag(self.run, name, str(about.get(name, "")))
        if (kept := self._registered(str(about["hash"]))) is not None:
            return kept
        with mlflow.start_run(run_id=self.run):
            info = mlflow.pyfunc.log_model(
                name="policy",
                python_model=tracked_policy.__file__,
                artifacts={"policy": str(self._folder / POLICY)},
                pip_requirements=["adaptem[train]"],
                registered_model_name=self._settings.name,
            )
        version, score = str(info.registered_model_version), float(about["score"])
        self._client.set_model_version_tag(self._settings.name, version, "score", str(score))
        if score >= self._champion():
            self._client.set_registered_model_alias(self._settings.name, ALIAS, version)
        self._client.set_model_version_tag(self._settings.name, version, "hash", str(about["hash"]))
        return version

    def _registered(self, weights: str) -> str | None:
        """The version of this name that has these weights; its hash is its last tag, so that all else was done."""
        for kept in self._client.search_model_versions(f"name = '{self._settings.name}'"):
            if kept.tags.get("hash") == weights:
                return str(kept.version)
        return None

    def _champion(self) -> float:
        """The score of the registered policy that has the alias; below all where none has it."""
        try:
            kept = self._client.get_model_version_by_alias(self._settings.name, ALIAS)
        except mlflow.MlflowException:
            return -1.0
        return float(kept.tags.get("score", -1.0))


def _flat(data: Any, path: str = "") -> dict[str, str]:
    """Dotted path → value as text."""
    if isinstance(data, dict) and data:
        return {k: v for name, each in data.items() for k, v in _flat(each, f"{path}.{name}" if path else name).items()}
    return {path.replace("'", ""): str(data)}
