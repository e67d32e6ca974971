"""The running survey in a browser: one stream of what happens, and requests that the runner reads."""

from __future__ import annotations

import asyncio
import io
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request
from PIL import Image
from pydantic import Field
from starlette.responses import JSONResponse, Response, StreamingResponse

from archive.errors import ArchiveError, FolderError
from archive.reader import SurveyReader
from envs.novelty import image_of
from envs.step import Purpose
from review.live import CURSOR, Cursor, latest, left_of, news, requests_of, site_at, without_places
from review.pictures import greys, limits_of
from review.status import status_of
from review.told import Told
from review.words import as_json
from surveys.asking import ask_running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from review.live import News
    from review.pages import Pages
    from review.study import Study

POLL_S = 0.5
BEAT_S = 15.0
"""Without news for so long, a sign of life: a proxy in between would close a silent line."""
_STATUS_S = 1.5
_FRAME_PX = 256
Nanometres = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]


class Ask(Told):
    """What a person asks of the survey."""

    kind: Literal["pause", "resume", "stop", "skip", "look_here", "approve", "reject"]
    specimen: Annotated[str, Field(max_length=200)] | None = None
    """On which the place was picked."""
    x_nm: Nanometres | None = None
    y_nm: Nanometres | None = None
    proposal: Annotated[int, Field(ge=1)] | None = None


