"""Records made up row by row, for what a real survey seldom shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archive_samples import CREATED, frame, recorder
from survey_samples import small

from archive.folder import Meta, SurveyFolder
from envs.step import Decision, ExposureRecord, Fault, Kind, Purpose, Score, Step, Stream, Tag
from instruments.types import Exposure, Footprint, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archive.recorder import SurveyRecorder
    from instruments.types import Signal

EXPOSURE = Exposure(field_of_view_nm=16.0, shape=(32, 32), dwell_us=1.0)
CHOSEN = Tag(stream=Stream.POLICY, inclusion_probability=None)


class MadeUp:
    """A survey's folder, its rows written by hand."""

    def __init__(self, path: Path, **changes: Any) -> None:
        settings = small(**changes).model_dump(mode="json")
        meta = Meta.new(created=CREATED, seed=7, config=settings, who=settings["who"])
        self.folder = SurveyFolder.create(path, meta)
        self.record: SurveyRecorder = recorder(self.folder)
        self._number = 0

    def look(
        self, purpose: Purpose = Purpose.DETAIL, *, x_nm: float = 0.0, y_nm: float = 0.0, specimen: str = "a",
        rotation_deg: float = 0.0, committed: bool = True, fault: Fault | None = None, tag: Tag = CHOSEN,
        interest: float | None = None, target: int = 0, doubts: tuple[str, ...] = (),
        signals: Mapping[str, Signal] | None = None,
    ) -> int:  # fmt: skip
        """One step with one exposure of 16 nm; its frame is kept unless it is not ``committed``. Returns its id."""
        exposure = replace(EXPOSURE, rotation_deg=rotation_deg)
        place = Footprint(x_nm=x_nm, y_nm=y_nm, width_nm=16.0, height_nm=16.0, rotation_deg=rotation_deg)
        number = self.record.intent(exposure, purpose=purpose, tags=(tag,), footprint=place, specimen=specimen)
        stage = StagePosition(x_nm=x_nm, y_nm=y_nm)
        if committed:
            taken = replace(frame(number, signals), exposure=replace(exposure, id=number), stage=stage, doubts=doubts)
            self.record.commit(number, taken)
        else:
            self.record.fail(number, "the detector was silent", spent=True)
        done = ExposureRecord(
            exposure=replace(exposure, id=number), purpose=purpose, tags=(tag,), footprint=place, stage=stage,
            optics=Optics(), start_s=10.0 * self._number, end_s=10.0 * self._number + 5.0, electrons=256000.0,
            committed=committed,
        )  # fmt: skip
        kind = Kind.CONTROL if purpose is Purpose.CONTROL else Kind.LOOK
        score = None if interest is None else Score(cells=(4,), descriptors=((0.0,),), interest=(interest,), quality={})
        look = "overview" if purpose is Purpose.SURVEY else "detail"
        self.step(exposures=(done,), electrons=done.electrons, specimen=specimen, fault=fault,
                  kind=kind, look=look, target=target, score=score)  # fmt: skip
        return number

    def step(self, **changes: Any) -> None:
        """One step."""
        start_s = 10.0 * self._number
        decision = Decision(action=0, policy="made up", reason="none")
        given = {"kind": Kind.LOOK, "decision": decision, "target": None, "specimen": "a"} | changes
        self.record.step(Step(number=self._number, start_s=start_s, end_s=start_s + 10.0, **given))
        self._number += 1

    def event(self, kind: str, message: str, **data: object) -> None:
        self.record.event(kind, message, time_s=10.0 * self._number, data=data)

    def close(self) -> None:
        self.record.close()
        self.folder.close()


def flag(exposure_id: int, rank: int = 1, *, x_nm: float = 0.0, y_nm: float = 0.0, **changes: Any) -> dict[str, Any]:
    """As ``surveys.flagging`` writes it, of one site."""
    place = {"x_nm": x_nm, "y_nm": y_nm, "width_nm": 8.0, "height_nm": 8.0}
    return place | {
        "sites": [{"target": 4} | place], "specimen": "a", "surprise": 3.7,
        "exposure_id": exposure_id, "score": 5.0, "p_value": 1e-4, "q_value": 0.01, "rank": rank,
        "reason": "In the detail: brighter; rougher. The ordinary place most like it is at x 1 nm, y 2 nm.",
        "contributions": {"local_brightness_ratio": 0.9, "snr": 0.1}, "tags": ["policy"],
    } | changes  # fmt: skip
