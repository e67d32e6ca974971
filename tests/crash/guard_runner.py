"""A runner that exposes through a guard process, again and again, until it is killed.

One line of JSON on stdin: {"port", "token_file", "ledger", "state", "dwell_us"}. Prints "P" and the processes' numbers,
then "E" before each exposure and "R" with the class of what it raised; after a line on stdin it closes in order.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from guard_rig import LIMITS, NAME

from instruments.errors import InstrumentError
from instruments.types import Exposure


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def main() -> None:
    order = json.loads(sys.stdin.readline())
    os.environ["ADAPTEM_STATE"] = order["state"]
    from instruments.guard_client import GuardClient, Plan
    from instruments.remote import RemoteSettings

    token_file = Path(order["token_file"])
    instrument = RemoteSettings(port=order["port"], token_file=token_file, name=NAME, exposure_overhead_s=4.0)
    client = GuardClient(Plan(instrument=instrument, limits=LIMITS, ledger=Path(order["ledger"])))
    say("P", json.dumps(client.pids))
    leaving = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), leaving.set()), daemon=True).start()
    number = 0
    while not leaving.is_set():
        number += 1
        say("E", number)
        try:
            look = Exposure(
                field_of_view_nm=100.0, shape=(64, 64), dwell_us=order["dwell_us"], id=order["first_id"] + number
            )
            client.acquire(look)
        except InstrumentError as error:
            say("R", type(error).__name__, json.dumps(str(error)))
            leaving.wait(0.2)
    client.close()
    say("C")


if __name__ == "__main__":
    main()
