"""Specimens that evolve: particles that are born, grow, shrink, ripen or change phase as a holder's conditions say.

Every particle is a pure function of seed, place, the history of conditions and time, in closed form. Nothing is
stepped: a visit costs the particles of the blocks it touches, however long ago the last visit was. The processes are in
``insitu_growth`` and ``insitu_changes``; give each process of a world its own seed, or their particles coincide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, TypeAlias

import numpy as np
from pydantic import Field
from scipy.special import ndtri, pdtrik

from configs.load import Settings
from instruments.errors import LimitError
from instruments.simulated.conditions import refuse_time
from instruments.simulated.hashing import Doubles, Whole
from instruments.simulated.kinetics import fine_uniform
from instruments.simulated.numbers import NotNegative, Positive, Ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

BLOCK_NM = 400.0
"""Particles are scattered by squares of this width."""
KEPT_BLOCKS = 2048
"""What a process remembers of its blocks, for speed only."""
_FARTHEST = 1 << 20
"""Blocks from the middle at most, so that a number can name a particle."""
_MOST = 1 << 20
"""Particles of one block at most."""
_COUNT, _PLACE, _SIZE = 601, 602, 603
Range: TypeAlias = tuple[float, float]
Kind: TypeAlias = Literal["birth", "vanish", "begin", "transform"]


@dataclass(frozen=True, slots=True)
class Particles:
    """Particles (N,), by columns."""

    id: Whole
    """The same for one particle at all times, and of no other in this process."""
    x_nm: Doubles
    y_nm: Doubles
    radius_nm: Doubles
    fraction: Doubles
    """Part of the volume in the new phase, 0…1."""

    def where(self, chosen: npt.NDArray[np.bool_]) -> Particles:
        return Particles(*(getattr(self, column.name)[chosen] for column in fields(self)))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one particle, exactly."""

    kind: Kind
    """birth, vanish; begin and transform: the first and the last of it to change phase."""
    t_s: float
    x_nm: float
    y_nm: float
    id: int
    size_nm: float
    """Its radius then; of a vanished particle 0."""


class Process(Protocol):
    """What a specimen does by itself."""

    def particles(self, x_range_nm: Range, y_range_nm: Range, t_s: float) -> Particles:
        """Those with a centre in lowest ≤ x, y < highest that exist at a time.

        Raises:
            LimitError: the area or the time is no finite range, or too far away.
        """
        ...

    def largest_nm(self, t_s: float) -> float:
        """A radius that next to no particle exceeds then."""
        ...

    def events(self, x_range_nm: Range, y_range_nm: Range, t0_s: float, t1_s: float) -> tuple[Event, ...]:
        """All that happens there in t0 < t ≤ t1, by time. Raises as ``particles`` does."""
        ...


class PopulationSettings(Settings):
    """Particles that are there from the beginning."""

    per_um2: NotNegative = 300.0
    radius_nm: Positive = 5.0
    """Median; sizes are log-normal."""
    size_spread: Annotated[Ratio, Field(ge=0, le=0.8)] = 0.25
    """Standard deviation of the logarithm of the radius."""

    @property
    def largest_nm(self) -> float:
        """A radius that one particle in ten million exceeds."""
        return self.radius_nm * math.exp(5.2 * self.size_spread)


def blocks_of(x_range_nm: Range, y_range_nm: Range) -> list[tuple[int, int]]:
    """The blocks (i, j) that an area touches. Raises LimitError as ``Process.particles`` does."""
    spans = []
    for axis, (low, high) in (("x", x_range_nm), ("y", y_range_nm)):
        if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
            raise LimitError(f"{axis} from {low} to {high} nm was asked; give a finite range, the smaller number first")
        if max(abs(low), abs(high)) >= _FARTHEST * BLOCK_NM:
            raise LimitError(
                f"{axis} from {low} to {high} nm was asked; the specimen ends at {_FARTHEST * BLOCK_NM} nm"
            )
        spans.append(range(math.floor(low / BLOCK_NM), math.ceil(high / BLOCK_NM)))
    return [(i, j) for i in spans[0] for j in spans[1]]


