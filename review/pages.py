"""What every page shares: the templates, who is judging, and the one thread that draws pictures."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

from review.gallery import Gallery
from review.words import counted, length, named, quantity, share

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from review.study import Study

T = TypeVar("T")

REVIEWER = "adaptem_reviewer"


class Pages:
    """Renders templates for a browser."""

    def __init__(self, study: Study, reviewer: str) -> None:
        """``reviewer``: who judges unless a browser says otherwise."""
        self._study = study
        self._reviewer = reviewer
        self._gallery: tuple[object, Gallery] | None = None
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="painter")
        self._templates = Environment(
            loader=PackageLoader("review"), autoescape=select_autoescape(), undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters.update(counted=counted, nm=length, quantity=quantity, share=share, named=named)

    def page(self, template: str, request: Request, **content: Any) -> HTMLResponse:
        """A page; everything in it is escaped."""
        rendered = self._templates.get_template(template).render(
            survey=self._study.name, journal=self._study.journal.id, reviewer=self.who(request), **content
        )
        return HTMLResponse(rendered)

    def who(self, request: Request) -> str:
        """Who judges in this browser."""
        try:
            return bytes.fromhex(request.cookies.get(REVIEWER, "")).decode()[:80] or self._reviewer
        except ValueError:
            return self._reviewer

    async def painted(self, draw: Callable[[], T]) -> T:
        """Run in the painter's thread, which alone reads frames."""
        return await asyncio.get_running_loop().run_in_executor(self._painter, draw)

    def gallery(self) -> Gallery:
        """Of the record as it stands now. To be called in the painter's thread.

        One made while the survey ran knows neither the contrast nor the surroundings of what came later.
        """
        known = self._study.known()
        if self._gallery is None or self._gallery[0] != known.extent:
            if self._gallery is not None:
                self._gallery[1].close()
            self._gallery = known.extent, Gallery(self._study.folder, known.places, self._study.features)
        return self._gallery[1]
