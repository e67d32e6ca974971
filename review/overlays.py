"""What is drawn over the atlas: where it was looked, what failed, what it cost, and, once revealed, why.

Before a person has judged a place and locked the batch, a flag and a control look alike here: visited.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from envs.step import REFUSED, Kind, Purpose, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envs.step import Step
    from envs.targets import TargetTree
    from review.atlas import Mosaic
    from surveys.places import Place

Mark: TypeAlias = Literal["visited", "flagged", "control", "failed"]

_A2_PER_NM2 = 100.0


@dataclass(slots=True)
class Looked:
    """What a survey's steps did to the sites of one specimen."""

    shown: dict[int, int] = field(default_factory=dict)
    """By site, the exposure of its latest look of its own."""
    failed: dict[int, str] = field(default_factory=dict)
    """By site that no look succeeded at, why the last one did not."""
    electrons: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """By patch, of every exposure at it or at a site within it."""


def looked(steps: Iterable[Step], tree: TargetTree, *, controls: bool = True) -> Looked:
    """Of one specimen; without ``controls`` neither place nor dose of a random control."""
    found = Looked()
    patches = {int(child): int(patch) for patch in tree.of_kind("patch") for child in tree.children(int(patch))}
    for step in steps:
        if step.target is None or (step.kind is Kind.CONTROL and not controls):
            continue
        found.electrons[patches.get(step.target, step.target)] += step.electrons
        if step.target not in patches:
            continue
        own = [r for r in step.exposures if r.committed and r.purpose in (Purpose.DETAIL, Purpose.CONTROL)]
        if own and own[-1].exposure.id is not None:
            found.shown[step.target] = own[-1].exposure.id
            found.failed.pop(step.target, None)
        elif step.fault is not None and step.fault.error != REFUSED and step.target not in found.shown:
            found.failed[step.target] = step.fault.error
    return found


def overlays(found: Looked, tree: TargetTree, mosaic: Mosaic, revealed: Mapping[int, Place]) -> dict[str, Any]:
    """As the browser draws it: boxes (left, top, width, height) in pixels of the atlas.

    ``revealed``: places that this person has judged in a locked batch, by site; of the others no stream is told.
    """
    sites = []
    for target in sorted({*found.shown, *found.failed}):
        mark: Mark = "failed" if target in found.failed else "visited"
        place = revealed.get(target)
        if place is not None:
            mark = "flagged" if place.flag is not None else "control" if Stream.CONTROL in place.streams else mark
        sites.append({"target": target, "mark": mark, "box": _box(tree, target, mosaic)})
    patches = [
        {"target": patch, "box": _box(tree, patch, mosaic),
         "e_per_A2": found.electrons[patch] / (float(tree.width_nm[patch] * tree.height_nm[patch]) * _A2_PER_NM2)}
        for patch in sorted(found.electrons)
    ]  # fmt: skip
    return {"sites": sites, "patches": patches}


def _box(tree: TargetTree, target: int, mosaic: Mosaic) -> list[float]:
    place = tree[target]
    return [round(edge, 2) for edge in mosaic.box_px(place.x_nm, place.y_nm, place.width_nm, place.height_nm)]
