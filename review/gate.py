"""Who is let in to the review page: one browser a link, this computer's names only, no writes from other sites."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from archive.labels import LabelJournal

SESSION = timedelta(hours=16)
"""How long a browser stays signed in: a working day, whatever happens to the server."""
_OPENSEADRAGON = "sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE="
"""Of the one style that OpenSeadragon 6.1.1 adds to a page by itself: that text is let in, and no other."""
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' '{_OPENSEADRAGON}'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Doors:
    """Links that admit one browser each, and the browsers that were admitted. Secrets are kept as digests only."""

    def __init__(self, journal: LabelJournal, port: int, now_utc: Callable[[], datetime]) -> None:
        self.cookie = f"adaptem_review_{port}"  # cookies are shared between the ports of a computer
        self._journal = journal
        self._now_utc = now_utc
        self._links: set[str] = set()

    def new_link(self) -> str:
        """A token that admits one browser, once."""
        token = secrets.token_urlsafe(32)
        self._links.add(_digest(token))
        return token

    def admit(self, token: str) -> str | None:
        """The secret of a new session for a token that has not been used; None for any other."""
        digest = _digest(token)
        known = [link for link in self._links if hmac.compare_digest(link, digest)]
        if not known:
            return None
        self._links.discard(known[0])
        secret = secrets.token_urlsafe(32)
        self._journal.admit(_digest(secret))
        return secret

    def knows(self, headers: Headers) -> bool:
        """Whether the request comes from a browser that was admitted, not too long ago."""
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        if morsel is None:
            return False
        since = self._journal.sessions().get(_digest(morsel.value))
        return since is not None and self._now_utc() - datetime.fromisoformat(since) < SESSION


class Gate:
    """ASGI middleware: the Host, then the origin of writes, then the session; and headers that keep the page alone."""

    def __init__(self, app: ASGIApp, doors: Doors, *, names: Collection[str] = (), remote: bool = False) -> None:
        """``names``: of this computer beside loopback's; ``remote``: any IP address of it is right too."""
        self._app = app
        self._doors = doors
        self._names = _LOOPBACK | {name.lower() for name in names}
        self._remote = remote

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no web sockets here

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._login(scope)
        await (answer or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._ours(host):
            return PlainTextResponse("This page answers under this computer's own names only.\n", 421)
        if scope["method"] not in ("GET", "HEAD") and not _same_origin(headers, host):
            return PlainTextResponse("Writes come from this page itself only.\n", 403)
        if scope["path"] != "/login" and not self._doors.knows(headers):
            return PlainTextResponse(
                "Not signed in, or no longer. Open the link that `adaptem review` printed: it admits one browser.\n"
                "For a new link, start `adaptem review` again. Labels that this browser keeps are sent then.\n",
                401,
            )
        return None

    def _login(self, scope: Scope) -> Response | None:
        if scope["path"] != "/login":
            return None
        words = dict(part.partition("=")[::2] for part in scope["query_string"].decode("latin-1").split("&"))
        secret = self._doors.admit(words.get("token", ""))
        if secret is None:
            if self._doors.knows(Headers(scope=scope)):
                return RedirectResponse("/", 303)
            return PlainTextResponse(
                "This link was used, or is not right. Start `adaptem review` for a new one.\n", 401
            )
        answer = RedirectResponse("/", 303)
        age_s = int(SESSION.total_seconds())
        answer.set_cookie(self._doors.cookie, secret, max_age=age_s, httponly=True, samesite="strict")
        return answer

    def _ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or (self._remote and _is_address(name))


def _same_origin(headers: Headers, host: str) -> bool:
    """A browser says where a write comes from; what says nothing is no browser, and has no cookie to abuse."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    return (origin is None or urlsplit(origin).netloc == host) and site in (None, "same-origin")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
