"""Commands that turn labels into what the next survey ranks by: learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.exits import plain_errors, say, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

STORE = Path("learned")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(learn)


def learn(
    surveys: Annotated[
        list[Path] | None, typer.Argument(help="Folders of surveys that were judged.", show_default=False)
    ] = None,
    library: Annotated[
        str | None,
        typer.Option(
            help="Instead of folders: every judged survey of this library, its file or postgresql://….",
            show_default=False,
        ),
    ] = None,
    within: Annotated[
        list[Path] | None,
        typer.Option(
            help="Where the library's surveys lie; by itself beside its file. May be repeated.", show_default=False
        ),
    ] = None,
    into: Annotated[Path, typer.Option(help="Folder of the versions, for `flagging: {learned: FOLDER}`.")] = STORE,
    labels: Annotated[
        Path | None, typer.Option(help="The file of the labels, where a single survey has them elsewhere.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Learn from what people said, blind, how to rank the flags of the next survey. Random controls teach nothing."""
    with plain_errors():
        from configs.errors import ConfigError

        if bool(surveys) == (library is not None):
            raise ConfigError("name the folders of surveys, or --library, one of both")
        if labels is not None and len(surveys or ()) != 1:
            raise ConfigError("--labels is the file of one survey: name that one alone")
        feedback, learning = _learning("training.feedback"), _learning("training.learning")
        if within and library is None:
            raise ConfigError("--within is where a library's surveys lie: name --library too")
        about: dict[str, Any] = {}
        if library is not None:
            earlier = _of_library(library, within)
            found, about = earlier.lessons, {"surveys": list(map(str, earlier.taught)), "left_out": earlier.left}
        else:
            found = feedback.lessons(surveys, {surveys[0]: labels} if surveys and labels is not None else None)
        if not json:
            for folder in about.get("surveys", ()):
                say(f"read      {folder}")
            for name, why in sorted(about.get("left_out", {}).items()):
                say(f"left out  {name}: {why}")
        done = learning.learn(found, into)
        tracked = _tracked(done, into)
        if json:
            show({**about, "version": done.version, "live": done.live, "why": done.why, "evaluation": done.evaluation,
                  "lessons": len(found.teaching), "audit": len(found.audit), "mlflow_run": tracked})  # fmt: skip
            return
        say(
            f"{done.folder}: learned from {len(found.teaching)} places; {len(found.audit)} of the audit set only judged"
        )
        not_live = f"not live, {done.before} stays" if done.before else "not live, and no version is"
        say(f"{'live' if done.live else not_live}: {done.why}")
        if done.live:
            say(f"next: put `flagging: {{learned: {into}}}` into the config of the next survey")


def _of_library(where: str, within: list[Path] | None) -> Any:
    from configs.errors import ConfigError
    from console.library_options import opened_library

    if "://" in where and not within:
        raise ConfigError(
            f"{where.split('://')[0]}://… does not tell where its surveys lie: name the folder by --within"
        )
    with opened_library(where, write=False) as kept:
        return _learning("training.earlier").earlier_lessons(kept, within or [Path(where).parent], _read)


def _read(folders: Sequence[Path]) -> Iterator[Path]:
    from rich.progress import track

    from console.exits import errors

    yield from track(folders, "reading surveys", console=errors, transient=True)


def _tracked(done: Any, store: Path) -> str | None:
    """Its run in MLflow; None where that is not installed."""
    try:
        tracking = _learning("training.tracked_learning")
    except LookupError:
        return None
    run: str = tracking.track(done, store)
    return run


def _learning(module: str) -> ModuleType:
    from importlib import import_module

    from configs.errors import ConfigError

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name == "mlflow":
            raise LookupError from error
        raise ConfigError(f"learning needs {error.name}, which is not installed: pip install 'adaptem[see]'") from error
