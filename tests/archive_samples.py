"""Small records for the archive's tests: everything follows from a number."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from archive.folder import Meta, SurveyFolder
from archive.recorder import SurveyRecorder
from envs.step import Decision, ExposureRecord, Kind, Purpose, Score, Step, Stream, Tag
from instruments.types import Axis, Exposure, Footprint, Frame, Optics, Reading, Signal, StagePosition

CREATED = datetime(2026, 11, 3, 20, 0, tzinfo=UTC)
PIXELS = (Axis("row", 0.5, "nm"), Axis("column", 0.5, "nm"))
EXPOSURE = Exposure(field_of_view_nm=16.0, shape=(32, 32), dwell_us=1.0)
FOOTPRINT = Footprint(x_nm=1.0, y_nm=2.0, width_nm=16.0, height_nm=16.0)
POLICY = Tag(stream=Stream.POLICY, inclusion_probability=None)


def new_folder(path):
    return SurveyFolder.create(path, Meta.new(created=CREATED, seed=7, config={"a": {"b": 1}}, who={"operator": "Ada"}))


def recorder(folder, **settings):
    return SurveyRecorder(folder, now_utc=lambda: CREATED, **{"reserve_bytes": 0, **settings})


def intent(target, exposure=EXPOSURE, specimen="a"):
    return target.intent(exposure, purpose=Purpose.DETAIL, tags=(POLICY,), footprint=FOOTPRINT, specimen=specimen)


def counts(number, shape=(32, 32)):
    return np.random.default_rng(number).poisson(30.0, shape).astype(np.uint16)


def frame(exposure_id, signals=None):
    if signals is None:
        signals = {"HAADF": Signal(counts(exposure_id), PIXELS), "BF": Signal(counts(-exposure_id % 2**32), PIXELS)}
    return Frame(
        exposure=EXPOSURE,
        signals=signals,
        stage=StagePosition(x_nm=1.0, y_nm=2.0),
        optics=Optics(defocus_nm=-20.0),
        start_s=float(exposure_id),
        end_s=exposure_id + 0.5,
        electrons=1e5,
        holder={"temperature_K": Reading(value=293.0, unit="K", age_s=0.1)},
    )


def step(number, *exposure_ids, specimen="a", cells=16, retagged=()):
    numbers = np.random.default_rng(number)
    records = tuple(
        ExposureRecord(
            exposure=Exposure(field_of_view_nm=16.0, shape=(32, 32), dwell_us=1.0, id=i),
            purpose=Purpose.DETAIL,
            tags=(POLICY,),
            footprint=FOOTPRINT,
            stage=StagePosition(x_nm=1.0, y_nm=2.0),
            optics=Optics(),
            start_s=0.0,
            end_s=0.5,
            electrons=1e5,
            committed=True,
        )
        for i in exposure_ids
    )
    score = Score(
        cells=tuple(range(cells)),
        descriptors=tuple(map(tuple, numbers.normal(size=(cells, 8)).tolist())),
        interest=tuple(numbers.normal(size=cells).tolist()),
        quality={"snr": float("nan")},
    )
    return Step(
        number=number,
        specimen=specimen,
        kind=Kind.LOOK,
        decision=Decision(action=3, reason="why not"),
        target=3,
        look="detail",
        exposures=records,
        retagged=retagged,
        score=score,
        start_s=float(number),
        end_s=number + 1.0,
    )
