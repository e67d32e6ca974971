"""Everything that can be said about following one specimen, in a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, SerializeAsAny, model_validator

from configs.load import Settings
from configs.who import Who
from envs.tracked import TrackLook
from instruments.drivers import registry
from instruments.limits import Limits
from models.kinetics import Expected
from models.kinetics_nuisance import Calibration
from surveys.tracking_blocks import (
    BurstSettings,
    CalibrationSettings,
    ControlSettings,
    CountSettings,
    ExpectedSettings,
    FocusSettings,
    KeepSettings,
    LookSettings,
    OrderSettings,
    PlaceSettings,
    Share,
    StepSettings,
)


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
    focus: FocusSettings | None = None
    """None: the focus stays as it is."""
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
        for order in self.program:
            if self.holder.by_itself:
                if order.condition not in self._drives():
                    raise ValueError(
                        f"program tells of {order.condition}, which drives nothing in `expected` "
                        f"({', '.join(self._drives())} does): name what does"
                    )
                continue
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
        named = [(f"places[{n}]", p) for n, p in enumerate(self.places)]
        named += [(f"controls.places[{n}]", p) for n, p in enumerate(self.controls.places)]
        named += [] if self.focus is None else [("focus.place", self.focus.place)]
        for name, place in named:
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
        if name not in self._drives():
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

    def _drives(self) -> list[str]:
        """Conditions that the laws know of."""
        heat = ["temperature_K"] if self.expected.temperature_K is not None else []
        return heat + ([] if self.expected.supply is None else [self.expected.supply])

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
