"""``SurveyReader``: everything a survey recorded, while it runs or years later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive.errors import ArchiveError
from archive.folder import read_meta
from archive.rows import Rows, open_read_only
from archive.store import FrameStore
from instruments.types import Frame, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Any

    import numpy as np
    import numpy.typing as npt

    from archive.rows import EventRow, ExposureRow, RequestRow
    from envs.step import Step


class SurveyReader:
    """Reads a survey's folder and never writes to it.

    The journal's rows alone, without zarr, are ``Rows(open_read_only(folder / "journal.sqlite"))``.
    """

    def __init__(self, folder: Path) -> None:
        """Raises FolderError or JournalError."""
        self.folder = folder
        self.meta = read_meta(folder)
        self._database = open_read_only(folder / "journal.sqlite")
        self.rows = Rows(self._database)
        self._store = FrameStore(folder / "frames")

    def steps(self, specimen: str | None = None) -> Iterator[Step]:
        """Every step in the order it was taken, of one specimen or of all."""
        return self.rows.steps(specimen)

    def exposures(self, specimen: str | None = None) -> Iterator[ExposureRow]:
        """Every exposure by id, the failed and the lost too."""
        return self.rows.exposures(specimen)

    def events(self, kind: str | None = None) -> tuple[EventRow, ...]:
        """Every remark of the runner, or those of one kind."""
        return self.rows.events(kind)

    def flags(self) -> tuple[Mapping[str, Any], ...]:
        """The flagged regions by rank."""
        return self.rows.flags()

    def requests(self, state: str | None = None) -> tuple[RequestRow, ...]:
        """What people asked."""
        return self.rows.requests(state)

    def frame(self, exposure_id: int) -> dict[str, npt.NDArray[np.generic]]:
        """The arrays of an exposure by signal. Raises DamagedFrame, or ArchiveError where none was committed."""
        return {name: signal.data for name, signal in self.recorded(exposure_id).signals.items()}

    def recorded(self, exposure_id: int) -> Frame:
        """The frame of an exposure as the instrument gave it. Raises as ``frame``."""
        row = self.rows.exposure(exposure_id)
        if row.frame is None:
            raise ArchiveError(
                f"asked for the frame of exposure {exposure_id}, found it {row.state} ({row.error or 'no frame yet'})"
            )
        return Frame(
            exposure=row.frame.exposure,
            signals={
                stored.signal: Signal(self._store.read(stored), stored.axes, stored.unit, stored.calibration)
                for stored in row.signals
            },
            stage=row.frame.stage,
            optics=row.frame.optics,
            start_s=row.frame.start_s,
            end_s=row.frame.end_s,
            electrons=row.frame.electrons,
            holder=row.frame.holder,
            doubts=row.frame.doubts,
        )

    def close(self) -> None:
        """Safe twice."""
        self._database.close()

    def __enter__(self) -> SurveyReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