class LiveRoutes:
    """Reads the record and writes requests; there is no other way to a survey from here."""

    def __init__(self, study: Study, pages: Pages, leaving: Callable[[], bool]) -> None:
        """``leaving``: whether the server is about to end, and streams with it."""
        self._study, self._pages, self._leaving = study, pages, leaving
        self._status: tuple[float, dict[str, Any]] = (float("-inf"), {})
        self._reader: SurveyReader | None = None
        self.router = APIRouter()
        self.router.add_api_route("/live", self.page, methods=["GET"], response_model=None)
        self.router.add_api_route("/api/live", self.now, methods=["GET"], response_model=None)
        self.router.add_api_route("/api/stream", self.stream, methods=["GET"], response_model=None)
        self.router.add_api_route("/api/news", self.news, methods=["GET"], response_model=None)
        self.router.add_api_route("/live/frame/{exposure}", self.frame, methods=["GET"], response_model=None)
        self.router.add_api_route("/api/requests", self.ask, methods=["POST"], response_model=None)

    async def page(self, request: Request) -> Response:
        """The page."""
        running = self._study.running
        hidden = await asyncio.to_thread(self._study.is_hidden, self._pages.who(request))
        cut_off = not running and not self._study.has_ended()
        autonomy = self._study.meta.config.get("autonomy", "auto")
        return self._pages.page(
            "live.html", request, running=running, hidden=hidden, cut_off=cut_off, autonomy=autonomy
        )

    async def now(self, request: Request) -> Response:
        """State, place, budget, what waits for an answer."""
        if time.monotonic() - self._status[0] > _STATUS_S:
            self._status = time.monotonic(), await asyncio.to_thread(self._told_now)
        told = self._status[1]
        if await asyncio.to_thread(self._study.is_hidden, self._pages.who(request)):
            told = without_places(told)
        return Response(as_json(told), media_type="application/json")

    def _told_now(self) -> dict[str, Any]:
        folder = self._study.folder
        status = status_of(folder)
        return {
            **status,
            "running": self._study.running,
            "requests": requests_of(folder),
            **left_of(self._study.meta, folder, status["specimen"]),
        }

    async def stream(self, request: Request, after: Annotated[str, Query(pattern=f"^({CURSOR})?$")] = "") -> Response:
        """Server-sent events; a browser that comes back says by Last-Event-ID what it has, and gets the rest."""
        since = Cursor.of(request.headers.get("last-event-id", "") or after)
        return StreamingResponse(
            self._told_on(request, since), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def news(self, request: Request) -> Response:
        """Everything so far that a page shows: the latest steps, and every remark."""
        found = await asyncio.to_thread(self._read, self._pages.who(request), partial(latest, self._study.folder))
        told = [{"kind": kind, "id": str(cursor), "body": body} for cursor, kind, body in found]
        return Response(as_json(told, indent=None), media_type="application/json")

    async def _told_on(self, request: Request, since: Cursor) -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        silent_s = 0.0
        while not self._leaving() and not await request.is_disconnected():
            read = partial(news, self._study.folder, since)
            found = await asyncio.to_thread(self._read, self._pages.who(request), read)
            for since, kind, body in found:
                yield f"id: {since}\nevent: {kind}\ndata: {as_json(body, indent=None)}\n\n"
            silent_s = 0.0 if found else silent_s + POLL_S
            if silent_s >= BEAT_S:
                silent_s = 0.0
                yield ": still here\n\n"
            if not found:
                await asyncio.sleep(POLL_S)

    async def frame(self, request: Request, exposure: Annotated[int, Path(ge=1, le=10**12)]) -> Response:
        """A frame as a whole; not of a control, and not to who has still to judge."""
        if await asyncio.to_thread(self._study.is_hidden, self._pages.who(request)):
            raise HTTPException(404, "shown once you have judged")
        drawn = await self._pages.painted(lambda: self._drawn(exposure))
        if drawn is None:
            raise HTTPException(404, "no such frame, or it is missing or damaged")
        headers = {"Cache-Control": "private, max-age=3600, immutable"}
        return Response(drawn, media_type="image/webp", headers=headers)

    def _drawn(self, exposure: int) -> bytes | None:
        if self._reader is None:  # here, in the painter's own thread
            self._reader = SurveyReader(self._study.folder)
        try:
            if self._reader.rows.exposure(exposure).purpose is Purpose.CONTROL:
                return None
            image = image_of(self._reader.recorded(exposure), self._study.meta.config.get("scorer", {}).get("signal"))
        except (ArchiveError, ValueError):
            return None
        picture = Image.fromarray(greys(image, limits_of(image)))
        picture.thumbnail((_FRAME_PX, _FRAME_PX))
        stream = io.BytesIO()
        picture.save(stream, format="WEBP", quality=80)
        return stream.getvalue()

    async def ask(self, request: Request, told: Ask) -> Response:
        """Leave a row that the runner reads; whatever comes of it, the guard checks."""
        person = self._pages.who(request)
        try:
            done = await asyncio.to_thread(self._asked, told, person)
        except FolderError as error:
            raise HTTPException(409, str(error)) from None
        return JSONResponse(done)

    def _asked(self, told: Ask, person: str) -> dict[str, Any]:
        folder = self._study.folder
        data: dict[str, object] = {}
        if told.kind in ("look_here", "skip"):
            if told.x_nm is None or told.y_nm is None:
                raise HTTPException(422, f"{told.kind} needs a place: x_nm and y_nm")
            now = status_of(folder)["specimen"]
            if told.specimen not in (None, now):
                raise HTTPException(409, f"the place is one of specimen {told.specimen}, now it is {now}: pick again")
            if now is None:
                raise HTTPException(409, "no specimen was begun yet")
            data = {"x_nm": told.x_nm, "y_nm": told.y_nm}
            if told.kind == "skip":
                data = {"target": site_at(self._study.meta, now, told.x_nm, told.y_nm)}
            data["specimen"] = now
        elif told.kind in ("approve", "reject"):
            if told.proposal is None:
                raise HTTPException(422, f"{told.kind} needs the proposal's number")
            data = {"proposal": told.proposal}
        return {"request": ask_running(folder, told.kind, data, person=person)}

    def _read(self, person: str, read: Callable[..., list[News]]) -> list[News]:
        """What this person may be told; where the survey ended while it was read, as after the end."""
        hidden = self._study.is_hidden(person)
        found = read(hidden=hidden)
        return read(hidden=True) if found and not hidden and self._study.is_hidden(person) else found