def scatter(seed: int, per_um2: float, block: tuple[int, int]) -> Particles:
    """A Poisson number of points, uniform over one block; radius and fraction are 0.

    Raises:
        ValueError: more than a million are expected in the block.
    """
    i, j = block
    mean = per_um2 * 1e-6 * BLOCK_NM**2
    if mean > _MOST / 2:
        raise ValueError(f"{per_um2} particles per µm² make {mean:.0f} a block of {BLOCK_NM} nm; lower the density")
    quantile = float(fine_uniform(seed, _COUNT, i, j))
    count = 0 if mean == 0 or quantile <= math.exp(-mean) else math.ceil(float(pdtrik(quantile, mean)))
    number = np.arange(count, dtype=np.int64)
    u, v = (fine_uniform(seed, _PLACE, i, j, number, axis) for axis in range(2))
    names = ((i + _FARTHEST) * 2 * _FARTHEST + j + _FARTHEST) * _MOST + number
    return Particles(names, (i + u) * BLOCK_NM, (j + v) * BLOCK_NM, np.zeros(count), np.zeros(count))


def populate(seed: int, settings: PopulationSettings, block: tuple[int, int]) -> Particles:
    """The particles of one block at time 0, none of it in the new phase. Raises as ``scatter`` does."""
    points = scatter(seed, settings.per_um2, block)
    normal = ndtri(draws(seed, _SIZE, block, len(points.id)))
    radius = settings.radius_nm * np.exp(settings.size_spread * normal)
    return Particles(points.id, points.x_nm, points.y_nm, radius, points.fraction)


def draws(seed: int, stream: int, block: tuple[int, int], count: int) -> Doubles:
    """One number in (0, 1) for each of the ``count`` particles of a block."""
    return fine_uniform(seed, stream, *block, np.arange(count))


def gather(
    of_block: Callable[[tuple[int, int]], Particles], x_range_nm: Range, y_range_nm: Range, t_s: float
) -> Particles:
    """What the blocks of an area hold, cut to the area. Raises as ``Process.particles`` does."""
    refuse_time(t_s)
    parts = [of_block(block) for block in blocks_of(x_range_nm, y_range_nm)]
    whole = Particles(*(np.concatenate([getattr(part, c.name) for part in parts]) for c in fields(Particles)))
    return whole.where(_inside(whole.x_nm, x_range_nm) & _inside(whole.y_nm, y_range_nm))


@dataclass(frozen=True, slots=True)
class Happenings:
    """One kind of event, for every particle (N,) of a block; inf: never."""

    kind: Kind
    times_s: Doubles
    sizes_nm: Doubles


def list_events(
    of_block: Callable[[tuple[int, int]], tuple[Particles, Sequence[Happenings]]],
    x_range_nm: Range,
    y_range_nm: Range,
    times_s: Range,
) -> tuple[Event, ...]:
    """The events of an area between two times, sorted. Raises as ``Process.particles`` does."""
    after_s, until_s = times_s
    refuse_time(after_s)
    refuse_time(until_s)
    if until_s < after_s:
        raise LimitError(f"events from {after_s} to {until_s} s were asked; give the earlier time first")
    found = []
    for block in blocks_of(x_range_nm, y_range_nm):
        points, happenings = of_block(block)
        inside = _inside(points.x_nm, x_range_nm) & _inside(points.y_nm, y_range_nm)
        for row in happenings:
            for n in np.flatnonzero(inside & (row.times_s > after_s) & (row.times_s <= until_s)):
                place = float(points.x_nm[n]), float(points.y_nm[n])
                event = Event(row.kind, float(row.times_s[n]), *place, int(points.id[n]), float(row.sizes_nm[n]))
                found.append(event)
    return tuple(sorted(found, key=lambda event: (event.t_s, event.id, event.kind)))


def _inside(places_nm: Doubles, range_nm: Range) -> npt.NDArray[np.bool_]:
    return np.asarray((places_nm >= range_nm[0]) & (places_nm < range_nm[1]))
