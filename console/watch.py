"""Commands that tell people about a survey: watch."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import Annotated

import typer

from console.exits import errors, plain_errors, say


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(watch)


def watch(
    folder: Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)],
    config: Annotated[
        Path, typer.Option("--notify", help="Who is told, and how: a YAML file with hook, mail or apprise.")
    ],
    test: Annotated[
        bool, typer.Option("--test", help="Send one message now, to see that it arrives, and end.")
    ] = False,
) -> None:
    """Tell people of trouble, of its end, of the night's end, and when a running survey falls silent."""
    with plain_errors():
        from configs.errors import ConfigError
        from configs.load import load
        from instruments.clock import RealClock
        from surveys.notices import Message
        from surveys.notify import NotifySettings, Sender
        from surveys.watching import watch as follow

        settings = load(config, NotifySettings)
        services = None
        if settings.apprise is not None:
            try:
                from surveys.notify_apprise import services as make_services
            except ModuleNotFoundError as error:
                raise ConfigError(
                    f"apprise in {config} needs {error.name}, which is not installed: pip install 'adaptem[notify]'"
                ) from error
            services = make_services(settings.apprise)
        sender = Sender(settings, services)
        if test:
            troubles = sender.send(
                Message(key="test", severity="information", title="adaptem: a test", text="It arrives.")
            )
            if troubles:
                raise ConfigError(*(f"not sent: {trouble}" for trouble in troubles))
            say("sent")
            return
        clock = RealClock()  # what is heard goes to stderr, the end to stdout
        end = follow(
            folder, sender.send, clock, quiet_s=settings.quiet_s, silent_s=settings.silent_s, told=errors.print
        )
        say(f"{end.title}: {end.text}")
