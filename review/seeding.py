"""Seeded positives: features that people confirmed in earlier surveys, put into ordinary places of this one.

They are the third stream of a review: whoever judges does not know them from flags and controls, and the share of
them that is noticed is the reviewer's sensitivity. They are pictures alone, kept with the labels: the survey made no
exposure for them, nothing of them reaches an agent, a scorer or a model.

earlier surveys ─► locked, blind verdicts of 4 and 5 ─► features ─┐
this survey ─► looks of its own, neither flagged nor control ─────┴─► seeded places ─► labels.sqlite ─► batches
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from archive.labels import LabelJournal
from archive.reader import SurveyReader
from configs.errors import ConfigError
from envs.step import Stream
from review.feature import Feature, UnlikeError, transplanted
from review.judged import INTERESTING, judged_in
from review.overlays import looked
from review.pictures import Frames
from surveys.places import PLACE, Place, trees_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from review.study import Study

MOST = 20
"""Seeded positives of a survey, unless more are asked for."""
_ALIKE_PIXELS = 0.02


def sow(study: Study, known: Sequence[Path], most: int = MOST) -> int:
    """Make seeded positives of what was confirmed in the surveys ``known``; how many there are now.

    Once: those that a survey has stay. Which features go where follows from the survey's seed. Raises ConfigError where
    nothing fits, or the survey has not ended; FolderError, JournalError.
    """
    if study.seeded:
        return len(study.seeded)
    if not study.has_ended():
        found = "still runs" if study.running else "was cut off (`adaptem resume` goes on, or `adaptem end`)"
        raise ConfigError(f"the survey {found}: what is ordinary in it is known at its end, seed it then")
    generator = np.random.default_rng((study.meta.seed, 0x5EED))
    features = [found for folder in known for found in features_of(folder)]
    if not features:
        raise ConfigError(
            f"nobody confirmed a feature in {', '.join(map(str, known))}: it takes a locked batch, judged one by one, "
            f"with a blind verdict of {INTERESTING} or 5 on what the policy chose"
        )
    # each once: whoever notices a feature notices its copies too, so these would tell nothing more
    order = [int(each) for each in generator.permutation(len(features))]
    sown: list[tuple[Place, bytes]] = []
    why: str = "it has no look of its own that was neither flagged nor drawn by chance"
    with SurveyReader(study.folder) as reader:
        frames = _frames(reader)
        hosts = list(_ordinary(study, reader))
        for number in generator.permutation(len(hosts)).tolist():
            if len(sown) == most or not order:
                break
            place = hosts[number]
            for which in order:
                told, feature, pixel_nm = features[which]
                turned = feature.turned(int(generator.integers(8)))
                try:
                    _fit(frames, place, turned, pixel_nm)
                except UnlikeError as error:
                    why = str(error)
                    continue
                order.remove(which)
                sown.append((_seeded(place, told), turned.as_bytes()))
                break
    if not sown:
        raise ConfigError(f"none of {len(features)} known features fits a place of this survey; of the last, {why}")
    study.keep_seeded(sown)
    return len(sown)


def features_of(folder: Path) -> Iterator[tuple[dict[str, Any], Feature, float]]:
    """What people confirmed, blind and one by one, among what the policy chose: whence, pictures, pixel size (nm).

    Of several people the mean verdict counts, and a second thought that takes it back. Raises FolderError,
    JournalError, ConfigError.
    """
    path = folder / "labels.sqlite"
    if not path.is_file():
        raise ConfigError(f"{path} is not there: nobody has judged this survey yet; `adaptem review {folder}`")
    said: dict[str, list[int]] = defaultdict(list)
    places: dict[str, Place] = {}
    with closing(LabelJournal(path)) as journal:
        for one in judged_in(journal):
            if one.place.trains and one.place.near and not one.swept:
                said[one.place.key].append(one.blind if one.revised is None else min(one.blind, one.revised))
                places[one.place.key] = one.place
    with SurveyReader(folder) as reader:
        frames = _frames(reader)
        for key, place in sorted(places.items()):
            feature = _cut(frames, place) if fmean(said[key]) >= INTERESTING else None
            if feature is not None:
                told = {"survey": str(reader.meta.config.get("name", folder.name)), "specimen": place.specimen,
                        "target": place.target, "exposure_id": place.exposure_id}  # fmt: skip
                yield told, feature, frames.pixel_nm(place.exposure_id) or 0.0


def _ordinary(study: Study, reader: SurveyReader) -> Iterator[Place]:
    """Looks of their own that the policy chose and that were not flagged, as places."""
    told = {place.key for place in study.places}
    for specimen, tree in trees_of(reader.meta.config).items():
        flagged = {site["target"] for flag in reader.flags() if flag["specimen"] == specimen for site in flag["sites"]}
        for target, exposure in sorted(looked(reader.steps(specimen), tree).shown.items()):
            if target not in flagged and f"{specimen}/{target}" not in told:
                site = tree[target]
                yield Place(
                    specimen=specimen, target=target, x_nm=site.x_nm, y_nm=site.y_nm, width_nm=site.width_nm,
                    height_nm=site.height_nm, exposure_id=exposure, streams=(Stream.SEEDED.value,), near=True,
                )  # fmt: skip


def _fit(frames: Frames, place: Place, feature: Feature, pixel_nm: float) -> None:
    """Raises UnlikeError where the place would look unlike others with this feature in it."""
    host, own_nm = _cut(frames, place), frames.pixel_nm(place.exposure_id)
    if host is None or own_nm is None:
        raise UnlikeError("its frame, or an overview of it, is not there")
    if abs(own_nm - pixel_nm) > _ALIKE_PIXELS * own_nm:
        raise UnlikeError(f"its pixels are {own_nm:.3g} nm wide, the feature's {pixel_nm:.3g} nm")
    if set(host.channels) - set(feature.channels):
        raise UnlikeError(f"it has {', '.join(host.channels)}, the feature {', '.join(feature.channels)}")
    for one, other in ((host.site, feature.site), (host.around, feature.around)):
        transplanted(one, other)
    for name, image in host.channels.items():
        transplanted(image, feature.channels[name])


def _cut(frames: Frames, place: Place) -> Feature | None:
    """A site out of its own look, out of the overview, and by detector; None where one of them is not there."""
    site_nm = {"x_nm": place.x_nm, "y_nm": place.y_nm, "width_nm": place.width_nm, "height_nm": place.height_nm}
    site, around = frames.site(place.exposure_id, site_nm), frames.around(place.specimen, site_nm)
    if site is None or around is None:
        return None
    (top, left, bottom, right), image = around[1], around[0]
    channels = frames.channels(place.exposure_id, site_nm)
    return Feature(np.asarray(site, np.float32), image[top:bottom, left:right], channels)


def _frames(reader: SurveyReader) -> Frames:
    return Frames(reader, list(reader.steps()), reader.meta.config.get("scorer", {}).get("signal"))


def _seeded(place: Place, told: dict[str, Any]) -> Place:
    return PLACE.validate_python(place.as_dict() | {"injected": told})
