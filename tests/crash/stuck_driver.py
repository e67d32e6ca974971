"""A driver whose exposures do not end when they should: the scan goes on, the call does not come back."""

from __future__ import annotations

from typing import Any

from instruments import hosted


class Stuck(hosted.Hosted):
    """Exposes for 4 s, whatever is asked."""

    def acquire(self, exposure: dict[str, Any]) -> Any:
        return super().acquire({**exposure, "dwell_us": 1000.0})


def open_driver(settings: dict[str, Any]) -> hosted.Hosted:
    return Stuck(hosted.open_driver(settings)._scope)
