"""Overviews as bundles carry them, a line each: what other laboratories' surveys may begin with.

Written by ``overview_line``; ``overview_of_line`` believes nothing that it has not checked.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, ValidationError
from pydantic_core import to_json

from archive.library_overview import MOST_SITES, Overview, OverviewSite
from archive.library_records import LibraryError
from envs.overviews import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_DESCRIPTORS = 4096
_MOST = 3e38
"""They are kept with 32 bits."""
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Site(_Told):
    target: NonNegativeInt
    above: FiniteFloat
    interest: FiniteFloat
    flagged: bool
    verdict: Annotated[float, Field(ge=1, le=5)] | None = None
    row: tuple[FiniteFloat, ...]


class _Line(_Told):
    uid: Name
    names: Annotated[tuple[Name, ...], Field(min_length=1, max_length=_MOST_DESCRIPTORS)]
    quantiles: tuple[tuple[FiniteFloat, ...], ...]
    sites: Annotated[tuple[_Site, ...], Field(min_length=1, max_length=MOST_SITES)]


def overview_line(uid: str, overview: Overview) -> dict[str, object]:
    """Of the experiment that it belongs to."""
    sites = [
        {"target": s.target, "above": s.above, "interest": s.interest, "flagged": s.flagged, "verdict": s.verdict,
         "row": list(s.row)}
        for s in overview.sites
    ]  # fmt: skip
    return {"uid": uid, "names": list(overview.names), "quantiles": overview.quantiles.tolist(), "sites": sites}


def overview_of_line(told: Mapping[str, object]) -> tuple[str, Overview]:
    """(uid of its experiment, overview). Raises LibraryError for what is none, or makes no sense."""
    try:
        line = _Line.model_validate_json(to_json(told))
    except ValidationError as error:
        said = error.errors()[0]
        raise LibraryError(f"no overview of a survey: {'.'.join(map(str, said['loc']))}: {said['msg']}") from error
    count = len(line.names)
    if [len(each) for each in line.quantiles] != [count] * len(LEVELS) or {len(s.row) for s in line.sites} != {count}:
        raise LibraryError(f"the overview of {line.uid} has rows that do not fit its {count} descriptors")
    if len({site.target for site in line.sites}) < len(line.sites):
        raise LibraryError(f"the overview of {line.uid} tells a site twice")
    sites = tuple(OverviewSite(s.target, s.above, s.interest, s.flagged, s.verdict, s.row) for s in line.sites)
    numbers = [*(n for s in sites for n in (s.above, s.interest, *s.row)), *(n for row in line.quantiles for n in row)]
    if any(math.fabs(number) > _MOST for number in numbers):
        raise LibraryError(f"the overview of {line.uid} has numbers beyond {_MOST:g}: no descriptor is so large")
    return line.uid, Overview(line.names, np.array(line.quantiles), sites)
