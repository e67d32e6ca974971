"""Commands that see for themselves: classify from clicked examples, measure from masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.exits import plain_errors, say, show
from console.seeing import seeing, told_progress

if TYPE_CHECKING:
    from collections.abc import Sequence


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (classify, measure):
        app.command()(command)


def measure(
    images: Annotated[Path, typer.Argument(help="A folder of images to measure.", show_default=False)],
    masks: Annotated[
        Path | None,
        typer.Option(
            help="A folder of masks, white inside, named as the few images that they label.", show_default=False
        ),
    ] = None,
    lattice: Annotated[
        bool,
        typer.Option("--lattice", help="Measure the lattice instead that each image shows: spacing, strain, turn."),
    ] = False,
    pixel_size_nm: Annotated[
        float | None, typer.Option("--pixel-size", help="In nm; by itself what the files say.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by itself NAME-measured.")] = None,
    seed: Annotated[int, typer.Option(help="Of the pixels that are learned from.")] = 0,
    movie: Annotated[
        bool,
        typer.Option(
            "--movie",
            help="Frames of one movie, in the order of the numbers in their names, of one exposure: contrast counts, "
            "by the density unless --count says otherwise, and where the number steps is told.",
        ),
    ] = False,
    outline: Annotated[
        str, typer.Option(help="trees, forest or both outline; by itself what labelled images speak for.")
    ] = "auto",
    count: Annotated[
        str,
        typer.Option(
            help="density, or the number of outlines, counts; by itself what labelled images speak for, with --movie "
            "the density."
        ),
    ] = "auto",
) -> None:
    """Measure what a few masks show, or the lattice, in every image of a folder, with the range of each number."""
    with plain_errors():
        from configs.errors import ConfigError

        place = out if out is not None else Path(f"{images.resolve().name}-measured")
        if lattice == (masks is not None):
            raise ConfigError("give either --masks FOLDER, to count and size what they show, or --lattice")
        if lattice and movie:
            raise ConfigError("--movie is for counts: leave it out with --lattice")
        if lattice and (outline, count) != ("auto", "auto"):
            raise ConfigError("--outline and --count are for masks: leave them out with --lattice")
        if lattice:
            for row in seeing("surveys.lattices").measure_lattices(images, place, pixel_size_nm, told_progress):
                say(str(row))
            say(f"{place / 'lattices.csv'}, {place / 'columns.csv'}, and a picture of each image")
            return
        measuring, encoder = seeing("surveys.measuring"), seeing("models.encoder").load_encoder()
        rows = []
        for row in measuring.measure_folder(
            encoder, images, masks, place, pixel_size_nm, seed, told_progress, movie, outline, count
        ):
            rows.append(row)
            say(str(row))
        if movie:
            say(measuring.step_told(rows))
        if told := next((row.choice for row in rows if row.choice is not None), None):
            say(str(told))
        tables = ", ".join(str(place / f"{name}.csv") for name in ("things", "frames", "choice"))
        say(f"{tables}, and a picture of each image")


def classify(
    what: Annotated[Path, typer.Argument(help="An image, or a survey's folder.", show_default=False)],
    examples: Annotated[
        Path | None, typer.Option(help="A folder with a folder of example chips for each class.", show_default=False)
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="An example: CLASS=COLUMN,ROW in pixels of the image, CLASS=X,Y in nm of a survey. May be repeated.",
            show_default=False,
        ),
    ] = None,
    asked: Annotated[
        bool,
        typer.Option("--asked", help="Examples: what people asked more of on the survey's review page, by its name."),
    ] = False,
    labels: Annotated[
        Path | None, typer.Option(help="For --asked: the file of labels, where it is not in the survey's folder.")
    ] = None,
    chip: Annotated[
        int | None, typer.Option(help="Width of a chip in pixels; by itself that of the examples, or 64.")
    ] = None,
    look: Annotated[str, typer.Option(help="Which look of a survey is told: overview or detail.")] = "overview",
    specimen: Annotated[
        str | None, typer.Option(help="Of a survey of several, the one that is meant.", show_default=False)
    ] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Never answer 'none of these'.")] = False,
    revisit: Annotated[
        str | None, typer.Option(help="Drive a running survey back to the places of this class.", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option(help="Places to drive back to, the surest first.")] = 20,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep the examples in as chips, for --examples or a survey's scorer.", show_default=False
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by itself NAME-classes.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Tell classes apart from 3 to 15 clicked examples, everywhere on an image or in a survey."""
    with plain_errors():
        from configs.errors import ConfigError

        classes = seeing("surveys.classes")
        encoder = seeing("models.encoder").load_encoder()
        clicks = [_click(each) for each in at or ()]
        survey = what.is_dir() and not what.suffix.startswith(".zarr")
        if revisit is not None and not survey:
            raise ConfigError(f"--revisit {revisit}: {what} is an image, and no stage drives to it; name a survey")
        if asked and not survey:
            raise ConfigError(f"--asked: {what} is an image, which nobody reviewed; name a survey")
        given = classes.examples_in(examples) if examples is not None else []
        size = chip or (round(sum(min(one.chip.shape) for one in given) / len(given)) if given else 64)
        if survey:
            chips = classes.chips_of_survey(what, look, specimen)
            given += classes.examples_among(chips, clicks)
            if asked:
                given += seeing("surveys.asked").examples_asked(what, chips, labels)
        else:
            chips = classes.chips_of_image(what, size)
            given += classes.examples_at(what, [(said, round(x), round(y)) for said, x, y in clicks], size)
        told = classes.tell(encoder, given, chips, open_set=not closed, progress=told_progress)
        if keep is not None:
            classes.keep_examples(given, keep)
        place = out if out is not None else Path(f"{what.resolve().stem}-classes")
        place.mkdir(parents=True, exist_ok=True)
        classes.write_table(told, place / "classes.csv")
        if not survey:
            from instruments.images import read_image

            classes.picture(read_image(what).data, told).save(place / "classes.png")
        else:
            classes.map_picture(told).save(place / "classes.png")
        counts = {name: sum(each.said == name for each in told) for name in sorted({each.said for each in told})}
        driven = _revisit(what, told, revisit, most) if revisit is not None else 0
        if json:
            show({"folder": str(place), "classes": counts, "revisited": driven})
            return
        for name, count in counts.items():
            say(f"{name or 'says nothing':>16}  {count}")
        if examples is not None and 2 * counts.get(classes.NONE, 0) > len(told):
            say(
                "more than half is none of these: were the examples taken by the same detector, and processed as this? "
                "Click some on it by --at, or ask for the most alike class by --closed",
                style="yellow",
            )
        say(f"{place / 'classes.csv'}, {place / 'classes.png'}{f', examples in {keep}' if keep else ''}")
        if revisit is not None:
            say(f"asked the survey in {what} to look at {driven} place(s) of class {revisit}")


def _click(text: str) -> tuple[str, float, float]:
    from configs.errors import ConfigError

    said, _, numbers = text.partition("=")
    try:
        x, y = (float(each) for each in numbers.split(","))
    except ValueError:
        raise ConfigError(f"--at {text!r}: give CLASS=COLUMN,ROW, such as dots=120,340") from None
    if not said:
        raise ConfigError(f"--at {text!r}: names no class; give CLASS=COLUMN,ROW")
    return said, x, y


def _revisit(folder: Path, told: Sequence[Any], name: str, most: int) -> int:
    """Leave requests for the places of a class, the surest first: the runner and the guard decide."""
    from configs.errors import ConfigError
    from surveys.asking import ask_running

    found = sorted((each for each in told if each.said == name), key=lambda each: -each.margin)[:most]
    if not found:
        raise ConfigError(f"--revisit {name}: no place was told to be of that class")
    for each in found:
        place = {"x_nm": each.chip.x_nm, "y_nm": each.chip.y_nm, "specimen": each.chip.of}
        ask_running(folder, "look_here", place)
    return len(found)
