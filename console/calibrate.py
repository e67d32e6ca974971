"""The command ``calibrate``: measure what a driver has to know of its instrument, and keep it in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.exits import plain_errors, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from surveys.calibration import Measured


Config = Annotated[Path, typer.Argument(help="A config of the instrument (YAML).", show_default=False)]
Out = Annotated[
    Path | None, typer.Option(help="The file to write; by itself what the config names, or CONFIG.calibration.yaml.")
]

HEADER = "# Written by `adaptem calibrate`; read where a config says `instrument: {calibration: THIS_FILE}`.\n"


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(calibrate)


def calibrate(
    config: Config,
    out: Out = None,
    field_of_view_nm: Annotated[
        float | None, typer.Option("--fov", help="Width of the frames, in nm; by itself the overview look's.")
    ] = None,
    pixels: Annotated[int | None, typer.Option(help="Rows and columns; by itself the overview look's.")] = None,
    dwell_us: Annotated[float | None, typer.Option(help="By itself the overview look's.")] = None,
    approach_nm: Annotated[
        float | None, typer.Option(help="More than the play of the stage; by itself limits.backlash_nm.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=2, help="Of the moves there and back.")] = 3,
    period_nm: Annotated[
        float | None, typer.Option(help="A lattice of this period is in view: measure the field of view by it.")
    ] = None,
    focus_units: Annotated[
        float | None,
        typer.Option(help="Measure the focus too, in the detail look; it may go so far, in its own units."),
    ] = None,
    stig_units: Annotated[
        float | None,
        typer.Option(help="Measure the stigmators as well, turned by so much, in their own units."),
    ] = None,
    raise_nm: Annotated[float, typer.Option(help="How far the stage goes up for that.")] = 300.0,
    name: Annotated[str | None, typer.Option(help="Of the column, where there are several of a kind.")] = None,
    good_for_days: Annotated[int, typer.Option(min=1, help="Then it has to be measured again.")] = 180,
    check: Annotated[
        bool, typer.Option("--check", help="Measure nothing: see by one move whether what is stored still holds.")
    ] = False,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=c. May be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Measure how the stage moves the image, its play, and on request pixels and focus; moves and exposes a little.

    Bring a place with something to see under the beam first, in focus. The stage stays within about a field of view.
    """
    with plain_errors():
        from dataclasses import replace
        from datetime import UTC, datetime, timedelta

        from archive.durable import write_atomically
        from configs.load import ConfigError, dump, load
        from console.calibration_picture import save_picture
        from instruments.calibration import read
        from surveys.calibration import Wish, calibrate, check_calibration
        from surveys.settings import SurveySettings
        from surveys.task import survey_looks

        settings = load(config, SurveySettings, tuple(sets or ()))
        overview, detail = (look.exposure for look in survey_looks(settings))
        exposure = replace(
            overview,
            field_of_view_nm=field_of_view_nm or overview.field_of_view_nm,
            shape=overview.shape if pixels is None else (pixels, pixels),
            dwell_us=dwell_us or overview.dwell_us,
            frames=1,
        )
        if stig_units is not None and focus_units is None:
            raise ConfigError("--stig-units: stigmators are measured against the focus; give --focus-units as well")
        approach = settings.limits.backlash_nm if approach_nm is None else approach_nm
        if check:
            off_nm = check_calibration(settings, exposure, approach)
            if json:
                show({"off_nm": off_nm})
            else:
                say(f"what is stored holds: a move of {exposure.field_of_view_nm / 4:.4g} nm ended {off_nm:.2g} nm off")
            return
        path = out or getattr(settings.instrument, "calibration", None) or config.with_suffix(".calibration.yaml")
        wish = Wish(
            exposure=exposure,
            close=detail,
            approach_nm=approach,
            repeats=repeats,
            period_nm=period_nm,
            focus_units=focus_units,
            stig_units=stig_units,
            raise_nm=raise_nm,
            name=name,
            good_for=timedelta(days=good_for_days),
        )
        before = read(path) if path.exists() else None
        told = (lambda _: None) if json else say
        measured = calibrate(settings, wish, datetime.now(UTC), told, before)
        write_atomically(path, (HEADER + dump(measured.calibration)).encode())
        picture = path.with_suffix(".png")
        save_picture(measured, picture)
        if json:
            show({"file": str(path), **measured.calibration.model_dump(mode="json"), "electrons": measured.electrons})
            return
        say(_table(measured))
        say(f"kept in {path}, shown in {picture}; {measured.electrons:.3g} electrons, {measured.stage.frames} frames")
        if getattr(settings.instrument, "calibration", None) != path:
            say(f"set instrument.calibration: {path}, and leave what it holds out of the config")


def _table(measured: Measured) -> Table:
    from rich.table import Table as RichTable

    table = RichTable(title="Calibration", title_justify="left")
    for column in ("what", "value", "off by", "how"):
        table.add_column(column)
    found, stage = measured.calibration, measured.stage
    entry = found.stage_to_image
    if entry is not None:
        (a, b), (c, d) = entry.matrix
        turned = f"turned by {stage.turned_deg:.2f}°{', mirrored' if stage.mirrored else ''}"
        table.add_row(
            "stage_to_image", f"(({a:.4f}, {b:.4f}), ({c:.4f}, {d:.4f})), {turned}", f"{entry.std:.2g}", entry.how
        )
        table.add_row("  a foretold move", "", f"{entry.check_nm:.2g} nm", f"of {stage.move_nm:.4g} nm")
    table.add_row("  drift", f"{stage.drift_nm_per_s:.2g} nm/s", "", "between two looks")
    if found.backlash is not None:
        play = found.backlash
        table.add_row("backlash", f"x {play.x_nm:.3g} nm, y {play.y_nm:.3g} nm", f"{play.std_nm:.2g} nm", play.how)
    for view in found.fields_of_view:
        table.add_row(
            "field of view",
            f"{view.found_nm:.4g} nm where {view.asked_nm:.4g} were asked",
            f"{view.std_nm:.2g} nm",
            view.how,
        )
    if found.focus is not None:
        focus = found.focus
        table.add_row("focus", f"{focus.nm_per_unit:.4g} nm a unit", f"{focus.std_nm_per_unit:.2g}", focus.how)
    else:
        table.add_row("focus", "not measured", "", "--focus-units measures it")
    if found.stigmators is not None:
        stig, ((a, b), (c, d)) = found.stigmators, found.stigmators.nm_per_unit
        told = f"(({a:.3g}, {b:.3g}), ({c:.3g}, {d:.3g})) nm a unit"
        table.add_row("stigmators", told, f"{stig.std_nm_per_unit:.2g}", stig.how)
    return table
