"""Everything that can be said about following one specimen, in a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

from configs.load import Settings
from configs.who import Who
from envs.tracked import TrackLook
from instruments.drivers import registry
from instruments.limits import Limits
from models.kinetics import Expected
from models.kinetics_nuisance import Calibration

Ratio: TypeAlias = float
Share = Annotated[Ratio, Field(gt=0, lt=1)]


class LookSettings(Settings):
    """One way of looking at a place; frames are square."""

    signal: str
    field_of_view_nm: PositiveFloat
    pixels: PositiveInt
    dwell_us: PositiveFloat
    frames: PositiveInt = 1
    """More than one: a stream, of which what lies around an event is kept, and the sum is read as an image."""


class BurstSettings(Settings):
    """What is kept of a stream, where the instrument hands out its frames one by one; else all of it is."""

    every: PositiveInt = 10
    """Frames summed to one that is watched."""
    before: NonNegativeInt = 20
    """Frames kept before an event."""
    after: NonNegativeInt = 20
    most: PositiveInt = 4
    """Events of one stream that are kept."""
    false_alarms: Share = 0.01
    """Of one stream in which nothing happens."""


class CountSettings(Settings):
    """Objects of any kind, counted in the images of one signal as a few labelled frames show them."""

    signal: str
    images: Path
    """A folder of frames, each of a look's whole field of view."""
    masks: Path
    """A folder of masks, named as the frames that they label: a number for each object, or inside and outside."""
    alike: bool = False
    """All frames, labelled and to come, are of one exposure and gain, so that contrast itself tells."""


class PlaceSettings(Settings):
    """A place that is watched."""

    x_nm: float
    y_nm: float


class ControlSettings(Settings):
    """Places that only the runner looks at, so that what the beam does can be told from what happens by itself."""

    places: tuple[PlaceSettings, ...] = ()
    look: str | None = None
    """By name; None: the cheapest image."""
    times: PositiveInt = 2
    """How often each is exposed, evenly over the time, first at the beginning and last at the end; 2 at least."""

    @model_validator(mode="after")
    def _twice(self) -> Self:
        if self.places and self.times < 2:
            raise ValueError(f"controls.times is {self.times}: a change shows in two exposures at least")
        return self


class OrderSettings(Settings):
    """What the holder is ordered to do, and when; the guard's limits.conditions must allow it."""

    at_s: NonNegativeFloat
    condition: str
    value: float
    """In the unit at the end of the condition's name."""


class ExpectedSettings(Settings):
    """What is known before anything is seen, by orders of magnitude: the priors of every law."""

    number_per_um2: PositiveFloat = 300.0
    radius_nm: PositiveFloat = 6.0
    span_nm: PositiveFloat | None = None
    """Way of a front over the places; None: from the first place to the last, and a field of view."""
    temperature_K: PositiveFloat | None = None
    """Where rates are given, where heat drives the process."""
    supply: str | None = None
    """The condition that rates are proportional to."""
    supply_at: PositiveFloat = 1.0
    activation_eV: PositiveFloat = 1.5


class KeepSettings(Settings):
    """How what is followed is kept in view against drift, read from the images that are taken anyway."""

    tolerance_nm: PositiveFloat = 10.0
    """A stage that stands nearer than this to where it should is left where it is: no less than it misses by."""


class StepSettings(Settings):
    """The holder, stepped by the agent to where its looks tell most, within limits.conditions."""

    by_itself: bool = False
    """It runs ``program`` without being ordered to (by its own software, or because it is a recording): the agent
    reckons with it, and nothing is sent."""
    may_step: bool = False
    condition: str | None = None
    """None: temperature_K where ``expected`` names it, else the supply."""
    step: PositiveFloat | None = None
    """In the unit of the condition; None: four fifths of its most_change, so that a reading that is a little off does
    not make an order one that the guard refuses."""
    every_s: PositiveFloat = 60.0
    """How often it is thought over."""
    least_nats: PositiveFloat = 0.5
    """By how much a set-point must be worth more than staying."""


class CalibrationSettings(Settings):
    """How well the instrument is known: standard deviations, relative."""

    pixel_size: Share = 0.04
    gain: Share = 0.10


