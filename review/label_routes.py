"""The one way by which labels come in: each event is kept or refused by itself, and the answer says which and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import Field, ValidationError
from starlette.responses import JSONResponse, Response

from archive.labels import LabelEvent
from review.gallery import Contrast  # noqa: TC001 - pydantic reads the annotation
from review.told import Told

if TYPE_CHECKING:
    from review.study import Study

UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_MOST = 200
"""Events at a time."""


class Shown(Told):
    """How the place was shown when the person spoke."""

    contrast: Contrast
    zoom: Annotated[int, Field(ge=1, le=16)]
    looked_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Since the place was first on the screen."""
    seen: bool
    """Whether its picture had come by then; a verdict without it is worth nothing, and is kept all the same."""
    how: Literal["single", "sweep"] = "single"
    """Of this place by itself, or with the rest of a screen: "all others here are ordinary"."""
    sweep: Annotated[str, Field(pattern=UUID)] | None = None
    """The same for all that was swept up by one key: one undo takes them back."""
    view: Literal["place", "screen"] = "place"
    """One place large, or many at once."""


class EventIn(Told):
    """One event out of a browser's outbox."""

    id: Annotated[str, Field(pattern=UUID)]
    batch: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    item: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None
    kind: Literal["verdict", "undo", "note", "lock"]
    verdict: Annotated[int, Field(ge=1, le=5)] | None = None
    text: Annotated[str, Field(max_length=4000)] | None = None
    shown: Shown

    def as_event(self) -> LabelEvent:
        """Raises ValueError where its parts do not fit together."""
        if (self.kind == "verdict") != (self.verdict is not None) or (self.kind == "lock") != (self.item is None):
            raise ValueError("a verdict has a number and an item; a lock has neither")
        if self.shown.how == "sweep" and self.kind == "verdict" and not (self.verdict == 1 and self.shown.seen):
            raise ValueError("the rest of a screen is ordinary, 1, and only where its picture was seen")
        return LabelEvent(**self.model_dump(exclude={"shown"}), shown=self.shown.model_dump())


class Events(Told):
    """An outbox, oldest first. Each event is read by itself, so that one that is not understood stops no other."""

    journal: Annotated[str, Field(max_length=64)] | None = None
    """Of which labels they are (``LabelJournal.id``): the same port may serve another survey by now."""
    events: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=_MOST)]


class LabelRoutes:
    """Labels are kept in the server's own thread, one post after the other."""

    def __init__(self, study: Study) -> None:
        self._journal = study.journal
        self.router = APIRouter()
        self.router.add_api_route("/api/events", self.keep, methods=["POST"], response_model=None)

    async def keep(self, told: Events) -> Response:
        """Answers once all that can be kept is on disk; one that was sent before is kept once.

        200, or 422 where nothing of it could be kept; 409 where it was said of another survey. A lock is refused where
        what came before it in the same batch was: a batch is not closed over a label that is missing.
        """
        if told.journal not in (None, self._journal.id):
            raise HTTPException(409, "another survey is served here now; these are kept for theirs")
        kept: list[LabelEvent] = []
        refused: list[dict[str, Any]] = []
        for raw in told.events:
            found = self._read(raw, {each["batch"] for each in refused})
            if isinstance(found, LabelEvent):
                kept.append(found)
            else:
                refused.append({"id": _plain(raw.get("id")), "batch": str(raw.get("batch")), "why": _plain(found)})
        self._journal.keep(kept)
        said = [{"id": each["id"], "why": each["why"]} for each in refused]
        return JSONResponse({"kept": [event.id for event in kept], "refused": said}, 200 if kept else 422)

    def _read(self, raw: dict[str, Any], broken: set[str]) -> LabelEvent | str:
        """The event, or why it cannot be kept. ``broken``: batches of which something was refused already."""
        try:
            event = EventIn.model_validate(raw).as_event()
        except ValidationError as error:
            return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        except ValueError as error:
            return str(error)
        if not self._journal.has_given(event.batch, event.item):
            return "its batch or place is not among the labels kept here"
        if event.kind == "lock" and event.batch in broken:
            return "not locked: something said before it was refused"
        return event


def _plain(told: object) -> str:
    """What can be said back, whatever was sent."""
    return str(told)[:300].encode("utf-8", "replace").decode()
