"""Commands that look at a survey and change nothing: status, explain, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.exits import Exit, errors, output, plain_errors, show

Folder = Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (status, explain, report):
        app.command()(command)


def status(folder: Folder, json: Json = False) -> None:
    """What a survey is doing, from its record; works while it runs and after."""
    with plain_errors():
        from review.status import status_of

        found = status_of(folder)
        if json:
            show(found)
            return
        for name, value in found.items():
            output.print(f"[dim]{name.replace('_', ' '):>18}[/]  {value}")


def explain(
    folder: Folder,
    step: Annotated[int, typer.Argument(help="Number of the step.", show_default=False)],
    specimen: Annotated[str | None, typer.Option(help="Which specimen, where the survey has several.")] = None,
    json: Json = False,
) -> None:
    """Why the agent did this at a step, and not the next best four."""
    with plain_errors():
        from review.explain import explanation

        found = explanation(folder, step, specimen)
        if found is None:
            errors.print(f"[bold red]no step {step}[/] in {folder}: `adaptem status {folder}` says how many there are")
            raise typer.Exit(Exit.CONFIGURATION)
        show(found.as_dict()) if json else output.print(found.as_table())


def report(folder: Folder) -> None:
    """Write report.html and report.json again; also while the survey runs."""
    with plain_errors():
        from review.report import write_report

        output.print(f"report: {write_report(folder)}")
