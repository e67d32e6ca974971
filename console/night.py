"""Commands that run a survey, steer one that runs, or end one that cannot: survey, resume, pause, stop, end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.exits import Exit, plain_errors, say, show

if TYPE_CHECKING:
    from surveys.endings import Summary
    from surveys.night import Night
    from surveys.settings import SurveySettings

Folder = Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=c. May be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of progress.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (survey, resume, pause, stop, end):
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
            show(planned.as_dict()) if json else say(planned.as_text())
            return
        folder = out or default_folder(settings)
        night = open_night(settings, folder, planned=planned)
        if not json:
            say(f"{settings.name} → {folder}\n{planned.headline()}")
        _run(night, json=json)


def resume(
    folder: Folder,
    cleared_by: Annotated[
        str | None,
        typer.Option(help="After a safety stop: the name of the person who has looked at the instrument."),
    ] = None,
    json: Json = False,
) -> None:
    """Go on with a survey that is paused, or was stopped, killed or cut off. Nothing is exposed twice."""
    with plain_errors():
        from archive.folder import holder
        from surveys.asking import ask
        from surveys.night import resume_night
        from surveys.tracking_rows import is_followed

        if is_followed(folder):
            from console.track import go_on

            go_on(folder, json=json)
            return
        if holder(folder) is not None:
            number = ask(folder, "resume")
            told = f"asked the survey in {folder}, which still runs, to go on"
            show({"request": number, "message": told}, line=True) if json else say(told)
            return
        night = resume_night(folder)
        if cleared_by is not None:
            night.guard.ledger.clear_latch(cleared_by)
            night.event("cleared", f"{cleared_by} has looked at the instrument", person=cleared_by)
        _run(night, json=json)


def pause(folder: Folder) -> None:
    """Pause a running survey after its present step, beam blanked, until `resume` or `stop`."""
    with plain_errors():
        from surveys.asking import ask_running

        ask_running(folder, "pause")
        say(f"asked the survey in {folder} to pause; `adaptem resume {folder}` goes on")


def stop(folder: Folder) -> None:
    """Blank the beam now, then finish the record. `adaptem resume` goes on later."""
    with plain_errors():
        from surveys.asking import ask_to_stop

        say(ask_to_stop(folder))


def end(
    folder: Folder,
    because: Annotated[str, typer.Option(help="Why it can never go on: kept in its journal.", show_default=False)],
    by: Annotated[str | None, typer.Option(help="Who says so. Default: who is logged in.")] = None,
    json: Json = False,
) -> None:
    """End a survey that was cut off and can never go on, as it is: flag what it has, so that it can be judged."""
    with plain_errors():
        from getpass import getuser

        from surveys.concluding import conclude

        settings, summary = conclude(folder, by or getuser(), because)
        _finish(settings, summary, Exit.OK, json=json)


def _run(night: Night, *, json: bool) -> None:
    from console.progress import Reporter
    from surveys.runner import run_survey
    from surveys.signals import stopping_on_signals

    with stopping_on_signals(night), Reporter(json_lines=json) as reporter:
        summary = run_survey(night, on_step=reporter)
    if reporter.without_agent and not json:
        from review.words import counted

        told = counted(reporter.without_agent, "decision")
        say(f"{told} in serpentine order, without the agent; the last time: {reporter.why_without}")
    _finish(night.settings, summary, Exit(summary.exit_code), json=json)


def _finish(settings: SurveySettings, summary: Summary, code: Exit, *, json: bool) -> None:
    """What comes after the last word: the library, the report, and how to go on."""
    from archive.errors import ArchiveError
    from surveys.remembering import remember

    folder, on = summary.folder, f"; `adaptem resume {summary.folder}` goes on" if code else ""
    kept = remember(folder, settings.library)  # first: the report tells what earlier surveys say
    from review.report import write_report  # draws, and the beam need not wait for that
    from review.words import counted

    try:
        page = str(write_report(folder))
    except (ArchiveError, OSError) as error:  # the record is whole all the same
        page, code = f"not written ({error}); `adaptem report {folder}` writes it later", code or Exit.FAILED
    if json:
        told = {"exit": int(code), "reason": summary.reason, "message": summary.message, "flags": summary.flags}
        show(told | {"folder": str(folder), "report": page, "library": kept}, line=True)
    else:
        say(f"{summary.message}; {counted(summary.flags, 'flag')}{on}\nlibrary: {kept}\nreport: {page}")
    if code:
        raise typer.Exit(code)
