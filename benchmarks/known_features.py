"""Known features of a real image among the first flags of a survey, over random starts.

    python -m benchmarks.known_features [--image FILE] [--starts 20] [--first 10] [--json FILE] [--quick]

Each start is one whole survey of ``configs/survey_replay.yaml`` (10 % of the area in detail looks) with another seed.
A feature counts as found when the centre of one of the first flags lies inside a box that was drawn by hand before the
flagger existed (``benchmarks/boxes/sto_ge_haadf.yaml``).
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from archive.reader import SurveyReader
from benchmarks.common import DATA, arguments, finish
from benchmarks.recorded_truth import drawn_boxes
from configs.load import load
from instruments.images import read_image
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings
from training.statistics import clopper_pearson

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "survey_replay.yaml"


def survey(image: Path, seed: int) -> list[tuple[float, float]]:
    """Flags of one survey by rank: (row, column) in pixels of the image."""
    settings = load(CONFIG, SurveySettings, [f"instrument.image={image}", f"seed={seed}"])
    pixel_nm = settings.instrument.model_dump()["pixel_size_nm"]
    rows, columns = read_image(image).data.shape
    with tempfile.TemporaryDirectory() as folder:
        summary = run_survey(open_night(settings, Path(folder) / "survey"))
        with SurveyReader(summary.folder) as reader:
            flags = list(reader.flags())
    # A place is point-reflected against the image: column c lies at x = -(c - W/2) * pixel size.
    return [(rows / 2 - flag["y_nm"] / pixel_nm, columns / 2 - flag["x_nm"] / pixel_nm) for flag in flags]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--image", type=Path, default=DATA / "sto_ge_haadf" / "STO-Ge-HAADF.jpg")
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--first", type=int, default=10, help="flags that are looked at")
    options = parser.parse_args()
    seeds = list(range(1000, 1000 + (3 if options.quick else options.starts)))
    known = drawn_boxes()
    with ProcessPoolExecutor(max_workers=2) as pool:
        flagged = list(pool.map(survey, [options.image] * len(seeds), seeds))
    found = [[any(box.holds(*place) for place in flags[: options.first]) for box in known] for flags in flagged]
    rows: list[dict[str, Any]] = []
    for name, hits in [
        *((box.name, [row[number] for row in found]) for number, box in enumerate(known)),
        ("all of them", [all(row) for row in found]),
    ]:
        low, high = clopper_pearson(sum(hits), len(hits))
        rows.append({"feature": name, "starts": len(hits), "found": sum(hits), "low": low, "high": high})
    counts = sorted(len(flags) for flags in flagged)
    finish(rows, options, title=f"within the first {options.first} flags (median {counts[len(counts) // 2]} flags)")


if __name__ == "__main__":
    main()
