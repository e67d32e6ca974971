"""Before a specimen is followed: standards, laws, priors, and whether the dose can tell them apart."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.rehearsal import Rehearsed, rehearse
from agent.stepping import Steps
from agent.tracking_mission import Mission
from configs.load import ConfigError
from envs.track_standards import standards
from envs.tracked import ImageSensor, Sensor, SpectrumSensor
from instruments.clock import SimulatedClock
from instruments.movie import MovieMicroscope, MovieSettings
from instruments.simulated.settings import SimulatedSettings
from models.kinetics_laws import all_laws
from models.kinetics_phases import Front, Transformation
from surveys.tracking_counts import count_sensor
from surveys.tracking_focus import FocusKeeper
from surveys.tracking_settings import TrackSettings

if TYPE_CHECKING:
    from envs.tracked import TrackLook
    from models.kinetics import Conditions, Expected, Law


_OF_MOST = 0.8
"""Of the most that a condition may change at once."""


@dataclass(frozen=True)
class Following:
    """All that a run needs."""

    settings: TrackSettings
    mission: Mission
    sensors: Mapping[str, Sensor]


def prepare(settings: TrackSettings) -> Following:
    """What signals show is measured, laws and priors are made; nothing of the specimen is touched.

    Raises ConfigError: nothing is known of what a signal shows of pure material, or no look can be paid.
    """
    instrument = settings.instrument
    if not isinstance(instrument, SimulatedSettings | MovieSettings):
        raise ConfigError(
            f"instrument.kind {getattr(instrument, 'kind', '')!r}: adaptem follows simulated instruments and movies "
            "so far; follow one of these"
        )
    looks = settings.track_looks()
    if isinstance(instrument, MovieSettings):
        _check_movie(instrument, settings, looks)
    known = {**instrument.detectors(), **instrument.slow_detectors()}
    if missing := sorted({look.signal for look in looks} - set(known)):
        raise ConfigError(f"looks read {', '.join(missing)}; this instrument has {', '.join(known)}")
    reads = start_conditions(settings)
    drives = [settings.expected.supply] + ["temperature_K"] * (settings.expected.temperature_K is not None)
    if missing := [name for name in drives if name is not None and name not in reads]:
        raise ConfigError(
            f"expected: {', '.join(missing)} drives the process, and this holder reads {', '.join(reads) or 'nothing'}"
        )
    sensors = _sensors(settings, looks)
    current_pA = instrument.current_pA if isinstance(instrument, MovieSettings) else instrument.column.current_pA
    mission = Mission(
        laws=_laws(settings.priors(), sensors),
        looks=looks,
        sensors=sensors,
        places_nm=settings.places_nm(),
        current_pA=current_pA,
        electrons=settings.electrons - _for_controls(settings, current_pA) - _for_focus(settings, current_pA),
        horizon_s=settings.horizon_s,
        tick_s=settings.tick_s,
        max_fluence_e_per_A2=settings.limits.max_fluence_e_per_A2,
        calibration=settings.errors(),
        false_alarms=settings.false_alarms,
        sets=settings.sets,
        seed=settings.seed,
        axis_deg=settings.axis_deg,
    )
    cheapest = min(mission.electrons_of(look) for look in looks)
    if cheapest > mission.electrons:
        raise ConfigError(
            f"electrons {settings.electrons:g}: beside controls and focus no look can be paid; the cheapest takes "
            f"{cheapest:.3g}: raise it, or lower controls.times or focus.electrons"
        )
    return Following(settings, mission, sensors)


def _check_movie(movie: MovieSettings, settings: TrackSettings, looks: Sequence[TrackLook]) -> None:
    """Raises ConfigError where it cannot show what is asked of it, or would show one frame as if it were several."""
    scope = MovieMicroscope(movie, SimulatedClock())
    apart_s = statistics.median(b - a for a, b in itertools.pairwise(movie.times_s))
    if settings.tick_s < 0.9 * apart_s:
        raise ConfigError(
            f"tick_s is {settings.tick_s:g} and the movie's frames are {apart_s:g} s apart: one frame would count as "
            f"several; give {math.ceil(apart_s)} at least"
        )
    if settings.horizon_s > scope.ends_s + 2 * apart_s:
        raise ConfigError(
            f"horizon_s is {settings.horizon_s:g} and the movie ends after {scope.ends_s:g} s: its last frame would "
            "count as several; follow it no longer"
        )
    width_nm, height_nm = scope.size_nm
    for place, look in itertools.product(settings.places_nm(), looks):
        half_nm = look.field_of_view_nm / 2 - 1e-6 * look.field_of_view_nm
        if abs(place[0]) + half_nm > width_nm / 2 or abs(place[1]) + half_nm > height_nm / 2:
            raise ConfigError(
                f"looks.{look.name}: {look.field_of_view_nm:g} nm at ({place[0]:g}, {place[1]:g}) nm reach beyond what "
                f"was recorded, {width_nm:g} × {height_nm:g} nm: look nearer, or at less"
            )


def _sensors(settings: TrackSettings, looks: Sequence[TrackLook]) -> dict[str, Sensor]:
    """What each signal tells: counts as labelled frames show them, and all else by standards. Raises ConfigError."""
    counts, instrument = settings.counts, settings.instrument
    counted = [] if counts is None else [look for look in looks if look.signal == counts.signal]
    others = [look for look in looks if look not in counted]
    found: dict[str, Sensor] = {}
    if counts is not None:
        if not counted:
            raise ConfigError(f"counts.signal is {counts.signal!r}, which no look reads: name one that does")
        if isinstance(instrument, SimulatedSettings) and instrument.detectors().get(counts.signal) is None:
            raise ConfigError(f"counts.signal {counts.signal!r} is no image, and objects are counted in images alone")
        found[counts.signal] = count_sensor(counts, counted, settings.seed)
    if not others:
        return found
    if not isinstance(instrument, SimulatedSettings):
        raise ConfigError(
            f"looks read {others[0].signal!r}, and what it shows of pure material is measured on simulated instruments "
            "only: give `counts` (signal, and folders of a few labelled images and their masks)"
        )
    return found | standards(instrument, others)


def _laws(expected: Expected, sensors: Mapping[str, Sensor]) -> list[Law]:
    """All, but for those of phases where no signal tells one phase from another: they say nothing else to be seen."""
    phases = any(
        sensor.new_contrast != 1.0 if isinstance(sensor, ImageSensor) else len(sensor.references.per_nm) > 1
        for sensor in sensors.values()
        if isinstance(sensor, ImageSensor | SpectrumSensor)
    )
    return [law for law in all_laws(expected) if phases or not isinstance(law, Front | Transformation)]


def control_look(settings: TrackSettings) -> TrackLook:
    """What control places are looked at with."""
    looks = {look.name: look for look in settings.track_looks()}
    if settings.controls.look is not None:
        return looks[settings.controls.look]
    return min(looks.values(), key=lambda look: look.exposure.beam_on_s)


def _for_controls(settings: TrackSettings, current_pA: float) -> float:
    count = len(settings.controls.places) * settings.controls.times
    return count * control_look(settings).exposure.electrons(current_pA)


def _for_focus(settings: TrackSettings, current_pA: float) -> float:
    """Raises ConfigError where it pays no sweep."""
    if settings.focus is None:
        return 0.0
    if isinstance(settings.instrument, MovieSettings):
        raise ConfigError("focus: a recorded movie has its focus for good; leave it out")
    if (cost := FocusKeeper(settings.focus, current_pA).cost) > settings.focus.electrons:
        raise ConfigError(
            f"focus.electrons {settings.focus.electrons:g}: one sweep may take {cost:.3g}; raise it, or make "
            "focus.sweep cheaper (pixels, dwell_us, max_travel_nm)"
        )
    return settings.focus.electrons


def steps_of(settings: TrackSettings) -> Steps | None:
    """How the agent may step the holder; None: not at all."""
    name = settings.stepped()
    if name is None or (limits := settings.limits.conditions[name]).most_change is None:
        return None
    step = settings.holder.step or _OF_MOST * limits.most_change
    low, high = limits.allowed
    return Steps(
        condition=name,
        values=[low + n * step for n in range(int((high - low) / step * (1 + 1e-9)) + 1)],
        step=step,
        every_s=settings.holder.every_s,
        least_nats=settings.holder.least_nats,
        from_s=max((order.at_s for order in settings.program if order.condition == name), default=0.0),
    )


def expected_conditions(
    settings: TrackSettings, held: Mapping[str, float], from_s: float, to_s: float
) -> list[tuple[float, Conditions]]:
    """(duration, conditions) as the programme will have them, from what is held now."""
    edges = [from_s, *sorted({o.at_s for o in settings.program if from_s < o.at_s < to_s}), to_s]
    found: list[tuple[float, Conditions]] = []
    now = dict(held)
    for start_s, end_s in itertools.pairwise(edges):
        for order in sorted(settings.program, key=lambda o: o.at_s):
            if from_s < order.at_s <= start_s + 1e-9:
                now[order.condition] = order.value
        if end_s > start_s:
            found.append((end_s - start_s, dict(now)))
    return found


def rehearsed(following: Following) -> Iterable[Rehearsed]:
    """Each law, played through with this dose, under the programme."""
    settings = following.settings
    start = start_conditions(settings)

    def forecast(from_s: float, to_s: float) -> list[tuple[float, Conditions]]:
        return expected_conditions(settings, _at(settings, start, from_s), from_s, to_s)

    return rehearse(following.mission, forecast, settings.rehearsals)


def start_conditions(settings: TrackSettings) -> dict[str, float]:
    """Of the holder, before it is ordered anything."""
    if isinstance(settings.instrument, MovieSettings):
        return settings.instrument.first_conditions()
    holder = settings.instrument.holder if isinstance(settings.instrument, SimulatedSettings) else None
    return {} if holder is None else {name: each.start for name, each in holder.conditions.items()}


def _at(settings: TrackSettings, start: Mapping[str, float], t_s: float) -> dict[str, float]:
    now = dict(start)
    for order in sorted(settings.program, key=lambda o: o.at_s):
        if order.at_s <= t_s + 1e-9:
            now[order.condition] = order.value
    return now
