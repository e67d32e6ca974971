"""Commands of campaigns: one question over a grid of specimens and conditions, shared by laboratories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console import library as of_library
from console.exits import plain_errors, say, show
from console.library_options import File, Json, opened_library, said

if TYPE_CHECKING:
    from archive.library import Library
    from surveys.campaign_member import Member
    from surveys.campaign_standing import Standing

LABORATORY = "ADAPTEM_LABORATORY"
Name = Annotated[str, typer.Argument(help="The campaign's name, or the beginning of its checksum.", show_default=False)]
Mine = Annotated[str | None, typer.Option("--laboratory", help=f"Which one you are. Default: ${LABORATORY}.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=c. May be repeated.")]


def register(app: typer.Typer) -> None:
    """Add this group."""
    group = typer.Typer(no_args_is_help=True, help="One question over a grid of cells, shared by laboratories.")
    for command in (start, status, claim, run, release, export, report):
        group.command(command.__name__)(command)
    group.command("next")(proposals)
    group.command("import")(of_library.import_bundle)
    group.command("merge")(of_library.merge)
    app.add_typer(group, name="campaign")


def start(
    campaign: Annotated[Path, typer.Argument(help="A campaign (YAML), as configs/campaign_example.yaml.")],
    sets: Sets = None,
    laboratory: Mine = None,
    library: File = None,
) -> None:
    """Open a campaign in your library; the others get it with your first bundle."""
    with plain_errors():
        from archive.journal import utc_now
        from configs.load import load
        from surveys.campaign_member import start as open_campaign
        from surveys.campaign_settings import CampaignSettings

        settings = load(campaign, CampaignSettings, tuple(sets or ()))
        with opened_library(library, create=True) as kept:
            opened = open_campaign(kept, settings, _laboratory(laboratory), utc_now())
        shared = f"{len(settings.grid)} cells, {len(settings.laboratories)} laboratories"
        say(f"{settings.name} {opened.campaign[:12]}: {shared}")


def status(
    name: Annotated[str | None, typer.Argument(help="A campaign; by itself, which there are.")] = None,
    library: File = None,
    json: Json = False,
) -> None:
    """How far a campaign is: whose each cell is, what it gave, and how sure the grid is."""
    with plain_errors(), opened_library(library, write=False) as kept:
        if name is None:
            from surveys.campaign_standing import known

            there, wrong = known(kept.database)
            rows = [{"name": each.name, "id": one, "question": each.question} for one, each in there.items()]
            if json:
                show(rows)
            elif not rows:
                say("no campaign in this library: `adaptem campaign start FILE`, or import another's bundle")
            for row in () if json else rows:
                say(f"{row['id'][:12]}  {row['name']}: {row['question']}")
            for one, why in () if json else wrong.items():
                say(f"{one[:12]}  cannot be read: {why}", style="yellow")
            return
        _tell(_standing(kept, name), (), json=json)


def proposals(name: Name, laboratory: Mine = None, library: File = None, json: Json = False) -> None:
    """The cells that you may claim, the one that teaches the most per hour first."""
    with plain_errors(), opened_library(library) as kept:
        found = _member(kept, name, laboratory).proposals()
        if json:
            show([{"cell": cell, "variance_per_hour": gain} for cell, gain in found])
            return
        for cell, gain in found:
            say(f"{cell}  lowers the summed variance by {gain:.3g} an hour")
        if not found:
            say("none: exchange bundles (`adaptem campaign export` asks the others), or `adaptem campaign status`")


def claim(
    name: Name,
    cell: Annotated[str | None, typer.Argument(help="SPECIMEN/CONDITION; by itself the first of `next`.")] = None,
    laboratory: Mine = None,
    library: File = None,
    json: Json = False,
) -> None:
    """Claim a cell, to mount its specimen and measure it with `run` before the lease ends."""
    with plain_errors(), opened_library(library) as kept:
        made = _member(kept, name, laboratory).claim(cell)
        told = {"cell": made.cell, "until_utc": made.until_utc}
        show(told) if json else say(f"{made.cell} is yours until {made.until_utc}")


def run(
    name: Name,
    survey: Annotated[Path, typer.Option(help="Your own survey config: instrument, limits, areas of the specimens.")],
    cell: Annotated[
        str | None,
        typer.Option(help="The cell whose specimen is mounted; a simulated instrument takes the first."),
    ] = None,
    cells: Annotated[int, typer.Option(help="At most so many, one after the other.", min=1)] = 1,
    sets: Sets = None,
    laboratory: Mine = None,
    library: File = None,
    json: Json = False,
) -> None:
    """Measure a cell as an ordinary survey, and tell its result. A cell that you have claimed is taken up."""
    with plain_errors():
        from configs.errors import ConfigError
        from configs.load import load
        from instruments.drivers import registry
        from surveys.campaign_cell import run_cell
        from surveys.campaign_told import shown
        from surveys.settings import SurveySettings

        own = load(survey, SurveySettings, tuple(sets or ()))
        if cell is None and not registry.simulated(own.instrument):
            raise ConfigError("name the cell whose specimen is mounted: --cell SPECIMEN/CONDITION (`next` proposes)")
        if cell is not None and cells > 1:
            raise ConfigError("--cell names one cell: leave --cells out")
        rows = []
        with opened_library(library) as kept:
            member = _member(kept, name, laboratory)
            log = member.standing().campaign.measure.log
            for number in range(cells):
                if number and (member.standing().ended() is not None or not member.proposals()):
                    break
                taken = member.taken(cell)
                found = run_cell(member, taken, own)
                rows.append({"cell": taken.cell, "value": found.value, "std": found.std, "hours": found.hours,
                             "survey": found.survey})  # fmt: skip
                if not json:
                    say(f"{taken.cell}: {shown(found.value, found.std, log=log)}, {found.hours:.3g} h ({found.survey})")
            if json:
                show(rows)
            elif (why := member.standing().ended()) is not None:
                say(f"the campaign has ended: {why}")


def release(
    name: Name,
    cell: Annotated[str, typer.Argument(help="SPECIMEN/CONDITION.", show_default=False)],
    because: Annotated[str, typer.Option(help="Why, for the others.")],
    laboratory: Mine = None,
    library: File = None,
) -> None:
    """Give back a cell that you have claimed and will not measure."""
    with plain_errors(), opened_library(library) as kept:
        _member(kept, name, laboratory).release(cell, because)
        say(f"{cell} is open again")


def export(
    name: Name,
    out: Annotated[Path, typer.Argument(help="The bundle to write, .zip.", show_default=False)],
    licence: Annotated[str | None, typer.Option(help="Terms of the bundle, as an SPDX expression.")] = None,
    author: Annotated[str | None, typer.Option(help="Who hands it on.")] = None,
    orcid: Annotated[str | None, typer.Option(help="Whose ORCID iD.")] = None,
    laboratory: Mine = None,
    library: File = None,
) -> None:
    """Write a bundle for the others: claims, results, cells granted to who asked, and what you ask for."""
    with plain_errors():
        from archive.export import publish
        from archive.library_exchange import export_bundle

        who = said(operator=author, orcid=orcid, licence=licence)
        terms, whose = (
            licence and f"https://spdx.org/licenses/{licence}",
            who.orcid and f"https://orcid.org/{who.orcid}",
        )
        with opened_library(library) as kept:
            member = _member(kept, name, laboratory)
            for entry in member.answer():
                say(f"granted {entry.cell} to {entry.to}" if entry.kind == "grant" else f"asked for {entry.cell}")

            def write(path: Path) -> None:
                export_bundle(kept, path, (), campaign=member.campaign, licence_url=terms, author=author,
                              orcid_url=whose)  # fmt: skip

            publish(out, write)
            say(f"wrote {len(member.standing().entries)} entries of {member.standing().campaign.name} to {out}")


def report(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="Folder for picture and numbers; by itself NAME-campaign.")] = None,
    laboratory: Mine = None,
    library: File = None,
    json: Json = False,
) -> None:
    """The answer so far: a table, a picture of the grid, and the numbers as JSON."""
    with plain_errors():
        from archive.durable import write_atomically
        from console.campaign_picture import save_picture
        from review.words import as_json
        from surveys.campaign_told import as_dict

        with opened_library(library) as kept:
            now = _standing(kept, name)
            whose = laboratory or os.environ.get(LABORATORY)
            proposed = [] if whose is None else [cell for cell, _ in _member(kept, name, whose).proposals()[:1]]
        place = out or Path(f"{now.campaign.name}-campaign")
        place.mkdir(parents=True, exist_ok=True)
        save_picture(now, proposed, place / "campaign.png")
        write_atomically(place / "campaign.json", as_json(as_dict(now, proposed), indent=2).encode())
        _tell(now, proposed, json=json)
        if not json:
            say(f"{place / 'campaign.png'}, {place / 'campaign.json'}")


def _tell(now: Standing, proposed: list[str] | tuple[str, ...], *, json: bool) -> None:
    from rich.table import Table

    from surveys.campaign_told import as_dict, shown

    told = as_dict(now, proposed)
    if json:
        show(told)
        return
    log = now.campaign.measure.log
    table = Table("cell", "state", "laboratory", "measured", "grid, all together", box=None, padding=(0, 2))
    for each in told["cells"]:
        results = ", ".join(shown(one["value"], one["std"], log=log) for one in each["results"])
        known = "" if each["mean"] is None else shown(each["mean"], each["std"], log=log)
        table.add_row(each["cell"], each["state"], each["laboratory"], results, known)
    say(f"{now.campaign.name}: {now.campaign.question}")
    say(table)
    for one in told["laboratories"]:
        say(f"{one['name']}: offset {one['offset']:+.2g} ± {one['std']:.2g}{' (ln)' if log else ''}")
    for line in told["wrong"]:
        say(line, style="yellow")
    say(told["ended"] or f"goes on; {told['hours']:.3g} h of instruments so far", style="bold")


def _laboratory(told: str | None) -> str:
    from configs.errors import ConfigError

    found = told or os.environ.get(LABORATORY)
    if not found:
        raise ConfigError(f"say which laboratory you are: --laboratory NAME, or ${LABORATORY}")
    return found


def _id(library: Library, name: str) -> str:
    from configs.errors import ConfigError
    from configs.settings import unknown
    from surveys.campaign_standing import known

    there, _ = known(library.database)
    found = [one for one, each in there.items() if each.name == name or (len(name) >= 6 and one.startswith(name))]
    if len(found) > 1:
        raise ConfigError(f"{len(found)} campaigns are called {name!r}: give the beginning of a checksum (`status`)")
    if not found:
        names = [each.name for each in there.values()]
        raise ConfigError(f"campaign {name!r}: {unknown(name, names, 'campaign')}")
    return found[0]


def _standing(library: Library, name: str) -> Standing:
    from archive.journal import utc_now
    from surveys.campaign_standing import standing_of

    return standing_of(library.database, _id(library, name), utc_now())


def _member(library: Library, name: str, laboratory: str | None) -> Member:
    from surveys.campaign_member import Member

    return Member(library, _id(library, name), _laboratory(laboratory))
