"""The connection to AutoScript's server, made when it is needed; what goes wrong on it, in our words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from instruments.errors import Disconnected, InstrumentError, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator


class AutoscriptLink:
    """One ``TemMicroscopeClient``, connected again after a connection was lost; never once it was let go of."""

    def __init__(self, client: Any, host: str, port: int) -> None:
        """``client``: the vendor's module."""
        self._client, self._host, self._port = client, host, port
        self._link: Any = None
        self.closed = False

    @contextmanager
    def column(self) -> Iterator[Any]:
        """The client, connected. Raises Disconnected, Timeout, InstrumentError."""
        where = f"AutoScript's server at {self._host}:{self._port}"
        if self.closed:
            raise Disconnected(f"{where} was let go of: open the instrument again")
        try:
            if self._link is None:
                link = self._client.TemMicroscopeClient()
                link.connect(self._host, self._port)
                self._link = link
            yield self._link
        except InstrumentError:
            raise
        except TimeoutError as error:
            raise Timeout(f"{where} gave no answer in time ({error}): whether it was done is not known") from error
        except OSError as error:
            self._link = None
            raise Disconnected(f"{where} cannot be reached ({error}): start it, and the tunnel to it") from error
        except Exception as error:  # the vendor's own have no common class outside its library
            raise InstrumentError(f"{where} did not do it: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        self.closed = True
        link, self._link = self._link, None
        if link is not None:
            link.disconnect()
