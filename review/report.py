"""The morning report: ``report.json`` and one self-contained HTML page, no script, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from archive.durable import write_atomically
from archive.folder import holder
from archive.reader import SurveyReader
from review import figures
from review.history import histories_of
from review.measured import measured
from review.pictures import Frames
from review.summary import summarise
from review.words import area, as_json, counted, duration, length, named, quantity, share

if TYPE_CHECKING:
    from pathlib import Path

FLAGS_SHOWN = 60
CONTROLS_SHOWN = 12
FAULTS_SHOWN = 50
EARLIER_SHOWN = 8


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write ``report.json`` and ``report.html`` into ``out`` and return the page's path.

    ``out``: a folder, made where it is not there; None = the survey's own. May run at any time, also while the survey
    goes on; nothing recorded is touched. Raises ArchiveError where there is no survey, OSError where ``out`` cannot be
    written.
    """
    place = folder if out is None else out
    with SurveyReader(folder) as reader:
        content = summarise(reader.meta, reader.rows, running=holder(folder) is not None)
        told = histories_of(folder)
        for flag in content["flags"]:
            if (key := (flag.get("specimen"), flag.get("rank"))) in told:
                flag["history"] = told[key]
        place.mkdir(parents=True, exist_ok=True)
        write_atomically(place / "report.json", as_json(content).encode(), durable=False)
        page = place / "report.html"
        write_atomically(page, _render(reader, content).encode(), durable=False)
    return page


def _render(reader: SurveyReader, content: dict[str, Any]) -> str:
    steps, flags, plan = list(reader.steps()), content["flags"], content["plan"]
    frames = Frames(reader, steps, content["config"].get("scorer", {}).get("signal"))
    environment = Environment(
        loader=PackageLoader("review"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        quantity=quantity, nm=length, area=area, duration=duration, share=share, counted=counted, named=named
    )
    return environment.get_template("report.html").render(
        **content,
        maps={
            specimen: figures.coverage(
                frames.overviews(specimen),
                [step for step in steps if step.specimen == specimen],
                [flag for flag in flags if flag["specimen"] == specimen],
            )
            for specimen in content["specimens"]
        },
        timeline=figures.timeline(steps, content["faults"], content["waits_s"], plan["electrons"]) if steps else None,
        quality=figures.quality(steps),
        measured={
            specimen: picture
            for specimen in content["specimens"]
            if (picture := measured([step for step in steps if step.specimen == specimen]))
        },
        shown=[(flag, frames.flag(flag), frames.surroundings(flag)) for flag in flags[:FLAGS_SHOWN]],
        near=[(row, frames.whole(row["exposure_id"])) for row in content["closest"]],
        audit=[(row, frames.whole(row["exposure_id"])) for row in content["controls"][:CONTROLS_SHOWN]],
        faults_shown=FAULTS_SHOWN,
        earlier_shown=EARLIER_SHOWN,
        config_text=yaml.safe_dump(content["config"], sort_keys=False, allow_unicode=True),
    )
