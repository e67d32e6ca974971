"""A plan in words and numbers, for people and for programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from surveys.design import evidence_of
from surveys.design_check import Checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from surveys.design import Plan, Row
    from surveys.design_precision import Measured

_POINTS = 25
"""Of each curve that is written."""


def cells(row: Row, checked: Checked | Measured | None, *, simulated: bool) -> dict[str, str]:
    """A row of the table, by the names of its columns."""
    proposal = row.proposal
    settings = " ".join(
        f"{value}" if name != "defocus_nm" else f"{value} nm" for name, value in proposal.settings.items()
    )
    beam = f"{row.current_pA:.3g} pA × {_duration(row.dwell_us)}" + (f" × {row.frames}" if row.frames > 1 else "")
    found = {
        "technique": proposal.technique + ("*" if proposal.doubt else ""),
        "how": settings,
        "pixels": f"{proposal.frame_px}² of {proposal.pixel_nm:.3g} nm",
        "needs e/Å²": f"{_number(row.needed_e_per_A2)} ×÷{proposal.factor:g}",
        "Rose": _number(row.rose_e_per_A2),
        "finds": f"{row.probability:.0%}",
    }
    if simulated:
        found["simulated"] = "-" if checked is None else str(checked)
        found["false"] = f"{checked.false_frames}/{checked.clean_frames}" if isinstance(checked, Checked) else "-"
    return found | {
        "beam": beam,
        "hours": f"{row.hours:.2g}",
        "MB": f"{row.data_MB:.3g}",
        "lost": f"{row.lost:.1%}" if row.lost < 0.1 else f"{row.lost:.0%}",
        "per e": f"{row.per_electron:.2g}",
        "per h": f"{row.per_hour:.2g}",
    }


def reasons(made: Plan) -> Iterator[str]:
    """Why rows are doubtful, beyond a limit, or not there."""
    for row in made.rows:
        if row.proposal.doubt is not None:
            yield f"* {row.proposal.technique}: {row.proposal.doubt}"
        if row.exceeds:
            yield f"{row.proposal.technique} {'; '.join(row.exceeds)}"
    why: dict[str, list[str]] = {}
    for each in made.refused:
        why.setdefault(each.why, []).append(each.technique)
    for reason, techniques in why.items():
        yield f"{', '.join(techniques)}: no answer: {reason}"


def grounds(made: Plan) -> Iterator[str]:
    """What each row's numbers rest on; a ground that several share is told once."""
    shared: dict[str, list[str]] = {}
    for row in made.rows:
        for each in evidence_of(made, row):
            shared.setdefault(f"{each.what} [{each.source}]", []).append(row.proposal.technique)
    for what, techniques in shared.items():
        yield f"{', '.join(techniques)}: {what}"


def header(made: Plan, told: Iterable[str] = ()) -> str:
    """Comment lines over the survey's config; ``told``: what else is to be said of it."""
    return (
        f"# Written by `adaptem plan` for: {made.question.text or made.question.name}\n"
        f"# {made.verdict()}\n"
        f"{''.join(f'# {line}{chr(10)}' for line in told)}"
        "# A simulated instrument stands for yours: change the block `instrument` (docs/drivers.md), and `limits`.\n"
    )


def as_dict(made: Plan, checked: Mapping[str, Checked | Measured]) -> dict[str, Any]:
    """All of it; what is infinite is null."""
    return {
        "question": made.question.model_dump(mode="json"),
        "verdict": made.verdict(),
        "possible": made.best is not None,
        "most_e_per_A2": made.most_e_per_A2,
        "rows": [_row(made, row, checked.get(row.proposal.technique)) for row in made.rows],
        "refused": [asdict(each) for each in made.refused],
    }


def write_json(facts: dict[str, Any], path: Path) -> None:
    """Strict JSON."""
    path.write_text(json.dumps(facts, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def _row(made: Plan, row: Row, checked: Checked | Measured | None) -> dict[str, Any]:
    proposal, curve = row.proposal, row.proposal.curve
    centre = row.fluence_e_per_A2
    doses = np.geomspace(centre / 100, centre * 100, _POINTS).tolist()
    own = ("fluence_e_per_A2", "needed_e_per_A2", "rose_e_per_A2", "probability", "current_pA", "dwell_us", "frames",
           "fields", "hours", "data_MB", "lost", "per_electron", "per_hour", "exceeds", "possible")  # fmt: skip
    return {
        "technique": proposal.technique,
        "detector": proposal.detector,
        "settings": proposal.settings,
        "pixel_nm": proposal.pixel_nm,
        "frame_px": proposal.frame_px,
        **{name: _finite(getattr(row, name)) for name in own},
        "uncertainty_factor": proposal.factor,
        "doubt": proposal.doubt,
        "curve": {
            "fluence_e_per_A2": doses,
            "probability": [curve.probability(dose) for dose in doses],
            "snr": [curve.snr(dose) for dose in doses],
        },
        "evidence": [asdict(each) for each in evidence_of(made, row)],
        "prior_experiments": [asdict(each) for each in proposal.prior],
        "simulated": None if checked is None else asdict(checked),
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "never"
    return f"{value:.3g}" if value < 1e4 else f"{value:.2e}".replace("e+0", "e").replace("e+", "e")


def _duration(us: float) -> str:
    if us < 1:
        return f"{us * 1e3:.3g} ns"
    return f"{us:.3g} µs" if us < 1e3 else f"{us / 1e3:.3g} ms"
