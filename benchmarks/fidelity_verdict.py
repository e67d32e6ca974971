"""What of the fidelity's rows meets its targets, where the model breaks, and whether it says so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from benchmarks.cells import ANNULAR, BRIGHT, DARK, WIDE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row: TypeAlias = "dict[str, Any]"

KINDS = (DARK, BRIGHT, ANNULAR, WIDE)
AGREES, CLOSE = 0.90, 0.95
CONTRAST_OFF, EXPONENT_OFF = 0.10, 0.05
NEAR_NM = 5.0
PROMISED_NM = {"graphene": 1.0, "SrTiO3": 4.0, "Au": 1.0}
"""Thickness up to which the targets hold."""


def in_focus(row: Row) -> bool:
    """Whether the focus lies in the crystal."""
    return bool(-row["thick_nm"] <= row["C10_nm"] <= 0)


def fails(row: Row) -> bool:
    """Under 0.9, or, of a dark field in focus, a contrast off by more than a tenth."""
    off = row["image"] == DARK and in_focus(row) and abs(row["ratio"] - 1) > CONTRAST_OFF
    return bool(row["correlation"] < AGREES or off)


def promised(row: Row) -> bool:
    return bool(row["thick_nm"] <= PROMISED_NM[row["crystal"]])


def verdict(rows: Sequence[Row], exponents: Row) -> list[Row]:
    """A row for each target: the bar, the worst that was found and where, whether it holds."""
    dark = [row for row in rows if row["image"] == DARK and promised(row)]
    thin = [row for row in dark if row["crystal"] != "Au"]
    others = [row for row in rows if row["image"] != DARK and promised(row) and not row["beyond"]]
    off = abs(exponents["exponent"] - exponents["exponent_multislice"])
    found = [
        _least(f"dark field within {NEAR_NM:g} nm, promised thickness", [r for r in dark if _near(r)], CLOSE),
        _least("dark field within 20 nm, graphene and SrTiO3", thin, AGREES),
        _contrast("dark field's contrast in focus, promised thickness", [r for r in dark if in_focus(r)]),
        {
            "target": "exponent of Z, off by",
            "bar": f"at most {EXPONENT_OFF}",
            "worst": off,
            "where": "single atoms",
            "held": "yes" if off <= EXPONENT_OFF else "NO",
        },
        _least("bright fields and wide beam, not declared out of range", others, AGREES),
    ]
    untold, needless = rule(rows)
    told = [row for row in rows if row["beyond"]]
    return [
        *found,
        {
            "target": "what fails is declared out of range",
            "bar": "no row left",
            "worst": len(untold),
            "where": place(untold[0]) if untold else f"{len(told) - len(needless)} of {len(told)} declared fail",
            "held": "NO" if untold else "yes",
        },
    ]


def rule(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows that fail and are not declared out of range, and those that are declared though they agree."""
    untold = [row for row in rows if fails(row) and not row["beyond"]]
    return untold, [row for row in rows if row["beyond"] and not fails(row)]


def _near(row: Row) -> bool:
    return bool(abs(row["C10_nm"]) <= NEAR_NM)


def place(row: Row) -> str:
    return f"{row['crystal']} {row['thick_nm']:g} nm, C10 {row['C10_nm']:+g} nm, {row['image']}"


def _least(target: str, rows: Sequence[Row], bar: float) -> Row:
    worst = min(rows, key=lambda row: row["correlation"])
    held = "yes" if worst["correlation"] >= bar else "NO"
    return {
        "target": target,
        "bar": f"at least {bar}",
        "worst": worst["correlation"],
        "where": place(worst),
        "held": held,
    }


def _off(row: Row) -> float:
    return abs(float(row["ratio"]) - 1)


def _contrast(target: str, rows: Sequence[Row]) -> Row:
    worst = max(rows, key=_off)
    bar = f"within {CONTRAST_OFF:.0%}"
    held = "yes" if _off(worst) <= CONTRAST_OFF else "NO"
    return {"target": target, "bar": bar, "worst": worst["ratio"], "where": place(worst), "held": held}


def draw(rows: Sequence[Row], path: Path) -> None:
    """Correlation over thickness and defocus, a panel for each kind of image; hatched is declared out of range."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    specimens = sorted({(row["crystal"], row["thick_nm"]) for row in rows}, key=lambda s: (s[0] != "graphene", *s))
    foci = sorted({row["C10_nm"] for row in rows})
    for panel, kind in zip(panels, KINDS, strict=True):
        shown = np.full((len(specimens), len(foci)), np.nan)
        for row in (row for row in rows if row["image"] == kind):
            r, c = specimens.index((row["crystal"], row["thick_nm"])), foci.index(row["C10_nm"])
            shown[r, c] = row["correlation"]
            panel.text(c, r, f"{row['correlation']:.2f}", ha="center", va="center", fontsize=9, weight="bold")
            if row["beyond"]:
                told = Rectangle((c - 0.5, r - 0.5), 1, 1, fill=False, hatch="///", edgecolor="0.25", linewidth=0.5)
                panel.add_patch(told)
        image = panel.imshow(shown, cmap="RdYlGn", vmin=0.6, vmax=1.0, aspect="auto")
        panel.set_xticks(range(len(foci)), [f"{focus:+g}" for focus in foci])
        panel.set_yticks(range(len(specimens)), [f"{crystal} {thick_nm:g} nm" for crystal, thick_nm in specimens])
        panel.set_title(kind)
        panel.set_xlabel("C10 at the entrance face / nm")
    figure.colorbar(image, ax=panels, label="correlation with multislice over a cell", extend="min")
    figure.savefig(path, dpi=110)
