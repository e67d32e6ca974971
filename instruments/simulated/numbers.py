"""Kinds of numbers that settings are made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

Ratio: TypeAlias = float
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[Ratio, Field(ge=0, le=1)]


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError(f"from {value[0]} to {value[1]} is no range: give the smaller number first")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
