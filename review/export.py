"""Labels and flags as files, for whoever goes on with them: CSV or JSON lines; ``review.parquet`` has the third."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from review.judged import counted_in
from review.words import as_json
from surveys.places import PLACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archive.labels import LabelJournal

Form: TypeAlias = Literal["csv", "jsonl"]


def as_text(rows: Sequence[Mapping[str, Any]], form: Form) -> str:
    """One line a row; in CSV a cell that a spreadsheet would take for a formula is told as text."""
    if form == "jsonl":
        return "".join(f"{as_json(row, indent=None)}\n" for row in rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _whence(injected: Mapping[str, Any] | None) -> str | None:
    """In words, where the known feature that a place shows was found."""
    return None if injected is None else "{survey} {specimen}/{target} exposure {exposure_id}".format(**injected)


def label_rows(journal: LabelJournal) -> list[dict[str, Any]]:
    """Every place that somebody saw and judged, as one row a reviewer, in the order of the batches.

    ``blind`` is the label; ``revised`` is a second thought after the reveal; ``trains`` is False for controls and
    seeded positives, which are the audit set and never train a model; ``how`` is "sweep" where it was said of the rest
    of a screen at once. A batch that is not locked is not exported, or what the machine thought could be read before it
    is judged.
    """
    rows: list[dict[str, Any]] = []
    for batch, item, _, verdicts in counted_in(journal):
        if verdicts.given is None:
            continue
        given = verdicts.given
        place = PLACE.validate_python(dict(item.data))
        flag = place.flag or {}
        rows.append(
            {
                "reviewer": batch.reviewer, "blind": verdicts.blind, "revised": verdicts.revised,
                "note": verdicts.note, "trains": place.trains,
                "streams": place.streams, "inclusion_probability": place.inclusion_probability,
                "specimen": place.specimen, "target": place.target, "x_nm": place.x_nm, "y_nm": place.y_nm,
                "width_nm": place.width_nm, "height_nm": place.height_nm, "exposure_id": place.exposure_id,
                "rank": flag.get("rank"), "score": flag.get("score"), "q_value": flag.get("q_value"),
                "reason": flag.get("reason"), "injected": _whence(place.injected), "seen": given.shown.get("seen"),
                "how": given.shown.get("how", "single"), "view": given.shown.get("view", "place"),
                "looked_s": given.shown.get("looked_s"), "utc": given.utc,
                "batch": batch.id, "item": item.id,
            }
        )  # fmt: skip
    return rows


def flag_rows(flags: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every flag of a survey as one row, by rank, from what its journal keeps (``surveys.flagging.Flag``).

    ``target`` is the site that is shown and explained, ``sites`` all of the flag's, ``by_control`` those among them
    that only the frame of their own random control made unusual; ``contributions`` is an object as text of JSON.
    """
    return [
        {
            "rank": flag["rank"], "specimen": flag["specimen"], "target": flag["sites"][0]["target"],
            "x_nm": flag["x_nm"], "y_nm": flag["y_nm"], "width_nm": flag["width_nm"], "height_nm": flag["height_nm"],
            "exposure_id": flag["exposure_id"], "score": flag["score"], "p_value": flag["p_value"],
            "q_value": flag["q_value"], "surprise": flag["surprise"],
            "expected_verdict": flag.get("expected_verdict"), "reason": flag["reason"],
            "contributions": as_json(flag["contributions"], indent=None), "tags": list(flag["tags"]),
            "sites": [site["target"] for site in flag["sites"]],
            "by_control": [site["target"] for site in flag["sites"] if site.get("by_control", False)],
        }
        for flag in flags
    ]  # fmt: skip
