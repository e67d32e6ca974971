"""Commands that run a survey or steer one that runs: survey, resume, pause, stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.exits import Exit, output, plain_errors, show

if TYPE_CHECKING:
    from surveys.night import Night

Folder = Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=c. May be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of progress.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (survey, resume, pause, stop):
        app.command()(command)


def survey(
    source: Annotated[
        Path, typer.Argument(help="A config (YAML), or any image: it is surveyed as if it were a specimen.")
    ],
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option(help="The survey's folder. Default: surveys_data/NAME, numbered.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print time, dose, disk, area and a map. Nothing moves, nothing is written."),
    ] = False,
    json: Json = False,
) -> None:
    """Run a survey from now to its end, unattended, and write its report."""
    with plain_errors():
        from console.source import settings_of
        from surveys.dryrun import plan
        from surveys.night import default_folder, open_night

        settings = settings_of(source, tuple(sets or ()))
        planned = plan(settings)
        if dry_run:
            show(planned.as_dict()) if json else output.print(planned.as_text())
            return
        folder = out or default_folder(settings)
        if not json:
            output.print(f"[bold]{settings.name}[/] → {folder}\n{planned.headline()}")
        _run(open_night(settings, folder), json=json)


def resume(folder: Folder, json: Json = False) -> None:
    """Go on with a survey that is paused, or was stopped, killed or cut off. Nothing is exposed twice."""
    with plain_errors():
        from archive.folder import holder
        from surveys.night import resume_night
        from surveys.requests import ask

        if holder(folder) is not None:
            ask(folder, "resume")
            output.print(f"asked the survey in {folder}, which still runs, to go on")
            return
        _run(resume_night(folder), json=json)


def pause(folder: Folder) -> None:
    """Pause a running survey after its present step, beam blanked, until `resume` or `stop`."""
    with plain_errors():
        from surveys.requests import ask

        ask(folder, "pause")
        output.print(f"asked the survey in {folder} to pause; `adaptem resume {folder}` goes on")


def stop(folder: Folder) -> None:
    """Blank the beam now, then finish the record. `adaptem resume` goes on later."""
    with plain_errors():
        from surveys.requests import ask_to_stop

        output.print(ask_to_stop(folder))


def _run(night: Night, *, json: bool) -> None:
    from console.progress import Reporter
    from review.report import write_report
    from surveys.runner import run_survey
    from surveys.signals import stopping_on_signals

    with stopping_on_signals(night), Reporter(json_lines=json) as reporter:
        summary = run_survey(night, on_step=reporter)
    page = write_report(night.folder)
    if json:
        show({"exit": summary.exit_code, "reason": summary.reason, "message": summary.message, "report": str(page)})
    else:
        output.print(f"{summary.message}; {summary.flags} flags\nreport: {page}")
    if summary.exit_code:
        raise typer.Exit(Exit(summary.exit_code))
