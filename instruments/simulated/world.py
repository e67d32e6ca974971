"""One seed, one world, one clock: specimen, stage, column and beam, and the truth of what was done."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from instruments.errors import NotSupported
from instruments.simulated.cassette import open_cassette
from instruments.simulated.conditions import Conditions
from instruments.simulated.damage import FluenceMap
from instruments.simulated.exposed import TrueExposure, exposure_of
from instruments.simulated.faults import FaultScript
from instruments.simulated.hashing import uniform
from instruments.simulated.lenses import Lenses, at_rest
from instruments.simulated.scenes import open_scene
from instruments.simulated.stage import Stage
from instruments.simulated.swing import swung
from instruments.simulated.truth import Row, TruthLog, check_same, fingerprint
from instruments.types import ELECTRONS_PER_PA_S, Footprint, Optics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from instruments.clock import Clock
    from instruments.simulated.column import Probe
    from instruments.simulated.darkroom import Studio
    from instruments.simulated.holders import Amount
    from instruments.simulated.numbers import Ratio
    from instruments.simulated.rare import Feature
    from instruments.simulated.settings import SimulatedSettings
    from instruments.types import Exposure, Outcome, Reading

_SLICE_S = 0.05
"""In real time the beam is looked after this often."""


class World:
    """A simulated column with its specimen. A microscope acts on it; tests ask it for the truth.

    A world opened on the truth file of an earlier process goes on where that one stopped.

    Raises:
        ConfigError: the truth file belongs to another seed or other settings, or is no truth file.
    """

    def __init__(
        self,
        settings: SimulatedSettings,
        seed: int,
        clock: Clock,
        truth: Path | None = None,
        studio: Studio | None = None,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.optics = at_rest(settings.column)
        self.valve_open = True
        self.stage = Stage(settings.stage, seed)
        self.conditions = None if settings.holder is None else Conditions(settings.holder, seed)
        self.scene, self.fluence = open_scene(settings, seed, self.conditions, studio), FluenceMap()
        self.cassette = open_cassette(settings, seed, self.conditions, (self.scene, self.fluence))
        self._exposures: list[TrueExposure] = []
        self._frames = 0
        self._beam_on = False
        self._blanked_s = 0.0
        self.blank_calls = 0
        """How often ``blank`` was called: an exposure that began before the latest call does not go on."""
        self.stop_calls = 0
        """How often ``stop`` was called: a motion that began before the latest call does not go on."""
        self._lenses = Lenses(settings.column, seed)
        self._above_axis_nm = settings.stage.eucentric_offset_nm * (2 * float(uniform(seed, 403, 0)) - 1)
        self._clock = clock
        self._ahead_s = 0.0
        self._truth = TruthLog(truth)
        self.faults = FaultScript(settings.faults, self._truth)
        if self._truth.rows:
            self._resume(self._truth.rows, truth)
            self._truth.rows.clear()
        origin = {"monotonic_s": time.monotonic()} if settings.real_time else {}
        self._truth.append("boot", self.now_s(), seed=seed, settings=fingerprint(settings), **origin)

    def now_s(self) -> float:
        """The instrument's clock."""
        return self._clock.now_s() + self._ahead_s

    def wait(self, duration_s: float) -> None:
        self._clock.wait(duration_s)

    def wait_unless_blanked(self, duration_s: float, calls: int) -> bool:
        """Wait, but in real time not on after a ``blank`` beyond that many; returns whether all of it has passed."""
        return self._wait_while(lambda: self.blank_calls == calls, duration_s)

    def wait_unless_stopped(self, duration_s: float, calls: int) -> bool:
        """The same for ``stop``."""
        return self._wait_while(lambda: self.stop_calls == calls, duration_s)

    def _wait_while(self, goes_on: Callable[[], bool], duration_s: float) -> bool:
        if not self.settings.real_time:
            self.wait(duration_s)
        else:
            end_s = self.now_s() + duration_s
            while goes_on() and (left_s := end_s - self.now_s()) > 0:
                self.wait(min(left_s, _SLICE_S))
        return goes_on()

    @property
    def beam_on(self) -> bool:
        """Whether electrons are let through to the specimen now."""
        return self._beam_on

    def place_nm(self, at_s: float | None = None) -> tuple[float, float]:
        """The place really under the beam now, or at another time: with play, creep, drift and swing."""
        return self._hit(self.now_s() if at_s is None else at_s)[0]

    def _hit(self, at_s: float) -> tuple[tuple[float, float], float]:
        """The place that the beam hits, and how far that lies above the axes of tilt, across the specimen."""
        x, y, z, _ = self.stage.position(at_s)
        x += self.faults.drift_nm(at_s) + (0.0 if self.conditions is None else self.conditions.drift_nm(at_s))
        return swung((x, y), z + self._above_axis_nm, self.tilts_rad(at_s), self.scene.height_nm)

    def probe(self, at_s: float | None = None) -> Probe:
        """The probe that really scans the specimen: the lenses against the height of the specimen there.

        Raising the specimen brings it nearer to the probe's lens, as weakening the lens would: underfocus. The lens
        that images a wide beam lies below, and raising takes the specimen away from it: overfocus.
        """
        at_s = self.now_s() if at_s is None else at_s
        height_nm = self._hit(at_s)[1] * self.lengthened(at_s)  # along the beam
        return self._lenses.probe(self.optics, height_nm if self.settings.ctem is None else -height_nm, at_s)

    def tilts_rad(self, at_s: float) -> tuple[float, float]:
        """What the stage adds to the tilt of a zone axis along columns (beta) and along rows (alpha)."""
        alpha = self.stage.position(at_s)[3]
        return math.radians(self.stage.beta_deg(at_s)), math.radians(alpha)

    def lengthened(self, at_s: float) -> Ratio:
        """The way of the beam through a tilted specimen over its thickness."""
        return 1 / math.prod(math.cos(tilt) for tilt in self.tilts_rad(at_s))

    def height_error_nm(self) -> float:
        """How far the place under the beam lies above the eucentric height."""
        return self._hit(self.now_s())[1]

    def defocus_nm(self, at_s: float | None = None) -> float:
        """The true defocus under the beam."""
        return self.probe(at_s).defocus_nm

    def features(self, area: Footprint) -> tuple[Feature, ...]:
        """Rare features whose centres lie inside an area of places."""
        half = math.hypot(area.width_nm, area.height_nm) / 2
        around = self.scene.features((area.x_nm - half, area.x_nm + half), (area.y_nm - half, area.y_nm + half))
        return tuple(feature for feature in around if area.contains(feature.x_nm, feature.y_nm))

    def exposures(self) -> tuple[TrueExposure, ...]:
        """Every time the beam was on, oldest first; each frame of a burst is one."""
        return tuple(self._exposures)

    def true_fluence_e_per_A2(self, x_nm: float, y_nm: float) -> float:
        """What a place has really received."""
        return self.fluence.at(x_nm, y_nm)

    @property
    def unblankings(self) -> int:
        """How often the beam was on: the number of the latest frame, the same after a resume."""
        return self._frames

    def record(self, row: str, **values: Any) -> None:
        """Write a row of truth, with the state of the stage as it is now."""
        self._truth.append(row, self.now_s(), stage=self.stage.snapshot(), **values)

    def set_optics(self, changes: dict[str, float]) -> None:
        """Set controls; the caller has checked them."""
        self.optics = replace(self.optics, **changes)
        self._truth.append("tune", self.now_s(), optics=asdict(self.optics))

    def set_condition(self, name: str, value: Amount) -> Outcome[Amount]:
        """Order a condition of the holder. Raises NotSupported or LimitError as ``Conditions.set`` does."""
        if self.conditions is None:
            raise NotSupported(f"{name} = {value} was asked; this holder has no conditions to set")
        outcome = self.conditions.set(name, value, self.now_s())
        self._truth.append("condition", self.now_s(), name=name, value=value)
        return outcome

    def holder_readings(self) -> dict[str, Reading]:
        """What the holder's sensors say now, by condition."""
        if self.conditions is None:
            return {}
        return {name: self.conditions.read(name, self.now_s()) for name in self.conditions.names}

    def put(self, name: str | None, *, again: bool = False) -> None:
        """A specimen of the cassette is on the stage, or (None) nothing; ``again``: as an earlier process left it."""
        if self.cassette is not None and (there := self.cassette.put(name)) is not None:
            self.scene, self.fluence = there
        if not again:
            self._truth.append("loaded", self.now_s(), name=name)

    def set_valve(self, *, is_open: bool) -> None:
        """Close the column valve; only a person (or a test in their place) opens it."""
        self.valve_open = is_open
        self._truth.append("valve", self.now_s(), open=is_open)

    def irradiate(
        self, exposure: Exposure, footprint: Footprint, *, reaches: bool, calls: int
    ) -> tuple[TrueExposure, bool]:
        """Unblank for one frame, blank again; returns what reached the specimen, and whether that was all of it.

        In real time, a ``blank`` beyond ``calls`` of them (from a signal handler) ends it early.
        """
        start_s, beam_on_s = self.now_s(), exposure.beam_on_s / exposure.frames
        rate = (self.optics.current_pA or 0.0) * ELECTRONS_PER_PA_S * reaches
        where = asdict(footprint)
        self._frames += 1
        self._beam_on, whole = True, False
        try:
            self._truth.append("unblank", start_s, id=exposure.id, footprint=where, electrons=rate * beam_on_s)
            if self.blank_calls == calls:
                whole = self.wait_unless_blanked(beam_on_s, calls)
        finally:
            self._shut()
            end_s = self._blanked_s
            spent = rate * (beam_on_s if whole else min(beam_on_s, end_s - start_s))
            done = TrueExposure(id=exposure.id, footprint=footprint, electrons=spent, start_s=start_s, end_s=end_s)
            self._account(done)
            self._truth.append(
                "exposure", end_s, id=exposure.id, footprint=where, electrons=spent, start_s=start_s, end_s=end_s
            )
        return done, whole

    def blank(self) -> None:
        """Blank, and let no exposure that is under way go on."""
        self.blank_calls += 1
        self._shut()

    def stop(self) -> None:
        """Let no motion that is under way go on (in real time: in simulated time it is over at once)."""
        self.stop_calls += 1

    def _shut(self) -> None:
        if self._beam_on:
            self._beam_on = False
            self._blanked_s = self.now_s()
            self._truth.append("blank", self._blanked_s)

    def close(self) -> None:
        """Blank and let go of the truth file. Safe twice."""
        self.blank()
        self._truth.close()

    def _account(self, done: TrueExposure) -> None:
        self._exposures.append(done)
        if done.electrons:
            self.fluence.add(done.footprint, done.fluence_e_per_A2)

    def _resume(self, rows: list[Row], path: Path | None) -> None:
        check_same(rows[0], self.seed, self.settings, path)
        open_row: Row | None = None
        for row in rows:
            match row["row"]:
                case "move" | "moved":
                    self.stage.restore(row["stage"])
                case "tune":
                    self.optics = Optics(**row["optics"])
                case "condition":
                    if self.conditions is not None:
                        self.conditions.set(row["name"], row["value"], row["t_s"])
                case "loaded":
                    self.put(row["name"], again=True)
                case "stuck" if self.cassette is not None:
                    self.cassette.jammed = True
                case "valve":
                    self.valve_open = row["open"]
                case "fault":
                    self.faults.restore(row["index"])
                case "unblank":
                    self._close_open(open_row)
                    open_row = row
                    self._frames += 1
                case "exposure":
                    self._account(exposure_of(row, row["start_s"], row["end_s"]))
                    open_row = None
        self._close_open(open_row)
        last_s = max(row["t_s"] for row in rows)
        if self.settings.real_time:
            self._ahead_s = last_s - self._clock.now_s()
        elif last_s > self._clock.now_s():
            self._clock.wait(last_s - self._clock.now_s())

    def _close_open(self, row: Row | None) -> None:
        """The process died with the beam on: nobody knows for how long, so all that was planned counts."""
        if row is not None:
            self._account(exposure_of(row, row["t_s"], None))
