"""Commands that judge data: quality of one survey, compare several."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from console.exits import output, plain_errors, say, show

if TYPE_CHECKING:
    from surveys.comparing import Compared

Folder = Annotated[Path, typer.Argument(help="The survey's folder.", show_default=False)]
Folders = Annotated[list[Path], typer.Argument(help="Two surveys' folders or more.", show_default=False)]
Picture = Annotated[Path | None, typer.Option(help="Write a forest plot there (PNG, PDF, SVG).")]
Most = Annotated[int, typer.Option("--frames", help="Read at most so many exposures, spread evenly.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
WIDE = 160


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(quality)
    app.command()(compare)


def quality(
    folder: Folder,
    frames: Most = 200,
    define: Annotated[bool, typer.Option("--define", help="Say what each measure means and whose it is.")] = False,
    json: Json = False,
) -> None:
    """How good a survey's data are: signal, resolution, blur, drift, dose, coverage, completeness, yield."""
    with plain_errors():
        from archive.reader import SurveyReader
        from surveys.quality import frames_of, survey_quality
        from surveys.quality_terms import TERMS

        with SurveyReader(folder) as reader:
            read = frames_of(reader, frames)
            measures = survey_quality(reader, read)
        if json:
            show({
                "measures": [asdict(m) | {"unit": m.unit} for m in measures],
                "frames": [asdict(frame) for frame in read],
                "definitions": {name: asdict(TERMS[name]) for name in {m.name for m in measures}},
            })  # fmt: skip
            return
        if not measures:
            say("nothing was committed: there is nothing to judge")
            return
        _widen()
        table = Table("of", "measure", "value", "±", "unit", "n", "better", box=None, padding=(0, 2))
        for m in measures:
            std = "" if m.std is None else f"{m.std:.2g}"
            unit = "" if m.unit == "1" else m.unit
            better = "" if TERMS[m.name].better == "neither" else TERMS[m.name].better
            table.add_row(m.signal or "survey", m.name, f"{m.value:.4g}", std, unit, str(m.n), better)
        say(table)
        if define:
            for name in dict.fromkeys(m.name for m in measures):
                say(f"\n{name}: {TERMS[name].definition} ({TERMS[name].source})")
        else:
            say("\n± is one standard error of the mean over the frames; --define says what each measure means")


def compare(folders: Folders, picture: Picture = None, frames: Most = 200, json: Json = False) -> None:
    """Say whether surveys are comparable, by which measure not, and what those that agree say together."""
    with plain_errors():
        from contextlib import ExitStack

        from archive.reader import SurveyReader
        from configs.errors import ConfigError
        from surveys.comparing import compare as compared_of

        if len({folder.resolve() for folder in folders}) < 2:
            raise ConfigError("two different surveys or more are compared: give their folders")
        with ExitStack() as opened:
            readers = [opened.enter_context(SurveyReader(folder)) for folder in folders]
            found = compared_of(readers, frames)
        if picture is not None:
            from review.forest import forest

            try:
                forest(found).savefig(picture, dpi=130)
            except ValueError as error:
                raise ConfigError(f"{picture}: {error}") from error
        if json:
            show([asdict(each) | {"unit": each.unit} for each in found])
            return
        _tell(found)
        if picture is not None:
            say(f"forest plot: {picture}")


def _tell(found: list[Compared]) -> None:
    if not found:
        say("the surveys have no measure in common: other signals, or other pixel sizes")
        return
    _widen()
    table = Table("of", "measure", "values", "together (95 %)", "between", "I²", "", box=None, padding=(0, 2))
    for each in found:
        values = "  ".join(
            f"{value:.3g}{'' if std is None else f' ± {std:.2g}'}"
            for value, std in zip(each.values, each.stds, strict=True)
        )
        together = "" if each.pooled is None else f"{each.pooled:.3g} ({each.low:.3g} to {each.high:.3g})"
        between = "" if each.between is None else f"{each.between:.2g}"
        share = "" if each.inconsistency is None else f"{each.inconsistency:.0%}"
        table.add_row(each.signal or "survey", each.name, values, together, between, share, each.why)
    say(table)
    apart = [each for each in found if not each.comparable]
    what = ", ".join(dict.fromkeys(each.name for each in apart))
    say(f"\nnot comparable by {what}" if apart else "\ncomparable by every measure that both have")


def _widen() -> None:
    if not output.is_terminal:
        output.width = WIDE
