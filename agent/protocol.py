"""Who decides. Agents hold no infrastructure: no database, no server, no path, no microscope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from envs.step import Decision, Step


class Agent(Protocol):
    """Decides from an observation (``envs.observations``)."""

    @property
    def name(self) -> str:
        """Name and version hash, as recorded in ``Decision.policy``."""
        ...

    def act(self, observation: Mapping[str, npt.NDArray[np.generic]]) -> Decision:
        """Choose. No side effect; draws, if any, come from ``Generator((seed, step number))``."""
        ...

    def observe(self, step: Step) -> None:
        """The only thing that learns; failed steps too."""
        ...

    def state(self) -> Mapping[str, Any]:
        """JSON-able cache of the fold over ``observe``."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None: ...
