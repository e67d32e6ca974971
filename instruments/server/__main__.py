"""Serve the instrument: ``python -m server --driver my_driver.py --settings settings.json --token-file token.txt``.

Prints one line of JSON, ``{"port": …}``, when it can be connected to. The token file is made where there is none.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import secrets
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from .log import Log
from .serving import DriverServer


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(prog="server", description=__doc__)
    parser.add_argument("--driver", required=True, help="a Python file, or an importable module, with open_driver()")
    parser.add_argument("--settings", help="a JSON file of the driver's settings")
    parser.add_argument("--token-file", required=True, help="the secret that a client must know, 32 hex digits or more")
    parser.add_argument("--port", type=int, default=0, help="on the loopback; 0 = any that is free")
    parser.add_argument("--name", required=True, type=_name, help="of the instrument: its latches are kept under it")
    parser.add_argument("--overhead-s", type=float, default=1.0, help="beyond an exposure's own time, before blanking")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="blank when stdin ends, and end when nobody is connected"
    )
    options = parser.parse_args()
    settings = json.loads(Path(options.settings).read_text(encoding="utf-8")) if options.settings else {}
    driver = _module(options.driver).open_driver(settings)
    log = Log()
    server = DriverServer(driver, token_of(Path(options.token_file)), options.name, options.overhead_s, say=log.say)
    port = server.listen(options.port)
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _: server.stop(f"signal {number}"))
    if options.until_stdin_closes:
        threading.Thread(target=_await_end, args=(server,), daemon=True).start()
    print(json.dumps({"port": port}), flush=True)
    server.run()
    log.flush()


def _name(text: str) -> str:
    if not text or not all(letter.isalnum() or letter in "._-" for letter in text):
        raise argparse.ArgumentTypeError(f"{text!r}: use letters, digits, dot, dash and underscore")
    return text


def _module(name: str) -> Any:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location("adaptem_driver", name)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{name}: not a Python file that can be read")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def token_of(path: Path) -> str:
    """The token in the file, made where there is none, for its owner's eyes only where the system knows such files."""
    if not path.exists():
        with os.fdopen(os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    token = path.read_text(encoding="ascii").strip()
    if len(token) < 32:
        raise SystemExit(f"{path}: a token of 32 characters at least is needed, found {len(token)}")
    return token


def _await_end(server: DriverServer) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    server.leave("whoever started the server is gone")


if __name__ == "__main__":
    main()
