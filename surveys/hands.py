"""What an operator does beside an adviser, read off the instrument: where the beam rests, a place was chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from envs.actions import LookAt
from envs.step import BY_HAND, Decision
from envs.survey_env import SurveyEnv
from surveys.requests import beside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.step import Step

RESTS_S = 3.0
"""With the beam on at one site for so long: it is looked at, not passed over."""


@dataclass(slots=True)
class Hands:
    """Of one operator, on one specimen. Read-backs say where, not how wide: a rest counts as a close look."""

    env: SurveyEnv
    person: str
    _site: int | None = None
    _since_s: float = 0.0
    _told: set[int] = field(default_factory=set)

    def take(self, operator: Mapping[str, object], proposed: Decision | None, now_s: float) -> Step | None:
        """The operator's choice as a step, once a site has been rested at; None while there is none.

        ``operator``: what the instrument read back; ``proposed``: what was advised meanwhile; ``now_s``: on the clock
        that people live by.
        """
        site = self._at(operator)
        if site != self._site:
            self._site, self._since_s = site, now_s
        if site is None or site in self._told or now_s - self._since_s < RESTS_S:
            return None
        self._told.add(site)
        look = self.env.situation.task.detail_look(site)
        chosen = Decision(
            action=self.env.catalogue.encode(LookAt(site, look)), decided_by="person", person=self.person,
            policy=BY_HAND, reason=f"the beam rested there for {RESTS_S:g} s; read back, not carried out here",
        )  # fmt: skip
        return self.env.noted(beside(chosen, proposed))

    def _at(self, operator: Mapping[str, object]) -> int | None:
        """The site under the beam; None where the beam is off, the place is not read, or it is outside the area."""
        x_nm, y_nm = operator.get("x_nm"), operator.get("y_nm")
        if operator.get("blanked") is not False or not isinstance(x_nm, float) or not isinstance(y_nm, float):
            return None
        tree = self.env.situation.task.tree
        leaves = tree.leaves
        off = np.maximum(
            np.abs(tree.x_nm[leaves] - x_nm) / tree.width_nm[leaves],
            np.abs(tree.y_nm[leaves] - y_nm) / tree.height_nm[leaves],
        )
        nearest = int(off.argmin())
        return int(leaves[nearest]) if off[nearest] <= 0.5 else None
