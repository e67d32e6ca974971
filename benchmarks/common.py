"""The habit that every benchmark shares: a table on the screen, ``--json FILE``, ``--quick``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


DATA = Path(os.environ.get("ADAPTEM_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
"""The folder of recorded data."""
LIMITS = {"backlash_nm": 80.0, "stage_uncertainty_nm": 15.0, "max_current_pA": 60.0, "max_fluence_e_per_A2": 1e5}
"""Of a config, as the simulated stage needs them, and with dose enough for any place."""


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--quick", action="store_true", help="fewer samples, to see that it runs; prints no claim")
    return parser


def finish(rows: Sequence[Mapping[str, Any]], options: argparse.Namespace, *, title: str) -> None:
    """Print the rows as a table, and write them to ``--json`` with what they were measured on."""
    print_table(rows, title=title + (" (quick: not a result)" if options.quick else ""))
    write(rows, options, title=title)


def write(rows: Sequence[Mapping[str, Any]], options: argparse.Namespace, *, title: str) -> None:
    """The rows to ``--json``, where it was given; on the screen, what they took of processors."""
    cpu_s = processors_s()
    print(f"{cpu_s:.0f} s of processors")
    if options.json is not None:
        about = {"quick": options.quick, "python": platform.python_version(), "cores": os.cpu_count(), "cpu_s": cpu_s}
        options.json.write_text(json.dumps({"title": title, **about, "rows": list(rows)}, indent=2) + "\n")


def processors_s() -> float:
    """Of this process and of those that it began and that ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def print_table(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> None:
    """The rows under the keys of the first, floats to three digits."""
    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ():
        table.add_column(name.replace("_", " "), justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=None if os.isatty(1) else 160, highlight=False).print(table)
