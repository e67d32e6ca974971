"""Commands for the first day: init, config, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from configs.errors import ConfigError
from console.exits import Exit, plain_errors, say, show

Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=c. May be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


HEADER = """\
# Written by `adaptem init`. Every value may be changed here or on the command line: --set budget.hours=1
# Unknown keys are refused. `adaptem config THIS_FILE` prints it with every default filled in.
"""


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (init, config, doctor):
        app.command()(command)


def init(
    image: Annotated[Path | None, typer.Option(help="Survey this image as if it were a specimen.")] = None,
    instrument: Annotated[str | None, typer.Option(help="Name of a driver (`adaptem doctor` lists them).")] = None,
    out: Annotated[Path, typer.Option(help="The config to write.")] = Path("survey.yaml"),
    yes: Annotated[bool, typer.Option("--yes", help="Take every default, ask nothing.")] = False,
) -> None:
    """Ask at most six questions and write a commented config."""
    with plain_errors():
        from configs.load import load
        from console.source import answers_for, template
        from console.wizard import edited, without_header
        from surveys.settings import SurveySettings

        if out.exists():
            raise ConfigError(f"{out} exists already and is left as it is; name another by --out")
        if image is None and instrument == "replay":
            raise ConfigError("replay surveys an image: name it by --image")
        text = template(image, instrument)
        answers = answers_for(image, ask=_silent if yes else _ask)
        try:
            out.write_text(HEADER + without_header(edited(text, answers)), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{out}: cannot be written ({error.strerror}); name another by --out") from error
        try:
            load(out, SurveySettings)
        except ConfigError:
            out.unlink()
            raise
        say(f"wrote {out}\nlook first:  adaptem survey {out} --dry-run\nthen:        adaptem survey {out}")


def config(
    path: Annotated[Path, typer.Argument(help="A config (YAML).", show_default=False)],
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Check a config and print it with every default filled in."""
    with plain_errors():
        from configs.load import dump, load
        from surveys.parts import parts_problems, tasks_of
        from surveys.settings import SurveySettings

        settings = load(path, SurveySettings, tuple(sets or ()))
        tasks, problems = tasks_of(settings)
        if problems := problems + parts_problems(settings, tasks):
            raise ConfigError(*problems)
        show(settings.model_dump(mode="json")) if json else say(dump(settings))


def doctor(
    instrument: Annotated[
        str | None, typer.Option(help="Also check an instrument, by driver name (`adaptem instruments` lists them).")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Take the instrument and its limits from this config.")] = None,
    defocus_nm: Annotated[
        float, typer.Option(help="How far the focus may go, to see that the image answers; within the limits.")
    ] = 400.0,
    json: Json = False,
) -> None:
    """Check the installation and, if named, an instrument, by moving, exposing and reading back a little."""
    with plain_errors():
        from console.health import check_installation, check_instrument

        results = check_installation()
        if instrument or config:
            results += check_instrument(instrument, config, defocus_nm)
        if json:
            show([{"check": r.name, "ok": r.ok, "checked": r.checked, "message": r.message} for r in results])
        else:
            for result in results:
                mark = ("ok  ", "green") if result.ok else ("FAIL", "bold red")
                mark = mark if result.checked else ("--  ", "yellow")
                say(Text.assemble(mark, f" {result.name}: {result.message}"))
        if not all(result.ok for result in results):
            raise typer.Exit(Exit.FAILED)


def _ask(question: str, default: str) -> str:
    answer: str = typer.prompt(question, default=default)
    return answer


def _silent(_question: str, default: str) -> str:
    return default
