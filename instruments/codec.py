"""The nouns of ``instruments.types`` and the errors, as JSON and back. Arrays travel beside it (``server.wire``).

What a request holds is taken as it came: the guard judges it. Only its names are checked here.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from instruments import errors
from instruments.errors import BusyError, HardwareFault, InstrumentError, LimitError, ReachError
from instruments.types import Axis, Exposure, Frame, Optics, Reading, Signal, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    Arrays = Sequence[np.ndarray[Any, Any]]

Json = dict[str, Any]
T = TypeVar("T", StagePosition, Optics, Exposure)

_ERRORS: dict[str, type[InstrumentError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, InstrumentError)
}


def number(value: object) -> object:
    """A value as JSON has it: numpy's numbers become Python's."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def sparse(value: StagePosition | Optics | Exposure) -> Json:
    """Names and values of what is not None."""
    given = ((field.name, getattr(value, field.name)) for field in fields(value))
    return {name: number(found) for name, found in given if found is not None}


def request_of(kind: type[T], data: object) -> T:
    """The noun that a request holds. Raises LimitError for names that it does not have, or lacks."""
    known = {field.name for field in fields(kind)}
    if not isinstance(data, dict) or not set(data) <= known:
        raise LimitError(f"{data!r} was sent for a {kind.__name__}, which has {', '.join(sorted(known))}: nothing done")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise LimitError(f"{data!r} was sent for a {kind.__name__}: {error}; nothing done") from error


def readings(data: Mapping[str, Reading]) -> Json:
    """By name."""
    return {name: reading(one) for name, one in data.items()}


def reading(one: Reading) -> Json:
    """One value of a sensor."""
    return {"value": number(one.value), "unit": one.unit, "age_s": number(one.age_s), "valid": one.valid}


def readings_of(data: Mapping[str, Json]) -> dict[str, Reading]:
    """The way back."""
    return {name: Reading(**one) for name, one in data.items()}


def state(value: State) -> Json:
    """Everything that was read back."""
    return {
        "time_s": number(value.time_s),
        "stage": sparse(value.stage),
        "optics": sparse(value.optics),
        "blanked": value.blanked,
        "valve_open": value.valve_open,
        "vacuum": None if value.vacuum is None else reading(value.vacuum),
        "emission": None if value.emission is None else reading(value.emission),
        "lit_nm": number(value.lit_nm),
        "busy_until_s": number(value.busy_until_s),
        "holder": readings(value.holder),
    }


def state_of(data: Json, later_s: float = 0.0) -> State:
    """The way back. ``later_s``: by how much this end's clock is ahead of the other's."""
    busy_until_s, vacuum, emission = (data.get(name) for name in ("busy_until_s", "vacuum", "emission"))
    return State(
        time_s=data["time_s"] + later_s,
        stage=StagePosition(**data["stage"]),
        optics=Optics(**data["optics"]),
        blanked=data.get("blanked"),
        valve_open=data.get("valve_open"),
        vacuum=None if vacuum is None else Reading(**vacuum),
        emission=None if emission is None else Reading(**emission),
        lit_nm=data.get("lit_nm"),
        busy_until_s=None if busy_until_s is None else busy_until_s + later_s,
        holder=readings_of(data.get("holder") or {}),
    )


def frame(value: Frame) -> tuple[Json, list[npt.NDArray[Any]]]:
    """(what is to be told, the signals' arrays in order); the exposure is known to who asked."""
    about = {
        "stage": sparse(value.stage),
        "optics": sparse(value.optics),
        "start_s": number(value.start_s),
        "end_s": number(value.end_s),
        "electrons": number(value.electrons),
        "holder": readings(value.holder),
        "doubts": list(value.doubts),
        "signals": [
            {
                "name": name,
                "axes": [
                    {field.name: number(getattr(axis, field.name)) for field in fields(axis)} for axis in one.axes
                ],
                "unit": one.unit,
                "calibration": {key: number(constant) for key, constant in one.calibration.items()},
            }
            for name, one in value.signals.items()
        ],
    }
    return about, [one.data for one in value.signals.values()]


def frame_of(exposure: Exposure, data: Json, arrays: Arrays, later_s: float = 0.0) -> Frame:
    """The way back; ``later_s`` as in ``state_of``. Raises ValueError where there are not as many arrays as signals."""
    signals = {
        about["name"]: Signal(
            array, tuple(Axis(**axis) for axis in about["axes"]), about.get("unit", "counts"), about["calibration"]
        )
        for about, array in zip(data["signals"], arrays, strict=True)
    }
    return Frame(
        exposure=exposure,
        signals=signals,
        stage=StagePosition(**data["stage"]),
        optics=Optics(**data["optics"]),
        start_s=data["start_s"] + later_s,
        end_s=data["end_s"] + later_s,
        electrons=data["electrons"],
        holder=readings_of(data.get("holder") or {}),
        doubts=tuple(map(str, data.get("doubts") or ())),
    )


def error(value: Exception) -> Json:
    """What kept a request from being carried out; an error that is none of ours becomes an InstrumentError."""
    if not isinstance(value, InstrumentError):
        return {"error": "InstrumentError", "message": f"{type(value).__name__}: {value}"}
    kind = next(one.__name__ for one in type(value).__mro__ if _ERRORS.get(one.__name__) is one)
    told: Json = {"error": kind, "message": str(value)}
    if isinstance(value, BusyError):
        told["until_s"] = value.until_s
    if isinstance(value, HardwareFault):
        told["latching"] = value.latching
    if isinstance(value, ReachError):
        for name, place in (("target", value.target), ("readback", value.readback)):
            if place is not None:
                told[name] = {type(place).__name__: sparse(place)}
    return told


def error_of(data: Json, later_s: float = 0.0) -> InstrumentError:
    """The error that the other end told of. A kind that is not known here is an InstrumentError."""
    kind, message = _ERRORS.get(str(data["error"]), InstrumentError), str(data.get("message"))
    if issubclass(kind, BusyError):
        until_s = data.get("until_s")
        return kind(message, until_s=None if until_s is None else until_s + later_s)
    if issubclass(kind, HardwareFault):
        return kind(message, latching=data.get("latching") is not False)
    if issubclass(kind, ReachError):
        return kind(message, target=_place_of(data.get("target")), readback=_place_of(data.get("readback")))
    return kind(message)


def _place_of(data: Json | None) -> StagePosition | Optics | None:
    if not data:
        return None
    ((kind, values),) = data.items()
    return Optics(**values) if kind == "Optics" else StagePosition(**values)
