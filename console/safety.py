"""Commands about the guard's latches: guard show, guard clear."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from console.exits import Exit, plain_errors, say, show

guard = typer.Typer(no_args_is_help=True, help="What an instrument is latched for, and clearing it.")

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    guard.command("show")(show_latches)
    guard.command("clear")(clear)
    app.add_typer(guard, name="guard")


def show_latches(json: Json = False) -> None:
    """Say of every instrument that a guard process has had if it is latched, and what its guard does without."""
    with plain_errors():
        from instruments.latches import latched_instruments, waived_of

        found = latched_instruments()
        if json:
            show({name: {"latched": reason, "waived": waived_of(name)} for name, reason in found.items()})
            return
        for name, reason in found.items():
            say(f"{name}: {'free' if reason is None else f'latched: {reason}'}")
            for interlock, why in waived_of(name).items():
                say(f"  {interlock} is not asked for: {why}")
        if not found:
            say("no instrument has had a guard process on this computer")


def clear(
    reason: Annotated[str, typer.Option(help="What was found at the instrument, and what was done about it.")],
    instrument: Annotated[
        str | None, typer.Option(help="Its name; may be left out where one is latched.", show_default=False)
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who has looked. Default: who is logged in.")] = None,
) -> None:
    """Let an instrument move and expose again, after a person has looked at it."""
    with plain_errors():
        from configs.errors import ConfigError
        from instruments.latches import clear_latches, latched_instruments

        if not reason.strip():
            raise ConfigError("--reason is empty: say what was found at the instrument, and what was done about it")
        found = latched_instruments()
        latched = [name for name, why in found.items() if why is not None]
        if instrument is None and len(latched) > 1:
            raise ConfigError(f"{', '.join(latched)} are latched: say which was looked at, by --instrument")
        if instrument is not None and instrument not in found:
            raise ConfigError(f"no guard process has had an instrument {instrument!r} (known: {', '.join(found)})")
        name = instrument or (latched[0] if latched else None)
        if name is None or found[name] is None:
            say("no instrument is latched" if name is None else f"{name} is not latched")
            raise typer.Exit(Exit.FAILED)
        was = clear_latches(name, by or getpass.getuser(), reason)
        say(f"{name} may move and expose again; it was latched: {was}")
