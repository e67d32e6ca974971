"""Structure → property: takes the next spectrum where the property is most likely among the highest, or least known.

    overview frames ──► what each site looks like ─┐
                                                   ├─► a Gaussian process ─► chance ÷ cost ─► the next spectrum
    spectra taken ──► the property at these sites ─┘

It looks at everything from above first: a spectrum costs far more than that, and every one of them is chosen by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from agent.scripted import focus_is_due, serpentine
from agent.seeking import Seeker
from agent.view import View, fingerprint, first_of, look_number, skill_number
from envs.actions import Stop
from envs.descriptors import shows_nothing, transformed
from envs.property import NAME
from envs.step import Candidate, Kind, Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.seeking import Model, Pick
    from agent.settings import BayesianSettings
    from envs.actions import Catalogue
    from envs.step import Decision, Step
    from envs.tasks import SurveyTask

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.intp]

CANDIDATES = 5


class Bayesian:
    """All it knows is a fold over the steps: what sites look like from above, and what was measured, in order."""

    def __init__(
        self,
        settings: BayesianSettings,
        task: SurveyTask,
        catalogue: Catalogue,
        make_model: Callable[[Array, Array], Model],
    ) -> None:
        """``make_model``: of places (N, 2) in site widths and structure (N, F) in standard deviations.

        Raises ValueError for a task without an overview look and a detail look.
        """
        purposes = {look.purpose: number for number, look in reversed(list(enumerate(task.looks)))}
        if not {Purpose.SURVEY, Purpose.DETAIL} <= set(purposes):
            raise ValueError("a bayesian agent needs an overview look, to see structure, and a detail look, to measure")
        self._overview, self._detail = purposes[Purpose.SURVEY], purposes[Purpose.DETAIL]
        self._settings, self._task, self._catalogue, self._make_model = settings, task, catalogue, make_model
        self._structure: dict[int, tuple[float, ...]] = {}
        self._measured: dict[int, float] = {}
        self._silent = 0
        """Detail looks that told no property."""
        self._electrons = 0.0
        """Of the last detail look."""
        self._known: Ints = np.zeros(0, dtype=np.intp)
        """Sites that the model is about."""
        self._seeker: Seeker | None = None
        self._name = f"bayesian@{fingerprint(settings)}"

    @property
    def name(self) -> str:
        return self._name

    def act(self, observation: Mapping[str, npt.NDArray[np.generic]]) -> Decision:
        view = View.of(observation, self._catalogue)
        refocus = skill_number(self._catalogue, view, "refocus")
        if refocus is not None and focus_is_due(view, self._settings.refocus_every):
            focus = Candidate(action=refocus, label="refocus")
            return first_of([focus], self._name, f"every {self._settings.refocus_every} steps")
        above = view.fresh(self._overview)
        if len(above) and max(self._spent(view)) < self._settings.overview_share:
            order = above[serpentine(view.columns["x_nm"][above], view.columns["y_nm"][above])]
            found = [self._look(view, int(slot), self._overview) for slot in order[:CANDIDATES]]
            return first_of(found, self._name, f"structure first: {len(above)} overviews left")
        ready = view.fresh(self._detail)
        if not len(ready):
            stop = Candidate(action=self._catalogue.encode(Stop()), label="stop")
            return first_of([stop], self._name, "no look is left")
        where = {int(site): place for place, site in enumerate(self._known)}
        seen, values = self._history(where)
        known = ready[np.isin(ready, self._known)]
        if self._seeker is None or len(values) < 2 or not len(known):
            return self._first(view, ready)
        open_to = np.array([where[int(site)] for site in known], dtype=np.intp)
        picks = self._seeker.rank(seen, values, open_to, self._cost(view, known), CANDIDATES)
        found = [self._look(view, int(self._known[pick.place]), self._detail, pick) for pick in picks]
        best = picks[0]
        told = f"{best.why}: {best.mean:.3g} ± {best.sd:.2g} expected, chosen by {best.worth:.2g}"
        return first_of(found, self._name, told)

    def observe(self, step: Step) -> None:
        """Keep structure and property, and choose the model's scales anew where it is time to."""
        if step.kind is not Kind.LOOK or step.score is None or step.look is None:
            return
        look = self._task.look_number(step.look)
        if look == self._overview:
            self._structure.update(
                (cell, row)
                for cell, row in zip(step.score.cells, step.score.descriptors, strict=True)
                if cell != step.target
            )
        elif look == self._detail and step.target is not None:
            self._electrons = step.electrons
            value = step.score.quality.get(NAME)
            if value is None:
                self._silent += 1
            else:
                self._measured[step.target] = value
                self._learn()

    def state(self) -> Mapping[str, Any]:
        return {
            "structure": {str(site): list(row) for site, row in self._structure.items()},
            "measured": [[site, value] for site, value in self._measured.items()],
            "known": self._known.tolist(),
            "silent": self._silent,
            "electrons": self._electrons,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._structure = {int(site): tuple(row) for site, row in state["structure"].items()}
        self._silent, self._measured, self._seeker = int(state["silent"]), {}, None
        self._electrons = float(state["electrons"])
        self._known = np.array(state["known"], dtype=np.intp)
        for site, value in state["measured"]:
            self._measured[int(site)] = float(value)
            self._learn()

    # --- the model --------------------------------------------------------------------------------------------------

    def _learn(self) -> None:
        if len(self._measured) < self._settings.first:
            return
        if self._seeker is None:
            self._seeker = self._made()
        self._seeker.learn(*self._history({int(site): place for place, site in enumerate(self._known)}))

    def _made(self) -> Seeker:
        """About every site that has been seen from above by now, and showed something."""
        if not len(self._known):
            rows = {site: np.array(row) for site, row in sorted(self._structure.items())}
            shown = [site for site, row in rows.items() if np.isfinite(row).all() and not shows_nothing(row).any()]
            self._known = np.array(shown, dtype=np.intp)
        tree, settings = self._task.tree, self._settings
        places = np.column_stack([tree.x_nm, tree.y_nm])[self._known] / float(tree.width_nm[tree.leaves].mean())
        looks_like = transformed([self._structure[int(site)] for site in self._known])
        spread = looks_like.std(axis=0)
        standard = (looks_like - looks_like.mean(axis=0))[:, spread > 0] / spread[spread > 0]
        return Seeker(
            self._make_model(places, standard),
            places,
            seek=settings.seek,
            share=settings.share,
            patience=settings.patience,
            refit=settings.refit,
        )

    def _history(self, where: Mapping[int, int]) -> tuple[list[int], list[float]]:
        """Places by the model's number, and values, of what was measured at sites that it is about."""
        pairs = [(where[site], value) for site, value in self._measured.items() if site in where]
        return [place for place, _ in pairs], [value for _, value in pairs]

    # --- what is chosen among ---------------------------------------------------------------------------------------

    def _first(self, view: View, ready: Ints) -> Decision:
        """Before there is a model: far from each other, the first at random; of known structure where any is."""
        among = ready[np.isin(ready, list(self._structure))]
        among = among if len(among) else ready
        places = np.column_stack([self._task.tree.x_nm, self._task.tree.y_nm])
        if self._measured:
            away = cKDTree(places[list(self._measured)]).query(places[among])[0]
        else:
            away = view.generator().random(len(among))
        order = among[np.argsort(-away, kind="stable")]
        why = f"{len(self._measured)} of the first {self._settings.first} measurements, far from each other"
        if self._silent:
            why += f"; {self._silent} looks told no property"
        return first_of([self._look(view, int(slot), self._detail) for slot in order[:CANDIDATES]], self._name, why)

    def _cost(self, view: View, sites: Ints) -> Array:
        """(Q,) of a detail look at each: its shares of the time and of the electrons that are left, added up."""
        look = self._task.looks[self._detail]
        time_s = view.columns["travel_s"][sites] + look.duration_s
        electrons_left = max(view.globals["electrons_left_ratio"] * self._task.budget.electrons, 1.0)
        return np.asarray(time_s / max(view.globals["time_left_s"], 1e-9) + self._electrons / electrons_left)

    def _spent(self, view: View) -> tuple[float, float]:
        """Shares of the time and of the electrons."""
        return (
            1.0 - view.globals["time_left_s"] / view.globals["time_total_s"],
            1.0 - view.globals["electrons_left_ratio"],
        )

    def _look(self, view: View, slot: int, look: int, pick: Pick | None = None) -> Candidate:
        about = self._task.looks[look]
        return Candidate(
            action=look_number(self._catalogue, slot, look),
            label=f"{about.name} at {view.place(slot)}",
            cost_s=float(view.columns["travel_s"][slot]) + about.duration_s,
            value=pick.mean if pick else 0.0,
            uncertainty=pick.sd if pick else 0.0,
        )
