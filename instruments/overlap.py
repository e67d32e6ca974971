"""How much dose the most exposed point of a region has had: exact, from rectangles, never from a raster."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from instruments.types import Footprint

SLIVER_NM = 1e-3
"""Overlaps thinner than a picometre are rounding of shared edges, not dose."""

_TOLERANCE_NM = 1e-5


def deepest(region: Footprint, stack: Sequence[tuple[Footprint, float]]) -> float:
    """Largest sum of weights over the points inside ``region``; a weight counts inside its open rectangle.

    >>> from instruments.types import Footprint
    >>> unit = dict(y_nm=0.0, width_nm=2.0, height_nm=2.0)
    >>> a, b, c = (Footprint(x_nm=x, **unit) for x in (0.0, 1.0, 2.0))
    >>> deepest(a, [(a, 1.0), (b, 2.0), (c, 4.0)]), deepest(b, [(a, 1.0), (b, 2.0), (c, 4.0)])
    (3.0, 6.0)
    """
    if all(footprint.rotation_deg == region.rotation_deg for footprint, _ in stack):
        return _deepest_aligned(region, stack)
    return _deepest_rotated(region, stack)


def box(footprint: Footprint) -> tuple[float, float, float, float]:
    """Smallest upright box round a footprint: (x_low, x_high, y_low, y_high) in nm."""
    cosine, sine = _direction(footprint)
    x = abs(footprint.width_nm / 2 * cosine) + abs(footprint.height_nm / 2 * sine)
    y = abs(footprint.width_nm / 2 * sine) + abs(footprint.height_nm / 2 * cosine)
    return footprint.x_nm - x, footprint.x_nm + x, footprint.y_nm - y, footprint.y_nm + y


def _direction(footprint: Footprint) -> tuple[float, float]:
    angle = math.radians(footprint.rotation_deg)
    return math.cos(angle), math.sin(angle)


def _deepest_aligned(region: Footprint, stack: Sequence[tuple[Footprint, float]]) -> float:
    """All sides parallel: the deepest cell starts at somebody's left and somebody's lower edge."""
    cosine, sine = _direction(region)

    def sides(footprint: Footprint) -> tuple[float, float, float, float]:
        along = footprint.x_nm * cosine + footprint.y_nm * sine
        across = footprint.y_nm * cosine - footprint.x_nm * sine
        half_width, half_height = footprint.width_nm / 2, footprint.height_nm / 2
        return along - half_width, along + half_width, across - half_height, across + half_height

    left0, right0, low0, high0 = sides(region)
    clipped = []
    for footprint, weight in stack:
        left, right, low, high = sides(footprint)
        left, right, low, high = max(left, left0), min(right, right0), max(low, low0), min(high, high0)
        if right - left > SLIVER_NM and high - low > SLIVER_NM:
            clipped.append((left, right - SLIVER_NM, low, high - SLIVER_NM, weight))
    best = 0.0
    for start in {entry[0] for entry in clipped}:
        events = []
        for left, right, low, high, weight in clipped:
            if left <= start < right:
                events += [(low, weight), (high, -weight)]
        best = max(best, _peak(sorted(events)))
    return best


class _Slab(NamedTuple):
    """A rectangle as the region |along| ≤ half_width and |across| ≤ half_height of its own frame."""

    x: float
    y: float
    cosine: float
    sine: float
    half_width: float
    half_height: float

    def span(self, start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float] | None:
        """Part of the line from ``start`` (0) to ``end`` (1) that lies inside, or None."""
        first, last = 0.0, 1.0
        (dx, dy), (ux, uy) = (start[0] - self.x, start[1] - self.y), (end[0] - start[0], end[1] - start[1])
        for at, slope, half in (
            (dx * self.cosine + dy * self.sine, ux * self.cosine + uy * self.sine, self.half_width),
            (dy * self.cosine - dx * self.sine, uy * self.cosine - ux * self.sine, self.half_height),
        ):
            half += _TOLERANCE_NM
            if abs(slope) < _TOLERANCE_NM:
                if abs(at) > half:
                    return None
                continue
            enter, leave = sorted(((-half - at) / slope, (half - at) / slope))
            first, last = max(first, enter), min(last, leave)
        return (first, last) if first <= last else None

    def corners(self) -> list[tuple[float, float]]:
        return [
            (
                self.x + a * self.half_width * self.cosine - b * self.half_height * self.sine,
                self.y + a * self.half_width * self.sine + b * self.half_height * self.cosine,
            )
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]


def _slab(footprint: Footprint) -> _Slab:
    half_width, half_height = (max(0.0, side - SLIVER_NM) / 2 for side in (footprint.width_nm, footprint.height_nm))
    return _Slab(footprint.x_nm, footprint.y_nm, *_direction(footprint), half_width, half_height)


def _deepest_rotated(region: Footprint, stack: Sequence[tuple[Footprint, float]]) -> float:
    """The deepest cell is an intersection of rectangles, so it has a corner on somebody's edge: walk all edges."""
    window = _slab(region)
    slabs = [(_slab(footprint), weight) for footprint, weight in stack]
    best = 0.0
    for owner in (window, *(slab for slab, _ in slabs)):
        corners = owner.corners()
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            allowed = window.span(start, end)
            if allowed is None:
                continue
            events = []
            for slab, weight in slabs:
                span = slab.span(start, end)
                if span is not None and max(span[0], allowed[0]) <= min(span[1], allowed[1]):
                    events += [(max(span[0], allowed[0]), -weight), (min(span[1], allowed[1]), weight)]
            # Closed spans: of two events at one point the entering one (negative here) comes first.
            best = max(best, _peak([(at, -change) for at, change in sorted(events)]))
    return best


def _peak(events: list[tuple[float, float]]) -> float:
    """Highest running sum of the changes, in the order given."""
    best = total = 0.0
    for _, change in events:
        total += change
        best = max(best, total)
    return best
