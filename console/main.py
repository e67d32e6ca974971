"""The command ``adaptem``. Commands import what they run only when they run, so that help is instant."""

from __future__ import annotations

import typer

from console import look, night, start

app = typer.Typer(
    name="adaptem",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Drive a transmission electron microscope through the night, and show what it found in the morning.",
    epilog="Exit codes: 0 ok, 1 failed, 2 configuration, 3 safety stop, 4 hardware, 5 incomplete, 130 interrupted.",
)
for group in (start, night, look):
    group.register(app)


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
