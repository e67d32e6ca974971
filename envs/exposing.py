"""Making an exposure so that nothing is lost: intent → guard → commit, with a record of each for the step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from envs.step import ExposureRecord, Fault
from envs.targets import footprint
from instruments.errors import BusyError, HardwareFault, InstrumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.recorder import Recorder
    from envs.step import Purpose, Tag
    from instruments.clock import Clock
    from instruments.protocol import Guarded
    from instruments.types import Exposure, Frame, State


class Exposer:
    """Makes the exposures of one step."""

    def __init__(self, guard: Guarded, recorder: Recorder, clock: Clock, specimen: str, tags: tuple[Tag, ...]) -> None:
        self._guard = guard
        self._recorder = recorder
        self._clock = clock
        self._specimen = specimen
        self._tags = tags
        self._records: list[ExposureRecord] = []

    @property
    def records(self) -> tuple[ExposureRecord, ...]:
        """Every exposure that was intended so far, whatever came of it."""
        return tuple(self._records)

    def expose(self, exposure: Exposure, purpose: Purpose, make: Callable[[Exposure], Frame] | None = None) -> Frame:
        """Expose at the present place. Raises what recorder and guard raise, after writing it down.

        ``make``: exposes in another way of the guard's than ``acquire``, as a stream.
        """
        before = self._guard.state()
        try:
            place = footprint(before.stage, exposure)
        except ValueError as error:
            raise HardwareFault(str(error), latching=False) from error
        identity = self._recorder.intent(
            exposure, purpose=purpose, tags=self._tags, footprint=place, specimen=self._specimen
        )
        now_s = self._clock.now_s()
        intended = ExposureRecord(
            exposure=replace(exposure, id=identity),
            purpose=purpose,
            tags=self._tags,
            footprint=place,
            stage=before.stage,
            optics=before.optics,
            start_s=now_s,
            end_s=now_s,
            electrons=0.0,
            committed=False,
        )
        try:
            frame = (make or self._guard.acquire)(intended.exposure)
        except Exception as error:
            # The ledger knows best: what it has booked may have met the beam, what it has not was refused before.
            spent = self._guard.ledger.booked(identity)
            self._recorder.fail(identity, str(error), spent=spent)
            booked = exposure.electrons(current_pA(before, self._guard)) if spent else 0.0
            failed = replace(intended, end_s=self._clock.now_s(), electrons=booked, error=str(error))
            self._records.append(failed)
            raise
        try:
            self._recorder.commit(identity, frame)
        except InstrumentError as error:  # the disk filled meanwhile: the recorder has written it down as lost
            self._records.append(replace(_made(intended, frame), committed=False, error=str(error)))
            raise
        self._records.append(_made(intended, frame))
        return frame


def _made(intended: ExposureRecord, frame: Frame) -> ExposureRecord:
    """The record of an exposure as the frame says it was made."""
    exposure = replace(frame.exposure, id=intended.exposure.id)
    known = frame.stage.x_nm is not None and frame.stage.y_nm is not None
    return replace(
        intended,
        exposure=exposure,
        footprint=footprint(frame.stage, exposure) if known else intended.footprint,
        stage=frame.stage,
        optics=frame.optics,
        start_s=frame.start_s,
        end_s=frame.end_s,
        electrons=frame.electrons,
        committed=True,
    )


def current_pA(state: State | None, guard: Guarded) -> float:
    """The probe current to reckon with: as read back, else the most that is allowed."""
    known = None if state is None else state.optics.current_pA
    return guard.limits.max_current_pA if known is None else known


def fault_of(error: InstrumentError) -> Fault:
    """What a step says about an error."""
    return Fault(
        error=type(error).__name__,
        message=str(error),
        latching=isinstance(error, HardwareFault) and error.latching,
        until_s=error.until_s if isinstance(error, BusyError) else None,
    )
