"""What the library's commands share: which library, and what a person says of who and what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from archive.library import Library
    from configs.who import Who

VARIABLE = "ADAPTEM_LIBRARY"
DEFAULT = Path("surveys_data/library.sqlite")
File = Annotated[
    str | None,
    typer.Option("--library", help=f"The library's file, or postgresql://…. Default: ${VARIABLE}, or {DEFAULT}."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Elements = Annotated[list[str] | None, typer.Option("--element", help="A chemical symbol. May be repeated.")]


def opened_library(where: str | None, *, create: bool = False, write: bool = True) -> Library:
    """The library that was named, or the usual one. Without ``write`` only read, once it is of this version.

    Raises LibraryError where it is not there and not to be made.
    """
    from archive.library import Library
    from archive.library_records import OlderLibraryError

    named = where or os.environ.get(VARIABLE) or DEFAULT
    try:
        return Library(named, create=create, write=write)
    except OlderLibraryError:
        Library(named, create=False).close()
        return Library(named, create=False, write=False)


def said(
    *,
    operator: str | None = None,
    orcid: str | None = None,
    licence: str | None = None,
    elements: list[str] | None = None,
) -> Who:
    """What a person typed, checked as in a config. Raises ConfigError."""
    from pydantic import ValidationError

    from configs.errors import ConfigError
    from configs.who import Who

    try:
        return Who(operator=operator, orcid=orcid, licence=licence, elements=tuple(elements) if elements else None)
    except ValidationError as error:
        lines = (f"{each['loc'][0]}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors())
        raise ConfigError(*lines) from error
