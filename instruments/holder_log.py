"""Logs that in-situ holders write: read, with what is wrong in them said, and laid beside frames of another clock.

Two kinds of text are read: tables with a header of names and units (a heater's own, with whatever stands above the
header), and plain columns of time and value. Temperatures come in kelvin, times in seconds from the first sample.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError
from instruments.types import Reading

if TYPE_CHECKING:
    from pathlib import Path

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_DAY_S = 86400.0
_CELSIUS_K = 273.15
_GAP: Ratio = 5.0
"""An interval of so many usual ones is a gap."""
_STALE: Ratio = 3.0
"""A sample older than so many usual intervals says nothing of now."""
_FEWEST = 3
_TIME = re.compile(r"^(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)$")
_HEADED = re.compile(r"^(?P<name>[A-Za-z][\w ]*?)\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]$")
_NAMES = {"tmeas": "temperature", "tset": "temperature_set", "t": "temperature", "temperature": "temperature"}
_UNITS = {"C": "K", "°C": "K", "K": "K", "V": "V", "mA": "mA", "ohm": "ohm", "mW": "mW", "Pa": "Pa", "s": "s"}


@dataclass(frozen=True, slots=True)
class HolderLog:
    """Samples of a holder, oldest first."""

    times_s: Array
    """(N,) from the first sample."""
    conditions: dict[str, Array]
    """(N,) by name with its unit (temperature_K, …)."""
    problems: tuple[str, ...]
    """What is wrong with it, in words: gaps, clocks that ran backwards, lines that were left out."""

    @property
    def interval_s(self) -> float:
        """The usual time between samples."""
        return float(np.median(np.diff(self.times_s)))

    def at(self, name: str, t_s: float) -> Reading:
        """The last sample up to a time; invalid where it is too old, no number, or there is none yet.

        Raises ConfigError.
        """
        values = self._values(name)
        unit = name.rsplit("_", 1)[-1]
        n = int(np.searchsorted(self.times_s, t_s, side="right")) - 1
        if n < 0:
            return Reading(value=None, unit=unit, age_s=0.0, valid=False)
        age_s = float(t_s - self.times_s[n])
        if age_s > _STALE * self.interval_s or not math.isfinite(values[n]):
            return Reading(value=None, unit=unit, age_s=age_s, valid=False)
        return Reading(value=float(values[n]), unit=unit, age_s=age_s)

    def shift_of(self, name: str, times_s: Array, values: Array, most_s: float) -> Shift:
        """By how much another clock must be put forward so that its ``values`` (N,) at ``times_s`` fit this log.

        Among shifts of at most ``most_s`` to either side. Raises ConfigError for a condition that is not here, or that
        holds no number.
        """
        there, known = self._values(name), np.isfinite(self._values(name))
        if not known.any():
            raise ConfigError(f"{name}: no sample of the log holds a number")
        tried = np.arange(-most_s, most_s + self.interval_s, self.interval_s)

        def off(by_s: float) -> float:
            found = np.interp(times_s + by_s, self.times_s[known], there[known])
            return float(np.sqrt(np.mean((found - values) ** 2)))

        left = [off(by_s) for by_s in tried]
        best = int(np.argmin(left))
        return Shift(float(tried[best]), left[best], off(0.0))

    def _values(self, name: str) -> Array:
        if name not in self.conditions:
            raise ConfigError(f"{name} was asked of a holder's log; it holds {', '.join(self.conditions)}")
        return self.conditions[name]


@dataclass(frozen=True, slots=True)
class Shift:
    """How two clocks differ."""

    by_s: float
    off: Ratio
    """Root mean square of what is left then, in the condition's unit."""
    off_as_is: Ratio
    """The same without a shift."""

    @property
    def matters(self) -> bool:
        """Whether the clocks differ clearly."""
        return self.off < 0.5 * self.off_as_is


