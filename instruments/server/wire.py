"""Messages between processes: a head in JSON, then arrays as raw bytes. Never a pickle.

    8 bytes: "ADW1", length of the JSON │ JSON: {"head": …, "arrays": [{"dtype", "shape"}, …]} │ the arrays' bytes

Python 3.8 and numpy, as everything in this folder: the instrument's own computer may have no more.
"""

from __future__ import annotations

import json
import math
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROTOCOL = 3
"""Both ends must say the same number when they meet."""
SILENCE_S = 2.0
"""A pilot not heard of for so long is taken for gone, and the beam is blanked."""
BEAT_S = 0.2
"""Whoever waits for an answer says so this often."""

_MAGIC = b"ADW1"
_PREFIX = struct.Struct(">4sI")
_MOST_HEAD_BYTES = 1 << 22
_MOST_ARRAY_BYTES = 1 << 35
_SEND_S = 30.0


class Closed(ConnectionError):
    """The other end is gone."""


class BadMessage(ConnectionError):
    """What came is no message of this protocol, so nothing after it can be understood."""


def listener() -> socket.socket:
    """A socket to listen with, on a port that nobody else listens on, also just after somebody has."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows SO_REUSEADDR would let another listen beside
        found.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return found


def unlisten(link: socket.socket) -> None:
    """Close a socket that another thread accepts on, and end its waiting, which elsewhere would keep the port."""
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # where closing does that by itself
    link.close()


def prepare(link: socket.socket) -> socket.socket:
    """Small messages leave at once, and a peer that no longer reads is noticed."""
    link.settimeout(_SEND_S)
    if link.family != getattr(socket, "AF_UNIX", None):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def send(link: socket.socket, head: object, arrays: Sequence[np.ndarray[Any, Any]] = ()) -> None:
    """Send one message. Raises Closed where the other end is gone, TypeError and ValueError for what is no JSON."""
    whole = [np.ascontiguousarray(array) for array in arrays]
    for array in whole:
        if array.dtype.kind not in "biufc":
            raise TypeError(f"arrays of numbers can be sent, not of {array.dtype}")
    about = [{"dtype": array.dtype.str, "shape": list(array.shape)} for array in whole]
    parts = [array.reshape(-1).view(np.uint8).data for array in whole if array.size]  # before anything is sent
    text = json.dumps({"head": head, "arrays": about}, separators=(",", ":")).encode()
    try:
        link.sendall(_PREFIX.pack(_MAGIC, len(text)) + text)
        for part in parts:
            link.sendall(part)
    except OSError as error:
        raise Closed(f"the other end does not take what is sent ({error})") from error


def receive(
    link: socket.socket, tick: Callable[[], None] | None = None, every_s: float = BEAT_S
) -> tuple[Any, list[np.ndarray[Any, Any]]]:
    """Wait for one message; returns (head, arrays). ``tick`` is called about ``every_s`` while it is waited for.

    Raises Closed, BadMessage, and what ``tick`` raises: after any of these the link is of no more use.
    """
    magic, length = _PREFIX.unpack(_exactly(link, _PREFIX.size, tick, every_s))
    if magic != _MAGIC or length > _MOST_HEAD_BYTES:
        raise BadMessage("the other end does not speak this protocol")
    try:
        whole = json.loads(bytes(_exactly(link, length, tick, every_s)).decode())
        head, kinds = whole["head"], [_kind(about) for about in whole["arrays"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadMessage(f"the other end sent what is no message ({error})") from error
    arrays = []
    for dtype, shape, size in kinds:
        data = _exactly(link, size, tick, every_s)
        arrays.append(np.frombuffer(data, dtype=dtype).reshape(shape))
    return head, arrays


def _kind(about: Any) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    dtype, shape = np.dtype(str(about["dtype"])), tuple(about["shape"])
    if dtype.kind not in "biufc" or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array of {dtype} × {shape}")
    size = math.prod(shape) * dtype.itemsize
    if size > _MOST_ARRAY_BYTES:
        raise ValueError(f"an array of {size} bytes")
    return dtype, shape, size


def _exactly(link: socket.socket, size: int, tick: Callable[[], None] | None, every_s: float) -> bytearray:
    buffer = bytearray(size)
    view, got, last_s = memoryview(buffer), 0, time.monotonic()
    while got < size:
        try:
            ready = select.select([link], [], [], None if tick is None else every_s)[0]
            if ready:
                count = link.recv_into(view[got:])
                if not count:
                    raise Closed("the other end has closed the connection")
                got += count
        except Closed:
            raise
        except (OSError, ValueError) as error:  # ValueError: closed at this end meanwhile
            raise Closed(f"the connection is broken ({error})") from error
        if tick is not None and time.monotonic() - last_s >= every_s:
            tick()
            last_s = time.monotonic()
    return buffer
