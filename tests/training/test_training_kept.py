"""Flights of a benchmark are kept: a run that was cut short goes on, and tells what it would have told."""

from dataclasses import fields
from functools import partial

import numpy as np
from training_samples import run_settings

from agent.settings import LearnedSettings, PlannerSettings
from benchmarks.kept import Job, done, read
from benchmarks.survey_policy import flights, traces_of, untrained
from training.episode import ORACLE, Trace, play
from training.judge import episodes

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
    assert sorted(told(read(keep).values())) == [-1, -1, -1, 0, 1]


def test_a_run_out_of_time_tells_what_is_whole(tmp_path):
    keep = tmp_path / "kept.jsonl"
    assert done(JOBS, 1, keep, seconds=0.0) == []
    done(JOBS[1:3], 1, keep)
    assert done(JOBS, 1, keep, seconds=0.0) == [], "the first is missing"
    done(JOBS[:1], 1, keep)
    assert told(done(JOBS, 1, keep, seconds=0.0)) == [0, 1, 4]


def test_a_flight_that_was_kept_is_told_as_it_was_flown(tmp_path):
    settings, keep = run_settings(tmp_path), tmp_path / "flights.jsonl"
    chosen = {"planner": PlannerSettings(first_sites=16), ORACLE: ORACLE}
    jobs = flights(settings, chosen, range(2))
    done(jobs, 2, keep)
    traces = traces_of(settings, chosen, 2, done(jobs, 1, keep, seconds=0.0))["made up"]
    ((episode, first),) = episodes(settings).values()
    for name, agent in chosen.items():
        flown = play(episode, agent, first + 1, name)
        for field in fields(Trace):
            np.testing.assert_array_equal(getattr(traces[name][1], field.name), getattr(flown, field.name))


def test_policies_are_told_apart_by_their_weights(tmp_path):
    settings = run_settings(tmp_path)
    first = untrained(settings, tmp_path)
    again = tmp_path / "copied.safetensors"
    again.write_bytes(first.read_bytes())
    (one,) = flights(settings, {"one": LearnedSettings(weights=str(first))}, range(1))
    (copy,) = flights(settings, {"copy": LearnedSettings(weights=str(again))}, range(1))
    (clocked,) = flights(settings, {"clocked": LearnedSettings(weights=str(first), refocus_every=60)}, range(1))
    (other,) = flights(settings, {"other": LearnedSettings(weights="survey")}, range(1))
    assert one.key == copy.key and len({one.key, clocked.key, other.key}) == 3
