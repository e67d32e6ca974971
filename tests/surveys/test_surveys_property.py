"""A survey that takes spectra where a property is high, on a recorded spectrum image, through environment and guard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from replay_samples import energies, write

from agent.factory import make_agent
from archive.reader import SurveyReader
from configs.errors import ConfigError
from configs.load import load
from envs.belief import Belief
from envs.novelty import NoveltyScorer
from envs.observations import Present, observe
from envs.property import NAME
from envs.step import Kind, Step
from review.report import write_report
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings
from surveys.task import survey_task

CONFIG = Path(__file__).parents[2] / "configs" / "survey_property.yaml"
SITES = (12, 12)
SITE_PX = 64
HIGHEST = 0.1


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """One spectrum a site; how bright a site is tells how high its edge is, but for some noise."""
    folder, rng = tmp_path_factory.mktemp("recorded"), np.random.default_rng(4)
    height = rng.gamma(2.0, 1.0, SITES)
    eV = 100.0 + 2.0 * np.arange(240)
    rate = 1e4 * (eV / 350.0) ** -2.5 + 400.0 * height[..., None] * (eV >= 532)
    spectra = write(folder / "eels.hspy", energies(rng.poisson(rate).astype(np.float32)))
    seen = height + rng.normal(0, 0.2, SITES)
    bright = np.kron(100 + 40 * seen, np.ones((SITE_PX, SITE_PX)))
    image = bright + rng.normal(0, 3, bright.shape)
    pixels = {"imagej": True, "resolution": (2 * SITE_PX, 2 * SITE_PX), "metadata": {"unit": "nm"}}
    tifffile.imwrite(folder / "haadf.tif", image.astype(np.float32), **pixels)
    return [
        f"instrument.image={folder / 'haadf.tif'}",
        f"instrument.channels.EELS.file={spectra}",
        f"looks.detail.sites_across={SITES[0]}",
        f"agent.share={HIGHEST}",
        "budget.detail_fraction=0.25",
    ]


def steps_of(settings: SurveySettings, folder: Path) -> tuple[list[Step], Path]:
    night = open_night(settings, folder)
    summary = run_survey(night)
    assert (str(summary.reason), night.guard.denials) == ("complete", 0)
    with SurveyReader(summary.folder) as reader:
        return list(reader.steps()), summary.folder


def values(steps: list[Step]) -> list[float]:
    chosen = [step for step in steps if step.kind is Kind.LOOK and step.look == "detail" and step.score]
    return [step.score.quality[NAME] for step in chosen if step.score]


def test_it_measures_higher_values_than_a_raster_and_shows_them(recorded: list[str], tmp_path: Path) -> None:
    steps, folder = steps_of(load(CONFIG, SurveySettings, recorded), tmp_path / "sought")
    raster, _ = steps_of(load(CONFIG, SurveySettings, [*recorded, "agent={kind: raster}"]), tmp_path / "raster")
    sought, in_order = values(steps), values(raster)
    assert len(sought) == len(in_order) == pytest.approx(0.25 * SITES[0] * SITES[1], abs=3)
    top = np.quantile([*sought, *in_order], 1 - HIGHEST)
    assert sum(value >= top for value in sought) > 2 * sum(value >= top for value in in_order)
    assert "structure first" in steps[0].decision.reason
    assert "far from each other" in next(step for step in steps if step.look == "detail").decision.reason
    last = [step for step in steps if step.look == "detail" and step.kind is Kind.LOOK][-1]
    assert len(last.decision.candidates) == 5
    assert "expected, chosen by" in last.decision.reason
    page = write_report(folder).read_text()
    assert "The property that spectra were taken for" in page


@pytest.mark.parametrize("model", ["gp", "deep_kernel"])
def test_what_it_knows_is_a_fold_over_the_steps(recorded: list[str], tmp_path: Path, model: str) -> None:
    """One that learned the record, and one that was given the state of another half way, decide alike."""
    settings = load(CONFIG, SurveySettings, [*recorded, f"agent.model={model}", "budget.detail_fraction=0.15"])
    steps, _ = steps_of(settings, tmp_path / "night")
    task = survey_task(settings, 0)
    catalogue = task.catalogue(())
    belief = Belief(task, NoveltyScorer(settings.scorer))
    belief.fold(steps)
    fresh = np.zeros((catalogue.slots, 2), dtype=bool)
    fresh[:, 1] = (task.tree.level == task.tree.level.max()) & ~belief.seen
    present = Present(
        x_nm=0.0,
        y_nm=0.0,
        defocus_nm=0.0,
        time_left_s=3600.0,
        electrons=task.budget.electrons / 2,
        travel_s=task.travel_s(0.0, 0.0),
        seed=1,
        action_mask=np.concatenate([fresh.ravel(), [True]]),
    )
    observation = observe(task, belief, present)
    whole, half, rest = (make_agent(settings.agent, task, catalogue, (), 0) for _ in range(3))
    for step in steps:
        whole.observe(step)
    middle = len(steps) - 6
    for step in steps[:middle]:
        half.observe(step)
    rest.restore(json.loads(json.dumps(half.state())))
    for step in steps[middle:]:
        rest.observe(step)
    decided = whole.act(observation)
    assert "expected, chosen by" in decided.reason
    assert rest.act(observation) == decided == whole.act(observation)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["scorer.property=null"], "bayesian seeks a property and none is named"),
        (["looks.detail.signals=[image]"], "looks.detail.signals does not name"),
        (["scorer.property.background_eV=[530, 540]"], "must lie between 0 and the edge"),
    ],
)
def test_a_property_that_cannot_be_read_is_refused_before_anything_moves(
    recorded: list[str], sets: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(CONFIG, SurveySettings, [*recorded, *sets])
