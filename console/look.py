"""Commands that look at a survey and change nothing: status, explain, report, signals."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from console.exits import output, plain_errors, say, show

Folder = Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]

WIDE = 160
"""Columns of a table where there is no terminal that would say its own."""


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (status, explain, report, signals):
        app.command()(command)


def status(folder: Folder, json: Json = False) -> None:
    """What a survey is doing, from its record; works while it runs and after."""
    with plain_errors():
        from review.status import status_of
        from review.words import duration, named, quantity, share

        found = status_of(folder)
        if json:
            show(found)
            return
        told = {
            name: share(value) if name.endswith("_ratio") else quantity(value) if isinstance(value, float) else value
            for name, value in found.items()
        }
        told["hours"] = duration(found["hours"] * 3600.0)
        for name, value in told.items():
            if value is not None and name != "health":
                say(f"{'time' if name == 'hours' else named(name):>20}  {value}")


def explain(
    folder: Folder,
    step: Annotated[int, typer.Argument(help="Number of the step.", show_default=False)],
    specimen: Annotated[str | None, typer.Option(help="Which specimen, where the survey has several.")] = None,
    json: Json = False,
) -> None:
    """Why the agent did this at a step, and not the next best four."""
    with plain_errors():
        from configs.errors import ConfigError
        from review.explain import explanation

        found = explanation(folder, step, specimen)
        if found is None:
            of = f" of {specimen}" if specimen else ""
            raise ConfigError(f"no step {step}{of} in {folder}: `adaptem status {folder}` says how many there are")
        if json:
            show(found.as_dict())
            return
        if not output.is_terminal:
            output.width = WIDE
        if found.step.decision.candidates:
            say(found.as_table())
        say(found.as_words())


def report(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write them into. Default: the survey's own.", show_default=False)
    ] = None,
    pdf: Annotated[
        Path | None,
        typer.Option(help="Print it into this file; without --out nothing else is written. Needs Chromium."),
    ] = None,
) -> None:
    """Write report.html and report.json again; also while the survey runs."""
    with plain_errors(), TemporaryDirectory() as passing:
        from configs.errors import ConfigError
        from review.printing import print_pdf
        from review.report import write_report
        from review.tracking import write_tracking_report
        from surveys.tracking_rows import is_followed

        if out is None and pdf is None and folder.is_dir() and not os.access(folder, os.W_OK):
            raise ConfigError(f"{folder} cannot be written: name another folder by --out, or a file by --pdf alone")
        into = Path(passing) if out is None and pdf is not None else out
        page = write_tracking_report(folder, out=into) if is_followed(folder) else write_report(folder, into)
        if pdf is None or out is not None:
            say(f"report: {page}")
        if pdf is not None:
            print_pdf(page, pdf)
            say(f"printed: {pdf}")


def signals(
    folder: Folder,
    detector: Annotated[
        list[str],
        typer.Option(
            help="annulus:30-60, disc:0-10, bf:10, segment:30-60:0-90 (mrad, degrees), com, energy:280-330 (eV)."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where the images go; by itself the survey's name and -signals.")
    ] = None,
    exposure: Annotated[int | None, typer.Option(help="Of this exposure only.")] = None,
    centre: Annotated[
        bool, typer.Option("--find-centre", help="Take the beam's middle from the patterns, not from their axes.")
    ] = False,
) -> None:
    """Make a new contrast from the patterns and spectra that a survey kept."""
    with plain_errors():
        from review.signals import make_signals

        place = out if out is not None else Path(f"{folder.resolve().name}-signals")
        for made in make_signals(folder, detector, place, exposure=exposure, centre=centre, told=say):
            say(f"{made.detector}: {len(made.files)} image(s) in {place}, shown in {made.picture}")
