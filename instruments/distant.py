"""Optional powers of an instrument that another process holds: asked for by name, used by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from instruments.codec import number
from instruments.errors import NotSupported
from instruments.powers import HasDiffraction, HasHolder, HasLoader, HasSpectra, HasTilt, HasValves
from instruments.types import Outcome

if TYPE_CHECKING:
    from instruments.protocol import Microscope

P = TypeVar("P")

VERBS: Mapping[type, tuple[str, ...]] = {
    HasTilt: ("tilt_range_deg",),
    HasSpectra: ("channels",),
    HasDiffraction: ("patterns",),
    HasHolder: ("set_condition",),
    HasValves: ("close_valves",),
    HasLoader: ("specimens", "loaded", "load", "unload"),
}
"""Every power that can be asked for from another process, and what it can do.

CanStop goes by a way of its own (``RemoteMicroscope.stop``): here it would wait for its turn.
"""

_KINDS = {kind.__name__: kind for kind in VERBS}


class Use(Protocol):
    """Calls a power's verb at the other end; with an empty verb, tells whether there is such a power."""

    def __call__(self, power: str, verb: str, *values: Any) -> Any: ...


def use(scope: Microscope, power: str, verb: str, values: Sequence[Any]) -> Any:
    """What the other end asked for, as JSON. Raises NotSupported for what is not there."""
    kind = _KINDS.get(power)
    found = None if kind is None else scope.power(kind)
    if not verb:
        return found is not None
    if kind is None or found is None or verb not in VERBS[kind]:
        raise NotSupported(f"{power}.{verb} was asked, which this instrument does not have")
    result = getattr(found, verb)(*values)
    if isinstance(result, Outcome):
        return {"requested": number(result.requested), "achieved": number(result.achieved)}
    return dict(result) if isinstance(result, Mapping) else result


def distant(kind: type[P], use: Use) -> P | None:
    """The power, as this end holds it; None where the other end has none."""
    made = _HERE.get(kind)
    return cast("P", made(use)) if made is not None and use(kind.__name__, "") else None


@dataclass(frozen=True, slots=True)
class _Tilt:
    use: Use

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        ranges = self.use("HasTilt", "tilt_range_deg")
        return {axis: (lowest, highest) for axis, (lowest, highest) in ranges.items()}


@dataclass(frozen=True, slots=True)
class _Spectra:
    use: Use

    def channels(self) -> Mapping[str, int]:
        return dict(self.use("HasSpectra", "channels"))


@dataclass(frozen=True, slots=True)
class _Diffraction:
    use: Use

    def patterns(self) -> Mapping[str, tuple[int, int]]:
        return {name: (rows, columns) for name, (rows, columns) in self.use("HasDiffraction", "patterns").items()}


@dataclass(frozen=True, slots=True)
class _Holder:
    use: Use

    def set_condition(self, name: str, value: float) -> Outcome[float]:
        found = self.use("HasHolder", "set_condition", name, number(value))
        return Outcome(found["requested"], found["achieved"])


@dataclass(frozen=True, slots=True)
class _Valves:
    use: Use

    def close_valves(self) -> None:
        self.use("HasValves", "close_valves")


@dataclass(frozen=True, slots=True)
class _Loader:
    use: Use

    def specimens(self) -> Sequence[str]:
        return tuple(self.use("HasLoader", "specimens"))

    def loaded(self) -> str | None:
        found = self.use("HasLoader", "loaded")
        return None if found is None else str(found)

    def load(self, name: str) -> None:
        self.use("HasLoader", "load", name)

    def unload(self) -> None:
        self.use("HasLoader", "unload")


@dataclass(frozen=True, slots=True)
class Stop:
    """Stops what moves at the other end, by whatever way leads there at once."""

    call: Callable[[], None]

    def stop(self) -> None:
        self.call()


_HERE: Mapping[type, Callable[[Use], object]] = {
    HasTilt: _Tilt, HasSpectra: _Spectra, HasDiffraction: _Diffraction, HasHolder: _Holder, HasValves: _Valves,
    HasLoader: _Loader,
}  # fmt: skip
