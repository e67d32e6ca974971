"""Commands that ask the library: search, show, stats, conflicts."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from console.exits import output, plain_errors, say, show
from console.library_options import Elements, File, Json, opened_library, said

if TYPE_CHECKING:
    from archive.library import Library
    from archive.library_records import Conditions, Experiment, Kept, Result
    from archive.library_search import Query

Words = Annotated[list[str] | None, typer.Argument(help="All of them; cat* for the beginning of a word.")]
Technique = Annotated[str | None, typer.Option(help="HAADF, ADF, BF, ABF, CTEM, 4D-STEM, EELS, EDS, …")]
Between = Annotated[
    list[str] | None,
    typer.Option("--between", help="A range of a condition: voltage_kV=80:200, dwell_us=:10. May be repeated."),
]
Like = Annotated[Path | None, typer.Option(help="An image: the most alike first.")]
WIDE = 160
SHOWN = ("voltage_kV", "current_pA", "dwell_us", "pixel_size_nm", "fluence_e_per_A2")


def register(group: typer.Typer) -> None:
    """Add the commands to the library's group."""
    group.command("search")(search)
    group.command("show")(show_one)
    group.command("stats")(stats)
    group.command("conflicts")(conflicts)


def search(
    words: Words = None,
    elements: Elements = None,
    technique: Technique = None,
    between: Between = None,
    like: Like = None,
    count: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 20,
    library: File = None,
    json: Json = False,
) -> None:
    """Find experiments by words, composition, technique, conditions and likeness, all of what is given together."""
    with plain_errors():
        from archive.library_search import numbers

        with opened_library(library, write=False) as kept:
            query = _query(words, elements, technique, between)
            found: list[tuple[Kept, float | None]]
            if like is None:
                found = [(each, None) for each in kept.many(numbers(kept, query, count))]
            else:
                found = _alike(kept, query, like, count)
            results = [each for word in words or () for each in kept.results(word)]
            if json:
                show({"experiments": [_as_json(each, far) for each, far in found],
                      "results": [_result_json(result) for result, _ in results]})  # fmt: skip
                return
            say(_table(found) if found else "nothing in the library fits")
            for result, _ in results:
                say(_result_line(result))


def show_one(
    what: Annotated[str, typer.Argument(help="A number from `search`, or a specimen's name.", show_default=False)],
    count: Annotated[int, typer.Option(help="Nearest others to list.", min=0)] = 5,
    library: File = None,
) -> None:
    """Everything that is kept of an experiment with the nearest others, or of a specimen with its results, as JSON."""
    with plain_errors():
        from archive.library_records import LibraryError
        from archive.library_search import of_specimen

        with opened_library(library, write=False) as kept:
            if what.isdecimal():
                one = kept.get(int(what))
                near = [
                    (number, far, model)
                    for model, vector in kept.embeddings(one.id).items()
                    for number, far in kept.like(model, vector, count + 1)
                    if number != one.id
                ]
                told = _as_json(one, None) | {
                    "earlier": [_record_json(each) for each in kept.replaced(one.experiment.uid)],
                    "nearest": [
                        {"number": number, "distance": far, "model": model, "title": kept.get(number).experiment.title}
                        for number, far, model in near[:count]
                    ],
                }
            else:
                results = kept.results(what)
                experiments = of_specimen(kept, what)
                if not results and not experiments:
                    raise LibraryError(f"asked for the specimen {what!r}, found none of that name; try `search`")
                told = {
                    "specimen": what,
                    "results": [_result_json(result) for result, _ in results],
                    "experiments": [_as_json(one, None) for one in experiments],
                }
            show(told)


def stats(
    words: Words = None,
    elements: Elements = None,
    technique: Technique = None,
    between: Between = None,
    library: File = None,
    json: Json = False,
) -> None:
    """What came of experiments by technique, voltage and decade of dwell; and of what the library is made."""
    with plain_errors():
        from archive.library_search import element_counts, statistics

        with opened_library(library, write=False) as kept:
            rows = statistics(kept, _query(words, elements, technique, between))
            made_of = element_counts(kept)
            if json:
                show({"rows": [{each.name: getattr(row, each.name) for each in fields(row)} for row in rows],
                      "elements": made_of, "experiments": len(kept)})  # fmt: skip
                return
            table = Table("technique", "kV", "dwell", "experiments", "frames", "usable", box=None, padding=(0, 2))
            for row in rows:
                dwell = "" if row.dwell_decade is None else f"{10.0**row.dwell_decade:g}+ µs"
                usable = "not told" if row.usable_ratio is None else f"{row.usable_ratio:.0%}"
                table.add_row(
                    row.technique, number_text(row.voltage_kV), dwell, str(row.experiments), str(row.frames), usable
                )
            widen()
            say(table if rows else "nothing in the library fits")
            say(f"\n{len(kept)} experiments; " + ", ".join(f"{k} {n}" for k, n in list(made_of.items())[:20]))


