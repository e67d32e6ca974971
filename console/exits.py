"""Exit codes, and the one place where an error becomes a line for a person."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    FAILED = 1
    CONFIGURATION = 2
    SAFETY = 3
    HARDWARE = 4
    INCOMPLETE = 5
    INTERRUPTED = 130


output = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def show(data: object) -> None:
    """Print ``data`` as JSON, for ``--json``."""
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a person can mend into one clear line and its exit code; anything else stays a traceback."""
    from archive.errors import ArchiveError
    from instruments.errors import HardwareFault, InstrumentError

    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            errors.print(f"[bold red]configuration:[/] {problem}")
        raise typer.Exit(Exit.CONFIGURATION) from None
    except ArchiveError as error:
        errors.print(f"[bold red]record:[/] {error}")
        raise typer.Exit(Exit.CONFIGURATION) from None
    except HardwareFault as error:
        errors.print(f"[bold red]{'safety stop' if error.latching else 'hardware'}:[/] {error}")
        raise typer.Exit(Exit.SAFETY if error.latching else Exit.HARDWARE) from None
    except InstrumentError as error:
        errors.print(f"[bold red]instrument:[/] {error}")
        raise typer.Exit(Exit.HARDWARE) from None
    except KeyboardInterrupt:
        errors.print("interrupted")
        raise typer.Exit(Exit.INTERRUPTED) from None
