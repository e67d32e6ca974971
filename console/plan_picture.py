"""A plan as a picture: how detection grows with the fluence, by technique."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from surveys.design_check import Checked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from surveys.design import Plan
    from surveys.design_precision import Measured

_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink")


def save_picture(made: Plan, checked: Mapping[str, Checked | Measured], path: Path) -> None:
    """Write a PNG."""
    figure = Figure(figsize=(11.5, 4.6), layout="constrained")
    chance, strength = figure.subplots(1, 2)
    needed = [row.needed_e_per_A2 for row in made.rows if math.isfinite(row.needed_e_per_A2)]
    low, high = (min(needed, default=1.0) / 30, max([*needed, made.most_e_per_A2], default=1e4) * 10)
    doses = np.geomspace(low, high, 160)
    for row, colour in zip(made.rows, _COLOURS, strict=False):
        curve, technique = row.proposal.curve, row.proposal.technique
        doubtful = row.proposal.doubt is not None
        style, label = ("--", f"{technique} (doubtful)") if doubtful else ("-", technique)
        chance.semilogx(doses, [curve.probability(dose) for dose in doses], style, color=colour, label=label)
        strength.loglog(doses, [curve.snr(dose) for dose in doses], style, color=colour, label=label)
        chance.plot(row.fluence_e_per_A2, row.probability, "o", color=colour, markersize=5)
        if isinstance(found := checked.get(technique), Checked):
            down, up = found.rate - found.low, found.high - found.rate
            chance.errorbar(
                found.fluence_e_per_A2, found.rate, yerr=[[down], [up]], fmt="D", mfc="white", color=colour, capsize=3
            )
    for axes in (chance, strength):
        axes.axvspan(made.most_e_per_A2, high, color="0.92", zorder=0)
        axes.axvline(made.most_e_per_A2, color="0.6", linewidth=1)
        axes.set_xlim(low, high)
        axes.set_xlabel("fluence, e/Å²")
        axes.grid(visible=True, which="major", alpha=0.3)
    chance.axhline(made.question.detection, color="0.6", linewidth=1, linestyle=":")
    chance.set(ylim=(0, 1.02), ylabel=f"chance of detection, {made.question.false_alarm:.0%} false frames")
    strength.axhline(5, color="0.6", linewidth=1, linestyle=":")
    strength.set(ylim=(0.1, 300), ylabel="signal over noise (dotted: Rose)")
    about = "dots: proposed; diamonds: simulated" if checked else "dots: proposed"
    chance.set_title(f"{made.question.text or made.question.name}\n{about}; grey: beyond what is allowed", fontsize=9)
    strength.legend(fontsize="small", loc="upper left")
    figure.savefig(path, dpi=120)
