"""The project's own files, as text and as syntax trees."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("configs", "instruments", "envs", "models", "agent", "archive", "surveys", "training", "review", "console")


def modules(*folders: str) -> list[Path]:
    """The Python files of these folders (all of ours by default), and of the facade."""
    found = [path for folder in folders or FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return found if folders else [*found, ROOT / "adaptem.py"]


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def published() -> list[Path]:
    """Every text file that a clone has, or would have."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: git says which files are published")
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.split("\0")
    return [path for one in listed if one and (path := ROOT / one).is_file() and _is_text(path)]


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" not in file.read(4096)


def imports(node: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import below ``node``."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name.partition(".")[0]) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0 and child.module:
            yield child.lineno, child.module.partition(".")[0]
