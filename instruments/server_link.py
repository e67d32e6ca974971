"""One connection to a driver server: say hello, ask, wait for the answer and beat meanwhile."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Protocol

from instruments import codec
from instruments.errors import Disconnected, Timeout
from instruments.server.wire import BEAT_S, PROTOCOL, BadMessage, Closed, prepare, receive, send

if TYPE_CHECKING:
    import threading
    import weakref

    from instruments.codec import Arrays, Json

HOST = "127.0.0.1"
_CONNECT_S = 2.0


class Link:
    """Raises Disconnected where the server cannot be reached, or speaks another protocol; BusyError for a second pilot.

    ``role``: "pilot" moves and exposes, any other looks and blanks. ``who`` was fenced off does not come back.
    ``name``: of the instrument that is meant; raises NotSupported where another one answers. None: whichever does.
    """

    def __init__(self, port: int, token: str, role: str, who: str = "somebody", name: str | None = None) -> None:
        try:
            self._socket = prepare(socket.create_connection((HOST, port), timeout=_CONNECT_S))
        except OSError as error:
            raise Disconnected(
                f"asked for a driver server on port {port} of this computer, found: {error}; start it on the "
                "instrument's computer, and the tunnel to it, then try again"
            ) from error
        try:
            hello = {"protocol": PROTOCOL, "token": token, "role": role, "who": who, "name": name}
            self.about = self.ask(hello, _CONNECT_S)[0]
            if "error" in self.about:
                raise codec.error_of(self.about)
        except BaseException:
            self.close()
            raise

    def ask(self, head: Json, limit_s: float) -> tuple[Json, Arrays]:
        """Send a request; returns (head, arrays) of the answer, which may tell of an error.

        Raises Timeout after ``limit_s`` without one, Disconnected where the link is broken: it is closed then.
        """
        give_up_s = time.monotonic() + limit_s

        def beat() -> None:
            if time.monotonic() > give_up_s:
                raise Timeout(f"no answer to {head.get('op', 'hello')} in {limit_s:g} s: it may have been done, or not")
            send(self._socket, {"op": "beat"})

        try:
            send(self._socket, head)
            answer, arrays = receive(self._socket, beat, min(BEAT_S, limit_s / 4))
        except (Closed, BadMessage) as error:
            self.close()
            raise Disconnected(f"the driver server is not there any more: {error}; read every state again") from error
        except BaseException:  # whatever comes on it now would be the answer to another question
            self.close()
            raise
        return answer, arrays

    def beat(self) -> None:
        """Say that somebody is here. Raises Disconnected where the link is broken: it is closed then."""
        try:
            send(self._socket, {"op": "beat"})
        except Closed as error:
            self.close()
            raise Disconnected(f"the driver server is not there any more: {error}") from error

    def close(self) -> None:
        """Safe twice."""
        self._socket.close()


class _Pilot(Protocol):
    def here(self) -> None: ...


def keep_seat(pilot: weakref.ref[_Pilot], parting: threading.Event) -> None:
    """Let a pilot beat for as long as there is one: a server lets another in where the first is not heard."""
    while not parting.wait(2 * BEAT_S):
        present = pilot()
        if present is None:
            return
        present.here()
        del present