def read_holder_log(path: Path) -> HolderLog:
    """Read a log. Raises ConfigError where there is none, or nothing in it can be read as samples."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: a holder's log cannot be read ({error.strerror})") from error
    start, names = _header(lines)
    rows, left_out, by_day, time = [], 0, False, names.index("time_s")
    for line in lines[start:]:
        cells = _cells(line)
        if not cells:
            continue
        numbers = [_number(cell) for cell in cells[: len(names)]]
        if len(numbers) < len(names) or not math.isfinite(numbers[time]):
            left_out += 1
            continue
        by_day = by_day or ":" in cells[time]
        rows.append(numbers)
    if len(rows) < _FEWEST:
        raise ConfigError(
            f"{path}: {len(rows)} samples were found, and {_FEWEST} are needed; a log is a table with a header "
            "(time, name[unit], …), or two columns, time in s and temperature in °C"
        )
    return _put_right(np.array(rows), names, left_out, by_day)


def _put_right(table: Array, names: list[str], left_out: int, by_day: bool) -> HolderLog:
    """Times from 0 on, over midnight too; what ran backwards is left out and told."""
    problems = [f"{left_out} line(s) are no samples and were left out"] if left_out else []
    times = table[:, names.index("time_s")]
    if by_day:
        times = times + _DAY_S * np.cumsum(np.concatenate([[0.0], np.diff(times) < -_DAY_S / 2]))
    times = times - times[0]
    kept = np.concatenate([[True], times[1:] > np.maximum.accumulate(times)[:-1]])
    if not kept.all():
        first = int(np.argmin(kept))
        problems.append(
            f"the clock ran back at {times[first - 1]:.1f} s, by {times[first - 1] - times[first]:.1f} s; "
            f"{int((~kept).sum())} sample(s) until it had caught up were left out"
        )
    table, times = table[kept], times[kept]
    steps = np.diff(times)
    usual = float(np.median(steps))
    problems += [
        f"a gap of {steps[n]:.1f} s after {times[n]:.1f} s (usually {usual:.2f} s)"
        for n in np.flatnonzero(steps > _GAP * usual)
    ]
    conditions = {}
    for name, column in zip(names, table.T, strict=True):
        if name not in ("time_s", ""):
            if silent := int((~np.isfinite(column)).sum()):
                problems.append(f"{silent} sample(s) hold no number for {name.partition('-from-')[0]}")
            plain, celsius, _ = name.partition("-from-C")
            conditions[plain] = column + (_CELSIUS_K if celsius else 0.0)
    return HolderLog(times, conditions, tuple(problems))


def _header(lines: list[str]) -> tuple[int, list[str]]:
    """Where the samples begin, and what each column is: '' where nobody knows."""
    for n, line in enumerate(lines):
        cells = [cell.strip() for cell in _cells(line)]
        low = [cell.lower() for cell in cells]
        if any(cell.startswith("time") for cell in low) and len(cells) > 1:
            names = ["time_s" if cell.startswith("time") else _condition(cell) for cell in cells]
            while names and names[-1] == "":
                names.pop()
            return n + 1, names
    return 0, ["time_s", "temperature_K-from-C"]


def _condition(cell: str) -> str:
    found = _HEADED.match(cell)
    if found is None or found["unit"] not in _UNITS:
        return ""
    name = _NAMES.get(found["name"].strip().lower(), found["name"].strip().lower().replace(" ", "_"))
    unit = _UNITS[found["unit"]]
    return f"{name}_{unit}" + ("-from-C" if found["unit"] in ("C", "°C") else "")


def _cells(line: str) -> list[str]:
    for separator in ("\t", ";", ","):
        if separator in line:
            return [cell.strip() for cell in line.split(separator)]
    return line.split()


def _number(cell: str) -> float:
    """Not finite where it is none."""
    if (clock := _TIME.match(cell)) is not None:
        return 3600 * int(clock[1]) + 60 * int(clock[2]) + float(clock[3])
    try:
        return float(cell)
    except ValueError:
        return math.nan
