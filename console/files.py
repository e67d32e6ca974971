"""The command that looks at somebody's file: metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from console.exits import output, plain_errors, say, show

if TYPE_CHECKING:
    from instruments.tags import Described

File = Annotated[Path, typer.Argument(help="A vendor's file, MRC, TIFF, or SerialEM's .mdoc.", show_default=False)]

WIDE = 160
"""Columns of a table where there is no terminal that would say its own."""


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(metadata)


def metadata(
    file: Annotated[Path, typer.Argument(help="A vendor's file, MRC, TIFF, or SerialEM's .mdoc.", show_default=False)],
    every: Annotated[bool, typer.Option("--all", help="Also list the tags that were not understood.")] = False,
    nexus: Annotated[bool, typer.Option("--nexus", help="Names of NeXus NXem, values in SI.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """What a file says of its instrument, in our words and units, and what was not understood."""
    with plain_errors():
        from instruments.tags import describe
        from instruments.vocabulary import to_nexus

        found = describe(file)
        if json:
            show([_as_json(each) for each in found])
            return
        if not output.is_terminal:
            output.width = WIDE
        for each in found:
            shape = " × ".join(map(str, each.shape))
            say(f"{each.name or file.name}: {' '.join(part for part in (each.kind, shape) if part)} ({each.vendor})")
            for axis in each.axes:
                say(f"    {axis}")
            said = each.understood
            if said is None:
                say("    the vocabulary does not have this vendor's tags\n")
                continue
            if nexus:
                for path, (value, unit) in to_nexus(said.values).items():
                    say(f"    {path} = {value}{f' {unit}' if unit else ''}")
            elif said.found:
                say(_table(each))
            for tag in said.uncalibrated:
                say(f"    {tag}: known, but not in a unit that can be converted: it needs a calibration")
            missing = sum(value is None for value in said.values.values())
            say(f"    not told: {missing} quantities; not understood: {len(said.rest)} tags\n")
            for tag in said.rest if every else ():
                say(f"      {tag}")


def _table(each: Described) -> Table:
    table = Table("ours", "value", "theirs", "as it stands there", box=None, pad_edge=True, padding=(0, 2))
    for found in each.understood.found if each.understood is not None else ():
        value = f"{found.value:.8g}" if isinstance(found.value, float) else found.value
        unit = "" if found.unit == "text" or found.unit.startswith("%") else f" {found.unit}"
        table.add_row(found.name, value, found.tag, f"{found.raw}{unit}")
    return table


def _as_json(each: Described) -> dict[str, Any]:
    from instruments.vocabulary import to_nexus

    said = each.understood
    return {
        "signal": each.name,
        "kind": each.kind,
        "shape": each.shape,
        "vendor": each.vendor,
        "values": None if said is None else said.values,
        "tags": None if said is None else {found.name: found.tag for found in said.found},
        "uncalibrated": None if said is None else said.uncalibrated,
        "not_understood": None if said is None else said.rest,
        "nexus": None
        if said is None
        else {path: {"value": value, "unit": unit} for path, (value, unit) in to_nexus(said.values).items()},
    }
