"""Commands of the morning after: review, labels."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from console.exits import plain_errors, say

Folder = Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)]
Labels = Annotated[
    Path | None, typer.Option(help="The file that keeps the labels. Default: labels.sqlite in the survey's folder.")
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(review)
    app.command()(labels)
    app.command("open")(open_)


def review(
    folder: Folder,
    labels: Labels = None,
    reviewer: Annotated[str | None, typer.Option(help="Who judges. Default: who is logged in.")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 = any that is free.", min=0, max=65535)] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other computers connect. The connection is not encrypted.")
    ] = False,
    size: Annotated[int, typer.Option(help="Places in a batch.", min=2, max=500)] = 40,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            help="An earlier survey that was judged: what was confirmed there is put into ordinary places here, "
            "to see how much of it is noticed. May be given several times."
        ),
    ] = None,
    seeded: Annotated[int, typer.Option(help="So many such places at most.", min=1, max=200)] = 20,
) -> None:
    """Judge what a survey flagged, blind and among random controls, in a browser. Ctrl-C ends it."""
    with plain_errors():
        from configs.errors import ConfigError
        from review.study import Study

        try:
            from review.serving import Bound, Server
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the review page needs {error.name}, which is not installed: pip install 'adaptem[review]'"
            ) from error
        study = Study(folder, labels, size=size)
        try:
            if known:
                from review.seeding import sow

                say(f"{sow(study, known, seeded)} seeded positives are among the places to judge")
            server = Server(study, Bound(host=host, port=port, remote=allow_remote), reviewer or getpass.getuser())
            say(f"open this link, it admits one browser:\n{server.link()}\nCtrl-C ends the server; every label stays")
            server.run()
        finally:
            study.close()


def labels(
    folder: Folder,
    labels: Labels = None,
    form: Annotated[Literal["csv", "jsonl", "parquet"], typer.Option("--as", help="Form of the file.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="The file to write. Default: to the terminal.")] = None,
    flags: Annotated[
        bool, typer.Option("--flags", help="What the machine flagged instead. Who reads it judges blind no more.")
    ] = False,
) -> None:
    """Export what people said of a survey's places: one row a place and reviewer, of every batch that is locked."""
    with plain_errors():
        from review.export import as_text

        rows = _flags(folder) if flags else _labels(folder, labels)
        what = "flags" if flags else "labels"
        if form == "parquet":
            _write_parquet(rows, out, flags=flags)
        elif out is None:
            say(as_text(rows, form).removesuffix("\n"))
            return
        else:
            out.write_text(as_text(rows, form), encoding="utf-8")
        say(f"wrote {len(rows)} {what} to {out}")


def _flags(folder: Path) -> list[dict[str, Any]]:
    from archive.reader import SurveyReader
    from configs.errors import ConfigError
    from review.export import flag_rows

    with SurveyReader(folder) as reader:
        rows = flag_rows(reader.flags())
    if not rows:
        raise ConfigError(f"{folder} has no flags: they come at the end of a survey, and there may be none")
    return rows


def _labels(folder: Path, labels: Path | None) -> list[dict[str, Any]]:
    from archive.folder import read_meta
    from archive.labels import LabelJournal
    from configs.errors import ConfigError
    from review.export import label_rows

    read_meta(folder)
    path = labels or folder / "labels.sqlite"
    if not path.is_file():
        raise ConfigError(f"{path} is not there: nobody has judged this survey yet; `adaptem review {folder}`")
    journal = LabelJournal(path)
    try:
        rows = label_rows(journal)
    finally:
        journal.close()
    if not rows:
        raise ConfigError("no batch is locked yet: what the machine thought stays unsaid until one is")
    return rows


def _write_parquet(rows: list[dict[str, Any]], out: Path | None, *, flags: bool) -> None:
    from configs.errors import ConfigError

    if out is None:
        raise ConfigError("a Parquet table is no text: name its file by --out")
    try:
        from review.parquet import FLAGS, LABELS, write_parquet
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Parquet needs {error.name}, which is not installed: pip install 'adaptem[parquet]'"
        ) from error
    write_parquet(rows, out, FLAGS if flags else LABELS)


def open_(
    folder: Folder,
    place: Annotated[str, typer.Argument(help="An exposure's number, or SPECIMEN/TARGET.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Write a TIFF for any viewer instead.")] = None,
) -> None:
    """Open what an exposure showed in napari, at its place and scale; or write it as a TIFF."""
    with plain_errors():
        from importlib import import_module

        from configs.errors import ConfigError
        from review.opening import exposure_of, layers_of, show, write_tiff

        number = exposure_of(folder, place)
        layers = layers_of(folder, number)
        if out is not None:
            write_tiff(layers, out)
            say(f"wrote {', '.join(layer.name for layer in layers)} of exposure {number} to {out}")
            return
        try:
            napari = import_module("napari")
        except ModuleNotFoundError as error:
            raise ConfigError("napari is not installed: pip install 'napari[all]', or write a TIFF by --out") from error
        show(layers, napari)
