"""Which places make a blind batch, and in which order: flags among controls, so that neither tells itself."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from archive.labels import Item
from envs.step import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from surveys.places import Place

BATCH_SIZE = 40
"""Places in a batch: some minutes of work, few enough that attention lasts to its end."""
_FLAGGED = 0.5
_SEEDED = 0.25


def compose(
    places: Sequence[Place], judged: Collection[str], size: int = BATCH_SIZE, first: Collection[str] = ()
) -> list[Place]:
    """The next places for somebody who has judged those of the keys ``judged``. Empty when all are judged.

    ``first``: keys of controls to be judged before others, those that another person called interesting. They are
    controls among controls: whoever judges them knows of no first verdict.

    About half are flags, best first; up to a quarter seeded positives; the rest random controls. Rare targets are
    missed where they are rare (Kunar, Rich and Wolfe 2010), so a batch holds more of them than the specimen does.
    Where there are fewer controls than that, they are spread over all batches that the flags will need, so that none
    is of flags alone. Where there are more, seeded positives are spread evenly over all batches that are still to come,
    because they measure how well the controls among them are looked at, and a flag is kept back for each of these.
    Places without a look of their own look coarse and would tell themselves: they are left out.
    """
    left = [place for place in places if place.key not in judged and place.near]
    flags = [place for place in left if place.flag is not None]
    seeded = [place for place in left if place.flag is None and Stream.SEEDED in place.streams]
    controls = [place for place in left if place.flag is None and Stream.SEEDED not in place.streams]
    controls.sort(key=lambda place: place.key not in first)
    for_flags = max(ceil(len(flags) / (size * _FLAGGED)), 1)
    batches = max(for_flags, ceil(len(left) / size))
    some_seeded = seeded[: min(max(len(seeded) // batches, 1), int(size * _SEEDED))]
    some_flags = flags[: min(max(len(flags) - (batches - 1), 1), int(size * _FLAGGED))]
    some_controls = controls[: min(ceil(len(controls) / for_flags), size - len(some_flags) - len(some_seeded))]
    return [*some_flags, *some_controls, *some_seeded]


def shuffled(batch: str, places: Sequence[Place], seed: int) -> list[Item]:
    """The places as items of a batch, in an order of chance and under ids that tell nothing; all from ``seed``."""
    generator = np.random.default_rng((seed, 0x1A))
    order = generator.permutation(len(places))
    new_id = ids(generator)
    return [
        Item(id=new_id(), batch=batch, position=position, place=places[index].key, data=places[index].as_dict())
        for position, index in enumerate(order.tolist())
    ]


def ids(generator: np.random.Generator) -> Callable[[], str]:
    """A function that gives a new id of 128 bits with every call."""
    return lambda: generator.bytes(16).hex()
