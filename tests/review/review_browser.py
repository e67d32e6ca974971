"""A survey to judge, and a real server that a test talks to as a browser would."""

from __future__ import annotations

import http.client
import json
import uuid
from contextlib import closing, contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

from review_samples import MadeUp, flag

from envs.step import Purpose, Stream, Tag
from review.serving import Bound, serving
from review.study import Study

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from review.serving import Server

CONTROL = Tag(stream=Stream.CONTROL, inclusion_probability=0.12345)
SEEDED = Tag(stream=Stream.SEEDED, inclusion_probability=0.54321)
SHOWN = {"contrast": "same", "zoom": 1, "looked_s": 1.5, "seen": True}


def survey(path: Path, flags: int = 6, controls: int = 5, seeded: int = 2, **changes: Any) -> Path:
    """Its sites are 50 nm apart; every look has a frame; ``changes`` go to every flag."""
    side = 2 * max(ceil((flags + controls + seeded) ** 0.5 / 2), 2)  # sites; a patch has 2 × 2 of them
    area = {"width_nm": 50.0 * side, "height_nm": 50.0 * side}
    first = (side // 2) ** 2  # patches are numbered before sites
    made = MadeUp(path, specimens=[{"name": "gridspecimen", "area": area}])
    made.look(Purpose.SURVEY, specimen="gridspecimen")
    rows = []
    for rank in range(1, flags + 1):
        x_nm = 1000.0 * rank + 234.5
        shown = made.look(x_nm=x_nm, specimen="gridspecimen", target=first + rank - 1)
        site = {"target": first + rank - 1, "x_nm": x_nm, "y_nm": 0.0, "width_nm": 50.0, "height_nm": 50.0}
        told = {"score": round(7.123456 + rank, 6), "q_value": 0.0123 + rank / 1000, "surprise": 3.7654 + rank}
        rows.append(flag(shown, rank, x_nm=x_nm, specimen="gridspecimen", sites=[site], **told, **changes))
    for number in range(controls + seeded):
        tag = CONTROL if number < controls else SEEDED
        purpose = Purpose.CONTROL if number < controls else Purpose.DETAIL
        made.look(purpose, tag=tag, x_nm=7.0, specimen="gridspecimen", target=first + flags + number)
    made.record.flags(rows)
    made.event("end", "the budget is spent", reason="complete")
    made.close()
    return path


def event(batch: str, item: str | None, kind: str = "verdict", **more: Any) -> dict[str, Any]:
    """As a browser's outbox makes it."""
    return {"id": str(uuid.uuid4()), "batch": batch, "item": item, "kind": kind, "shown": SHOWN, **more}


class Browser:
    """One connection a request; remembers its cookie; says where it comes from only when told to."""

    def __init__(self, server: Server) -> None:
        self.host, self.port = server.address.removeprefix("http://").split(":")
        self.cookie = ""

    def ask(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=60)
        sent = {"Cookie": self.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        with closing(connection):  # also where the server dies in the midst of its answer
            connection.request(method, path, data, sent)
            with closing(connection.getresponse()) as answer:
                found = {name.lower(): value for name, value in answer.getheaders()}
                return answer.status, found, answer.read()

    def sign_in(self, link: str) -> int:
        """Open a link; the status of the answer."""
        status, headers, _ = self.ask(link.removeprefix(f"http://{self.host}:{self.port}"))
        self.cookie = headers.get("set-cookie", "").partition(";")[0]
        return status

    def post(self, *events: dict[str, Any]) -> int:
        return self.ask("/api/events", "POST", {"events": list(events)})[0]

    def batch(self) -> str:
        """Id of the batch that waits."""
        return self.ask("/")[1]["location"].removeprefix("/batches/")

    def items(self, batch: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask(f"/api/batches/{batch}")[2])["items"]
        return found


@contextmanager
def served(folder: Path, *, reviewer: str = "Ada", **settings: Any) -> Iterator[tuple[Study, Server, Browser]]:
    """The server in a thread of its own, and a browser that is signed in."""
    study = Study(folder, seed=iter(range(11, 999)).__next__, **settings)
    with serving(study, Bound(port=0), reviewer) as server:
        browser = Browser(server)
        assert browser.sign_in(server.link()) == 303
        yield study, server, browser