def conflicts(library: File = None) -> None:
    """What other laboratories tell otherwise of an experiment that is here: kept aside, as JSON."""
    with plain_errors():
        with opened_library(library, write=False) as kept:
            found = kept.conflicts()
        show([{"rule": rule, "origin": origin, "uid": theirs.uid, "title": theirs.title,
               "conditions": told_of(theirs.conditions)} for rule, theirs, origin in found])  # fmt: skip


def _query(
    words: list[str] | None, elements: list[str] | None, technique: str | None, between: list[str] | None
) -> Query:
    from archive.library_search import Query

    chosen = tuple(said(elements=elements).elements or ())
    return Query(words=" ".join(words or ()), elements=chosen, technique=technique, ranges=_ranges(between or ()))


def _ranges(between: Any) -> dict[str, tuple[float | None, float | None]]:
    """Raises ConfigError."""
    from configs.errors import ConfigError

    found = {}
    for text in between:
        name, equals, bounds = text.partition("=")
        low, colon, high = bounds.partition(":")
        try:
            found[name] = (float(low) if low else None, float(high) if high else None)
        except ValueError:
            colon = ""
        if not (equals and colon):
            raise ConfigError(f"--between {text}: write it as NAME=LOW:HIGH, one of the two may be left out")
    return found


def _alike(library: Library, query: Query, image: Path, count: int) -> list[tuple[Kept, float | None]]:
    """The most alike of what fits. Raises ConfigError for an image that says nothing."""
    from archive.library_search import Query as Asked
    from archive.library_search import numbers
    from archive.likeness import MODEL, embed
    from configs.errors import ConfigError
    from instruments.images import read_image

    read = read_image(image)
    vector = embed(read.data, read.pixel_size_nm)
    if vector is None:
        raise ConfigError(f"{image}: it is blank or too small to look like anything")
    among = None if query == Asked() else numbers(library, query, len(library))
    near = library.like(MODEL, vector, count, among)
    return [(library.get(number), far) for number, far in near]


def _table(found: list[tuple[Kept, float | None]]) -> Table:
    widen()
    far = any(distance is not None for _, distance in found)
    table = Table("", *(["distance"] if far else []), "technique", "title", "elements", *SHOWN, "usable",
                  box=None, padding=(0, 1))  # fmt: skip
    for kept, distance in found:
        one = kept.experiment
        usable = "" if one.outcome.usable_ratio is None else f"{one.outcome.usable_ratio:.0%} of {one.outcome.frames}"
        table.add_row(
            str(kept.id), *([number_text(distance)] if far else []), one.technique, one.title, " ".join(one.elements),
            *(number_text(getattr(one.conditions, name)) for name in SHOWN), usable,
        )  # fmt: skip
    return table


def _as_json(kept: Kept, distance: float | None) -> dict[str, Any]:
    where = {"number": kept.id, "origin": kept.origin, "added_utc": kept.added_utc}
    return where | ({} if distance is None else {"distance": distance}) | _record_json(kept.experiment)


def _record_json(experiment: Experiment) -> dict[str, Any]:
    import json

    from archive.library_records import canonical

    told: dict[str, Any] = json.loads(canonical(experiment))
    return told


def _result_json(result: Result) -> dict[str, Any]:
    return {each.name: getattr(result, each.name) for each in fields(result)}


def _result_line(result: Result) -> str:
    doubt = "" if result.uncertainty is None else f" ± {result.uncertainty:g}"
    told = f"{result.quantity} {result.value:g}{doubt} {result.unit} by {result.technique} ({result.source})"
    return f"{result.specimen}: {told}"


def told_of(settings: Conditions) -> dict[str, float]:
    """Those that were told, by name."""
    values = {each.name: getattr(settings, each.name) for each in fields(settings)}
    return {name: value for name, value in values.items() if value is not None}


def number_text(value: float | None) -> str:
    """To three digits; empty where nobody told it."""
    return "" if value is None else f"{value:.3g}"


def widen() -> None:
    """Give tables room where there is no terminal that would say its own width."""
    if not output.is_terminal:
        output.width = WIDE
