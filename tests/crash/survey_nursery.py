"""Forks surveys, so that killing one costs no new import of the world.

A line of JSON on stdin, ``{"folder": …, "settings": …}``, forks a child that begins the survey there, or goes on with
one. It prints "P pid", "O" once the night is open, "S number" after each step, "E exit code" at its end;
the nursery prints "D" when the child is dead.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from surveys.night import open_night, resume_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings
from surveys.signals import stopping_on_signals


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # one write: a kill cannot tear a line


def live(folder: Path, settings: dict[str, object]) -> int:
    if (folder / "survey.json").exists():
        night = resume_night(folder)
    else:
        night = open_night(SurveySettings.model_validate(settings), folder)
    with stopping_on_signals(night):
        say("O")
        summary = run_survey(night, lambda step, progress: say("S", step.number))
    say("E", summary.exit_code)
    return summary.exit_code


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(live(Path(order["folder"]), order["settings"]))
            except BaseException:
                traceback.print_exc()
                os._exit(99)
        say("P", pid)
        os.waitpid(pid, 0)
        say("D")


if __name__ == "__main__":
    main()
