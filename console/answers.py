"""Commands with which a person has a say in a running survey: approve, reject, skip, look."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.exits import plain_errors, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from surveys.asking import Wish

Folder = Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)]
Proposal = Annotated[
    int | None, typer.Option("--proposal", help="Its number; left out, the one that waits now.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (approve, reject, skip, look):
        app.command()(command)


def approve(folder: Folder, proposal: Proposal = None) -> None:
    """Agree to what a survey with `autonomy: confirm` proposes; `adaptem status` shows it."""
    _answer(folder, "approve", proposal)


def reject(folder: Folder, proposal: Proposal = None) -> None:
    """Refuse what it proposes: that place is not proposed again."""
    _answer(folder, "reject", proposal)


def skip(
    folder: Folder, target: Annotated[int, typer.Argument(help="Number of the target.", show_default=False)]
) -> None:
    """Never look at a target again."""
    _ask(folder, "skip", {"target": target})


def look(
    folder: Folder,
    x_nm: Annotated[float, typer.Argument(help="Stage position of the place.", show_default=False)],
    y_nm: Annotated[float, typer.Argument(help="Stage position of the place.", show_default=False)],
) -> None:
    """Look closely at the site nearest to a place, next."""
    _ask(folder, "look_here", {"x_nm": x_nm, "y_nm": y_nm})


def _answer(folder: Path, kind: Wish, proposal: int | None) -> None:
    with plain_errors():
        from archive.folder import read_meta
        from archive.rows import Rows, open_read_only
        from configs.errors import ConfigError

        read_meta(folder)
        with closing(open_read_only(folder / "journal.sqlite")) as journal:
            found = Rows(journal).open_proposal()
        waiting = None if found is None else int(found.data["proposal"])
        if waiting is None or proposal not in (None, waiting):
            told = "no proposal waits" if waiting is None else f"proposal {waiting} waits, not {proposal}"
            raise ConfigError(f"{told}; `adaptem status {folder}` shows what the survey asks")
        _ask(folder, kind, {"proposal": waiting})


def _ask(folder: Path, kind: Wish, data: Mapping[str, object]) -> None:
    with plain_errors():
        from surveys.asking import ask_running

        number = ask_running(folder, kind, data)
        words = ", ".join(f"{name} {value}" for name, value in data.items())
        say(f"asked the survey in {folder}: {kind} ({words}), request {number}")
