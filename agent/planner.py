"""The belief-map planner: interest × uncertainty ÷ cost, coarse to fine, travel-aware, refocusing when it pays.

    overview frames ──► interest from above ─┐
                                             ├─► belief ─► expected excess ÷ cost ─┐
    detail frames ──► interest seen ─────────┘                                     ├─► the best option
    opened patches ─► what an unopened one may hold ─► its reservation rate ───────┘

All it knows is in the observation, so it has no state: a resumed night decides as if it had never been interrupted.
Given what earlier surveys left, it also keeps what overviews show of each site, and asks them (``agent.warm``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.belief import Array, Belief, SiteModel, expected_excess
from agent.features import refuse_unknown
from agent.view import View, fingerprint, look_number, skill_number
from agent.warm import Earlier, mixed, posterior
from envs.actions import Stop
from envs.step import Candidate, Decision, Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.prior import Prior
    from agent.settings import PlannerSettings
    from envs.actions import Catalogue, Look
    from envs.skills import Skill
    from envs.step import Step
    from envs.tasks import SurveyTask

Slots: TypeAlias = npt.NDArray[np.intp]
Ratio: TypeAlias = float

CANDIDATES = 5
SECOND = 0.9
"""Weight of the look after the next one: what comes later may turn out otherwise."""
FIRST_SHARE = 0.02
"""Share of both budgets reckoned as spent before anything is, so that the first steps do not tell which is scarce."""


@dataclass(frozen=True, slots=True)
class Options:
    """K targets at which one look could be taken next; arrays `(K,)`."""

    look: int
    slots: Slots
    rate: Array
    """Expected excess of interest per cost: what all options are compared by."""
    value: Array
    uncertainty: Array
    cost_s: Array


class Planner:
    """Takes the look with the highest expected excess of interest per cost."""

    def __init__(
        self,
        settings: PlannerSettings,
        task: SurveyTask,
        skills: tuple[Skill, ...],
        catalogue: Catalogue,
        prior: Prior | None = None,
    ) -> None:
        """Raises ValueError for a task without a detail look."""
        detail = _number(task.looks, Purpose.DETAIL)
        if detail is None:
            raise ValueError("the planner plans detail looks and this task has none: give one look the purpose detail")
        self._settings = settings
        self._task = task
        self._catalogue = catalogue
        self._skill_s = {skill.name: skill.cost_s for skill in skills}
        self._detail = detail
        self._overview = _number(task.looks, Purpose.SURVEY)
        self._sites = task.tree.of_kind(task.looks[detail].level).astype(np.intp)
        places_nm = np.column_stack([task.tree.x_nm, task.tree.y_nm])[self._sites]
        self._model = SiteModel(places_nm / float(task.tree.width_nm[self._sites].mean()), settings)
        self._earlier = None if prior is None or not prior.surveys else Earlier(prior, settings.warm, self._sites)
        told = "" if self._earlier is None else f"+{self._earlier.fingerprint}"
        self._name = f"planner@{fingerprint(settings)}{told}"

    @property
    def name(self) -> str:
        return self._name

    def act(self, observation: Mapping[str, npt.NDArray[np.generic]]) -> Decision:
        """Raises ValueError for an observation with numbers that are not finite."""
        refuse_unknown(observation)
        view = View.of(observation, self._catalogue)
        refocus = skill_number(self._catalogue, view, "refocus")
        if refocus is not None and (why := self._focus_pays(view)):
            return self._decide([_plain(refocus, "refocus", self._skill_s["refocus"])], why)
        belief, say = self._believe(view)
        details, overviews = self._details(view, belief), self._overviews(view, belief)
        ranked = sorted([*self._best(view, details), *self._best(view, overviews)], key=lambda pair: -pair[0])
        if not ranked:
            stop = _plain(self._catalogue.encode(Stop()), "stop", 0.0)
            return self._decide([stop], "no look is left that the budget pays for")
        share = self._settings.exploration / max(len(details.slots), 1)
        best = [replace(candidate, probability=share) for _, candidate in ranked[:CANDIDATES]]
        generator = view.generator()
        if len(details.slots) and generator.random() < self._settings.exploration:
            drawn = self._candidate(view, details, int(generator.integers(len(details.slots))), share)
            return self._decide(
                [drawn, *[c for c in best if c.action != drawn.action][:-1]], "drawn at random, to explore"
            )
        best[0] = replace(best[0], probability=1 - self._settings.exploration + share)
        return self._decide(best, self._reason(ranked, say))

    def observe(self, step: Step) -> None:
        """Keep what overviews show, for what earlier surveys say of it; all else the observation shows already."""
        if self._earlier is not None:
            self._earlier.see(step)

    def state(self) -> Mapping[str, Any]:
        return {} if self._earlier is None else self._earlier.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        if self._earlier is not None:
            self._earlier.restore(state)

    # --- what could be done, and what it pays ----------------------------------------------------------------------

    def _focus_pays(self, view: View) -> str:
        """Why to refocus now; empty = not now. A focus that failed is tried again only every ``refocus_gap`` steps."""
        since, sharpness = int(view.globals["steps_since_focus"]), view.globals["sharpness_ratio"]
        if view.globals["step_number"] == 0:
            return "the focus has not been checked yet"
        if since == 0 or since % self._settings.refocus_gap:
            return ""
        lost = max(0.0, 1.0 - sharpness) / max(1.0 - self._settings.refocus_below, 1e-6)
        if lost + since / self._settings.refocus_every < 1.0:
            return ""
        return f"{since} steps since the last focus, {sharpness:.0%} as sharp as then"

    def _believe(self, view: View) -> tuple[Belief, Ratio]:
        """Of every site, in the order of ``self._sites``; how much of it earlier surveys say."""
        column = {name: values[self._sites] for name, values in view.columns.items()}
        seen = column["looks_done"] > 0
        known = column["above_known"] > 0
        above, interest = column["interest_above"], column["interest_seen"]
        told = None if self._earlier is None else self._earlier.expected(above, known)
        if not interest[seen].any():  # the background in detail is too young to judge any of them
            young = None if self._earlier is None or told is None else self._earlier.young()
            seen, interest = (np.zeros_like(seen), interest) if young is None else (np.isfinite(young), young)
        cold = self._model.believe(above, known, interest, seen)
        if told is None:
            return cold, 0.0
        expected, trust = told
        warm = self._model.believe(expected, known, interest, seen)
        share = posterior(trust, cold, warm)
        return mixed(cold, warm, share), share

    def _details(self, view: View, belief: Belief) -> Options:
        """Every site that may be seen, the best of them weighed with what could be seen next to them afterwards."""
        allowed = np.isin(self._sites, view.fresh(self._detail))
        slots = self._sites[allowed]
        hopeful = belief.mean[allowed] + self._settings.optimism * belief.doubt[allowed]
        gain = expected_excess(hopeful, belief.sd[allowed], self._settings.noteworthy)
        cost, cost_s = self._cost(view, self._detail, view.columns["travel_s"][slots])
        rate = gain / cost
        for i in np.argsort(-rate)[: self._settings.lookahead] if len(slots) > 1 else ():
            tree = self._task.tree
            onward = self._task.travel_s(tree.x_nm[slots[i]], tree.y_nm[slots[i]])[slots]
            onward_cost = self._cost(view, self._detail, onward)[0]
            pair = (gain[i] + SECOND * gain) / (cost[i] + SECOND * onward_cost)
            pair[i] = 0.0
            rate[i] = pair.max()
        return Options(self._detail, slots, rate, belief.mean[allowed], belief.sd[allowed], cost_s)

    def _overviews(self, view: View, belief: Belief) -> Options:
        """Every unopened patch, at its reservation rate: that of the best site it must be expected to hold.

        A patch is a box that costs to open, with a detail look at each site as a prize that costs too (Weitzman,
        Econometrica 47, 641 (1979)). Its prizes are expected to be spread as those of the patches opened so far, and
        to be larger or smaller as the sites in it look from their neighbours alone. At rate r it pays to open when
        E Σ max(gain − r·cost, 0) > r·cost of opening; the largest such r is a maximum over how many sites are taken.
        """
        nothing = np.zeros(0)
        slots = view.fresh(self._overview) if self._overview is not None else np.zeros(0, np.intp)
        if self._overview is None or not len(slots):
            return Options(0, slots, nothing, nothing, nothing, nothing)
        travel_s = view.columns["travel_s"][slots]
        opening, cost_s = self._cost(view, self._overview, travel_s)
        known = view.columns["above_known"][self._sites] > 0
        if known.sum() < self._settings.first_sites:  # nothing to compare with yet: the nearest, before any detail
            return Options(self._overview, slots, 1e9 / opening, np.zeros(len(slots)), np.zeros(len(slots)), cost_s)
        threshold = self._settings.noteworthy
        prizes = np.sort(expected_excess(belief.above[known], belief.sd[known], threshold))[::-1]
        nearby = expected_excess(belief.mean, belief.sd, threshold)
        parent = view.parent[self._sites]
        inside = parent[None, :] == slots[:, None]
        count = np.maximum(inside.sum(axis=1), 1)
        promise = (inside @ nearby / count) / max(float(nearby[~known].mean()), 1e-12)
        taken = count[:, None] * np.arange(1, len(prizes) + 1) / len(prizes)
        detail, _ = self._cost(view, self._detail, np.array([self._task.settle_s]))
        gains = self._settings.curiosity * (promise * count / len(prizes))[:, None] * np.cumsum(prizes)
        rate = gains / (opening[:, None] + taken * detail)
        expected = np.array([belief.mean[of].mean() if of.any() else 0.0 for of in inside])
        return Options(
            self._overview, slots, rate.max(axis=1), expected, np.full(len(slots), belief.above.std()), cost_s
        )

    def _cost(self, view: View, look: int, travel_s: Array) -> tuple[Array, Array]:
        """Of a look after travelling: in units of a typical detail look, and in seconds.

        Time and dose are weighed by how fast each is being spent, so that the scarcer one decides.
        """
        wanted, typical = self._task.looks[look], self._task.looks[self._detail]
        time_spent = 1.0 - view.globals["time_left_s"] / max(view.globals["time_total_s"], 1e-9) + FIRST_SHARE
        dose_spent = 1.0 - view.globals["electrons_left_ratio"] + FIRST_SHARE
        weight = time_spent / (time_spent + dose_spent)
        cost_s = travel_s + wanted.duration_s
        typical_s = typical.duration_s + self._task.settle_s
        return weight * cost_s / typical_s + (1 - weight) * wanted.beam_on_s / typical.beam_on_s, cost_s

    # --- in words --------------------------------------------------------------------------------------------------

    def _best(self, view: View, options: Options) -> list[tuple[float, Candidate]]:
        """The best few with their rates."""
        best = np.argsort(-options.rate, kind="stable")[:CANDIDATES].tolist()
        return [(float(options.rate[i]), self._candidate(view, options, i, 0.0)) for i in best]

    def _candidate(self, view: View, options: Options, i: int, probability: float) -> Candidate:
        slot = int(options.slots[i])
        return Candidate(
            action=look_number(self._catalogue, slot, options.look),
            label=f"{self._task.looks[options.look].name} at {view.place(slot)}",
            value=float(options.value[i]),
            uncertainty=float(options.uncertainty[i]),
            cost_s=float(options.cost_s[i]),
            probability=probability,
        )

    def _reason(self, ranked: list[tuple[float, Candidate]], say: Ratio) -> str:
        best = ranked[0][1]
        text = f"interest {best.value:.1f} ± {best.uncertainty:.1f} expected for {best.cost_s:.1f} s"
        if len(ranked) > 1 and ranked[0][0] > 0:
            text += f"; the next best ({ranked[1][1].label}) pays {ranked[1][0] / ranked[0][0]:.0%} as much per cost"
        return f"{text}; earlier surveys have {say:.0%} of the say" if say > 0 else text

    def _decide(self, candidates: list[Candidate], reason: str) -> Decision:
        return Decision(action=candidates[0].action, candidates=tuple(candidates), policy=self._name, reason=reason)


def _number(looks: tuple[Look, ...], purpose: Purpose) -> int | None:
    """The first look of this purpose."""
    return next((number for number, look in enumerate(looks) if look.purpose is purpose), None)


def _plain(action: int, label: str, cost_s: float) -> Candidate:
    """The only thing to do."""
    return Candidate(action=action, label=label, cost_s=cost_s, probability=1.0)
