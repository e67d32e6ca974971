"""Flights of a benchmark are kept: a run that was cut short goes on, and tells what it would have told."""

import json
from functools import partial

from benchmarks.kept import Job, done, read

JOBS = [Job({"number": n}, partial(dict, square=n * n)) for n in range(5)]


def told(results):
    return [each["square"] for each in results]


def test_results_are_in_the_order_of_the_jobs_whatever_the_processes(tmp_path):
    assert told(done(JOBS, 1)) == told(done(JOBS, 3)) == [0, 1, 4, 9, 16]
    assert all(each["cpu_s"] >= 0 for each in done(JOBS[:1], 1))


def test_what_was_kept_is_not_done_again(tmp_path):
    keep = tmp_path / "kept.jsonl"
    done(JOBS[:2], 1, keep)
    lines = keep.read_text().splitlines()
    keep.write_text("\n".join([*lines, '{"key": "torn']))
    other = [Job(job.asked, partial(dict, square=-1)) for job in JOBS]
    assert told(done(other, 1, keep)) == [0, 1, -1, -1, -1]
    assert len(read(keep)) == 5 and json.loads(keep.read_text().splitlines()[0])["square"] == 0


def test_a_run_out_of_time_tells_what_is_whole(tmp_path):
    keep = tmp_path / "kept.jsonl"
    assert done(JOBS, 1, keep, seconds=0.0) == []
    done(JOBS[1:3], 1, keep)
    assert done(JOBS, 1, keep, seconds=0.0) == [], "the first is missing"
    done(JOBS[:1], 1, keep)
    assert told(done(JOBS, 1, keep, seconds=0.0)) == [0, 1, 4]
