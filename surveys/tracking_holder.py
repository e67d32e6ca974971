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
