"""The web application of the review: its pages and the pictures of places."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Path, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from archive.errors import JournalError
from archive.standing import standing
from review.atlas_routes import AtlasRoutes
from review.gallery import Contrast, View, site_of
from review.history import histories_of
from review.judged import to_second
from review.label_routes import LabelRoutes
from review.live_routes import LiveRoutes
from review.pages import REVIEWER, Pages
from review.tally import tally
from review.told import Told
from surveys.places import PLACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.labels import Batch
    from review.study import Study
    from surveys.places import Place

_STATIC = FilePath(__file__).with_name("static")
Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


class Wish(Told):
    """More places like one; an empty name takes it back."""

    id: Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    item: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    name: Annotated[str, Field(max_length=60)]


class Reviewer(Told):
    """Who judges."""

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"\S")]


def make_app(study: Study, reviewer: str, leaving: Callable[[], bool] = lambda: False) -> FastAPI:
    """The application, without its gate.

    ``reviewer``: who judges unless a browser says otherwise. ``leaving``: whether the server is about to end.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, title="adaptem review")
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(JournalError, _not_kept)
    pages = Pages(study, reviewer)
    for routes in (
        _Routes(study, pages),
        LabelRoutes(study),
        AtlasRoutes(study, pages),
        LiveRoutes(study, pages, leaving),
    ):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app


async def _not_understood(_: Request, error: Exception) -> Response:
    """What was wrong and where; what was sent is not sent back."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": [{"where": list(each["loc"]), "told": each["msg"]} for each in found]}, 422)


async def _not_kept(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503)


class _Routes:
    """Pages are made in the server's own thread, one after the other; pictures are drawn in another."""

    def __init__(self, study: Study, pages: Pages) -> None:
        self._study = study
        self._pages = pages
        self.router = APIRouter()
        for path, answer in (
            ("/", self.start), ("/batches/{batch}", self.judge), ("/batches/{batch}/result", self.result),
            ("/figures", self.figures), ("/figures/terms", self.terms), ("/api/batches/{batch}", self.batch),
            ("/picture/{item}/{view}/{contrast}", self.picture),
        ):  # fmt: skip
            self.router.add_api_route(path, answer, methods=["GET"], response_model=None)
        self.router.add_api_route("/api/wanted", self.want, methods=["POST"], response_model=None)
        self.router.add_api_route("/api/reviewer", self.name, methods=["POST"], response_model=None)

    async def start(self, request: Request) -> Response:
        """To the batch that waits, or a page that says why there is none."""
        who = self._pages.who(request)
        waiting = self._study.journal.open_batch(who)
        drawn = None if waiting else self._study.batch_for(who)
        batch = waiting or (drawn.id if drawn else None)
        if batch is not None:
            return RedirectResponse(f"/batches/{batch}", 303)
        mine = self._study.journal.batches(who)
        ended = self._study.has_ended()
        return self._pages.page(
            "nothing.html",
            request,
            running=self._study.running and not ended,
            cut_off=not self._study.running and not ended,
            done=mine,
            places=self._study.places,
            second=len(to_second(self._study.journal, "")) if mine else 0,
        )

    async def judge(self, request: Request, batch: Id) -> Response:
        """The blind batch."""
        if self._study.is_locked(batch):
            return RedirectResponse(f"/batches/{batch}/result", 303)
        items = self._blind(batch)
        return self._pages.page(
            "batch.html", request, batch=batch, items=items, first=not any(i["verdict"] for i in items)
        )

    async def batch(self, batch: Id) -> Response:
        """What was said so far."""
        return JSONResponse({"batch": batch, "items": self._blind(batch)})

    async def result(self, request: Request, batch: Id) -> Response:
        """What the machine thought, once the batch is locked."""
        found = self._batch(batch)
        if not self._study.is_locked(batch):
            return RedirectResponse(f"/batches/{batch}", 303)
        said = standing(self._study.journal.events(batch))
        rows = [(item, PLACE.validate_python(dict(item.data)), said.get(item.id)) for item in found.items]
        rows.sort(key=lambda row: (row[1].flag is None, (row[1].flag or {}).get("rank", 0), row[0].position))
        return self._pages.page(
            "result.html",
            request,
            batch=batch,
            rows=rows,
            wanted={item.id: name for item, name in self._study.journal.wanted()},
            histories=histories_of(self._study.folder),
            figures=self._tally(),
            left=self._study.left_for(self._pages.who(request)),
        )

    async def figures(self, request: Request) -> Response:
        """The statistics of every batch that is locked."""
        return self._pages.page(
            "figures.html",
            request,
            figures=self._tally(),
            left=self._study.left_for(self._pages.who(request)),
            left_out=self._study.left_out(),
        )

    async def terms(self, request: Request) -> Response:
        """What each figure means."""
        return self._pages.page("terms.html", request)

    def _tally(self) -> dict[str, Any]:
        return tally(self._study.places, self._study.sites, self._study.journal)

    async def picture(self, item: Id, view: View, contrast: Contrast) -> Response:
        """A place: by its item's id, never by a path or by what it is."""
        try:
            place = PLACE.validate_python(dict(self._study.journal.item(item).data))
        except KeyError:
            raise HTTPException(404) from None
        drawn = await self._pages.painted(lambda: self._draw(place, view, contrast))
        if drawn is None:
            raise HTTPException(404, "its frame is not there or damaged")
        kind = "image/webp" if view == "thumb" else "image/png"
        return Response(drawn, media_type=kind, headers={"Cache-Control": "private, max-age=86400, immutable"})

    async def want(self, told: Wish) -> Response:
        """More like this, for the next survey; of what the policy chose alone, and only after the reveal."""
        try:
            place = PLACE.validate_python(dict(self._study.journal.item(told.item).data))
            if not place.trains:
                raise HTTPException(422, "it is of the audit set, which never teaches")
            self._study.journal.want(told.id, told.item, told.name)
        except KeyError:
            raise HTTPException(404, "no such item") from None
        except ValueError as error:
            raise HTTPException(409, str(error)) from None
        return JSONResponse({"kept": told.id})

    async def name(self, told: Reviewer) -> Response:
        """From now on this browser judges for another person."""
        answer = JSONResponse({"name": told.name.strip()})
        answer.set_cookie(REVIEWER, told.name.strip().encode().hex(), httponly=True, samesite="strict")
        return answer

    def _blind(self, batch: str) -> list[dict[str, Any]]:
        try:
            return self._study.blind(batch)
        except KeyError:
            raise HTTPException(404, "no such batch") from None

    def _batch(self, batch: str) -> Batch:
        try:
            return self._study.journal.batch(batch)
        except KeyError:
            raise HTTPException(404, "no such batch") from None

    def _draw(self, place: Place, view: View, contrast: Contrast) -> bytes | None:
        seeded = None if place.injected is None else place.key
        return self._pages.gallery().picture(place.exposure_id, place.specimen, site_of(place), view, contrast, seeded)
