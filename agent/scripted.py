"""Agents that follow a fixed rule: the baselines every comparison must contain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.view import View, fingerprint, first_of, look_number, skill_number
from envs.actions import Stop
from envs.step import Candidate, Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.settings import RandomSettings, RasterSettings
    from envs.actions import Catalogue, Look
    from envs.step import Decision, Step

    Slots: TypeAlias = npt.NDArray[np.intp]
    Order: TypeAlias = Callable[[View, Slots], Slots]


class ScriptedAgent:
    """Looks in the catalogue's order (coarse to fine), each at all its targets in the order that a rule gives.

    Refocuses every ``refocus_every`` steps (0 = never), and stops when no look is left.
    """

    def __init__(
        self, name: str, catalogue: Catalogue, looks: tuple[Look, ...], orders: tuple[Order, ...], refocus_every: int
    ) -> None:
        """``orders``: one a look."""
        self._name = name
        self._catalogue = catalogue
        self._looks = looks
        self._orders = orders
        self._refocus_every = refocus_every

    @property
    def name(self) -> str:
        return self._name

    def act(self, observation: Mapping[str, npt.NDArray[np.generic]]) -> Decision:
        view = View.of(observation, self._catalogue)
        refocus = skill_number(self._catalogue, view, "refocus")
        if refocus is not None and focus_is_due(view, self._refocus_every):
            focus = Candidate(action=refocus, label="refocus")
            return first_of([focus], self._name, f"every {self._refocus_every} steps")
        for number, (look, order) in enumerate(zip(self._looks, self._orders, strict=True)):
            slots = view.fresh(number)
            if slots.size and (next_slots := order(view, slots)).size:
                found = [self._look_at(view, number, look, slot) for slot in next_slots[:5].tolist()]
                return first_of(found, self._name, f"next {look.name} in order, {slots.size} left")
        stop = Candidate(action=self._catalogue.encode(Stop()), label="stop")
        return first_of([stop], self._name, "no look is left")

    def _look_at(self, view: View, number: int, look: Look, slot: int) -> Candidate:
        return Candidate(
            action=look_number(self._catalogue, slot, number),
            label=f"{look.name} at {view.place(slot)}",
            value=float(view.columns["interest_above"][slot]),
            cost_s=float(view.columns["travel_s"][slot]) + look.duration_s,
        )

    def observe(self, step: Step) -> None:
        """Learn nothing."""

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


def raster_agent(settings: RasterSettings, looks: tuple[Look, ...], catalogue: Catalogue, seed: int) -> ScriptedAgent:
    """Serpentine; with ``by_atlas`` whatever was seen from above goes first, most interesting first."""
    corner = int(np.random.default_rng(seed).integers(8)) if settings.corner is None else settings.corner
    order = by_atlas if settings.by_atlas else in_serpentine(corner)
    name = "greedy atlas" if settings.by_atlas else "raster"
    first = in_serpentine(corner) if settings.overview else nowhere
    orders = tuple(first if look.purpose is Purpose.SURVEY else order for look in looks)
    return ScriptedAgent(f"{name}@{fingerprint(settings)}", catalogue, looks, orders, settings.refocus_every)


def random_agent(settings: RandomSettings, looks: tuple[Look, ...], catalogue: Catalogue) -> ScriptedAgent:
    """Every look at targets drawn evenly."""
    orders = (shuffled,) * len(looks)
    return ScriptedAgent(f"random@{fingerprint(settings)}", catalogue, looks, orders, settings.refocus_every)


def focus_is_due(view: View, every: int) -> bool:
    """At the first step, and at every ``every``-th one without focus.

    Not at each step after it: a focus that fails would be tried for ever.
    """
    since = int(view.globals["steps_since_focus"])
    return every > 0 and (view.globals["step_number"] == 0 or (since > 0 and since % every == 0))


def serpentine(x_nm: npt.NDArray[np.float64], y_nm: npt.NDArray[np.float64], corner: int = 0) -> Slots:
    """Indices of (N,) places in boustrophedon order; ``corner`` 0 … 7 picks the first corner and the fast axis.

    >>> serpentine(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])).tolist()
    [0, 1, 3, 2]
    """
    fast, slow = (x_nm, y_nm) if corner < 4 else (y_nm, x_nm)
    fast, slow = fast * (-1.0 if corner & 1 else 1.0), slow * (-1.0 if corner & 2 else 1.0)
    line = np.unique(np.round(slow, 1), return_inverse=True)[1]
    return np.lexsort((np.where(line % 2, -fast, fast), line))


def in_serpentine(corner: int) -> Order:
    """Serpentine over the whole level, from one of 8 starts; the direction of a line never depends on what is left."""

    def order(view: View, slots: Slots) -> Slots:
        everywhere = np.flatnonzero(view.columns["level"] == view.columns["level"][slots[0]])
        path = everywhere[serpentine(view.columns["x_nm"][everywhere], view.columns["y_nm"][everywhere], corner)]
        return path[np.isin(path, slots)]

    return order


def nowhere(view: View, slots: Slots) -> Slots:
    """Leave this look out."""
    return slots[:0]


def by_atlas(view: View, slots: Slots) -> Slots:
    """The most interesting from above first; the unknown last."""
    known = view.columns["above_known"][slots] > 0
    return slots[np.argsort(np.where(known, -view.columns["interest_above"][slots], np.inf), kind="stable")]


def shuffled(view: View, slots: Slots) -> Slots:
    """A fresh draw every step, from (seed, step number)."""
    drawn: Slots = view.generator().permutation(slots)
    return drawn


def at_truth(features_nm: npt.NDArray[np.float64], site_nm: float) -> Order:
    """For an oracle: sites that hold most of the (K, 2) places given first, equal ones by the shortest way; no others.

    The nearest next from where the stage is: a tour about a quarter longer than the shortest.
    """

    def order(view: View, slots: Slots) -> Slots:
        sites = np.column_stack([view.columns["x_nm"][slots], view.columns["y_nm"][slots]])
        inside = (np.abs(sites[:, None, :] - features_nm) <= site_nm / 2).all(axis=-1).sum(axis=1)
        ranked: Slots = slots[np.lexsort((view.columns["travel_s"][slots], -inside))]
        return ranked[: int((inside > 0).sum())]

    return order
