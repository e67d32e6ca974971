"""A survey that can never go on, ended as it is by a person's word: flagged from its record, without the instrument.

steps ─► the scorer's background, folded anew ─► flags ─► "end", with who says so ─► review
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from archive.errors import FolderError
from archive.folder import SurveyFolder, holder, read_meta
from archive.reader import SurveyReader
from archive.recorder import SurveyRecorder
from configs.errors import ConfigError
from surveys.endings import Reason, Summary, last_word
from surveys.learned import load_learned
from surveys.requests import forget_stale
from surveys.settings import recorded
from surveys.tracking_rows import is_followed
from surveys.verdicts import flag_recorded, rank_together

if TYPE_CHECKING:
    from pathlib import Path

    from surveys.learned import Learned
    from surveys.settings import SurveySettings


def conclude(folder: Path, person: str, why: str) -> tuple[SurveySettings, Summary]:
    """End the survey in ``folder`` as it is: its flags are made, and the journal says who ended it and why.

    Nothing moves and nothing is exposed. What was intended and never committed counts as lost, as at any start; a frame
    that the crash cut off from its step stays in the record and is not judged. Raises FolderError where a process still
    runs it, or it has ended; ConfigError without a name and a reason, or where the record cannot be gone through again.
    """
    if not person.strip() or not why.strip():
        raise ConfigError("who ends this survey as it is, and why? Give both: they are kept in its journal")
    read_meta(folder)
    if is_followed(folder):
        raise FolderError(f"{folder}: a specimen is followed here, and whatever is known of it is told as it goes on")
    running = holder(folder)
    if running is not None:
        raise FolderError(f"process {running} still runs the survey in {folder}: `adaptem stop {folder}` ends it")
    with SurveyReader(folder) as reader:
        if (end := last_word(reader.events())) is not None:
            raise FolderError(f"the survey in {folder} has ended ({end.message}): `adaptem review {folder}`")
    with SurveyFolder.open(folder) as place, closing(SurveyRecorder(place)) as record:
        settings = recorded(place.meta.config)
        now_s = record.rows.last_s()
        learned, told = _learned(settings)
        with SurveyReader(folder) as reader:
            try:
                flags = [
                    flag
                    for number in range(len(settings.specimens))
                    for flag in flag_recorded(reader, settings, number, learned)
                ]
            except ValueError as error:
                raise ConfigError(f"{folder} cannot be flagged, so it was not ended: {error}") from error
            cut_off = sum(row.state == "committed" for row in reader.rows.unreported())
        forget_stale(record)
        record.flags(rank_together(flags))
        message = f"ended as it is, says {person}: {why}"
        data = {"reason": Reason.STOPPED, "flags": len(flags), "person": person, "frames_without_step": cut_off}
        record.event("end", message, time_s=now_s, data=data | told)
    return settings, Summary(reason=Reason.STOPPED, message=message, folder=folder, flags=len(flags))


def _learned(settings: SurveySettings) -> tuple[Learned | None, dict[str, object]]:
    """What ranks the flags, if it is still there, and what of it to write down."""
    if settings.flagging.learned is None:
        return None, {}
    try:
        found = load_learned(settings.flagging.learned)
    except ConfigError as error:
        return None, {"learned": f"not used, so flags are ranked by surprise: {error}"}
    return found, {"learned": {"version": found.version, "hash": found.hash}}
