"""A small survey for tests: 4 patches, 16 or 64 sites of 32 × 32 pixels, seconds on two cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.step import Step
    from surveys.night import Night


def small(sites: int = 4, **changes: Any) -> SurveySettings:
    """``sites`` × ``sites`` sites; ``changes`` replace top-level keys, blocks other than the agent's are merged."""
    data: dict[str, Any] = {
        "name": "small",
        "seed": 3,
        "instrument": {"kind": "simulated"},
        "specimens": [{"name": "a", "area": {"width_nm": 50.0 * sites, "height_nm": 50.0 * sites}}],
        "current_pA": 50.0,
        "looks": {
            "overview": {"sites": 2, "shape": [32, 32], "dwell_us": 2.0},
            "detail": {"field_of_view_nm": 50.0, "shape": [32, 32], "dwell_us": 10.0},
        },
        "budget": {"hours": 1.0, "electrons": 1e12},
        "limits": {
            "backlash_nm": 80.0,
            "stage_uncertainty_nm": 15.0,
            "max_current_pA": 60.0,
            "max_fluence_e_per_A2": 1e5,
        },
        "agent": {"kind": "raster", "corner": 0, "refocus_every": 0},
        "controls": {"count": 2},
    }
    for key, value in changes.items():
        merge = key != "agent" and isinstance(value, dict) and isinstance(data.get(key), dict)
        data[key] = {**data[key], **value} if merge else value
    return SurveySettings.model_validate(data)


def stop_after(night: Night, count: int) -> Callable[[Step, object], None]:
    """For ``run_survey``: the program says stop once step ``count`` is made."""

    def on_step(step: Step, progress: object) -> None:
        if step.number == count:
            night.stop.set()

    return on_step
