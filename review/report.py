"""The morning report: ``report.json`` and one self-contained HTML page, no script, no network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from archive.reader import SurveyReader
from envs.novelty import image_of
from envs.step import Purpose
from envs.targets import pixel_of_place
from review import figures
from review.summary import summarise
from review.words import length, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from envs.step import ExposureRecord, Step

_SIDES = ("height_nm", "width_nm")
FLAGS_SHOWN = 60
CONTROLS_SHOWN = 12


def write_report(folder: Path) -> Path:
    """Write ``report.json`` and ``report.html`` into the survey's folder and return the page's path.

    May run at any time, also while the survey goes on; nothing recorded is touched.
    """
    reader = SurveyReader(folder)
    content = summarise(reader.meta, reader.rows)
    _write(folder / "report.json", json.dumps(content, indent=2, default=str, allow_nan=True))
    page = folder / "report.html"
    _write(page, _render(reader, content))
    return page


def _render(reader: SurveyReader, content: dict[str, Any]) -> str:
    steps, signal = list(reader.steps()), content["config"].get("scorer", {}).get("signal")
    environment = Environment(
        loader=PackageLoader("review"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(quantity=quantity, nm=length)
    maps = {
        specimen: figures.coverage(
            _overviews(reader, [step for step in steps if step.specimen == specimen], signal),
            [step for step in steps if step.specimen == specimen],
            [flag for flag in content["flags"] if flag["specimen"] == specimen],
        )
        for specimen in content["specimens"]
    }
    return environment.get_template("report.html").render(
        **content,
        maps=maps,
        timeline=figures.timeline(steps, content["faults"], content["plan"].get("electrons")),
        quality=figures.quality(steps),
        pictures=[_flag_picture(reader, flag, signal) for flag in content["flags"][:FLAGS_SHOWN]],
        control_pictures={
            number: figures.thumbnail(image_of(reader.recorded(number), signal))
            for row in content["controls"][:CONTROLS_SHOWN]
            if (number := row["exposure_id"]) is not None
        },
        flags_shown=FLAGS_SHOWN,
        config_text=yaml.safe_dump(content["config"], sort_keys=False, allow_unicode=True),
    )


def _overviews(
    reader: SurveyReader, steps: list[Step], signal: str | None
) -> Iterator[tuple[ExposureRecord, npt.NDArray[np.float32]]]:
    for step in steps:
        for record in step.exposures:
            if record.committed and record.purpose is Purpose.SURVEY and record.exposure.id is not None:
                yield record, image_of(reader.recorded(record.exposure.id), signal)


def _flag_picture(reader: SurveyReader, flag: Mapping[str, Any], signal: str | None) -> str:
    """The flagged place out of its frame: the whole of a detail look, a part of an overview."""
    frame = reader.recorded(flag["exposure_id"])
    image = image_of(frame, signal)
    pixel_nm = frame.exposure.pixel_size_nm
    rows, columns = (min(round(flag[side] / pixel_nm), size) for side, size in zip(_SIDES, image.shape, strict=True))
    down, right = pixel_of_place(frame.stage, pixel_nm, flag["x_nm"], flag["y_nm"])
    top = min(max(round((image.shape[0] - rows) / 2 + down), 0), image.shape[0] - rows)
    left = min(max(round((image.shape[1] - columns) / 2 + right), 0), image.shape[1] - columns)
    return figures.thumbnail(image[top : top + rows, left : left + columns])


def _write(path: Path, text: str) -> None:
    """Replace the file in one go: a reader never meets half a report."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
