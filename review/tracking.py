"""The report of a followed specimen: one page with pictures, from its record alone."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from matplotlib.figure import Figure

from archive.durable import write_atomically
from archive.errors import FolderError
from archive.reader import SurveyReader
from surveys.tracking_rows import SUMMARY, read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row = dict[str, Any]

_TITLES = {
    "number": "number per µm²",
    "radius": "mean radius, nm",
    "spread": "spread of the radius, relative",
    "volume": "volume per area, nm",
    "fraction": "part that has changed",
}
_LOGS = ("number", "radius", "volume")
_COLOURS = ("#2a6f97", "#c1666b", "#6a994e", "#8e6c8a", "#bc6c25", "#577590")
_SHOWN_FRAMES = 5
_SHOWN_REASONS = 12
_SHOWN_BURSTS = 8
_STRIP = 6


def write_tracking_report(
    folder: Path,
    rehearsed: Sequence[Row] = (),
    out: Path | None = None,
    *,
    found: Row | None = None,
    renewed_s: float | None = None,
) -> Path:
    """Write ``report.html`` into a followed specimen's folder, or into ``out``; returns its path.

    ``found``: what is known while it goes on; a browser is then to show the page anew after ``renewed_s``. Raises
    FolderError where nothing was followed in it, or not to an end or a stop.
    """
    rows = read_rows(folder)
    try:
        found = found or json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not rows:
            raise FolderError(f"{folder}: nothing was followed here ({error.filename} is not there)") from error
        raise FolderError(
            f"{folder}: following runs still, or was cut off after {rows[-1]['ended_s']:.0f} s; `adaptem resume "
            f"{folder}` goes on, and ends in a report"
        ) from error
    looked = [row for row in rows if row["look"] is not None]
    environment = Environment(
        loader=PackageLoader("review"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("tracking.html").render(
        name=folder.name,
        found=found,
        renewed_s=renewed_s,
        rehearsed=rehearsed,
        reasons=_reasons(looked),
        orders=[row for row in rows if row.get("order")],
        swept=[row for row in rows if row.get("focus")],
        faults=[row for row in rows if row["fault"]],
        descriptors=_encoded(_descriptors(looked, found)),
        laws=_encoded(_laws(rows, found)),
        dose=_encoded(_dose(looked)),
        drift=_drift(rows, found),
        frames=_frames(folder, looked),
        bursts=_bursts(folder, looked),
    )
    path = (out or folder) / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode(), durable=False)
    return path


def _reasons(looked: Sequence[Row]) -> list[Row]:
    """The looks that were expected to tell most."""
    told = [row for row in looked if row["decided_by"] == "agent"]
    return sorted(sorted(told, key=lambda row: -row["nats"])[:_SHOWN_REASONS], key=lambda row: row["t_s"])


def _descriptors(looked: Sequence[Row], found: Row) -> Figure:
    """What was told of every place, and what the likeliest law says of it."""
    names = found["descriptors"]
    shown = [n for n in range(len(names)) if any(row["values"] and row["values"][n] is not None for row in looked)]
    figure = Figure(figsize=(11, 2.3 * len(shown)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True))
    courses = found["laws"][0]["courses"] if found["laws"] else []
    for axis, n in zip(axes, shown, strict=True):
        scale = np.exp if names[n] in _LOGS else np.asarray
        for course in courses:
            colour = _COLOURS[course["place"] % len(_COLOURS)]
            low, middle, high = (scale(np.array(course[part])[:, n]) for part in ("low", "middle", "high"))
            axis.fill_between(course["times_s"], low, high, color=colour, alpha=0.15, linewidth=0)
            axis.plot(course["times_s"], middle, color=colour, linewidth=0.8)
        for row in looked:
            if row["values"] and row["values"][n] is not None:
                value, sd, place = row["values"][n], row["sds"][n], row["place"]
                ends = np.abs(scale(np.array([value - sd, value + sd])) - scale(np.array(value)))
                control = row["decided_by"] == "runner"
                axis.errorbar(
                    row["t_s"],
                    float(scale(np.array(value))),
                    yerr=ends[:, None],
                    fmt="s" if control else ".",
                    color="0.3" if control else _COLOURS[place % len(_COLOURS)],
                    markersize=4 if control else 5,
                    linewidth=0.7,
                )
        for change in found["changes"]:
            axis.axvline(change["t_s"], color="0.2", linewidth=0.8, linestyle=":")
        axis.set_ylabel(_TITLES[names[n]], fontsize=8)
        axis.set_ylim(*_range(looked, n, scale))
        axis.tick_params(labelsize=8)
    axes[-1].set_xlabel("time, s", fontsize=8)
    return figure


def _range(looked: Sequence[Row], n: int, scale: Any) -> tuple[float, float]:
    values = np.array([row["values"][n] for row in looked if row["values"] and row["values"][n] is not None])
    told = scale(values)
    low, high = float(told.min()), float(told.max())
    margin = 0.15 * max(high - low, 1e-3 * abs(high), 1e-6)
    return (min(low - margin, 0.0) if low >= 0 and low < 0.5 * high else low - margin), high + margin


def _laws(rows: Sequence[Row], found: Row) -> Figure:
    """Probabilities of the laws, evidence against all of them, and what the holder read."""
    holder = sorted({name for row in rows for name in row["holder"]})
    figure = Figure(figsize=(11, 4.2 + 1.4 * len(holder)), layout="constrained")
    axes = figure.subplots(2 + len(holder), 1, sharex=True, height_ratios=[2, 1] + [1] * len(holder))
    times = [row["t_s"] for row in rows]
    for n, law in enumerate(found["probabilities"]):
        course = [row["probabilities"][law] for row in rows]
        if max(course) > 0.02:
            axes[0].plot(times, course, label=law, color=matplotlib.colormaps["tab10"](n % 10), linewidth=1.3)
    axes[0].set_ylabel("probability,\nif it is one of them", fontsize=8)
    axes[0].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[1].plot(times, [row["against_all"] for row in rows], color="0.3")
    axes[1].axhline(found["log_threshold"], color="#c1666b", linestyle="--", linewidth=0.9)
    axes[1].set_ylabel("ln evidence\nagainst all", fontsize=8)
    for axis, name in zip(axes[2:], holder, strict=True):
        axis.plot(times, [row["holder"].get(name, np.nan) for row in rows], ".", markersize=2, color="0.5")
        axis.plot(times, [row["held"].get(name, np.nan) for row in rows], color="#bc6c25", linewidth=1.0)
        axis.set_ylabel(name, fontsize=8)
    axes[-1].set_xlabel("time, s", fontsize=8)
    for axis in axes:
        axis.tick_params(labelsize=8)
    return figure


def _dose(looked: Sequence[Row]) -> Figure:
    """Which look was taken when, where, and the electrons spent."""
    names = list(dict.fromkeys(row["look"] for row in looked))
    figure = Figure(figsize=(11, 1.4 + 0.4 * len(names)), layout="constrained")
    axis = figure.subplots()
    for row in looked:
        control = row["decided_by"] == "runner"
        colour = "0.3" if control or row["place"] is None else _COLOURS[row["place"] % len(_COLOURS)]
        marker = "s" if control else "x" if row["decided_by"] == "fallback" else "o"
        axis.plot(row["t_s"], names.index(row["look"]), marker, color=colour, markersize=5)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.set_xlabel("time, s (a colour for each place, squares: controls, crosses: the agent was late)", fontsize=8)
    beside = axis.twinx()
    spent = np.cumsum([row["electrons"] for row in looked])
    beside.plot([row["t_s"] for row in looked], spent, color="0.6", linewidth=0.9)
    beside.set_ylabel("electrons", fontsize=8)
    axis.tick_params(labelsize=8)
    return figure


def _drift(rows: Sequence[Row], found: Row) -> dict[str, str] | None:
    """How far the specimen has drifted, by time; None: no image told."""
    told = [row for row in rows if row.get("drift") and row["drift"]["away_nm"] is not None]
    if not told:
        return None
    figure = Figure(figsize=(11, 2.4), layout="constrained")
    axis = figure.subplots()
    for place in sorted({row["place"] for row in told}):
        here, colour = [row for row in told if row["place"] == place], _COLOURS[place % len(_COLOURS)]
        times_s = [row["t_s"] for row in here]
        for n, (name, marker) in enumerate((("x", "o-"), ("y", "^:"))):
            drift_nm = [row["drift"]["mean"][n][1 + place] for row in here]
            label = f"place {place}, in {name}"
            axis.plot(times_s, drift_nm, marker, color=colour, linewidth=0.8, markersize=4, label=label)
        axis.plot(times_s, [row["drift"]["away_nm"] for row in here], "x", color=colour, markersize=4)
    axis.set_ylabel("nm", fontsize=8)
    axis.set_xlabel("time, s", fontsize=8)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.tick_params(labelsize=8)
    return {"image": _encoded(figure), "told": found["drift"]["told"]}


def _frames(folder: Path, looked: Sequence[Row]) -> list[dict[str, str]]:
    """Some images of one place, from the first to the last."""
    images = [row for row in looked if row["exposures"] and row["values"] and row["values"][0] is not None]
    if not images:
        return []
    place = max({row["place"] for row in images}, key=lambda p: sum(row["place"] == p for row in images))
    here = [row for row in images if row["place"] == place]
    chosen = [here[n] for n in sorted({round(k) for k in np.linspace(0, len(here) - 1, _SHOWN_FRAMES)})]
    found = []
    with SurveyReader(folder) as reader:
        for row in chosen:
            image = next((a for a in reader.frame(row["exposures"][0]).values() if a.ndim == 2), None)
            if image is None:
                continue
            low, high = np.percentile(image.astype(np.float64), (1, 99.8))
            figure = Figure(figsize=(2.4, 2.4), layout="constrained")
            axis = figure.subplots()
            axis.imshow(image, cmap="gray", vmin=low, vmax=high)
            axis.set_axis_off()
            found.append({"image": _encoded(figure), "caption": f"{row['t_s']:.0f} s, place {place}, {row['look']}"})
    return found


def _bursts(folder: Path, looked: Sequence[Row]) -> list[dict[str, str]]:
    """A strip of each burst: frames from before the event to after it, all by one scale."""
    found = []
    with SurveyReader(folder) as reader:
        for row, burst in [(each, burst) for each in looked for burst in each.get("bursts", ())][:_SHOWN_BURSTS]:
            frames = reader.frame(row["exposures"][0])[burst["signal"]].astype(np.float32)
            event = min(burst["frame"] - burst["first"], len(frames) - 1)
            chosen = sorted({round(n) for n in np.linspace(0, len(frames) - 1, _STRIP)} | {event})
            low, high = np.percentile(frames, (1, 99.8))
            figure = Figure(figsize=(1.5 * len(chosen), 1.8), layout="constrained")
            for axis, n in zip(np.atleast_1d(figure.subplots(1, len(chosen))), chosen, strict=True):
                axis.imshow(frames[n], cmap="gray", vmin=low, vmax=high)
                axis.set_title("event" if n == event else f"{n - event:+d}", fontsize=8)
                axis.set_axis_off()
            lost = f", {burst['lost']} of its window never came" if burst["lost"] else ""
            told = f"{row['t_s']:.0f} s, place {row['place']}, {row['look']}: {burst['frames']} frames are kept{lost}"
            found.append({"image": _encoded(figure), "caption": told})
    return found


def _encoded(figure: Figure) -> str:
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=110)
        return base64.b64encode(file.getvalue()).decode()
