"""The measures of a survey as a whole: what it covered, found, kept and cost."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from envs.step import Purpose, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archive.reader import SurveyReader
    from archive.rows import ExposureRow
    from instruments.types import Footprint

Told: TypeAlias = "tuple[str, float, float | None, int]"
"""Name, value, standard uncertainty, number of what it comes of."""
_ACROSS = 200
"""Points along each side of an area, by which what is covered is counted."""
_CLOSE = (Purpose.DETAIL, Purpose.CONTROL)
_LOOKS = (Purpose.SURVEY, *_CLOSE)


class Judged(Protocol):
    """What is needed of a frame's quality."""

    @property
    def exposure(self) -> int: ...

    @property
    def purpose(self) -> str: ...

    @property
    def usable(self) -> bool: ...


def whole(reader: SurveyReader, frames: Sequence[Judged]) -> Iterator[Told]:
    """Each measure that can be made."""
    rows = list(reader.exposures())
    done = [row for row in rows if row.frame is not None]
    if rows:
        share = len(done) / len(rows)
        yield "recorded_ratio", share, share_std(share, len(rows)), len(rows)
    if not done:
        return
    yield from _per_cost(done, frames)
    areas = _areas(reader.meta.config)
    if areas:
        yield "coverage_ratio", _covered(areas, done, _CLOSE), None, len(done)
        yield "seen_ratio", _covered(areas, done, _LOOKS), None, len(done)
    if (found := _found(reader.flags())) is not None:
        yield "found_ratio", *found
    slopes = _slopes(done)
    if slopes:
        std = float(np.std(slopes, ddof=1) / math.sqrt(len(slopes))) if len(slopes) > 1 else None
        yield "contamination_per_e_per_A2", float(np.mean(slopes)), std, len(slopes)


def share_std(share: float, count: int) -> float:
    """Standard error of a share of ``count``; not 0 where all or none are so (Agresti & Coull, 1998).

    >>> round(share_std(0.5, 100), 3), round(share_std(1.0, 10), 3)
    (0.049, 0.094)
    """
    middle = (share * count + 2) / (count + 4)
    return math.sqrt(middle * (1 - middle) / (count + 4))


def _per_cost(done: Sequence[ExposureRow], frames: Sequence[Judged]) -> Iterator[Told]:
    """Usable close looks an hour and an electron; a look is usable where any of its signals is."""
    verdicts: dict[int, bool] = {}
    for frame in frames:
        if frame.purpose in _CLOSE:
            verdicts[frame.exposure] = verdicts.get(frame.exposure, False) or frame.usable
    close = [row for row in done if row.purpose in _CLOSE]
    if not verdicts or not close:
        return
    share = sum(verdicts.values()) / len(verdicts)
    number = share * len(close)
    std = len(close) * share_std(share, len(verdicts))
    spans: dict[str, list[float]] = defaultdict(list)
    electrons = 0.0
    for row in done:
        if row.frame is not None:
            spans[row.specimen] += [row.frame.start_s, row.frame.end_s]
            electrons += row.frame.electrons
    hours = sum(max(span) - min(span) for span in spans.values()) / 3600.0
    if hours > 0:
        yield "usable_per_hour", number / hours, std / hours, len(verdicts)
    if electrons > 0:
        yield "usable_per_1e9_electrons", number / electrons * 1e9, std / electrons * 1e9, len(verdicts)


def _areas(config: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    specimens = config.get("specimens")
    if not isinstance(specimens, list | tuple):
        return {}
    return {str(each["name"]): each["area"] for each in specimens if isinstance(each, dict) and each.get("area")}


def _covered(areas: Mapping[str, Mapping[str, float]], done: Sequence[ExposureRow], looks: Sequence[Purpose]) -> float:
    """Share of all areas, by points spread evenly over them."""
    inside = total = 0.0
    for specimen, area in areas.items():
        width, height = float(area["width_nm"]), float(area["height_nm"])
        x = float(area.get("x_nm", 0.0)) + width * ((np.arange(_ACROSS) + 0.5) / _ACROSS - 0.5)
        y = float(area.get("y_nm", 0.0)) + height * ((np.arange(_ACROSS) + 0.5) / _ACROSS - 0.5)
        seen = np.zeros((_ACROSS, _ACROSS), dtype=bool)
        for row in done:
            if row.specimen == specimen and row.purpose in looks:
                seen |= _contains(row.footprint, x, y)
        inside += float(seen.mean()) * width * height
        total += width * height
    return inside / total if total else 0.0


def _contains(place: Footprint, x: Any, y: Any) -> Any:
    """(Y, X) which points lie in a rotated rectangle."""
    angle = math.radians(place.rotation_deg)
    dx, dy = x[None, :] - place.x_nm, y[:, None] - place.y_nm
    along = dx * math.cos(angle) + dy * math.sin(angle)
    across = dy * math.cos(angle) - dx * math.sin(angle)
    return (np.abs(along) <= place.width_nm / 2) & (np.abs(across) <= place.height_nm / 2)


def _found(flags: Sequence[Mapping[str, Any]]) -> tuple[float, float | None, int] | None:
    """Chapman's estimate of how many places deserve a flag, and the share of them that the policy looked at.

    The policy is the first catch, the random controls the second; without a flagged control nothing can be said. The
    standard uncertainty is no smaller than that of a share of so many controls.
    """
    streams = [{str(tag) for tag in flag.get("tags", ())} - {"overview only"} for flag in flags]
    policy = sum(Stream.POLICY.value in tags for tags in streams)
    controls = sum(Stream.CONTROL.value in tags for tags in streams)
    both = sum({Stream.POLICY.value, Stream.CONTROL.value} <= tags for tags in streams)
    if not policy or not controls:
        return None
    total = (policy + 1) * (controls + 1) / (both + 1) - 1
    variance = (policy + 1) * (controls + 1) * (policy - both) * (controls - both) / ((both + 1) ** 2 * (both + 2))
    share = min(policy / total, 1.0)
    return share, max(share * math.sqrt(variance) / total, share_std(share, controls)), controls


def _slopes(done: Sequence[ExposureRow]) -> list[float]:
    """Of each place and signal that was seen twice by one kind of look: relative change of its mean per fluence."""
    places: dict[tuple[Any, ...], list[tuple[float, float]]] = defaultdict(list)
    for row in done:
        if row.frame is None or row.purpose not in _LOOKS:
            continue
        print_ = row.footprint
        grain = print_.width_nm / 4  # the same place, but for what the stage is off
        where = (row.specimen, round(print_.x_nm / grain), round(print_.y_nm / grain), row.exposure.field_of_view_nm)
        fluence = row.frame.electrons / (print_.area_nm2 * 100.0)
        for stored in row.signals:
            if stored.mean is not None:
                level = stored.mean - stored.calibration.get("offset_counts", 0.0)
                places[(*where, stored.signal, row.exposure.dwell_us)].append((fluence, level))
    slopes = []
    for looks in places.values():
        if len(looks) < 2 or looks[0][1] <= 0:
            continue
        before = np.concatenate([[0.0], np.cumsum([fluence for fluence, _ in looks])[:-1]])
        levels = np.array([level for _, level in looks]) / looks[0][1]
        if np.ptp(before) > 0:
            slopes.append(float(np.polyfit(before, levels, 1)[0]))
    return slopes
