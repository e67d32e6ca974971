"""What every test shares: one thread, no window, no chance that differs from run to run, and the real data's place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from library_places import place, schema, server

__all__ = ["place", "real_data", "root", "schema", "server"]

ROOT = Path(__file__).resolve().parents[1]

# Before numpy or matplotlib are imported, and inherited by every command that a test starts.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="Agg")
# Latches and locks of columns are kept for each process of tests, not where this user's instruments are.
_STATE = tempfile.TemporaryDirectory(prefix="adaptem-state-")
os.environ["ADAPTEM_STATE"] = _STATE.name
os.environ.update(DO_NOT_TRACK="1", MLFLOW_DISABLE_TELEMETRY="true", RAY_USAGE_STATS_ENABLED="0")

settings.register_profile(
    "adaptem", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("adaptem")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of recorded data (`ADAPTEM_DATA`, or ../shared/data); skips where there is none."""
    folder = Path(os.environ.get("ADAPTEM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the recorded data is not here; ADAPTEM_DATA names its folder")
    return folder
