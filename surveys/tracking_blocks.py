"""The blocks of a config of following: looks, bursts, counts, places, controls, orders, what is expected, focus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self, TypeAlias

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from agent.settings import RefocusSettings
from configs.load import Settings

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


class FocusSettings(Settings):
    """How the focus is kept, at a place of its own: there the sweeps' dose does no harm."""

    place: PlaceSettings
    electrons: PositiveFloat
    """For all sweeps, out of ``electrons``; when they are spent the focus stays as it is."""
    every_s: PositiveFloat = 60.0
    """Until the second sweep; then as the focus is found to wander."""
    tolerance_nm: PositiveFloat = 80.0
    """By which the focus may be off: sweeps come as often as keeps it within. Less than a pixel of the looks ÷ the
    convergence angle does not show."""
    sweep: RefocusSettings = RefocusSettings(field_of_view_nm=200.0, pixels=96, step_nm=80.0, max_travel_nm=320.0)


class CalibrationSettings(Settings):
    """How well the instrument is known: standard deviations, relative."""

    pixel_size: Share = 0.04
    gain: Share = 0.10
