"""The survey config that `adaptem plan` writes: a person's own changes to it are never written over."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from configs.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "# As written, SHA-256 of the lines below: "


def refuse_changed(path: Path) -> None:
    """Raise ConfigError where the file is there and is not what was written. OSError where it cannot be read."""
    if not path.exists():
        return
    first, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    if first != _MARK + _digest(rest):
        raise ConfigError(
            f"{path} is there and was changed since `adaptem plan` wrote it, or is not of it: it is not written over; "
            "rename it, or name another folder by --out"
        )


def write(path: Path, text: str) -> None:
    """With a first line that tells whether it was changed since. Raises OSError."""
    path.write_text(f"{_MARK}{_digest(text)}\n{text}", encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
