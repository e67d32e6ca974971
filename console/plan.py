"""The command that answers a question before the session: plan."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.exits import Exit, output, plain_errors, say

if TYPE_CHECKING:
    from surveys.design import Plan
    from surveys.design_check import Checked
    from surveys.design_precision import Measured

WIDE = 160
"""Columns of a table where there is no terminal that would say its own."""


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(plan)


def plan(
    question: Annotated[Path, typer.Argument(help="A question (YAML), as configs/plan_example.yaml.")],
    sets: Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=c. May be repeated.")] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Image the feature in the simulator, and count how often it is found.")
    ] = False,
    evidence: Annotated[bool, typer.Option("--evidence", help="Also list what each number rests on.")] = False,
    library: Annotated[
        str | None, typer.Option(help="Ask this library what earlier experiments on like specimens say.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Also write the numbers to this file.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for picture, numbers and survey config; by itself NAME-plan.")
    ] = None,
) -> None:
    """Say what can be detected, by which technique, at what dose and cost, before the session."""
    with plain_errors():
        from configs.document import write_document
        from configs.load import ConfigError, load
        from console import plan_config

        design = needing_simulator("surveys.design")
        asked = load(question, import_module("surveys.design_question").Question, tuple(sets or ()))
        place = out if out is not None else Path(f"{asked.name}-plan")
        config = place / "survey.yaml"
        plan_config.refuse_changed(config)
        made: Plan = design.make_plan(asked)
        if library is not None:
            made = _asked_library(made, library)
        checked: dict[str, Checked | Measured] = {}
        if simulate:
            from rich.progress import track

            from console.exits import errors

            check = needing_simulator("surveys.design_check")
            precision = needing_simulator("surveys.design_precision")
            rows = [row for row in made.rows if math.isfinite(row.needed_e_per_A2)]
            for row in track(rows, "simulating", console=errors, transient=True):
                found = check.check(made, row) or precision.measure(made, row)
                if found is not None:
                    checked[row.proposal.technique] = found
        told = needing_simulator("surveys.design_told")
        facts = told.as_dict(made, checked)
        try:
            place.mkdir(parents=True, exist_ok=True)
            from console.plan_picture import save_picture

            save_picture(made, checked, place / "plan.png")
            told.write_json(facts, place / "plan.json")
            if json is not None:
                told.write_json(facts, json)
        except OSError as error:
            raise ConfigError(
                f"{error.filename or place}: cannot be written ({error.strerror or error}); name another by --out"
            ) from error
        if not output.is_terminal:
            output.width = WIDE
        _tell(made, checked)
        for line in told.grounds(made) if evidence else ():
            say(line)
        files = [place / "plan.png", place / "plan.json"]
        if made.best is None and config.exists():
            config.unlink()
            say(f"{config} of an earlier answer is removed: this one is not possible")
        if made.best is not None:
            design_config = import_module("surveys.design_config")
            beside = list(design_config.coverage(made, made.best))
            for line in beside:
                say(line, style="yellow")
            written = design_config.survey_of(made, made.best)
            plan_config.write(config, told.header(made, beside) + write_document(written))
            files.append(config)
        say(", ".join(map(str, files)))
        if made.best is None:
            raise typer.Exit(Exit.FAILED)
        say(f"run it:  adaptem survey {files[-1]}")


def _asked_library(made: Plan, where: str) -> Plan:
    """With earlier experiments beside each row. Raises LibraryError for a library that is not there, or none."""
    from console.library_options import opened_library

    with opened_library(where, write=False) as kept:
        told: Plan = import_module("surveys.design_prior").with_prior(made, kept)
    return told


def _tell(made: Plan, checked: dict[str, Any]) -> None:
    from rich.table import Table

    from surveys.design_told import cells, reasons

    asked = made.question
    say(f"{asked.name}: {asked.text or asked.feature.kind}")
    say(f"up to {made.most_e_per_A2:.3g} e/Å² are allowed ({made.bears.evidence[0].what})")
    first = True
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in made.rows:
        told = cells(row, checked.get(row.proposal.technique), simulated=bool(checked))
        if first:
            for name in told:
                table.add_column(name, no_wrap=name == "technique")
            first = False
        table.add_row(*told.values(), style=None if row.possible else "dim")
    if made.rows:
        say(table)
    for line in reasons(made):
        say(line, style="yellow")
    for row in made.rows:
        for each in row.proposal.prior:
            say(f"{row.proposal.technique}: {each.what} [{each.source}]")
    say(made.verdict(), style="bold")


def needing_simulator(module: str) -> Any:
    """A module that needs the simulator's tables. Raises ConfigError where they are not installed."""
    from configs.errors import ConfigError

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("surveys", "instruments", "console"):
            raise
        raise ConfigError(
            f"planning needs {error.name}, which is not installed: pip install 'adaptem[simulate]'"
        ) from error
