"""The simulated world's driver: a ``Microscope`` like any other, with its own refusals and scripted faults."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from instruments.drivers.orientation import STRAIGHT, to_ours, to_theirs
from instruments.errors import BusyError, Disconnected, InstrumentError, LimitError, ReachError, Timeout
from instruments.powers import HasStream
from instruments.simulated.offered import offered
from instruments.simulated.requests import check_exposure, check_move, check_optics, named
from instruments.simulated.scenes import Sight
from instruments.types import (
    ELECTRONS_PER_PA_S,
    Axis,
    Footprint,
    Frame,
    Outcome,
    Reading,
    Signal,
    StagePosition,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from instruments.simulated.scenes import Counts
    from instruments.simulated.world import World
    from instruments.types import Exposure, Optics

P = TypeVar("P")

_STUCK_S = 10.0
"""How long the driver waits for a stage that does not arrive."""
_NO_ANSWER_S = 5.0
"""How long it waits for a camera."""
_NO_LINK_S = 1.0
"""How long it tries to reach the instrument."""
_EMISSION_UA = 100.0
_TOUCH_DEG = 0.5
"""How far a touch of the pole piece knocks the tilt away."""


class SimulatedMicroscope:
    """Microscope over a ``World``. What it raises beside refusals follows the world's fault script."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._matrix = world.settings.stage_to_image or (STRAIGHT if world.settings.stage.straight else None)

    def state(self) -> State:
        self._connect()
        world, now_s = self._world, self._world.now_s()
        refill = world.faults.on("dewar_refill", now_s)
        is_open = self._valve_open()
        return State(
            time_s=now_s,
            stage=self._readback(),
            optics=world.optics,
            blanked=not world.beam_on,
            valve_open=is_open,
            vacuum=Reading(value=2e-5 if is_open else 2e-3, unit="Pa", age_s=0.0),
            emission=Reading(value=_EMISSION_UA if self._emitting() else 0.0, unit="µA", age_s=0.0),
            busy_until_s=refill.at_s + refill.duration_s if refill else None,
            holder=world.holder_readings(),
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        """Move, blanked. With ``stage.approach`` the play is taken up on the way."""
        self._connect()
        theirs = target if self._matrix == STRAIGHT else self._theirs(target)
        check_move(theirs, self._world.settings.stage)
        self._leave_alone("a move")
        world, now_s, calls, whole = self._world, self._world.now_s(), self._world.stop_calls, True
        world.blank()
        if world.faults.on("stage_stuck", now_s):
            world.stage.go(theirs, now_s, part=0.1, tilt_part=0.1)
            world.record("move", target=named(target))
            world.wait(_STUCK_S)
            readback = self._readback()
            world.record("moved", achieved=named(readback))
            raise ReachError(
                f"the stage, asked to go to {named(target)}, stands at {named(readback)} after {_STUCK_S} s; "
                "try again, or skip this place",
                target=target,
                readback=readback,
            )
        touched = world.faults.due("pole_touch", now_s)
        there_s = world.stage.go(theirs, now_s, tilt_part=0.5 if touched else 1.0)
        if touched:
            world.stage.displace_tilt(_TOUCH_DEG)
        world.record("move", target=named(target))
        if world.faults.on("spurious_ready", now_s):
            world.wait(0.1 * (there_s - now_s))
        else:
            whole = world.wait_unless_stopped(there_s - now_s + world.settings.stage.settle_s, calls)
        if not whole:
            world.stage.halt(world.now_s())
        achieved = self._readback()
        world.record("moved", achieved=named(achieved))
        if not whole:
            raise ReachError(
                f"the stage, asked to go to {named(target)}, was stopped at {named(achieved)}",
                target=target,
                readback=achieved,
            )
        return Outcome(requested=target, achieved=achieved)

    def _theirs(self, target: StagePosition) -> StagePosition:
        """Along the axes of a stage that lies turned in the image. Raises NotCalibrated."""
        return StagePosition(**to_theirs(named(target), self._readback(), self._matrix))

    def _readback(self) -> StagePosition:
        found = self._world.stage.readback(self._world.now_s())
        x_nm, y_nm = to_ours(found.x_nm or 0.0, found.y_nm or 0.0, self._matrix)
        return replace(found, x_nm=x_nm, y_nm=y_nm)

    def tune(self, target: Optics) -> Outcome[Optics]:
        self._connect()
        changes = check_optics(target, self._world.settings)
        if changes:
            self._world.wait(self._world.settings.column.settle_s)
            self._world.set_optics(changes)
        return Outcome(requested=target, achieved=self._world.optics)

    def acquire(self, exposure: Exposure) -> Frame:
        """Expose once.

        Raises:
            InstrumentError: ``blank`` cut it short (real time only): the frame is lost, the dose until then is spent.
        """
        frames: list[dict[str, Counts]] = []
        made = self._burst(exposure, frames.append)
        signals = {name: self._signal(name, [frame[name] for frame in frames], exposure) for name in frames[0]}
        return replace(made, signals=signals)

    def stream(self, exposure: Exposure, push: Callable[[Counts], None]) -> Frame:
        """As ``powers.HasStream`` has it: in simulated time a frame comes when its time has passed."""
        last: dict[str, Counts] = {}

        def take(frame: dict[str, Counts]) -> None:
            last.update(frame)
            push(*frame.values())

        if exposure.signals is None or len(exposure.signals) != 1:
            raise LimitError(f"signals {exposure.signals} were asked; a stream is of one: name it")
        made, one = self._burst(exposure, take), replace(exposure, frames=1)
        return replace(made, signals={name: self._signal(name, [frame], one) for name, frame in last.items()})

    def _burst(self, exposure: Exposure, take: Callable[[dict[str, Counts]], None]) -> Frame:
        """Every frame, handed on as it comes; what is returned has no signals."""
        world, calls = self._world, self._world.blank_calls
        breaks = world.faults.due("disconnect", world.now_s())
        if not breaks:
            self._connect()
        names = check_exposure(exposure, world.settings)
        self._leave_alone("an exposure")
        if world.cassette is not None and world.cassette.on_stage is None:
            raise BusyError("an exposure was asked and nothing is on the stage: load a specimen")
        start_s = world.now_s()
        world.wait_unless_blanked(world.settings.overhead_s, calls)
        doubts = dict[str, None]()
        for n in range(exposure.frames):
            if n:
                world.wait_unless_blanked(exposure.interval_s, calls)
            counts, doubted = self._expose(exposure, names, calls)
            take({name: counts[name] for name in names})
            doubts |= dict.fromkeys(doubted)
        if breaks:
            raise Disconnected("the connection broke in an exposure: its dose is spent, its frame is lost; reconnect")
        if world.faults.on("camera_timeout", world.now_s()):
            world.wait(_NO_ANSWER_S)
            raise Timeout(f"no frame {_NO_ANSWER_S} s after the exposure: its dose is spent; do not repeat it here")
        return Frame(
            exposure=exposure,
            signals={},
            stage=self._readback(),
            optics=world.optics,
            start_s=start_s,
            end_s=world.now_s(),
            electrons=exposure.electrons(world.optics.current_pA or 0.0),
            holder=world.holder_readings(),
            doubts=tuple(doubts),
        )

    def blank(self) -> None:
        """Blank, whatever the state of the connection: the column does so by itself when it is lost."""
        self._world.blank()

    def close(self) -> None:
        self._world.close()

    def power(self, kind: type[P]) -> P | None:
        return cast("P | None", self if kind is HasStream else offered(kind, self._world))

    def _expose(
        self, exposure: Exposure, names: tuple[str, ...], calls: int
    ) -> tuple[dict[str, Counts], tuple[str, ...]]:
        """One frame: what it will show, the beam on the specimen, what the detectors counted; what is doubted of it."""
        world = self._world
        rows = exposure.shape[0]
        beam_on_s = exposure.beam_on_s / exposure.frames
        start_s = world.now_s()
        reaches = self._valve_open() and self._emitting() and world.faults.on("blank_frames", start_s) is None
        (x0, y0), (x, y), (x1, y1) = (world.place_nm(start_s + part * beam_on_s) for part in (0.0, 0.5, 1.0))
        sight = Sight(
            exposure=exposure,
            centre_nm=(x, y),
            probe=world.probe(start_s + 0.5 * beam_on_s),
            fluence=world.fluence,
            own_e_per_A2=reaches * exposure.fluence_e_per_A2(world.optics.current_pA or 0.0) / exposure.frames,
            number=world.unblankings + 1,
            time_s=start_s + 0.5 * beam_on_s,
            row_drift_nm=((x1 - x0) / rows, (y1 - y0) / rows),
            thicker=world.lengthened(start_s),
            tilts_rad=world.tilts_rad(start_s),
        )
        shares = world.scene.look(sight, names)
        if world.blank_calls != calls:
            raise InstrumentError("blank was called before the beam was on: nothing was exposed")
        done, whole = world.irradiate(
            exposure,
            Footprint(
                x_nm=x,
                y_nm=y,
                width_nm=exposure.field_of_view_nm,
                height_nm=exposure.height_nm,
                rotation_deg=exposure.rotation_deg,
            ),
            reaches=reaches,
            calls=calls,
        )
        if not whole:
            raise InstrumentError(
                f"the exposure was blanked after {done.duration_s:.2f} of {beam_on_s:.2f} s: "
                "its dose until then is spent, its frame is lost"
            )
        sent = (world.optics.current_pA or 0.0) * ELECTRONS_PER_PA_S * exposure.dwell_us * 1e-6 * reaches
        return world.scene.read(shares, sent, world.unblankings), world.scene.doubts(sight, names)

    def _signal(self, name: str, frames: list[Counts], exposure: Exposure) -> Signal:
        pixel, detector = exposure.pixel_size_nm, self._world.settings.detectors().get(name)
        axes = (Axis("row", pixel, "nm"), Axis("column", pixel, "nm"), *self._world.scene.inner_axes(name))
        calibration = {"gain_counts_per_electron": 1.0, "offset_counts": 0.0}  # of a detector that counts
        if detector is not None:
            calibration = {
                "gain_counts_per_electron": detector.gain_counts_per_electron,
                "offset_counts": detector.offset_counts,
                "read_noise_counts": detector.read_noise_counts,
                "saturation_counts": float(detector.saturation_counts),
            }
        if exposure.frames == 1:
            return Signal(frames[0], axes, "counts", calibration)
        frame_s = exposure.beam_on_s / exposure.frames + exposure.interval_s
        return Signal(np.stack(frames), (Axis("frame", frame_s, "s"), *axes), "counts", calibration)

    def _connect(self) -> None:
        world = self._world
        if world.faults.on("disconnect", world.now_s()):
            world.wait(_NO_LINK_S)
            raise Disconnected(f"the instrument gave no answer for {_NO_LINK_S} s; wait, then read every state again")

    def _leave_alone(self, wish: str) -> None:
        refill = self._world.faults.on("dewar_refill", self._world.now_s())
        if refill:
            until_s = refill.at_s + refill.duration_s
            raise BusyError(
                f"{wish} was asked while the dewar is refilled; wait until {until_s:.0f} s", until_s=until_s
            )

    def _valve_open(self) -> bool:
        world = self._world
        return world.valve_open and world.faults.on("valve_closed", world.now_s()) is None

    def _emitting(self) -> bool:
        return self._world.faults.on("emission_off", self._world.now_s()) is None
