"""Pages and pictures of the atlas."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from archive.rows import Rows, open_read_only
from review.atlas import Atlas
from review.overlays import Looked, looked, overlays
from surveys.places import trees_of

if TYPE_CHECKING:
    from review.atlas import Mosaic
    from review.pages import Pages
    from review.study import Study

Specimen = Annotated[str, Path(pattern=r"^[\w.-]+$", max_length=200)]
Number = Annotated[int, Path(ge=0, le=10**9)]
_FINISHED = "private, max-age=3600"


class AtlasRoutes:
    """Overviews as one picture, and what is drawn over it."""

    def __init__(self, study: Study, pages: Pages) -> None:
        self._study, self._pages = study, pages
        self._trees = trees_of(study.meta.config)
        self._atlas: Atlas | None = None
        self._looked: dict[str, tuple[object, Looked]] = {}
        self.router = APIRouter()
        for path, answer in (
            ("/atlas", self.first), ("/atlas/{specimen}", self.page), ("/api/atlas/{specimen}", self.overlay),
            ("/atlas/{specimen}/tile/{level}/{column}/{row}", self.tile),
            ("/atlas/{specimen}/site/{target}", self.site),
        ):  # fmt: skip
            self.router.add_api_route(path, answer, methods=["GET"], response_model=None)

    async def first(self) -> Response:
        """To the first specimen."""
        return RedirectResponse(f"/atlas/{next(iter(self._trees))}", 303)

    async def page(self, request: Request, specimen: Specimen) -> Response:
        """The atlas of a specimen."""
        self._known(specimen)
        return self._pages.page(
            "atlas.html", request, specimen=specimen, specimens=list(self._trees), running=self._study.running
        )

    async def overlay(self, request: Request, specimen: Specimen) -> Response:
        """How large the picture is and how much of it there is, and the boxes over it."""
        self._known(specimen)
        found = await self._pages.painted(lambda: self._described(specimen, self._pages.who(request)))
        return JSONResponse(found)

    def _described(self, specimen: str, reviewer: str) -> dict[str, Any]:
        mosaic, total = self._mosaic(specimen)
        tree, found = self._trees[specimen], self._looked_at(specimen)
        revealed = {p.target: p for p in self._study.revealed(reviewer) if p.specimen == specimen}
        missing = len(self._drawing().unreadable.get(specimen, ()))
        return {
            "width_px": mosaic.width_px, "height_px": mosaic.height_px, "levels": mosaic.levels,
            "pixel_nm": mosaic.pixel_nm, "left_nm": mosaic.left_nm, "top_nm": mosaic.top_nm,
            "pasted": len(mosaic.pasted), "total": total, "missing": missing, "running": self._study.running,
            **overlays(found, tree, mosaic, revealed),
        }  # fmt: skip

    async def tile(self, specimen: Specimen, level: Number, column: Number, row: Number) -> Response:
        """One tile of the picture, as far as it is pasted."""
        self._known(specimen)

        def draw() -> tuple[bytes | None, bool]:
            mosaic, total = self._mosaic(specimen, 0.0)
            return mosaic.tile(level, column, row), len(mosaic.pasted) == total

        drawn, whole = await self._pages.painted(draw)
        if drawn is None:
            raise HTTPException(404, "no such tile")
        headers = {"Cache-Control": _FINISHED if whole and not self._study.running else "no-store"}
        return Response(drawn, media_type="image/webp", headers=headers)

    async def site(self, specimen: Specimen, target: Number) -> Response:
        """The look of its own that a site had: drawn as the review draws it, whoever chose the site."""
        self._known(specimen)
        drawn = await self._pages.painted(lambda: self._site(specimen, target))
        if drawn is None:
            raise HTTPException(404, "it had no look of its own, or its frame is missing or damaged")
        return Response(drawn, media_type="image/png")

    def _site(self, specimen: str, target: int) -> bytes | None:
        exposure = self._looked_at(specimen).shown.get(target)
        if exposure is None:
            return None
        place = self._trees[specimen][target]
        box = (place.x_nm, place.y_nm, place.width_nm, place.height_nm)
        return self._pages.gallery().picture(exposure, specimen, box, "place", "same")

    def _known(self, specimen: str) -> None:
        if specimen not in self._trees:
            raise HTTPException(404, "no such specimen")

    def _drawing(self) -> Atlas:
        if self._atlas is None:  # here, in the painter's own thread
            self._atlas = Atlas(self._study.folder, self._trees)
        return self._atlas

    def _mosaic(self, specimen: str, slice_s: float | None = None) -> tuple[Mosaic, int]:
        atlas = self._drawing()
        return atlas.mosaic(specimen) if slice_s is None else atlas.mosaic(specimen, slice_s)

    def _looked_at(self, specimen: str) -> Looked:
        """While the survey runs without its controls: *Night* tells where the agent looks, they would be the rest."""
        running = self._study.running
        with closing(open_read_only(self._study.folder / "journal.sqlite")) as journal:
            rows = Rows(journal)
            stand = (running, rows.extent())
            if specimen not in self._looked or self._looked[specimen][0] != stand:
                found = looked(rows.steps(specimen), self._trees[specimen], controls=not running)
                self._looked[specimen] = stand, found
        return self._looked[specimen][1]
