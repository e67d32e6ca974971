"""Places that can be judged: what was flagged, the random controls and the seeded positives, each once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import TypeAdapter

from envs.step import Kind, Purpose, Stream
from envs.targets import Area, grid_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from envs.step import Step
    from envs.targets import Target, TargetTree

Ratio: TypeAlias = float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One site with all that is known of it. A blind page is shown none of these fields."""

    specimen: str
    target: int
    """Id of the site among the specimen's targets."""
    x_nm: float
    y_nm: float
    width_nm: float
    height_nm: float
    exposure_id: int
    """The frame that shows it."""
    streams: tuple[str, ...]
    """policy, control, seeded: it may be of several."""
    inclusion_probability: Ratio | None = None
    """Of the site among the random controls; None = it is none."""
    flag: dict[str, Any] | None = None
    """As the survey wrote it; None = it was not flagged."""
    near: bool
    """It has a look of its own; False = only an overview shows it."""
    injected: dict[str, Any] | None = None
    """Whence the known feature is that a reviewer sees here (survey, specimen, target, exposure_id). It is in the
    picture alone: what the record says of the place is of an ordinary one. None = it shows what was recorded."""

    @property
    def key(self) -> str:
        """The same for every reviewer."""
        return f"{self.specimen}/{self.target}"

    @property
    def trains(self) -> bool:
        """Whether a label of it may teach a model: chosen by the policy, and neither control nor seeded positive.

        Those two are the audit set. A model that had seen them would be judged by what it knows.
        """
        return self.streams == (Stream.POLICY.value,)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


PLACE = TypeAdapter(Place)


def places_of(config: Mapping[str, Any], steps: Iterable[Step], flags: Sequence[Mapping[str, Any]]) -> list[Place]:
    """Every place that can be judged: by rank what was flagged, then controls in the order taken, then seeded ones.

    A control whose frame was lost cannot be judged and is not among them.
    """
    trees = trees_of(config)
    found = {place.key: place for place in map(_flagged, flags)}
    for place in _drawn(steps, trees):
        known = found.get(place.key)
        found[place.key] = place if known is None else _both(known, place)
    return list(found.values())


def trees_of(config: Mapping[str, Any]) -> dict[str, TargetTree]:
    """The targets of each specimen, by its name, as the survey had them."""
    detail = config["looks"]["detail"]
    site_nm, overlap = detail["field_of_view_nm"], detail.get("overlap_ratio", 0.0)  # earlier records do not tell it
    patch_nm = site_nm * config["looks"]["overview"]["sites"]
    return {one["name"]: grid_tree(Area(**one["area"]), patch_nm, site_nm, overlap) for one in config["specimens"]}


def _flagged(flag: Mapping[str, Any]) -> Place:
    site = flag["sites"][0]
    return Place(
        specimen=flag["specimen"], target=site["target"], x_nm=site["x_nm"], y_nm=site["y_nm"],
        width_nm=site["width_nm"], height_nm=site["height_nm"], exposure_id=flag["exposure_id"],
        streams=(Stream.POLICY.value,), flag=dict(flag), near="overview only" not in flag["tags"],
    )  # fmt: skip


def _drawn(steps: Iterable[Step], trees: Mapping[str, TargetTree]) -> Iterator[Place]:
    """Controls and seeded positives that have a frame."""
    for step in steps:
        if step.target is None or step.specimen not in trees:
            continue
        site = trees[step.specimen][step.target]
        own = [(record.exposure.id, tag) for record in step.exposures if record.committed for tag in record.tags]
        for number, tag in (*own, *step.retagged):
            if number is None or tag.stream not in (Stream.CONTROL, Stream.SEEDED):
                continue
            if tag.stream is Stream.CONTROL and step.kind is not Kind.CONTROL:
                continue  # told again by the control's own step
            if step.shown is not None and step.shown.purpose in (Purpose.FOCUS, Purpose.DRIFT):
                continue
            shown = number if step.shown is None or step.shown.exposure.id is None else step.shown.exposure.id
            yield _at(step.specimen, site, shown, tag.stream.value, tag.inclusion_probability)
            break


def _at(specimen: str, site: Target, exposure_id: int, stream: str, probability: Ratio | None) -> Place:
    return Place(
        specimen=specimen, target=site.id, x_nm=site.x_nm, y_nm=site.y_nm, width_nm=site.width_nm,
        height_nm=site.height_nm, exposure_id=exposure_id, streams=(stream,), inclusion_probability=probability,
        near=True,
    )  # fmt: skip


def _both(one: Place, other: Place) -> Place:
    """One place of two streams; a look of its own shows it better than an overview."""
    better = other if other.near and not one.near else one
    return replace(
        one,
        streams=tuple(sorted({*one.streams, *other.streams})),
        inclusion_probability=other.inclusion_probability or one.inclusion_probability,
        exposure_id=better.exposure_id,
        near=one.near or other.near,
    )
