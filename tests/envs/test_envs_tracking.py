"""Following a specimen that changes: what frames tell of it, and the environment, through the guard like all else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import gymnasium
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from gymnasium.utils.env_checker import check_env

from configs.errors import ConfigError
from envs.particles import Contrast, Response, describe_particles, smallest_radius_nm, unmerged
from envs.recorder import NullRecorder
from envs.step import Decision, Kind
from envs.track_worlds import PLACES_NM, make_track_env
from envs.tracked import ImageSensor, SpectrumSensor, TrackLook
from envs.tracking_belief import Wandering
from envs.tracking_look import take
from envs.tracking_task import TrackTask
from envs.unmixing import References, amounts_nm, covariance_per_electron

LOOKS = (
    TrackLook(name="image", signal="HAADF", field_of_view_nm=400.0, pixels=256, dwell_us=1.0),
    TrackLook(name="loss spectra", signal="EELS", field_of_view_nm=400.0, pixels=16, dwell_us=250.0),
)
TASK = TrackTask(looks=LOOKS, places_nm=PLACES_NM[:2], horizon_s=100.0, tick_s=5.0, electrons=1.5e8)


def spheres(radius_px, count, seed, electrons_per_px, contrast=0.02, background=0.05, size=256):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    thick, places = np.zeros((size, size)), []
    while len(places) < count:
        place = rng.uniform(2 * radius_px, size - 2 * radius_px, 2)
        if all(np.hypot(*(place - other)) > 4 * radius_px for other in places):
            places.append(place)
            square = radius_px**2 - (rows - place[0]) ** 2 - (columns - place[1]) ** 2
            thick += 2 * np.sqrt(np.maximum(square, 0.0))
    shares = background + contrast * thick
    return (rng.poisson(shares * electrons_per_px) / electrons_per_px).astype(np.float32), thick.mean()


def test_particles_are_counted_sized_and_weighed():
    image, volume = spheres(6.0, 20, 1, 400.0)
    told = describe_particles(image, 400.0, 1.0, Contrast(per_nm=0.02))
    assert told.count == 20
    assert np.exp(told.values[1]) == pytest.approx(6.0, rel=0.08)
    assert np.exp(told.values[3]) - told.volume_floor_nm == pytest.approx(volume, rel=0.1)
    assert told.values[2] < 0.1


def test_dark_particles_are_found_as_bright_ones_are():
    image, _ = spheres(6.0, 15, 2, 400.0, contrast=-0.005, background=0.3)
    assert describe_particles(image, 400.0, 1.0, Contrast(per_nm=-0.005)).count == 15


def test_nothing_is_told_of_an_empty_frame_but_that_it_is_empty():
    image, _ = spheres(6.0, 0, 3, 100.0)
    told = describe_particles(image, 100.0, 1.0, Contrast(per_nm=0.02))
    assert told.count == 0
    assert np.isnan(told.values[1])
    assert np.exp(told.values[0]) == pytest.approx(0.5 / (256**2 * 1e-6))


def test_particles_of_the_smallest_radius_are_found_half_of_the_time_or_so():
    contrast = Contrast(per_nm=0.02)
    smallest = smallest_radius_nm(1.0, 100.0, contrast, 0.05)
    small, large = (
        describe_particles(spheres(factor * smallest, 20, 4, 100.0)[0], 100.0, 1.0, contrast).count
        for factor in (0.7, 1.5)
    )
    assert small < 10 < large


def test_what_merges_is_reckoned_with():
    rng, counts = np.random.default_rng(5), []
    for _ in range(200):
        places = rng.uniform(0, 400, (60, 2))
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        counts.append(len(places) - (np.triu(apart < 16.0, 1).any(axis=1)).sum())
    told = unmerged(float(np.mean(counts)), 6.0, 400.0**2, Response(merging_nm=4.0))
    assert told == pytest.approx(60.0, rel=0.05)
    assert np.mean(counts) < 57


def test_amounts_come_out_of_summed_spectra_with_honest_deviations():
    energy = np.arange(200.0)
    support = 1e-3 * np.exp(-energy / 80)
    materials = np.array([1e-5 * (energy > 60) * np.exp(-(energy - 60) / 90), 1e-5 * (energy > 120)])
    references, rng, electrons = References(support, materials), np.random.default_rng(6), 1e8
    truth, found = np.array([2.0, 3.0]), []
    for _ in range(300):
        counts = rng.poisson(electrons * (support + truth @ materials)).astype(float)
        amounts, covariance = amounts_nm(counts, electrons, references)
        found.append(amounts)
    np.testing.assert_allclose(np.mean(found, axis=0), truth, rtol=0.02)
    np.testing.assert_allclose(np.std(found, axis=0), np.sqrt(np.diag(covariance)), rtol=0.15)
    before = np.sqrt(np.diag(covariance_per_electron(references)) / electrons)
    np.testing.assert_allclose(before, np.sqrt(np.diag(covariance)), rtol=0.3)


@pytest.fixture(scope="module")
def env():
    made = make_track_env(processes=("front",), task=TASK, seed=3)
    yield made
    made.close()


def test_the_environment_is_one(env):
    check_env(env, skip_render_check=True)
    assert "adaptem/Track-v0" in gymnasium.registry


def test_what_is_spent_and_read_is_told_and_time_passes_in_ticks(env):
    observation, _ = env.reset(seed=4)
    assert observation["action_mask"].all()
    waits = TASK.actions - 1
    observation, reward, _, _, info = env.step(waits)
    assert (reward, info["electrons"], info["now_s"]) == (0.0, 0.0, 5.0)
    observation, reward, terminated, truncated, info = env.step(0)
    assert reward > 1
    assert not (terminated or truncated)
    assert info["electrons"] == pytest.approx(LOOKS[0].exposure.electrons(50.0))
    assert observation["sds"][0, 1] < 0.2
    assert observation["sds"][1, 1] > 1e8
    _, again, *_ = env.step(0)
    assert again < reward  # it was known already
    _, _, _, _, info = env.step(2)
    assert info["fault"] == ""


def test_a_spent_budget_truncates_and_masks(env):
    env.reset(seed=5)
    truncated, steps = False, 0
    while not truncated:
        _, _, _, truncated, info = env.step(0)
        steps += 1
    assert info["electrons"] <= TASK.electrons
    assert steps == int(TASK.electrons / LOOKS[0].exposure.electrons(50.0))
    spent = info["electrons"]
    observation, reward, _, _, info = env.step(0)  # masked: refused, not made and paid for
    assert not observation["action_mask"][:-1].any()
    assert (reward, info["electrons"]) == (0.0, spent)
    assert "masked" in info["fault"]


def test_what_the_guard_refuses_is_told_and_books_nothing(env):
    env.reset(seed=6)
    beside = env.aside(partial(take, look=LOOKS[0], place=None, place_nm=(1e9, 0.0)), Kind.CONTROL, "aside")
    assert beside.measured is None
    assert beside.step.fault is not None
    assert env.electrons == 0.0
    taken = env.apply(Decision(action=999))
    assert taken.step.fault is not None
    assert "there are 0 to" in taken.step.fault.message


def test_a_look_that_fails_is_a_look_of_its_place_that_told_nothing(env):
    env.reset(seed=6)
    task = replace(env.situation.task, places_nm=((1e9, 0.0), *env.situation.task.places_nm[1:]))
    env.situation = replace(env.situation, task=task)
    taken = env.apply(Decision(action=0))
    assert taken.measured is None
    assert taken.step.fault is not None
    assert (taken.step.look, taken.step.target) == (LOOKS[0].name, 0)
    assert taken.step.exposures == ()


def test_an_order_to_the_holder_goes_through_the_guard():
    class Kept(NullRecorder):
        def __init__(self):
            super().__init__()
            self.events = []

        def event(self, kind, message, *, time_s, data=None):
            self.events.append((kind, message))

    task = TrackTask(
        looks=LOOKS,
        places_nm=PLACES_NM[:1],
        settings=(("temperature_K", 800.0), ("temperature_K", 1200.0)),
        horizon_s=60.0,
        electrons=1e8,
    )
    env = make_track_env(processes=("front",), task=task, seed=1)
    object.__setattr__(env.situation, "recorder", kept := Kept())
    _, _, _, _, info = env.step(len(LOOKS))
    assert info["fault"] == ""
    assert env.holder()["temperature_K"] == pytest.approx(800.0, abs=20.0)
    assert kept.events[0][0] == "holder"
    _, _, _, _, info = env.step(len(LOOKS) + 1)  # the holder could, its limits do not allow it
    assert "LimitError" in info["fault"]
    assert env.holder()["temperature_K"] == pytest.approx(800.0, abs=20.0)
    env.close()


def test_episodes_repeat_by_their_seed(env):
    seen = []
    for _ in range(2):
        env.reset(seed=8)
        seen.append([env.step(action)[0]["values"] for action in (0, 3, 1)])
    np.testing.assert_array_equal(seen[0], seen[1])


def test_wandering_knows_less_the_longer_it_is_since_a_look():
    belief = Wandering(1, 100.0)
    image = describe_particles(spheres(6.0, 20, 1, 400.0)[0], 400.0, 1.0, Contrast(per_nm=0.02))
    first = belief.learn(LOOKS[0], 0, 0.0, image)
    second = belief.learn(LOOKS[0], 0, 0.0, image)
    belief.wait(50.0, {})
    later = belief.learn(LOOKS[0], 0, 50.0, image)
    assert second < later < first


def test_what_cannot_be_followed_is_told():
    with pytest.raises(ConfigError, match="there are growth, dissolution"):
        make_track_env(processes=("melting",))
    with pytest.raises(ValueError, match="give a tick above 0"):
        TrackTask(looks=LOOKS, places_nm=PLACES_NM, horizon_s=1.0, tick_s=5.0)


@pytest.mark.parametrize("signal", ["HAADF", "EELS"])
def test_deviations_of_many_moments_at_once_are_those_of_each(signal):
    energy = np.arange(300.0)
    rows = 2e-5 * np.exp(-np.abs(energy - np.array([[120.0], [200.0]])) / 20)
    sensors = {
        "HAADF": ImageSensor(Contrast(per_nm=2e-3), 8e-3),
        "EELS": SpectrumSensor(References(np.exp(-energy / 60) / 60, rows)),
    }
    look = TrackLook(name="look", signal=signal, field_of_view_nm=400.0, pixels=256, dwell_us=1.0)
    shown = np.array([[5.7, 1.8, 0.2, -0.5, 0.4], [1.0, 0.1, 0.2, -9.0, 0.4], [3.0, 2.0, 0.2, 0.0, 1.0]])
    together = sensors[signal].sds(look, 2e7, shown.reshape(3, 1, 5))
    np.testing.assert_array_equal(together[:, 0], [sensors[signal].sds(look, 2e7, row) for row in shown])
    assert np.isfinite(together).any(axis=(0, 1)).sum() == {"HAADF": 4, "EELS": 2}[signal]
    assert np.isnan(together).any()
