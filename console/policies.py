"""Commands for trained policies: policies list, show, card, export, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.exits import plain_errors, say, show
from console.train import learning

if TYPE_CHECKING:
    from types import ModuleType

Runs = Annotated[Path, typer.Option(help="Folder of training runs.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Named = Annotated[str, typer.Argument(help="FILE.safetensors, or the name of one that comes with adaptem.")]
RUNS = Path("training_runs")


def register(app: typer.Typer) -> None:
    """Add this group."""
    group = typer.Typer(no_args_is_help=True, help="Trained policies: list, show, export, import.")
    group.command("list")(list_policies)
    group.command("show")(show_policy)
    group.command("card")(card)
    group.command("export")(export)
    group.command("import")(import_policy)
    app.add_typer(group, name="policies")


def list_policies(runs: Runs = RUNS, json: Json = False) -> None:
    """Those that come with adaptem, and those of training runs."""
    with plain_errors():
        rows = _shelf().listed(runs)
        if json:
            show(rows)
        elif not rows:
            say(f"no policy comes with adaptem, and none is in {runs}; `adaptem train` makes one")
        for row in () if json else rows:
            score = "" if row["score"] is None else f"  finds {row['score']:.1%} where it was selected"
            say(f"{row['policy']:20} {row['kind']:4} {row['hash']}  {row['file']}{score}")


def show_policy(policy: Named) -> None:
    """Everything that is kept with a policy, as JSON: its config, seed, commit, what it sees and may do."""
    with plain_errors():
        show(_shelf().read_card(learning("models.checkpoint").find_policy(policy)))


def card(policy: Named) -> None:
    """A model card in Markdown."""
    with plain_errors():
        say(_shelf().card_text(learning("models.checkpoint").find_policy(policy)))


def export(policy: Named, out: Annotated[Path, typer.Option(help="The bundle to write.")] = Path("policy.zip")) -> None:
    """Pack a policy with its card, for another laboratory."""
    with plain_errors():
        packed = _shelf().export(learning("models.checkpoint").find_policy(policy), out)
        say(f"{packed}: take it in by `adaptem policies import`")


def import_policy(
    bundle: Annotated[Path, typer.Argument(help="What `adaptem policies export` wrote.")],
    into: Annotated[Path, typer.Option(help="Folder of training runs.")] = RUNS,
) -> None:
    """Take in a bundle: its weights are loaded and compared with its card first, and nothing in it is run."""
    with plain_errors():
        say(f"{_shelf().take_in(bundle, into)}: fly it by `agent: {{kind: learned, weights: FILE}}`")


def _shelf() -> ModuleType:
    found: ModuleType = learning("training.shelf")
    return found
