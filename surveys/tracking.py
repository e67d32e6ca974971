"""Following one specimen: instrument, guard, record, agent; one tick after another.

program ─► holder (guard) ─┐
mind.act (deadline) ─► TrackEnv.apply ─► guard ─► record ─► mind.observe     controls: the runner's own, seldom
      late or broken ─► a look in turn            └─► tracking.jsonl: what was seen, why, under which conditions
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent.tracking import Tracker
from archive.folder import Meta, SurveyFolder
from archive.journal import utc_now
from archive.recorder import SurveyRecorder
from configs.load import ConfigError
from envs.step import Decision
from envs.tracking_env import TrackEnv
from envs.tracking_task import TrackSituation, TrackTask
from instruments.clock import Clock, RealClock, SimulatedClock
from instruments.crew import Plan
from instruments.drivers import registry
from instruments.drivers.registry import open_microscope
from instruments.guard import Guard
from instruments.guard_client import GuardClient
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import SIMULATED
from surveys.tracking_holder import Holder, divided
from surveys.tracking_mind import FollowingMind
from surveys.tracking_prepare import Following, control_look, expected_conditions
from surveys.tracking_summary import summarise, trouble_of

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.protocol import Guarded
    from models.kinetics import Conditions
    from models.kinetics_nuisance import Reading
    from surveys.tracking_settings import TrackSettings

Tell: TypeAlias = Callable[[str], None]

_SETTLE_S = 60.0
_LASTING = ("LimitError", "BudgetError", "NotSupported", "ReachError")
"""Errors of a look that would come again."""
ROWS, SUMMARY = "tracking.jsonl", "tracking.json"


def run_tracking(following: Following, folder: Path, tell: Tell) -> dict[str, Any]:
    """Follow the specimen to the end of time or dose; what is known then, also in ``folder``/tracking.json.

    Raises ConfigError, FolderError, InstrumentError.
    """
    settings = following.settings
    with ExitStack() as parting:
        meta = Meta.new(
            created=utc_now(),
            seed=settings.seed,
            config=settings.model_dump(mode="json"),
            who=settings.who.model_dump(mode="json"),
        )
        place = SurveyFolder.create(folder, meta)
        parting.callback(place.close)
        record = SurveyRecorder(place)
        parting.callback(record.close)
        guard, clock = _opened(settings, place)
        parting.callback(guard.close)
        env = TrackEnv(_situation(following, guard, clock, record))
        rows = parting.enter_context((folder / ROWS).open("w", encoding="utf-8"))
        run = _Run(
            following, env, rows, tell, None if isinstance(clock, SimulatedClock) else settings.decision_deadline_s
        )
        parting.callback(run.mind.close)
        run.to_the_end()
        summary = run.summary()
        (folder / SUMMARY).write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return summary


def _opened(settings: TrackSettings, place: SurveyFolder) -> tuple[Guarded, Clock]:
    truth = place.path.with_name(f"{place.path.name}.truth.jsonl")
    if not registry.simulated(settings.instrument):
        client = GuardClient(
            Plan(
                instrument=settings.instrument,
                limits=settings.limits,
                ledger=place.ledger,
                seed=settings.seed,
                truth=truth,
                log=place.path / "guard.log",
            ),
            0.0,
        )
        return client, client.clock
    clock: Clock = RealClock(0.0) if getattr(settings.instrument, "real_time", False) else SimulatedClock(0.0)
    microscope = open_microscope(settings.instrument, seed=settings.seed, clock=clock, truth=truth)
    try:
        return Guard(microscope, settings.limits, SqliteLedger(place.ledger), clock, SIMULATED), clock
    except BaseException:
        microscope.close()
        raise


def _situation(following: Following, guard: Guarded, clock: Clock, record: SurveyRecorder) -> TrackSituation:
    settings = following.settings
    return TrackSituation(
        guard=guard,
        clock=clock,
        task=TrackTask(
            looks=settings.track_looks(),
            places_nm=settings.places_nm(),
            horizon_s=settings.horizon_s,
            tick_s=settings.tick_s,
            electrons=settings.electrons,
        ),
        sensors=following.sensors,
        recorder=record,
        specimen=settings.specimen,
        program_s=[(order.at_s, order.condition, order.value) for order in settings.program],
    )


class _Run:
    """One run's state: what holds, what was read, who decides."""

    def __init__(self, following: Following, env: TrackEnv, rows: Any, tell: Tell, deadline_s: float | None) -> None:
        self.following, self.env, self._rows, self._tell = following, env, rows, tell
        settings = following.settings
        self.holder = Holder(settings.steady)
        self._names = [n for n in ("temperature_K", settings.expected.supply) if n is not None]
        self._names = [n for n in self._names if n != "temperature_K" or settings.expected.temperature_K is not None]
        self.held = self.holder.passed(env.sampled(), self._names, 0.0, 0.0)[-1][1]
        if missing := [name for name in self._names if name not in self.held]:
            raise ConfigError(f"expected: the holder does not read {', '.join(missing)}, which would drive the process")
        self.tracker = Tracker(following.mission, self._forecast)
        self.mind = FollowingMind(self.tracker, deadline_s)
        self.readings: list[Reading] = []
        self.controls: list[Reading] = []
        self.late, self.broken, self._turn, self._told_refusals, self.settled = 0, 0, 0, 0, True
        self._laws, self._known = self.tracker.filter.names, self.tracker.known()

    def _forecast(self, from_s: float, to_s: float) -> list[tuple[float, Conditions]]:
        return expected_conditions(self.following.settings, self.held, from_s, to_s)

    def to_the_end(self) -> None:
        settings, env = self.following.settings, self.env
        due = [settings.horizon_s * n / (settings.controls.times - 1) for n in range(settings.controls.times)]
        due = [min(t_s, settings.horizon_s - settings.tick_s * (len(settings.controls.places) + 1)) for t_s in due]
        while not env.over():
            if settings.controls.places and due and env.now_s >= due[0] - 1e-9:
                due.pop(0)
                self._look_aside()
                continue
            self._tick()
        self.settled = self.mind.settle(_SETTLE_S)

    def _tick(self) -> None:
        env, mission, began_s = self.env, self.following.mission, self.env.now_s
        choice = self.mind.act()
        decided_by, why = "agent", "" if choice is None else choice.why
        action = env.situation.task.actions - 1
        if choice is None:
            decided_by, why = "fallback", self.mind.trouble
            self.late += self.mind.late
            self.broken += not self.mind.late
            action = self._in_turn()
        else:
            self._known = choice.known or self._known
            if choice.look is not None:
                action = choice.look * len(mission.places_nm) + choice.place
        taken = env.apply(Decision(action=action, decided_by=decided_by, policy="tracker", reason=why))
        step, reading = taken.step, None
        exposed = [(each.start_s + each.end_s) / 2 - step.start_s for each in step.exposures]
        middle_s = exposed[-1] if exposed else 0.0
        first, then = divided(self._passed(began_s), middle_s)
        self._wait(first)
        if step.look is not None and step.target is not None:
            n = next(k for k, each in enumerate(mission.looks) if each.name == step.look)
            if taken.measured is not None:
                reading = mission.reading(mission.looks[n], step.target, began_s + middle_s, taken.measured)
                self.readings.append(reading)
                self.mind.observe(reading)
            else:
                lasting = step.fault is not None and step.fault.error in _LASTING
                self.mind.failed(n, step.target, step.electrons, lasting=lasting)
        self._wait(then)
        exposures = [record.exposure.id for record in step.exposures if record.committed]
        nats = 0.0 if choice is None else choice.nats
        self._write(began_s, reading, step.look, exposures, decided_by, why, nats, step.fault)

    def _look_aside(self) -> None:
        settings, mission = self.following.settings, self.following.mission
        look = control_look(settings)
        for n, place in enumerate(settings.controls.places):
            began_s = self.env.now_s
            measured, fault = self.env.look_aside(look, (place.x_nm, place.y_nm))
            reading = None
            if measured is not None:
                reading = mission.reading(look, 0, began_s, measured)
                reading = _elsewhere(reading, len(mission.places_nm) + n, place.x_nm)
                self.controls.append(reading)
            self._wait(self._passed(began_s))
            self._write(began_s, reading, look.name, [], "runner", "a region with little dose", 0.0, fault)

    def _passed(self, began_s: float) -> list[tuple[float, dict[str, float]]]:
        """What held since then, as the holder was read."""
        found = self.holder.passed(self.env.sampled(), self._names, began_s, self.env.now_s)
        self.held = found[-1][1]
        return found

    def _wait(self, passed: list[tuple[float, dict[str, float]]]) -> None:
        for duration_s, held in passed:
            self.mind.wait(duration_s, held)

    def _in_turn(self) -> int:
        """The fallback: the cheapest look, one place after another, no faster than the budget lasts."""
        env, mission = self.env, self.following.mission
        prices = [mission.electrons_of(look) for look in mission.looks]
        look = int(np.argmin(prices))
        waits = env.situation.task.actions - 1
        action = look * len(mission.places_nm) + self._turn % len(mission.places_nm)
        paced = mission.electrons * (env.now_s + mission.tick_s) / mission.horizon_s
        if env.electrons + prices[look] > paced or not env.action_masks()[action]:
            return waits
        self._turn += 1
        return action

    def _write(
        self,
        t_s: float,
        reading: Reading | None,
        look: str | None,
        exposures: list[int | None],
        decided_by: str,
        why: str,
        nats: float,
        fault: Any,
    ) -> None:
        faults = [] if fault is None else [f"{fault.error}: {fault.message}"]
        faults += [message for _, message in self.env.refusals[self._told_refusals :]]
        self._told_refusals = len(self.env.refusals)
        row = {
            "t_s": t_s if reading is None else reading.t_s,
            "look": look,
            "place": None if reading is None else reading.view.place,
            "exposures": exposures,
            "decided_by": decided_by,
            "why": why,
            "nats": nats,
            "electrons": 0.0 if reading is None else reading.electrons,
            "values": None if reading is None else _plain(reading.values),
            "sds": None if reading is None else _plain(reading.sds),
            "holder": self.env.holder(),
            "held": self.held,
            "probabilities": dict(zip(self._laws, self._known.probabilities, strict=True)),
            "against_all": self._known.log_against_all,
            "changes": self._known.changes,
            "fault": "; ".join(faults) or None,
        }
        self._rows.write(json.dumps(row, allow_nan=False) + "\n")
        self._rows.flush()
        if look is not None:
            self._tell(f"{t_s:7.1f} s  {why}")
        for each in faults:
            self._tell(f"{t_s:7.1f} s  {each}")

    def summary(self) -> dict[str, Any]:
        """What is known, under the conditions that were read, and the programme's for what has not passed."""
        known = self.tracker.filter
        to_come = self._forecast(known.time_s, max(self.following.settings.horizon_s, known.time_s))
        found = summarise(self.tracker, self.readings, self.controls, [*known.lived, *to_come])
        found |= {
            "late": self.late,
            "broken": self.broken,
            "not_learned": self.mind.failures + ([] if self.settled else [f"it still worked after {_SETTLE_S:g} s"]),
            "orders_refused": [{"t_s": t_s, "what": what} for t_s, what in self.env.refusals],
            "holder_gaps": self.holder.gaps,
            "electrons": self.env.electrons,
        }
        return found | {"trouble": trouble_of(found)}


def _elsewhere(reading: Reading, place: int, x_nm: float) -> Reading:
    return replace(reading, view=replace(reading.view, place=place, x_nm=x_nm))


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
