"""A specimen that is rendered once: agents on it do what they would do in the whole environment."""

from __future__ import annotations

import numpy as np
import pytest

from agent.factory import make_agent
from agent.settings import RasterSettings
from envs.step import Decision, Kind, Purpose
from instruments.simulated.settings import SimulatedSettings, SpecimenSettings
from surveys.controls import ControlSettings
from training.episode import EpisodeSettings, play
from training.measured import Flight, MeasuredSpecimen, flown

RARE = SimulatedSettings(specimen=SpecimenSettings(rare_layout="uniform", rare_fraction=0.019))
SETTINGS = EpisodeSettings(instrument=RARE, sites=8, pixels=64, dose_ratio=0.6, controls=ControlSettings(count=2))


@pytest.fixture(scope="module")
def specimen():
    made = MeasuredSpecimen(SETTINGS, 11)
    yield made
    made.close()


def raster(task, catalogue, skills, seed):
    return make_agent(RasterSettings(corner=0, refocus_every=30), task, catalogue, skills, seed)


def test_a_raster_spends_and_finds_what_it_does_in_the_whole_environment(specimen):
    steps, scorer = flown(specimen, raster)
    trace = play(SETTINGS, RasterSettings(corner=0, refocus_every=30), 11, "raster")
    spent = np.cumsum([step.electrons for step in steps]) / SETTINGS.full_electrons()
    assert len(steps) == len(trace.dose)
    assert spent == pytest.approx(trace.dose, rel=1e-3)
    found = {
        n
        for step in steps if step.kind is Kind.LOOK
        for record in step.exposures if record.purpose is Purpose.DETAIL
        for n, one in enumerate(specimen.features) if record.footprint.contains(one.x_nm, one.y_nm)
    }  # fmt: skip
    assert len(found) / len(specimen.features) == trace.found[-1]
    assert all(step.score is None for step in steps if step.kind is Kind.CONTROL)
    assert sum(step.kind is Kind.CONTROL for step in steps) == 2
    assert steps[-1].truncated
    assert scorer.names


def test_who_flies_second_meets_the_same_places_and_nothing_is_rendered_again(specimen):
    first, _ = flown(specimen, raster)
    made = specimen.env.step_number
    second, _ = flown(specimen, raster)
    assert specimen.env.step_number == made
    assert [str((step.target, step.score)) for step in first] == [str((step.target, step.score)) for step in second]


def test_what_the_mask_forbids_is_refused(specimen):
    flight = Flight(specimen)
    forbidden = int(np.flatnonzero(flight.observation()["action_mask"] == 0)[0])
    with pytest.raises(ValueError, match="masked"):
        flight.apply(Decision(action=forbidden))
