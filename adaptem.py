"""adaptem for notebooks: a few names that load what they need when they are called.

>>> import adaptem
>>> env = adaptem.make_env(seed=7)  # a gymnasium environment on a simulated microscope
>>> observation, info = env.reset(seed=7)

``survey = adaptem.open_survey("surveys_data/demo-1")`` reads what a night recorded;
``adaptem.plot(survey.recorded(12))`` shows one of its frames.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from archive.reader import SurveyReader
    from envs.survey_env import SurveyEnv
    from instruments.types import Frame

__all__ = ["make_env", "open_survey", "plot", "shadowed"]

FOLDERS = ("configs", "instruments", "envs", "models", "agent", "archive", "surveys", "training", "review", "console")


def open_survey(folder: str | Path) -> SurveyReader:
    """Everything a survey recorded, read only, while it runs or years later.

    Raises:
        ArchiveError: where there is no survey, or a damaged one.
    """
    survey: SurveyReader = _offer("archive.reader", "SurveyReader")(Path(folder))
    return survey


def make_env(**options: Any) -> SurveyEnv:
    """A survey as a gymnasium environment on a simulated microscope; ``options`` as ``envs.registration`` says."""
    env: SurveyEnv = _offer("envs.registration", "make_survey_env")(**options)
    return env


def plot(frame: Frame) -> Figure:
    """The images of a frame, with places in nm; a burst or a data cube as its mean image."""
    figure: Figure = _offer("review.plotting", "plot_frame")(frame)
    return figure


def shadowed() -> dict[str, str]:
    """Our folders that another one of the same name hides, with the place of the other."""
    here = Path(__file__).resolve().parent
    found = {folder: _place(folder) for folder in FOLDERS}
    return {folder: str(place) for folder, place in found.items() if place != here / folder}


def _place(folder: str) -> Path | None:
    spec = find_spec(folder)
    if spec is None or not spec.submodule_search_locations:
        return None if spec is None or spec.origin is None else Path(spec.origin)
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _offer(module: str, name: str) -> Any:
    if hidden := shadowed():
        folder, other = next(iter(hidden.items()))
        raise ImportError(
            f"asked for adaptem's folder {folder!r}, found {other} first on the path; "
            "start Python in another folder, or install adaptem in an environment of its own"
        )
    return getattr(import_module(module), name)


if __name__ == "__main__":
    from console.main import main

    main()
