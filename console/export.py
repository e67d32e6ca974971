"""The command that hands a survey to other people's programs: export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from console.exits import plain_errors, say, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.export import Facts
    from archive.reader import SurveyReader

Form = Literal["nexus", "ro-crate", "hyperspy"]
Folder = Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)]
ENDINGS = {"nexus": ".nxs", "ro-crate": ".crate.zip", "hyperspy": ".hyperspy"}


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(export)


def export(
    folder: Folder,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="nexus: one file by NXem. ro-crate: a zip of the record with its provenance. "
            "hyperspy: a folder with one .hspy a stream.",
            show_default=False,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where to. Default: beside the survey, by its name.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Write a finished survey for NeXus, RO-Crate or HyperSpy, read it back, and say what nobody told."""
    with plain_errors():
        from archive.export import facts_of, publish
        from archive.reader import SurveyReader

        write = _writer(form)
        with SurveyReader(folder) as reader:
            facts = facts_of(reader)
            target = out or folder.resolve().with_name(f"{facts.name}{ENDINGS[form]}")
            publish(target, lambda path: write(reader, facts, path))
        missing = facts.not_told()
        if json:
            show({"file": str(target), "format": form, "frames": facts.frames, "not_told": missing})
            return
        say(f"wrote {facts.frames} frames to {target}; each was read back as it was recorded")
        if missing:
            say(f"nobody told {', '.join(missing)}: others will miss it; say it in the config of the next survey")


def _writer(form: Form) -> Callable[[SurveyReader, Facts, Path], None]:
    """Raises ConfigError where a library for it is not installed."""
    from configs.errors import ConfigError

    try:
        if form == "nexus":
            from archive.export_nexus import write_nexus

            return write_nexus
        if form == "hyperspy":
            from archive.export_hyperspy import write_hyperspy

            return write_hyperspy
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"an export to {form} needs {error.name}, which is not installed: pip install 'adaptem[formats]'"
        ) from error
    from archive.export_crate import write_crate

    return write_crate
