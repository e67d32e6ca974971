"""The command ``adaptem``. Commands import what they run only when they run, so that help is instant."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from console import (
    answers,
    calibrate,
    campaign,
    export,
    files,
    flag,
    instruments,
    learn,
    library,
    look,
    night,
    plan,
    policies,
    quality,
    review,
    safety,
    see,
    simulate,
    start,
    track,
    train,
    watch,
)

app = typer.Typer(
    name="adaptem",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Drive a transmission electron microscope through the night, and show what it found in the morning.",
    epilog="Exit codes: 0 ok, 1 failed, 2 configuration, 3 safety stop, 4 hardware, 5 incomplete, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"adaptem {metadata.version('adaptem')}")
        except metadata.PackageNotFoundError:
            typer.echo("adaptem, not installed but run from its source")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Drive a transmission electron microscope through the night, and show what it found in the morning."""


for group in (
    start,
    instruments,
    calibrate,
    night,
    answers,
    look,
    review,
    learn,
    quality,
    export,
    files,
    library,
    campaign,
    flag,
    see,
    plan,
    safety,
    simulate,
    track,
    train,
    watch,
    policies,
):
    group.register(app)


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