class TrackSettings(Settings):
    """One specimen, followed."""

    name: str = Field("track", pattern=r"^[\w.-]+$")
    seed: NonNegativeInt = 0
    who: Who = Who()
    out: Path = Path("surveys_data")
    instrument: Annotated[SerializeAsAny[Settings], BeforeValidator(registry.block)]
    limits: Limits
    specimen: str = Field("specimen", pattern=r"^[\w.-]+$")
    places: Annotated[tuple[PlaceSettings, ...], Field(min_length=1)]
    looks: Annotated[dict[str, LookSettings], Field(min_length=1)]
    """By name. Of each signal that is named something must be known of pure material: on a simulated instrument it is
    measured on simulated standards first. What ``counts`` names is read by labelled frames instead."""
    counts: CountSettings | None = None
    bursts: BurstSettings = BurstSettings()
    controls: ControlSettings = ControlSettings()
    program: tuple[OrderSettings, ...] = ()
    holder: StepSettings = StepSettings()
    steady: dict[str, PositiveFloat] = Field(default_factory=dict)
    """By condition: a reading that differs by less is taken for the sensor's noise. Left out: a thousandth of it."""
    expected: ExpectedSettings = ExpectedSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    keep_in_view: KeepSettings | None = KeepSettings()
    """None: places are driven to by the stage alone, whatever the specimen drifts."""
    axis_deg: float = 0.0
    """Along which a front would run, counter-clockwise from +x."""
    horizon_s: PositiveFloat
    tick_s: PositiveFloat = 5.0
    electrons: PositiveFloat
    """To spend in all, controls included."""
    sets: Annotated[int, Field(ge=32, le=4096)] = 192
    """Parameter sets of each law."""
    false_alarms: Share = 0.05
    """Of saying that none of the laws explains what is seen, in a whole run."""
    decision_deadline_s: PositiveFloat = 2.0
    """An agent that takes longer is not waited for: the next look is then taken in turn."""
    rehearsals: NonNegativeInt = 1
    """How often each law is played through before the start, to see whether the dose can tell it; 0: not."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.controls.look is not None and self.controls.look not in self.looks:
            raise ValueError(f"controls.look is {self.controls.look!r}; the looks are {', '.join(self.looks)}")
        if self.tick_s > self.horizon_s:
            raise ValueError(f"tick_s {self.tick_s} is longer than horizon_s {self.horizon_s}: lower it")
        if self.expected.temperature_K is None and self.expected.supply is None:
            raise ValueError(
                "expected names neither temperature_K nor supply: say what drives the process, or no law can follow "
                "the holder"
            )
        for order in () if self.holder.by_itself else self.program:
            if order.condition not in self.limits.conditions:
                raise ValueError(
                    f"program orders {order.condition}, which limits.conditions does not allow: add it there"
                )
            low, high = self.limits.conditions[order.condition].allowed
            if not low <= order.value <= high:
                raise ValueError(
                    f"program orders {order.condition} = {order.value:g} at {order.at_s:g} s, and limits.conditions "
                    f"allows {low:g} to {high:g}: lower the order, or widen the limits if the holder bears it"
                )
        self._check_steps()
        for name, place in [(f"places[{n}]", p) for n, p in enumerate(self.places)] + [
            (f"controls.places[{n}]", p) for n, p in enumerate(self.controls.places)
        ]:
            for axis, at_nm, (low, high) in (
                ("x_nm", place.x_nm, self.limits.x_nm),
                ("y_nm", place.y_nm, self.limits.y_nm),
            ):
                if not low <= at_nm <= high:
                    raise ValueError(
                        f"{name}.{axis} is {at_nm:g}, and limits.{axis} allows {low:g} to {high:g}: name a place within"
                    )
        return self

    def _check_steps(self) -> None:
        """Raises ValueError where the holder may be stepped, and it is not said how far."""
        name, holder = self.stepped(), self.holder
        if name is None:
            return
        if holder.by_itself:
            raise ValueError(
                "holder.may_step and holder.by_itself: it is stepped by the agent, or by itself; say which"
            )
        if name not in {"temperature_K" if self.expected.temperature_K else None, self.expected.supply}:
            raise ValueError(f"holder.condition is {name}, which drives nothing in `expected`: name what does")
        limits = self.limits.conditions.get(name)
        if limits is None or limits.most_change is None:
            raise ValueError(
                f"holder.may_step: say in limits.conditions.{name} what is allowed, and how much at once (most_change)"
            )
        if holder.step is not None and holder.step > limits.most_change:
            raise ValueError(
                f"holder.step is {holder.step:g}, and limits.conditions.{name}.most_change {limits.most_change:g}: "
                "lower it"
            )
        if sum(order.condition == name for order in self.program) > 1:
            raise ValueError(
                f"program orders {name} more than once, and the agent may step it: leave it to one of them"
            )

    def stepped(self) -> str | None:
        """The condition that the agent may step; None: none."""
        if not self.holder.may_step:
            return None
        return self.holder.condition or (
            self.expected.supply if self.expected.temperature_K is None else "temperature_K"
        )

    def track_looks(self) -> tuple[TrackLook, ...]:
        """In the order of the file."""
        return tuple(
            TrackLook(
                name=name,
                signal=each.signal,
                field_of_view_nm=each.field_of_view_nm,
                pixels=each.pixels,
                dwell_us=each.dwell_us,
                frames=each.frames,
            )
            for name, each in self.looks.items()
        )

    def places_nm(self) -> tuple[tuple[float, float], ...]:
        return tuple((place.x_nm, place.y_nm) for place in self.places)

    def priors(self) -> Expected:
        """Of every law."""
        widest = max(look.field_of_view_nm for look in self.looks.values())
        reach = max(p.x_nm for p in self.places) - min(p.x_nm for p in self.places) + widest
        known = self.expected
        return Expected(
            horizon_s=self.horizon_s,
            number_per_um2=known.number_per_um2,
            radius_nm=known.radius_nm,
            span_nm=known.span_nm or 1.2 * reach,
            temperature_K=known.temperature_K,
            supply=known.supply,
            supply_at=known.supply_at,
            activation_eV=known.activation_eV,
            places_nm=self.places_nm(),
        )

    def errors(self) -> Calibration:
        """Of the instrument."""
        return Calibration(pixel_size=self.calibration.pixel_size, gain=self.calibration.gain)
