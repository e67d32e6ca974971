"""kill -9 during a burst of labels: what was answered is there, and nothing is there twice."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from review_browser import Browser, event, survey

from archive.labels import LabelJournal
from archive.standing import standing

ROOT = Path(__file__).resolve().parents[2]


class Served(Browser):
    """A browser of a server in a process of its own."""

    def __init__(self, folder, port):
        command = [
            sys.executable,
            "-m",
            "console.main",
            "review",
            str(folder),
            "--reviewer",
            "Ada",
            "--port",
            str(port),
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT
        )
        found = None
        while found is None:
            line = self.process.stdout.readline()
            assert line, "the server ended before it told its link"
            found = re.match(r"http://([\d.]+):(\d+)(/login\S+)", line)
        self.host, self.port, self.login = found.groups()
        self.cookie = ""


def test_no_label_is_lost_or_doubled_by_kill_9(tmp_path):
    folder = survey(tmp_path / "night")
    browser = Served(folder, 0)
    assert browser.sign_in(browser.login) == 303
    batch = browser.batch()
    items = [item["id"] for item in browser.items(batch)]
    outbox = [event(batch, items[number % len(items)], verdict=1 + number % 5) for number in range(400)]
    answered: list[str] = []

    def burst():
        try:
            for one in outbox:
                if browser.post(one) != 200:
                    return
                answered.append(one["id"])
        except (OSError, http.client.HTTPException):
            return  # the server is gone

    typing = threading.Thread(target=burst)
    typing.start()
    while len(answered) < 20:
        time.sleep(0.005)
    os.kill(browser.process.pid, signal.SIGKILL)
    typing.join()
    browser.process.wait()
    browser.process.stdout.close()
    assert 20 <= len(answered) < len(outbox)

    again = Served(folder, browser.port)
    try:
        again.cookie = browser.cookie  # the page that was open goes on without a new link
        kept = set(answered)
        for start in range(0, len(outbox), 100):  # as the browser's outbox: what was not answered, and some that was
            waiting = [one for one in outbox[start : start + 100] if one["id"] not in kept or one is outbox[0]]
            assert not waiting or again.post(*waiting) == 200
    finally:
        again.process.terminate()
        again.process.wait()
        again.process.stdout.close()

    journal = LabelJournal(folder / "labels.sqlite")
    events = journal.events(batch)
    assert [row.id for row in events] == [one["id"] for one in outbox]
    said = standing(events)
    assert {item: said[item].blind for item in items} == {
        one["item"]: one["verdict"] for one in outbox
    }  # the last of each
    journal.close()
