"""A campaign in words and numbers, for people and for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from archive.campaign_entries import gaps_and_forks

if TYPE_CHECKING:
    from collections.abc import Collection

    from surveys.campaign_standing import Standing

State: TypeAlias = Literal["done", "twice", "claimed", "proposed", "open"]
_SURE = 1.96
"""Standard deviations to either side that hold 95 %."""


def states(now: Standing, proposed: Collection[str] = ()) -> dict[str, tuple[State, str]]:
    """By cell: how it stands, and with which laboratory."""
    found: dict[str, tuple[State, str]] = {}
    for name, cell in now.cells.items():
        if cell.results:
            who = " and ".join(dict.fromkeys(entry.laboratory for entry in cell.results))
            found[name] = ("twice" if len(cell.results) > 1 else "done", who)
        elif cell.claim is not None:
            found[name] = ("claimed", cell.claim.laboratory)
        else:
            found[name] = ("proposed" if name in proposed else "open", cell.right)
    return found


def shown(mean: float, std: float, *, log: bool) -> str:
    """A value with its standard deviation; of a logarithm, what it is of, and the share of it.

    >>> shown(0.0, 0.05, log=True), shown(3.2, 0.1, log=False)
    ('1 ± 5 %', '3.2 ± 0.1')
    """
    return f"{math.exp(mean):.3g} ± {100 * std:.2g} %" if log else f"{mean:.3g} ± {std:.2g}"


def as_dict(now: Standing, proposed: Collection[str] = ()) -> dict[str, Any]:
    """Everything that the report tells, with 95 % intervals."""
    campaign, posterior = now.campaign, now.posterior()
    told = states(now, proposed)
    measured = bool(now.results)
    cells = []
    for number, name in enumerate(campaign.grid):
        mean, std = float(posterior.means[number]), float(posterior.stds[number])
        known = {"mean": mean, "std": std, "low": mean - _SURE * std, "high": mean + _SURE * std}
        state, who = told[name]
        cells.append({
            "cell": name,
            "state": state,
            "laboratory": who,
            **(known if measured else dict.fromkeys(known)),
            "results": [
                {"laboratory": e.laboratory, "value": e.value, "std": e.std, "n": e.n,
                 "areas": [asdict(area) for area in e.areas or ()], "hours": e.hours,
                 "electrons": e.electrons, "survey": e.survey, "made_utc": e.made_utc}
                for e in now.cells[name].results
            ],
        })  # fmt: skip
    offsets, doubts = posterior.offsets
    total, total_std = posterior.total()
    return {
        "campaign": campaign.name,
        "id": now.entries[0].campaign,
        "question": campaign.question,
        "measure": campaign.measure.model_dump(mode="json"),
        "ended": now.ended(),
        "hours": now.hours(),
        "grid_mean": {"mean": total, "std": total_std} if measured else None,
        "laboratories": [
            {"name": each.name, "offset": float(offset), "std": float(doubt)}
            for each, offset, doubt in zip(campaign.laboratories, offsets, doubts, strict=True)
        ],
        "cells": cells,
        "wrong": gaps_and_forks(now.entries),
    }
