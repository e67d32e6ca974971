"""What can go wrong on purpose (``instruments.faulty``): its kinds, what each can befall, when one is planned."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import PositiveInt

from configs.load import Settings

Verb: TypeAlias = Literal["state", "move", "tune", "acquire", "transfer"]
Kind: TypeAlias = Literal[
    "timeout", "half_way", "ready_early", "reply_lost", "hang", "blank_frame", "truncated_frame", "disconnect",
    "valve_closed", "emission_off", "stale_reading", "pole_touch", "beam_trip", "taken_over",
    "moved_by_hand", "cartridge_stuck",
]  # fmt: skip

VERBS_OF: dict[str, tuple[Verb, ...]] = {
    "timeout": ("state", "move", "tune", "acquire", "transfer"),
    "half_way": ("move",),
    "ready_early": ("move",),
    "reply_lost": ("move", "tune", "acquire", "transfer"),
    "hang": ("state", "move", "tune", "acquire", "transfer"),
    "blank_frame": ("acquire",),
    "truncated_frame": ("acquire",),
    "disconnect": ("state", "move", "tune", "acquire", "transfer"),
    "valve_closed": ("state",),
    "emission_off": ("state",),
    "stale_reading": ("state",),
    "pole_touch": ("move",),
    "beam_trip": ("acquire",),
    "taken_over": ("state",),
    "moved_by_hand": ("state",),
    "cartridge_stuck": ("transfer",),
}
"""What each kind of mishap can befall."""


class Mishap(Settings):
    """One thing that goes wrong."""

    kind: Kind
    verb: Verb | None = None
    """None: the first that this kind can befall."""
    nth: PositiveInt = 1
    """At this call of the verb, counted from 1."""
    calls: PositiveInt = 1
    """And at so many calls in all, one after the other."""

    @property
    def befalls(self) -> Verb:
        return self.verb or VERBS_OF[self.kind][0]
