"""The review page as a running server, on this computer's loopback unless somebody insists."""

from __future__ import annotations

import ipaddress
import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from archive.journal import utc_now
from configs.errors import ConfigError
from review.gate import Doors, Gate
from review.server import make_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from review.study import Study

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where it listens, and for whom."""

    host: str = LOOPBACK
    port: int = 8765
    remote: bool = False
    """Whether computers other than this one may connect."""


class Server:
    """A server that already has its port; ``run`` answers until ``stop``, or until it is interrupted."""

    def __init__(self, study: Study, bound: Bound, reviewer: str) -> None:
        """Raises ConfigError for an address that is not loopback's without ``remote``, or a port that is taken."""
        _refuse_remote(bound)
        self._listening = _listen(bound)
        port = self._listening.getsockname()[1]
        self._doors = Doors(study.journal, port, utc_now)
        names = {socket.gethostname(), socket.getfqdn(), bound.host} if bound.remote else set()
        app = make_app(study, reviewer, lambda: self._server.should_exit)
        gate = Gate(app, self._doors, names=names, remote=bound.remote)
        config = uvicorn.Config(
            gate, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        shown = socket.gethostname() if _is_any(bound.host) else f"[{bound.host}]" if ":" in bound.host else bound.host
        self.address = f"http://{shown}:{port}"

    def link(self) -> str:
        """A new link, which admits one browser."""
        return f"{self.address}/login?token={self._doors.new_link()}"

    def run(self) -> None:
        with self._listening:
            self._server.run(sockets=[self._listening])

    def stop(self) -> None:
        self._server.should_exit = True


@contextmanager
def serving(study: Study, bound: Bound, reviewer: str) -> Iterator[Server]:
    """A server in a thread of its own for as long as the block lasts; then the study is closed too.

    Raises as ``Server``.
    """
    with closing(study):
        server = Server(study, bound, reviewer)
        thread = threading.Thread(target=server.run, name="review")
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()


def _refuse_remote(bound: Bound) -> None:
    if not bound.remote and not _is_loopback(bound.host):
        raise ConfigError(
            f"--host {bound.host} would let other computers in, over a connection that is not encrypted: use "
            f"`ssh -L {bound.port}:{LOOPBACK}:{bound.port} THIS_COMPUTER` instead, or add --allow-remote"
        )


def _listen(bound: Bound) -> socket.socket:
    family = socket.AF_INET6 if ":" in bound.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((bound.host, bound.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port {bound.port} of {bound.host} cannot be had ({error.strerror}): name another by --port"
        ) from error
    listening.listen(128)
    return listening


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _is_any(host: str) -> bool:
    """Whether it stands for every address of this computer."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host
