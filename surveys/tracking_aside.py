"""What the runner does of itself while a specimen is followed: regions with little dose, and the focus."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from envs.step import Kind, Step
from envs.tracking_look import carry_out, take
from models.kinetics_nuisance import Reading
from surveys.tracking_prepare import control_look
from surveys.tracking_rows import RUNNER, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.tracking_mission import Mission
    from envs.tracking_env import TrackEnv
    from surveys.tracking_focus import FocusKeeper
    from surveys.tracking_settings import TrackSettings

_ASIDE = "a region with little dose"


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that the runner did."""

    step: Step
    began_s: float
    reading: Reading | None = None
    focus: dict[str, Any] | None = None

    @property
    def why(self) -> str:
        return _ASIDE if self.focus is None else f"focus: {self.focus['message'] or 'the sweep failed'}"


class Asides:
    """What is due, in turn."""

    def __init__(self, settings: TrackSettings, focus: FocusKeeper | None, begun: Sequence[Row] = ()) -> None:
        """``begun``: rows that were written before a stop."""
        self.focus, self._settings, controls = focus, settings, settings.controls
        mine = [row for row in begun if row["decided_by"] == RUNNER]
        self.made = sum(not row.get("focus") for row in mine)
        """Looks at control places, whatever came of them."""
        self.electrons = sum(float(row["electrons"]) for row in mine)
        latest_s = settings.horizon_s - settings.tick_s * (len(controls.places) + 1)
        rounds_s = [min(settings.horizon_s * n / (controls.times - 1), latest_s) for n in range(controls.times)]
        self._due_s = [at_s for at_s in rounds_s for _ in controls.places]

    def control_due(self, now_s: float) -> bool:
        return self.made < len(self._due_s) and now_s >= self._due_s[self.made] - 1e-9

    def focus_due(self, now_s: float) -> bool:
        """Never so late that control places, or the end, would have to wait for it."""
        next_s = self._due_s[self.made] if self.made < len(self._due_s) else self._settings.horizon_s
        keeper = self.focus
        return keeper is not None and now_s + keeper.skill.cost_s < next_s and keeper.due(now_s)

    def refocus(self, env: TrackEnv) -> Done:
        """A sweep. What it may spend was asked before (``FocusKeeper.due``)."""
        keeper, began_s = self.focus, env.now_s
        if keeper is None:
            raise RuntimeError("the focus is not looked after here: give `focus`")
        at_nm = keeper.settings.place.x_nm, keeper.settings.place.y_nm
        made = env.aside(partial(carry_out, skill=keeper.skill, place_nm=at_nm), Kind.SKILL, "the focus")
        self.electrons += made.step.electrons
        return Done(made.step, began_s, focus=keeper.learn(began_s, made.done, made.step.electrons, made.step.fault))

    def control(self, env: TrackEnv, mission: Mission) -> Done:
        """The next look at a control place."""
        look, n, began_s = control_look(self._settings), self.made % len(self._settings.controls.places), env.now_s
        place = self._settings.controls.places[n]
        made = env.aside(partial(take, look=look, place=None, place_nm=(place.x_nm, place.y_nm)), Kind.CONTROL, _ASIDE)
        self.made += 1
        self.electrons += made.step.electrons
        if made.measured is None:
            return Done(made.step, began_s)
        reading = mission.reading(look, 0, began_s, made.measured)
        view = replace(reading.view, place=len(mission.places_nm) + n, x_nm=place.x_nm)
        return Done(made.step, began_s, replace(reading, view=view))
