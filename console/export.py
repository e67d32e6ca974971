"""Commands that hand a survey on: export to other people's programs, mirror to a facility's storage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from console.exits import errors, plain_errors, say, show

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
    app.command()(mirror)


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


def mirror(
    folder: Folder,
    target: Annotated[Path, typer.Argument(help="A folder on the other storage.", show_default=False)],
    watch: Annotated[bool, typer.Option("--watch", help="Go on until the survey has ended.")] = False,
    tries: Annotated[int | None, typer.Option(help="Give up after so many failures in a row. Default: never.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Copy committed frames to another storage, each read back and checksummed, also while the survey runs."""
    with plain_errors():
        import time
        from dataclasses import asdict

        from archive.mirror import Mirror

        copier = Mirror(folder, target)
        done = copier.run(watch=watch, wait=time.sleep, most_retries=tries, tell=errors.print)
        copier.tidy()
        if json:
            show(asdict(done) | {"place": str(copier.place)})
            return
        again = f", {done.retries} tries failed" if done.retries else ""
        size = f"{done.copied} files copied, {done.copied_bytes / 1e6:.1f} MB"
        say(f"{copier.place} holds {done.frames} frames; {size}{again}")


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
