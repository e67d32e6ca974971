"""Running the real commands, in this process and in one of their own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from survey_samples import small
from typer.testing import CliRunner

from configs.load import dump
from console.main import app

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).resolve().parents[2]


def adaptem(*words: object, answers: str | None = None) -> Result:
    """Run a command here; what is not an exit code is raised."""
    result = CliRunner().invoke(app, list(map(str, words)), input=answers)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def start(*words: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "console.main", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


def refused(result: Result, code: int = 2) -> str:
    """The one line that an error is told in; nothing else was said."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def config(folder: Path, name: str = "survey.yaml", **changes: Any) -> Path:
    """A config of a small simulated survey."""
    path = folder / name
    path.write_text(dump(small(**changes)), encoding="utf-8")
    return path


def checksums(folder: Path) -> dict[str, str]:
    """Of every file in a folder; SQLite's shared memory, which readers map, aside."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def wait_for(condition: Any, timeout_s: float = 30.0) -> None:
    """Until ``condition()`` holds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError("it did not come to that in time")
        time.sleep(0.05)


def strict(text: str) -> Any:
    """JSON by the letter: NaN and Infinity are refused."""

    def no(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=no)
