"""Commands of the library of prior experiments: what goes in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console import library_asked, library_recommending
from console.exits import Exit, plain_errors, say, show
from console.library_options import Elements, File, Json, opened_library, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.library import Library
    from archive.library_from_file import Told
    from archive.library_records import Added, Experiment

Files = Annotated[
    list[Path], typer.Argument(help="Surveys' folders, vendors' files, images, OME-Zarr.", show_default=False)
]
Bundle = Annotated[Path, typer.Argument(help="What `adaptem library export` wrote.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add this group."""
    group = typer.Typer(no_args_is_help=True, help="The library of prior experiments: fill, ask, exchange.")
    group.command("add")(add)
    group.command("result")(result)
    library_asked.register(group)
    library_recommending.register(group)
    group.command("export")(export)
    group.command("import")(import_bundle)
    group.command("merge")(merge)
    app.add_typer(group, name="library")


def add(
    files: Files,
    material: Annotated[str | None, typer.Option(help="Formula (SrTiO3) or name of what they show.")] = None,
    elements: Elements = None,
    specimen: Annotated[
        str | None, typer.Option(help="The specimen's name: results of other techniques go by it.")
    ] = None,
    words: Annotated[str, typer.Option(help="Whatever else they should be found by.")] = "",
    operator: Annotated[str | None, typer.Option(help="Who measured.")] = None,
    orcid: Annotated[str | None, typer.Option(help="The operator's ORCID iD.")] = None,
    licence: Annotated[str | None, typer.Option(help="Terms, as an SPDX expression: CC-BY-4.0.")] = None,
    library: File = None,
    json: Json = False,
) -> None:
    """Add surveys and files. Each is durable when it is told; what cannot be read is told, and the others go in."""
    with plain_errors():
        from archive.errors import ArchiveError
        from archive.library_from_file import Told
        from configs.errors import ConfigError

        who = said(operator=operator, orcid=orcid, licence=licence, elements=elements)
        told = Told(material=material, elements=tuple(who.elements or ()), specimen=specimen, words=words,
                    operator=operator, orcid=who.orcid, licence=licence)  # fmt: skip
        rows, failed = [], 0
        with opened_library(library, create=True) as kept:
            for path in files:
                try:
                    for experiment, done in _added(kept, path, told):
                        rows.append({"file": str(path), "title": experiment.title, "added": done})
                        if not json:
                            say(f"{done:8}  {experiment.technique:8} {experiment.title}")
                except (ConfigError, ArchiveError, OSError) as error:
                    failed += 1
                    rows.append({"file": str(path), "added": "refused", "why": str(error)})
                    if not json:
                        say(f"refused   {path}: {str(error).removeprefix(f'{path}: ')}")
            if json:
                show(rows)
            else:
                say(f"{kept.name} holds {len(kept)} experiments")
        if failed:
            raise typer.Exit(Exit.FAILED)


def result(
    specimen: Annotated[str, typer.Argument(help="The specimen's name.", show_default=False)],
    quantity: Annotated[str, typer.Argument(help="lattice parameter, Ge content, thickness, …", show_default=False)],
    value: Annotated[float, typer.Argument(show_default=False)],
    unit: Annotated[str, typer.Argument(help="nm, at.%, …; 1 where there is none.", show_default=False)],
    technique: Annotated[str, typer.Option(help="XRD, APT, ICP-MS, …", show_default=False)],
    source: Annotated[str, typer.Option(help="Publication, report or file.", show_default=False)],
    uncertainty: Annotated[float | None, typer.Option(help="Standard, in the same unit.")] = None,
    library: File = None,
) -> None:
    """Keep what another technique says of a specimen: `adaptem library show SPECIMEN` and `search` find it."""
    with plain_errors():
        from archive.library_records import Result

        told = Result(specimen=specimen, quantity=quantity, value=value, unit=unit, uncertainty=uncertainty,
                      technique=technique, source=source)  # fmt: skip
        with opened_library(library, create=True) as kept:
            say(f"{kept.add_result(told)}: {specimen}, {quantity} {value:g} {unit}")


def export(
    out: Annotated[Path, typer.Argument(help="The bundle to write, .zip.", show_default=False)],
    words: Annotated[str, typer.Option(help="Only what contains these words.")] = "",
    elements: Elements = None,
    licence: Annotated[str | None, typer.Option(help="Terms of the bundle, as an SPDX expression.")] = None,
    author: Annotated[str | None, typer.Option(help="Who hands it on.")] = None,
    orcid: Annotated[str | None, typer.Option(help="Whose ORCID iD.")] = None,
    library: File = None,
) -> None:
    """Write experiments as an RO-Crate for another laboratory, with checksums, licence and who hands them on."""
    with plain_errors():
        from archive.export import publish
        from archive.library_exchange import export_bundle
        from archive.library_search import Query, numbers
        from configs.errors import ConfigError

        who = said(operator=author, orcid=orcid, licence=licence, elements=elements)
        asked = Query(words=words, elements=tuple(who.elements or ()))
        with opened_library(library, write=False) as kept:
            chosen = None if asked == Query() else numbers(kept, asked, len(kept))
            count = len(kept) if chosen is None else len(chosen)
            if not count:
                raise ConfigError(f"nothing in {kept.name} fits: no bundle was written")
            terms = licence and f"https://spdx.org/licenses/{licence}"
            whose = who.orcid and f"https://orcid.org/{who.orcid}"

            def write(path: Path) -> None:
                export_bundle(kept, path, chosen, licence_url=terms, author=author, orcid_url=whose)

            publish(out, write)
            say(f"wrote {count} experiments to {out}")


def import_bundle(bundle: Bundle, library: File = None, json: Json = False) -> None:
    """Take in another laboratory's bundle: every name, size and checksum is checked first, and it is all or nothing."""
    with plain_errors():
        from archive import library_exchange

        with opened_library(library, create=True) as kept:
            _told(bundle, library_exchange.import_bundle(kept, bundle), json=json)


def merge(
    other: Annotated[str, typer.Argument(help="Another library's file, or postgresql://…; it is only read.")],
    library: File = None,
    json: Json = False,
) -> None:
    """Take in another library's file."""
    with plain_errors():
        from archive import library_exchange

        with opened_library(library, create=True) as kept:
            _told(other if "://" not in other else "the other library", library_exchange.merge(kept, other), json=json)


def _told(path: Path | str, counts: dict[str, int], *, json: bool) -> None:
    if json:
        show(counts)
        return
    say(f"{path}: {counts['new']} new, {counts['revised']} revised, {counts['same']} known already")
    if count := counts["conflict"]:
        say(f"{count} told otherwise than here: ours stay, theirs are kept aside (`adaptem library conflicts`)")


def _added(library: Library, path: Path, told: Told) -> Iterator[tuple[Experiment, Added]]:
    from archive.library_filling import add_survey
    from archive.library_from_file import experiments_in
    from archive.reader import SurveyReader

    if (path / "survey.json").is_file():
        with SurveyReader(path) as reader:
            yield from add_survey(library, reader)[0]
    else:
        for experiment, vectors in experiments_in(path, told):
            yield experiment, library.add(experiment, vectors)
