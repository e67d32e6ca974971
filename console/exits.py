"""Exit codes, what is said to a person, and the one place where an error becomes a line for one."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    FAILED = 1
    CONFIGURATION = 2
    SAFETY = 3
    HARDWARE = 4
    INCOMPLETE = 5
    INTERRUPTED = 130


# No markup: a path or a message with [brackets] is shown as it is.
output = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
errors = Console(soft_wrap=True, highlight=False, markup=False, emoji=False, stderr=True)


def say(message: RenderableType, style: str | None = None) -> None:
    """Print for whoever listens. Nobody may be left (``| head``, a closed terminal): a night does not end for that."""
    with suppress(OSError, SystemExit):  # rich answers a broken pipe with SystemExit, once stdout leads to nowhere
        output.print(message, style=style)


def show(data: object, *, line: bool = False) -> None:
    """Print ``data`` as strict JSON, for ``--json``: what is not finite is null. ``line``: all of it on one line."""
    from review.words import as_json

    say(as_json(data, indent=None if line else 2))


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a person can mend into one clear line and its exit code; anything else stays a traceback."""
    from pydantic import ValidationError

    from archive.errors import ArchiveError, FolderError, JournalFull
    from instruments.errors import HardwareFault, InstrumentError

    try:
        yield
    except ConfigError as error:
        raise _told(Exit.CONFIGURATION, "configuration", *error.problems) from None
    except JournalFull as error:
        raise _told(Exit.INCOMPLETE, "record", error, "free some room, then `adaptem resume`") from None
    except ArchiveError as error:
        code = Exit.CONFIGURATION if isinstance(error, FolderError) else Exit.FAILED
        raise _told(code, "record", error) from None
    except (sqlite3.Error, ValidationError) as error:
        message = f"it cannot be read ({error}): restore it from a copy, or use the adaptem that wrote it"
        raise _told(Exit.FAILED, "record", message) from None
    except HardwareFault as error:
        code = Exit.SAFETY if error.latching else Exit.HARDWARE
        raise _told(code, "safety stop" if error.latching else "hardware", error) from None
    except InstrumentError as error:
        raise _told(Exit.HARDWARE, "instrument", error) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise _told(Exit.FAILED, "system", f"{where}{error.strerror or error}") from None
    except KeyboardInterrupt as error:
        raise _told(Exit.INTERRUPTED, "interrupted", str(error) or "by Ctrl-C") from None


def _told(code: Exit, kind: str, *problems: object) -> typer.Exit:
    for problem in problems:
        words = " ".join(part.strip() for part in str(problem).splitlines())
        with suppress(OSError, SystemExit):
            errors.print(Text.assemble((f"{kind}:", "bold red"), " ", words))
    return typer.Exit(code)
