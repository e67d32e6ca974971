"""Room on disk: asked for before the beam is unblanked, with a last reserve for the rows that say it ran out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archive.durable import sync_file
from instruments.errors import NoRoom
from instruments.ledger_sqlite import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BALLAST_BYTES = 1 << 20
MEBIBYTE = 1 << 20


class Room:
    """Free space of a survey's folder, above a reserve that no exposure may touch."""

    def __init__(self, folder: Path, *, reserve_bytes: int, free_bytes: Callable[[Path], int] = free_bytes) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"
        self._reserve_bytes = reserve_bytes
        self._free_bytes = free_bytes

    def require(self, needed_bytes: int, what: str) -> None:
        """Raises NoRoom unless ``needed_bytes`` fit above the reserve; the ballast is let go then."""
        found = self._free_bytes(self._folder)
        if found - self._reserve_bytes >= needed_bytes:
            return
        self.release_ballast()
        raise NoRoom(
            f"no room for {what} in {self._folder}: it needs up to {needed_bytes / MEBIBYTE:.1f} MiB and a reserve of "
            f"{self._reserve_bytes / MEBIBYTE:.1f} MiB, found {found / MEBIBYTE:.1f} MiB free; free some and resume"
        )

    def fill_ballast(self) -> None:
        """Lay aside ``BALLAST_BYTES``, where there is room for them. Raises OSError where they cannot be written."""
        if self._ballast.exists() or self._free_bytes(self._folder) < self._reserve_bytes + BALLAST_BYTES:
            return
        with self._ballast.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
            else:  # macOS
                file.write(b"\0" * BALLAST_BYTES)
        sync_file(self._ballast)

    def release_ballast(self) -> bool:
        """Give the last rows their room; False when it was given before."""
        if not self._ballast.exists():
            return False
        self._ballast.unlink()
        return True
