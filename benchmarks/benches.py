"""Every back end on this computer: started for whoever asks, on the loopback, and closed after.

The block ``instrument`` of ``configs/survey_backends.yaml`` is changed for the one that is given, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from instruments.types import Exposure

if TYPE_CHECKING:
    from collections.abc import Iterator

    Block = dict[str, Any]

STRAIGHT = [[1.0, 0.0], [0.0, 1.0]]


@dataclass(frozen=True)
class Bench:
    """A back end, and how it is looked at when it is checked."""

    start: Callable[[], AbstractContextManager[Block]]
    exposure: Exposure = field(default_factory=lambda: Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0))
    allow_defocus_nm: float = 400.0
    unchecked: frozenset[str] = frozenset()
    """Checks that cannot be made there."""


@contextmanager
def _detwin() -> Iterator[Block]:
    """Stained proteins: enough contrast for the stage, and a thing of phases, which shows its focus."""
    specimen = {"specimen": "Negative stain on carbon", "magnification": 10_000}
    yield {"kind": "detwin", "stage_to_image": STRAIGHT, **specimen}


BENCHES: dict[str, Bench] = {
    "detwin": Bench(
        _detwin,
        exposure=Exposure(field_of_view_nm=256.0, shape=(128, 128), dwell_us=40.0),
        allow_defocus_nm=20_000.0,
    ),
}
