"""The command ``instruments``: what is installed, what answers, what is calibrated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.exits import plain_errors, say, show

if TYPE_CHECKING:
    from configs.load import Settings

Configs = Annotated[
    list[Path] | None, typer.Option(help="Also ask the instrument of this config if it answers. May be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(instruments)


def instruments(
    config: Configs = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """List the drivers: what each needs, whether its instrument answers and is calibrated. Nothing moves."""
    with plain_errors():
        from rich.table import Table

        from configs.load import load
        from instruments.drivers.registry import kinds
        from surveys.settings import SurveySettings

        rows = [_row(kind) for kind in kinds()]
        for path in config or ():
            settings = load(path, SurveySettings)
            rows.append({"instrument": path.name, **_of(settings.instrument, settings.seed)})
        if json:
            show(rows)
            return
        table = Table(title="Instruments", title_justify="left")
        for name in rows[0]:
            table.add_column(name)
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        say(table)


def _row(kind: str) -> dict[str, Any]:
    """A kind by itself: without a config there is no instrument to ask."""
    return {
        "instrument": kind,
        "installed": _installed(kind),
        "reachable": "by --config",
        "calibrated": "",
        "lacks": "",
    }


def _installed(kind: str) -> str:
    from instruments.drivers.registry import comes_from, needs

    found = needs(kind)
    missing = [package for package, version in found.items() if version is None]
    if missing:
        return f"no: {comes_from(kind)}"
    return "yes" + "".join(f", {package} {version}" for package, version in found.items())


def _of(instrument: Settings, seed: int) -> dict[str, Any]:
    """What a config's instrument answers: it is opened, which blanks it, read, and closed."""
    from datetime import UTC, datetime

    from configs.load import ConfigError
    from instruments import column
    from instruments.calibration import in_words
    from instruments.clock import RealClock, SimulatedClock
    from instruments.drivers.registry import lacks, open_microscope
    from instruments.errors import InstrumentError

    clock = RealClock() if getattr(instrument, "real_time", True) else SimulatedClock()
    try:
        with column.held(instrument):
            scope = open_microscope(instrument, seed=seed, clock=clock)
            try:
                stage = scope.state().stage
                read = None not in (stage.x_nm, stage.y_nm)
                answer = f"yes, at ({stage.x_nm:g}, {stage.y_nm:g}) nm" if read else "yes"
            finally:
                scope.close()
    except (ConfigError, InstrumentError) as error:
        answer = f"no: {error}"
    return {
        "installed": _installed(str(getattr(instrument, "kind", ""))),
        "reachable": answer,
        "calibrated": in_words(instrument, datetime.now(UTC))[1],
        "lacks": "; ".join(f"{what}: {why}" for what, why in lacks(instrument).items()),
    }
