"""The command that flags what is unusual in a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.exits import plain_errors, say, show
from console.seeing import seeing, told_progress

if TYPE_CHECKING:
    from surveys.folder import FolderFlags

_TOLD_BEYOND = 0.05
"""Share of the pixels that no whole cell covers from which it is told."""


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(flag)


def flag(
    folder: Annotated[Path, typer.Argument(help="A folder of images of one specimen.", show_default=False)],
    rate: Annotated[float, typer.Option(help="Accepted share of false flags.")] = 0.1,
    cell: Annotated[int, typer.Option(help="Width in pixels of what is flagged.")] = 64,
    by: Annotated[
        str, typer.Option(help="descriptors, whose reasons have units, network, or both together.")
    ] = "descriptors",
    said: Annotated[
        Path | None,
        typer.Option(help="say.csv, filled in: probabilities go by what you said of these cells.", show_default=False),
    ] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder that like images were flagged into earlier, with its say.csv filled in: how many "
            "were unusual there is expected here, too. May be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by itself NAME-flags.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Flag what is unusual in a folder of images, each flag beside the usual place most like it."""
    with plain_errors():
        from configs.errors import ConfigError

        if by not in ("descriptors", "network", "both"):
            raise ConfigError(f"--by {by}: give descriptors, network or both")
        from surveys.pictures import images_in, made_apart

        images, encoder = seeing("surveys.folder"), seeing("models.encoder").load_encoder()
        paths = images_in(folder)
        place = made_apart(out if out is not None else Path(f"{folder.resolve().name}-flags"), folder)
        found = images.flag_images(
            encoder, paths, rate=rate, cell_px=cell, by=by, said=said, earlier=earlier or (), progress=told_progress
        )
        images.write_flags(found, place / "flags.csv")
        said_of = seeing("surveys.folder_said")
        table = said_of.write_to_say(found.to_say, cell, paths, place)
        seeing("surveys.folder_earlier").keep_beside(table, found.kind, found.p_values, paths)
        pictures = seeing("surveys.folder_picture")
        pictures.gallery(found.ranked).save(place / "flags.png")
        pictures.asked(said_of.numbered(table), cell, paths).save(table.with_suffix(".png"))
        if json:
            show(_as_json(found, place, table))
        else:
            _tell(found, place, table)


def _as_json(found: FolderFlags, place: Path, table: Path) -> dict[str, Any]:
    told = ("row_px", "column_px", "cell_px", "q_value", "probability")
    ranked = [
        {"image": str(one.path), "flagged": one.q_value <= found.rate} | {name: getattr(one, name) for name in told}
        for one in found.ranked
    ]
    blind = [{"image": str(path), "row_px": r, "column_px": c, "why": w} for (path, r, c), w in found.blind.items()]
    earlier = [
        {"folder": str(each.folder), "said": len(each.answered.unusual), "unusual": int(each.answered.unusual.sum())}
        for each in found.before.folders
    ]
    expected = found.before.expected
    return {
        "folder": str(place),
        "cells": found.cells,
        "ranked": ranked,
        "refused": {str(path): why for path, why in found.refused.items()},
        "blind": blind,
        "without_objects": found.without_objects,
        "said": found.said,
        "to_say": str(table),
        "beyond_ratio": found.beyond,
        "earlier": earlier,
        "expected": dict(zip(("share", "low", "high"), expected, strict=True)) if expected is not None else None,
        "passed_over": {str(path): why for path, why in found.before.passed_over.items()},
    }


def _tell(found: FolderFlags, place: Path, table: Path) -> None:
    for path, why in found.refused.items():
        say(f"not judged: {path.name}: {why}", style="yellow")
    if found.blind:
        images_of = len({path for path, _, _ in found.blind})
        nothing = "that say nothing or lie beside such"
        say(f"not judged: {len(found.blind)} cells of {images_of} image(s) {nothing}", style="yellow")
    if found.beyond > _TOLD_BEYOND:
        where = "right of the last whole cell or below it; a smaller --cell reaches farther"
        say(f"not judged: {found.beyond:.0%} of the pixels, {where}", style="yellow")
    if found.without_objects and found.kind.by != "network":
        say(f"objects were not judged one by one: {found.without_objects}", style="yellow")
    for folder, why in found.before.passed_over.items():
        say(f"not counted: {folder}: {why}", style="yellow")
    say(f"{len(found.flags)} of {found.cells} cells flagged at a false-discovery rate of {found.rate:g}")
    for rank, one in enumerate(found.ranked[:10], start=1):
        say(f"{rank:>3}{'*' if one.q_value <= found.rate else ' '} {one}")
    say("* flagged; the others are the next most unusual")
    say(f"{place / 'flags.csv'}, {place / 'flags.png'}")
    if found.before.folders:
        say(str(found.before))
    if found.said:
        say(f"probabilities go by what was said of {found.said} cells; what is flagged (*) stays as it was")
    else:
        sheet = table.with_suffix(".png")
        say(f"to set the probabilities right: look at {sheet}, say yes or no in {table}, then --said {table}")
