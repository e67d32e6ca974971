"""What a holder reads while a specimen is followed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass
class Holder:
    """What the holder reads back, without its sensors' noise: a value holds until a reading differs by more than that.

    Readings that give nothing leave the last value in place, and are counted.
    """

    steady: Mapping[str, float]
    held: dict[str, float] = field(default_factory=dict)
    gaps: dict[str, int] = field(default_factory=dict)
    _sampled_s: dict[str, float] = field(default_factory=dict)

    def read(self, found: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
        """The conditions that hold now."""
        for name in names:
            if name not in found:
                self.gaps[name] = self.gaps.get(name, 0) + 1
                continue
            last = self.held.get(name)
            if last is None or abs(found[name] - last) > self.steady.get(name, 1e-3 * abs(last)):
                self.held = {**self.held, name: found[name]}
        return dict(self.held)

    def passed(
        self, sampled: Mapping[str, tuple[float, float]], names: Iterable[str], from_s: float, to_s: float
    ) -> list[tuple[float, dict[str, float]]]:
        """(duration, conditions) that held from one time to another, by values and the times at which they were read.

        A value that has changed is taken to have done so half-way between its last two samples.
        """
        before, last_s = dict(self.held), dict(self._sampled_s)
        after = self.read({name: value for name, (value, _) in sampled.items()}, names)
        self._sampled_s |= {name: at_s for name, (_, at_s) in sampled.items()}
        changed = [name for name in after if after[name] != before.get(name)]
        if not changed or not before:
            return [(to_s - from_s, after)]
        half_way = [(last_s.get(name, from_s) + self._sampled_s[name]) / 2 for name in changed]
        switch_s = min(max(min(half_way), from_s), to_s)
        return [(d, held) for d, held in ((switch_s - from_s, before), (to_s - switch_s, after)) if d > 0]


def divided(
    passed: Iterable[tuple[float, dict[str, float]]], after_s: float
) -> tuple[list[tuple[float, dict[str, float]]], list[tuple[float, dict[str, float]]]]:
    """What passed before a moment, so many seconds after its beginning, and what passed after it."""
    first, second, left_s = [], [], max(after_s, 0.0)
    for duration_s, held in passed:
        early_s = min(duration_s, left_s)
        left_s -= early_s
        first += [(early_s, held)] * (early_s > 0)
        second += [(duration_s - early_s, held)] * (duration_s > early_s)
    return first, second
