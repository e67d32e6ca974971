"""The command that recommends technique and settings: recommend."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from console.exits import plain_errors, say, show
from console.library_asked import SHOWN, Technique, number_text, told_of, widen
from console.library_options import Elements, File, Json, opened_library, said

if TYPE_CHECKING:
    from archive.library_recommend import Advice
    from surveys.design import Plan
    from surveys.design_prior import Judged

Asked = Annotated[
    Path | None, typer.Option(help="A question (YAML) as for `adaptem plan`: says whether each would show it.")
]


def register(group: typer.Typer) -> None:
    """Add the command to the library's group."""
    group.command("recommend")(recommend)


def recommend(
    elements: Elements = None,
    material: Annotated[str | None, typer.Option(help="A formula, in place of elements: SrTiO3.")] = None,
    technique: Technique = None,
    question: Asked = None,
    count: Annotated[int, typer.Option(help="At most so many.", min=1, max=100)] = 8,
    library: File = None,
    json: Json = False,
) -> None:
    """Techniques and settings that were of use on like specimens, with the evidence and how sure it is.

    With a question, beside each what physics says: the chance to see the feature at these settings.
    """
    with plain_errors():
        from archive.library_recommend import INTERVAL
        from archive.library_recommend import recommend as advise
        from configs.elements import elements_of
        from configs.errors import ConfigError

        made = None if question is None else _planned(question)
        try:
            wanted = elements_of(material) if material else tuple(said(elements=elements).elements or ())
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if not wanted and made is not None:
            wanted = import_module("surveys.design_prior").question_elements(made.question)
        if not wanted:
            raise ConfigError("say what the specimen is made of: --material SrTiO3, or --element Sr --element Ti")
        with opened_library(library, write=False) as kept:
            found = advise(kept, wanted, technique, count)
        checks = [_judged(made, each) for each in found]
        if json:
            show([
                {"technique": a.technique, "settings": told_of(a.settings), "usable": a.usable.mean,
                 "usable_interval": a.usable.interval, "interval_probability": INTERVAL, "n": a.usable.experiments,
                 "snr": a.snr, "snr_per_root_fluence": a.snr_per_root_fluence, "evidence": a.evidence,
                 "fallback": a.fallback} | ({} if check is None else {"plan": _plain(check)})
                for a, check in zip(found, checks, strict=True)
            ])  # fmt: skip
            return
        table = Table("technique", *SHOWN, f"usable ({INTERVAL:.0%})", "n", "SNR", "SNR/√fluence", "evidence",
                      *([] if made is None else ["would show it", "the plan"]), box=None, padding=(0, 1))  # fmt: skip
        for each, check in zip(found, checks, strict=True):
            low, high = each.usable.interval
            table.add_row(
                each.technique, *(number_text(getattr(each.settings, name)) for name in SHOWN),
                f"{each.usable.mean:.2f} ({low:.2f}-{high:.2f})", str(each.usable.experiments), number_text(each.snr),
                number_text(each.snr_per_root_fluence), " ".join(map(str, each.evidence)),
                *([] if check is None else [_chance(check), check.told]),
            )  # fmt: skip
        widen()
        say(table if found else "nothing in the library told how it ended")
        for note in dict.fromkeys(each.fallback for each in found if each.fallback):
            say(note)


def _planned(question: Path) -> Plan:
    """Raises ConfigError for a question that is none, or where the simulator's tables are not installed."""
    from configs.load import load
    from console.plan import needing_simulator

    design = needing_simulator("surveys.design")
    made: Plan = design.make_plan(load(question, import_module("surveys.design_question").Question))
    return made


def _judged(made: Plan | None, advice: Advice) -> Judged | None:
    if made is None:
        return None
    found: Judged = import_module("surveys.design_prior").judged(made, advice)
    return found


def _plain(check: Judged) -> dict[str, Any]:
    """As JSON has it: what no dose gives is null."""
    needed = check.needed_e_per_A2
    return {
        "probability": check.probability,
        "needed_e_per_A2": None if needed is None or needed == float("inf") else needed,
        "agrees": check.agrees,
        "told": check.told,
    }


def _chance(check: Judged) -> str:
    return "" if check.probability is None else f"{check.probability:.0%}"
