from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from console_helpers import adaptem, config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a survey that came to its end."""
    place = tmp_path_factory.mktemp("finished")
    result = adaptem("survey", config(place), "--out", place / "night")
    assert result.exit_code == 0, result.output
    gc.collect()  # its ledger is let go of when its process would end, which changes the file
    return place / "night"
