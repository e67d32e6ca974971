"""What a specimen holder can do: its conditions, how fast they follow, how well they are read; and four usual ones."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field, model_validator

from configs.load import Settings
from configs.settings import UNITS
from instruments.simulated.numbers import NotNegative, Positive, Ratio

Amount: TypeAlias = float
"""In the unit that stands at the end of the condition's name."""
Share = Annotated[Ratio, Field(ge=0, le=1)]

_UNITS = (*UNITS, "mM", "nl_per_s")


class ConditionSettings(Settings):
    """One condition. Amounts are in the unit at the end of its name."""

    start: Amount
    """Value when the world begins."""
    lowest: Amount
    highest: Amount
    ramp_per_s: Positive | None = None
    """How fast the set-point runs; None: it jumps."""
    lag_s: NotNegative = 0.0
    """Time constant of the truth behind the set-point. MEMS heaters: milliseconds; furnace holders: a minute."""
    noise: Annotated[Amount, Field(ge=0)] = 0.0
    """Standard deviation of one reading."""
    offset: Annotated[Amount, Field(ge=0)] = 0.0
    """Calibration error at most; the seed draws it, and it stays."""
    interval_s: Positive = 0.5
    """The sensor measures once in each interval."""
    dropout: Share = 0.0
    """Part of the measurements that give nothing."""
    drift_nm_per_unit: NotNegative = 0.0
    """How far the holder grows along its axis, and carries the specimen to +x, for one unit more."""

    @model_validator(mode="after")
    def _in_order(self) -> ConditionSettings:
        if not self.lowest <= self.start <= self.highest or self.lowest == self.highest:
            raise ValueError(f"start {self.start} must lie in lowest {self.lowest} … highest {self.highest}")
        return self


class HolderSettings(Settings):
    """A holder with named conditions."""

    conditions: dict[str, ConditionSettings] = Field(min_length=1)
    """By name, with the unit at its end: temperature_K, bias_V, concentration_mM, …"""
    log_interval_s: Positive = 1.0
    """Of the holder's own log."""

    @model_validator(mode="after")
    def _named(self) -> HolderSettings:
        for name, condition in self.conditions.items():
            if unit_of(name) is None:
                raise ValueError(f"condition {name} has no unit in its name; end it in one of {', '.join(_UNITS)}")
            if unit_of(name) == "K" and condition.lowest <= 0:
                raise ValueError(f"{name} lowest {condition.lowest} must be above 0 K")
        return self


def unit_of(name: str) -> str | None:
    """The unit at the end of a condition's name, the longest that fits; None without one.

    >>> unit_of("temperature_K"), unit_of("concentration_mM"), unit_of("flow")
    ('K', 'mM', None)
    """
    return max((unit for unit in _UNITS if name.endswith(f"_{unit}")), key=len, default=None)


HEATING_CHIP = HolderSettings(
    conditions={
        "temperature_K": ConditionSettings(
            start=295.0,
            lowest=77.0,
            highest=1500.0,
            ramp_per_s=200.0,
            lag_s=0.05,
            noise=0.3,
            offset=8.0,
            drift_nm_per_unit=0.05,
        )
    }
)
"""A heater on a membrane, which follows in milliseconds (Allard et al., Microsc. Res. Tech. 72, 208 (2009))."""

FURNACE = HolderSettings(
    conditions={
        "temperature_K": ConditionSettings(
            start=295.0,
            lowest=290.0,
            highest=1300.0,
            ramp_per_s=2.0,
            lag_s=30.0,
            noise=0.5,
            offset=15.0,
            drift_nm_per_unit=5.0,
        )
    }
)
"""A furnace around a 3 mm grid: slow. Numbers of the order of such holders, from no single source."""

BIASING_CHIP = HolderSettings(
    conditions={"bias_V": ConditionSettings(start=0.0, lowest=-5.0, highest=5.0, noise=1e-3, offset=2e-3)}
)
"""Electrodes on a membrane; as above, from no single source."""

LIQUID_CELL = HolderSettings(
    conditions={
        "concentration_mM": ConditionSettings(
            start=0.0, lowest=0.0, highest=10.0, lag_s=20.0, noise=0.02, offset=0.05, interval_s=5.0
        )
    }
)
"""A cell with flow, whose content is exchanged in some ten seconds (Ross, Science 350, aaa9886 (2015))."""

HOLDERS = {
    "heating_chip": HEATING_CHIP,
    "furnace": FURNACE,
    "biasing_chip": BIASING_CHIP,
    "liquid_cell": LIQUID_CELL,
}
"""By the name that a config may give."""
