"""A real EELS map flown by replay: which places' spectra to take, through environment, guard and record.

    python -m benchmarks.property_eels            about ten minutes
    python -m benchmarks.property_eels --quick

The spectrum image and the dark-field image of `spectra` in the shared data lie over each other as one world
(configs/survey_property.yaml). The property is the O-K edge above its background over the counts before Ti-L. A survey
that takes every spectrum is the truth; then each agent may take those of a quarter of the sites, and what counts is how
many of the highest tenth are among them. Overviews of everything are part of each survey, and of its dose.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from archive.reader import SurveyReader
from benchmarks.common import DATA, arguments, finish
from configs.load import load
from envs.property import NAME
from envs.step import Kind
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings
from training.evaluate import interval

CONFIG = Path(__file__).parents[1] / "configs" / "survey_property.yaml"
IMAGE, SPECTRA = (DATA / "spectra" / f"DMReader_{name}.dm3" for name in ("SI-HAADF", "SpectrumImage_SI-EELS"))
PIXEL_NM = 0.03125
"""As the spectra's grid and the image's tell; nanometres as far as ratios go, for neither file has a scale."""
SHARE, HIGHEST = 0.25, 0.1
AGENTS = {
    "random": "{kind: random, refocus_every: 0}",
    "raster": "{kind: raster, refocus_every: 0}",
    "brightest or most unusual first": "{kind: raster, by_atlas: true, refocus_every: 0}",
    "bayesian, Gaussian process": f"{{kind: bayesian, share: {HIGHEST}}}",
    "bayesian, deep kernel": f"{{kind: bayesian, share: {HIGHEST}, model: deep_kernel}}",
}


def flown(agent: str, seed: int, share: float) -> dict[int, float]:
    """Site → property, of the detail looks that the agent chose, in their order."""
    sets = [
        f"instrument.image={IMAGE}",
        f"instrument.channels.EELS.file={SPECTRA}",
        f"instrument.pixel_size_nm={PIXEL_NM}",
        f"agent={agent}",
        f"seed={seed}",
        f"budget.detail_fraction={share}",
        "controls.count=0",
    ]
    with tempfile.TemporaryDirectory() as folder:
        summary = run_survey(open_night(load(CONFIG, SurveySettings, sets), Path(folder) / "night"))
        with SurveyReader(summary.folder) as reader:
            looks = [step for step in reader.steps() if step.kind is Kind.LOOK and step.look == "detail"]
    return {
        step.target: step.score.quality[NAME]
        for step in looks
        if step.target is not None and step.score and NAME in step.score.quality
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    seeds = 1 if options.quick else options.seeds
    if not IMAGE.exists():
        raise SystemExit(f"real data not found: {IMAGE} (set ADAPTEM_DATA)")
    truth = flown(AGENTS["raster"], 0, 1.0)
    highest = set(sorted(truth, key=lambda site: truth[site])[-round(HIGHEST * len(truth)) :])
    rows: list[dict[str, Any]] = []
    for name, agent in list(AGENTS.items())[-2 if options.quick else 0 :]:
        found = []
        for seed in range(seeds):
            taken = flown(agent, seed, SHARE)
            found.append(len(highest & set(taken)) / len(highest))
        mean, low, high = interval(np.array(found))
        rows.append(
            {
                "agent": name,
                "of_the_highest": mean,
                "low": low,
                "high": high,
                "sites": len(truth),
                "highest": len(highest),
            }
        )
    finish(
        rows,
        options,
        title=f"O-K over pre-edge, a quarter of {len(truth)} sites, {seeds} seeds: share of the highest tenth",
    )


if __name__ == "__main__":
    main()
