"""The base of every config model: frozen, strict, and able to name the key that was meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

UNITS = {
    "nm": "nanometres",
    "deg": "degrees",
    "mrad": "milliradians",
    "us": "microseconds",
    "s": "seconds",
    "pA": "picoamperes",
    "kV": "kilovolts",
    "e_per_A2": "electrons per square ångström",
    "e_per_A2_per_s": "electrons per square ångström and second",
    "eV": "electronvolts",
    "K": "kelvin",
    "V": "volts",
    "Pa": "pascals",
    "px": "pixels",
    "MB": "megabytes",
}
"""The one unit of each quantity, as written at the end of a name."""

_OTHER_UNITS = (
    "ns",
    "ms",
    "min",
    "h",
    "pm",
    "A",
    "um",
    "mm",
    "m",
    "nA",
    "kA",
    "rad",
    "mV",
    "keV",
    "C",
    "mbar",
    "e_per_nm2",
)
_SUFFIXES = sorted((f"_{unit}" for unit in (*UNITS, *_OTHER_UNITS)), key=len, reverse=True)
_UNKNOWN = "unknown_key"


def unknown(key: str, known: Iterable[str], what: str = "key") -> str:
    """One line that refuses ``key`` and names the nearest of ``known``, or all of them.

    >>> unknown("dwell_ms", ["dwell_us", "shape"])
    'unknown key; did you mean dwell_us (microseconds)?'
    """
    names = list(known)
    stem = _stem(key)
    nearest = next((name for name in names if _stem(name) == stem), None)
    if nearest is None:
        folded = {name.casefold(): name for name in names}
        close = difflib.get_close_matches(key.casefold(), folded, n=1, cutoff=0.6)
        nearest = folded[close[0]] if close else None
    if nearest is not None:
        unit = UNITS.get(nearest.removeprefix(f"{_stem(nearest)}_"))
        return f"unknown {what}; did you mean {nearest}{f' ({unit})' if unit else ''}?"
    return f"unknown {what}; known here: {', '.join(names) or 'none'}"


def _stem(name: str) -> str:
    """The name without its unit: ``dwell_us`` and ``dwell_ms`` are both ``dwell``."""
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)


class Settings(BaseModel):
    """Base of all config models; a string under each field says what it means.

    Frozen; unknown keys and numbers that are not finite are refused. The checks run at every depth and also where a
    model is made in code, so a misspelt key never passes in silence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_unknown(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            details = [cls._reworded(line) for line in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(cls.__name__, details)

    @classmethod
    def _reworded(cls, line: Any) -> InitErrorDetails:
        location: tuple[int | str, ...] = line["loc"]
        if line["type"] == "extra_forbidden" and len(location) == 1:
            message = unknown(str(location[0]), cls.model_fields)
        elif line["type"] == _UNKNOWN:
            message = line["msg"]
        else:
            detail = InitErrorDetails(type=line["type"], loc=location, input=line["input"])
            return detail if "ctx" not in line else InitErrorDetails(**detail, ctx=line["ctx"])
        return InitErrorDetails(
            type=PydanticCustomError(_UNKNOWN, "{message}", {"message": message}), loc=location, input=line["input"]
        )
