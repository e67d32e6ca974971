"""Forks writers of a survey, so that killing one costs no new import of the world.

A line "FOLDER KILL_AT COUNT" on stdin forks a writer of COUNT exposures that kills itself at its KILL_AT-th call (0:
never). It prints "P pid", then per exposure "I id", "C id", "S number" once that is durable, "T calls" at its end, and
the nursery "D" when it is dead.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from archive_samples import frame, intent, new_folder, recorder, step

from archive.folder import SurveyFolder


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # one write: a kill cannot tear a line


class Executioner:
    """Counts calls and returns of the archive's functions, and what they call in C; kills at one of them."""

    def __init__(self, kill_at: int) -> None:
        self.calls = 0
        self._kill_at = kill_at

    def __call__(self, code_frame, event, argument) -> None:
        if "/archive/" in code_frame.f_code.co_filename:
            self.calls += 1
            if self.calls == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def write(path: Path, kill_at: int, count: int) -> None:
    executioner = Executioner(kill_at)
    sys.setprofile(executioner)
    folder = SurveyFolder.open(path) if (path / "survey.json").exists() else new_folder(path)
    keeper = recorder(folder)
    number = keeper.rows.step_count()
    for _ in range(count):
        exposure_id = intent(keeper)
        say("I", exposure_id)
        keeper.commit(exposure_id, frame(exposure_id))
        say("C", exposure_id)
        keeper.step(step(number, exposure_id))
        say("S", number)
        number += 1
    keeper.close()
    folder.close()
    say("T", executioner.calls)


for line in sys.stdin:
    path, kill_at, count = line.split()
    pid = os.fork()
    if pid == 0:
        write(Path(path), int(kill_at), int(count))
        os._exit(0)
    say("P", pid)
    os.waitpid(pid, 0)
    say("D")
