"""Following a recorded movie whose objects are counted as a few labelled frames show them."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from PIL import Image
from pydantic import ValidationError
from skimage.draw import disk

from archive.reader import SurveyReader
from configs.load import ConfigError
from instruments.types import Axis, Signal
from review.tracking import write_tracking_report
from surveys.tracking import resume_tracking, run_tracking
from surveys.tracking_prepare import prepare, start_conditions
from surveys.tracking_settings import TrackSettings

PX, TIMES_S, HEATED_S = 256, np.arange(0.0, 480.0, 40.0), 170.0
THERE, STAY, RATE_PER_S = 150, 0.1, 1 / 90


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    """Discs that anneal away from the moment at which the holder is heated, its log, and two labelled frames."""
    folder = tmp_path_factory.mktemp("movie")
    rng = np.random.default_rng(4)
    middles = rng.uniform(0, PX, (THERE, 2))
    dies_s = HEATED_S + rng.exponential(1 / RATE_PER_S, THERE)
    dies_s[rng.random(THERE) < STAY] = np.inf
    counts, rows = [], [("frame", "time_s")]
    for name in ("labelled", "masks"):
        (folder / name).mkdir()
    for n, t_s in enumerate(TIMES_S):
        alive = np.flatnonzero(dies_s > t_s)
        image, objects = rng.normal(100, 6, (PX, PX)), np.zeros((PX, PX), dtype=np.uint16)
        for k in alive:
            where = disk(middles[k], 3.5, shape=(PX, PX))
            image[where] += 40
            objects[where] = k + 1
        frame = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
        frame.save(folder / f"{n}.png")
        if n in (0, 7):
            frame.save(folder / "labelled" / f"{n}.png")
            Image.fromarray(objects).save(folder / "masks" / f"{n}.png")
        counts.append(len(alive))
        rows.append((f"{n}.png", f"{t_s}"))
    with (folder / "movie.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    seconds = np.arange(0.0, 600.0)
    (folder / "log.csv").write_text("".join(f"{s},{400 if s >= HEATED_S else 20}\n" for s in seconds))
    return folder, counts


def following(folder, **changes):
    asked = {
        "instrument": {
            "kind": "movie",
            "frames": str(folder / "movie.csv"),
            "pixel_size_nm": 2.0,
            "log": str(folder / "log.csv"),
        },
        "limits": {
            "x_nm": [-1, 1],
            "y_nm": [-1, 1],
            "backlash_nm": 0,
            "stage_uncertainty_nm": 1,
            "max_current_pA": 60,
            "max_electrons": 1e9,
            "max_fluence_e_per_A2": 1e4,
            "max_time_s": 3600,
        },
        "places": [{"x_nm": 0, "y_nm": 0}],
        "looks": {"image": {"signal": "image", "field_of_view_nm": 512, "pixels": PX, "dwell_us": 1}},
        "counts": {"signal": "image", "images": folder / "labelled", "masks": folder / "masks", "alike": True},
        "keep_in_view": None,
        "holder": {"by_itself": True},
        "program": [{"at_s": HEATED_S, "condition": "temperature_K", "value": 673.15}],
        "expected": {"number_per_um2": 600, "radius_nm": 7, "temperature_K": 673.15},
        "horizon_s": 460,
        "tick_s": 40,
        "electrons": 4.1e8,
        "sets": 64,
        "rehearsals": 0,
    }
    return TrackSettings.model_validate(asked | changes)


def shown(folder, counts):
    """(counted, there) of every look."""
    rows = [json.loads(line) for line in (folder / "tracking.jsonl").read_text().splitlines()]
    looked = [row for row in rows if row["values"] is not None]
    told = [np.exp(row["values"][0]) * 0.512**2 for row in looked]
    there = [counts[int(np.searchsorted(TIMES_S, row["t_s"], side="right")) - 1] for row in looked]
    return np.array(told), np.array(there), looked


def test_what_anneals_in_a_movie_is_counted_and_explained_and_goes_on_where_it_was_stopped(movie, tmp_path):
    folder, counts = movie
    settings, place = following(folder), tmp_path / "run"
    assert start_conditions(settings) == {"temperature_K": pytest.approx(293.15)}

    def stop_late(run):
        if run.env.now_s > 300:
            run.stop.set()

    assert run_tracking(prepare(settings), place, lambda line: None, stop_late)["stopped"]
    before = len(shown(place, counts)[0])
    found = resume_tracking(place, lambda line: None)
    told, there, looked = shown(place, counts)
    assert 4 <= before < len(told)
    assert there.max() > 2.5 * there.min()
    assert np.abs(np.log(told / there)).max() < 0.3  # a movie that began anew would be off by more than 1
    likely = {each["law"]: each["probability"] for each in found["laws"]}
    assert sum(p for name, p in likely.items() if not name.startswith("growth")) > 0.9
    assert likely["defect annealing, first order"] > 0.1  # numbers alone tell it from ripening only in part
    assert not found["none_of_these"]
    assert not found["orders_refused"]  # the holder runs by itself
    assert [row["held"]["temperature_K"] for row in (looked[0], looked[-1])] == pytest.approx([293.15, 673.15])
    with SurveyReader(place) as reader:
        assert len(list(reader.exposures())) == len(looked)
    assert "data:image/png" in write_tracking_report(place).read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"counts": None}, "give `counts`"),
        (
            {"looks": {
                "image": {"signal": "image", "field_of_view_nm": 512, "pixels": PX, "dwell_us": 1},
                "near": {"signal": "image", "field_of_view_nm": 256, "pixels": PX, "dwell_us": 1},
            }},
            "2 fields of view or numbers of pixels",
        ),
        (
            {"looks": {"image": {"signal": "image", "field_of_view_nm": 512, "pixels": 512, "dwell_us": 1}}},
            r"0\.png is 256 × 256 pixels; a labelled frame shows",
        ),
        ({"tick_s": 10}, "frames are 40 s apart: one frame would count as several; give 40"),
        ({"horizon_s": 900}, "the movie ends after 440 s: its last frame would count"),
        ({"places": [{"x_nm": 1, "y_nm": 0}]}, r"512 nm at \(1, 0\) nm reach beyond what was recorded, 512 × 512"),
        ({"focus": {"place": {"x_nm": 0, "y_nm": 0}, "electrons": 1e8}}, "a recorded movie has its focus for good"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused_before_anything_is_exposed(movie, changes, said):
    with pytest.raises(ConfigError, match=said):
        prepare(following(movie[0], **changes))


def test_a_mask_without_its_image_and_a_signal_that_no_look_reads_are_refused(movie, tmp_path):
    folder = movie[0]
    (tmp_path / "9.png").write_bytes((folder / "masks" / "0.png").read_bytes())
    asked = {"signal": "image", "images": folder / "labelled", "masks": tmp_path}
    with pytest.raises(ConfigError, match=r"9\.png has no image of its name"):
        prepare(following(folder, counts=asked))
    with pytest.raises(ConfigError, match="which no look reads"):
        prepare(following(folder, counts=asked | {"signal": "HAADF", "masks": folder / "masks"}))


def test_a_stream_is_counted_as_one_of_its_frames(movie):
    folder, counts = movie
    look = {"signal": "image", "field_of_view_nm": 512, "pixels": PX, "dwell_us": 1, "frames": 4}
    made = prepare(following(folder, looks={"image": look}))
    shown = np.asarray(Image.open(folder / "3.png"), dtype=np.float32)
    signal = Signal(4 * shown, (Axis("row", 2.0, "nm"), Axis("column", 2.0, "nm")))
    frame = SimpleNamespace(signals={"image": signal})
    told = made.sensors["image"].measure(frame, made.mission.looks[0])
    assert np.exp(told.values[0]) * 0.512**2 == pytest.approx(counts[3], rel=0.15)


def test_a_programme_that_is_foretold_names_what_drives_the_process(movie):
    with pytest.raises(ValidationError, match="tells of temperatur_K, which drives nothing"):
        following(movie[0], program=[{"at_s": 1, "condition": "temperatur_K", "value": 600}])


def test_a_holder_is_stepped_by_the_agent_or_runs_by_itself(movie):
    with pytest.raises(ValidationError, match="say which"):
        following(movie[0], holder={"by_itself": True, "may_step": True})
