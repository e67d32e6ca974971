"""The conformance suite itself: each broken promise is found by the check that speaks of it, and by no other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from instruments.checks import CheckResult, check_microscope, contrast, shift_px
from instruments.clock import SimulatedClock
from instruments.errors import NotCalibrated, NotSupported
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Optics, Outcome, StagePosition, State


class Altered:
    """A simulated microscope with one method replaced by ``change(scope, method, argument)``."""

    def __init__(self, method: str, change: Any) -> None:
        settings = SimulatedSettings(stage=StageSettings(alpha_deg=None))
        self._scope = SimulatedMicroscope(World(settings, 3, SimulatedClock()))
        self._method, self._change = method, change

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._scope, name)
        if name != self._method:
            return real
        return lambda *arguments: self._change(self._scope, real, *arguments)


def clamped(scope: Any, move: Any, target: StagePosition) -> Outcome[StagePosition]:
    x_nm = None if target.x_nm is None else float(np.clip(target.x_nm, -1e5, 1e5))
    return Outcome(target, move(replace(target, x_nm=x_nm)).achieved)


def nan_ignored(scope: Any, move: Any, target: StagePosition) -> Outcome[StagePosition]:
    if target.y_nm is not None and math.isnan(target.y_nm):
        target = replace(target, y_nm=None)
    return move(target)


def stopping_short(scope: Any, move: Any, target: StagePosition) -> Outcome[StagePosition]:
    return move(replace(target, x_nm=target.x_nm and target.x_nm * 0.3))


def boasting(scope: Any, move: Any, target: StagePosition) -> Outcome[StagePosition]:
    move(target)
    return Outcome(target, StagePosition(x_nm=1e4, y_nm=0.0))


def never_blanked(scope: Any, state: Any) -> State:
    return replace(state(), blanked=False)


def nowhere(scope: Any, state: Any) -> State:
    return replace(state(), stage=StagePosition())


def standing_clock(scope: Any, state: Any) -> State:
    return replace(state(), time_s=5.0)


def flipped(scope: Any, acquire: Any, exposure: Exposure) -> Any:
    frame = acquire(exposure)
    return replace(frame, signals={name: replace(s, data=s.data[:, ::-1]) for name, s in frame.signals.items()})


def frozen(scope: Any, acquire: Any, exposure: Exposure) -> Any:
    frame = acquire(exposure)
    image = np.random.default_rng(0).poisson(50.0, exposure.shape)
    return replace(frame, signals={name: replace(s, data=image) for name, s in frame.signals.items()})


def any_detector(scope: Any, acquire: Any, exposure: Exposure) -> Any:
    return acquire(replace(exposure, signals=None))


def deaf_focus(scope: Any, tune: Any, target: Optics) -> Outcome[Optics]:
    tune(replace(target, defocus_nm=target.defocus_nm and 0.0))
    return Outcome(target, target)


def nothing_refused(scope: Any, tune: Any, target: Optics) -> Outcome[Optics]:
    return Outcome(target, target)


def once(scope: Any, close: Any) -> None:
    if getattr(scope, "_gone", False):
        raise RuntimeError("closed already")
    scope._gone = True
    close()


def refused_and_moved(scope: Any, move: Any, target: StagePosition) -> Outcome[StagePosition]:
    if target.x_nm is not None and target.x_nm > 1e6:
        move(StagePosition(x_nm=500.0))
    return move(target)


def refused_and_tuned(scope: Any, tune: Any, target: Optics) -> Outcome[Optics]:
    if target.defocus_nm is not None and not abs(target.defocus_nm) < 1e6:
        tune(Optics(defocus_nm=scope.state().optics.defocus_nm + 3.0))
    return tune(target)


def crashing(scope: Any, move: Any, target: StagePosition) -> Outcome[StagePosition]:
    if target.x_nm is not None and target.x_nm > 1e6:
        raise ValueError("COM error -2147352567")
    return move(target)


def without_defocus(scope: Any, state: Any) -> State:
    found = state()
    return replace(found, optics=replace(found.optics, defocus_nm=None))


def same(scope: Any, method: Any, *arguments: Any) -> Any:
    return method(*arguments)


def failed(results: list[CheckResult]) -> set[str]:
    return {result.name for result in results if not result.ok}


@pytest.mark.parametrize(
    ("method", "change", "expected"),
    [
        ("move", same, set()),
        ("move", clamped, {"out of range is refused"}),
        ("move", nan_ignored, {"NaN is refused"}),
        ("move", stopping_short, {"read-back is true", "stage and image agree"}),
        ("move", boasting, {"read-back is true"}),
        ("move", refused_and_moved, {"out of range is refused"}),
        ("move", crashing, {"out of range is refused"}),
        ("tune", refused_and_tuned, {"out of range is refused", "NaN is refused"}),
        ("state", without_defocus, {"focus responds"}),
        ("state", never_blanked, {"blank blanks"}),
        ("state", standing_clock, {"read-back is true"}),
        ("acquire", flipped, {"stage and image agree"}),
        ("acquire", frozen, {"stage and image agree", "focus responds"}),
        ("acquire", any_detector, {"a broken exposure is refused"}),
        ("tune", nothing_refused, {"out of range is refused", "NaN is refused", "focus responds"}),
        ("tune", deaf_focus, {"out of range is refused", "NaN is refused", "focus responds"}),
        ("close", once, {"close is safe twice"}),
    ],
)
def test_a_broken_promise_is_found(method: str, change: Any, expected: set[str]) -> None:
    assert failed(check_microscope(Altered(method, change))) == expected


def test_an_unreadable_stage_fails_what_needs_it_and_raises_nothing() -> None:
    results = check_microscope(Altered("state", nowhere))
    assert {result.message for result in results if not result.ok} == {"the stage reads (None, None)"}
    assert {"read-back is true", "stage and image agree"} <= failed(results)


def test_a_driver_that_is_not_calibrated_says_so() -> None:
    def uncalibrated(scope: Any, tune: Any, target: Optics) -> None:
        raise NotCalibrated("defocus is in lens clicks")

    focus = next(r for r in check_microscope(Altered("tune", uncalibrated)) if r.name == "focus responds")
    assert not focus.checked
    assert "lens clicks" in focus.message


def test_what_is_not_supported_and_not_declared_fails() -> None:
    """An instrument that cannot do what all are asked for is one whose driver says so."""

    def unable(scope: Any, tune: Any, target: Optics) -> None:
        raise NotSupported("its focus is a person's")

    results = check_microscope(Altered("tune", unable))
    assert failed(results) == {"focus responds"}
    assert "a person's; where it never will, the driver declares it" in next(r.message for r in results if not r.ok)
    declared = check_microscope(Altered("tune", unable), lacks={"focus responds": "nobody has wired it"})
    assert failed(declared) == set()
    assert [result.name for result in declared if not result.checked] == ["focus responds"]


def test_a_focus_that_is_not_calibrated_and_does_not_read_is_not_judged() -> None:
    def uncalibrated(scope: Any, tune: Any, target: Optics) -> None:
        raise NotCalibrated("defocus is in lens clicks")

    scope = Altered("tune", uncalibrated)
    read = scope.state
    scope.state = lambda: without_defocus(scope, read)
    assert [(result.name, result.ok) for result in check_microscope(scope) if not result.checked] == [
        ("focus responds", True)
    ]


def test_a_motion_too_small_to_see_is_not_judged() -> None:
    results = check_microscope(Altered("move", same), allow_motion_nm=1.0)
    assert "pixels" in next(r.message for r in results if r.name == "stage and image agree")


@pytest.mark.parametrize("shift", [(0, 0), (5, -7), (-12, 3)])
def test_shift_is_found_under_noise(shift: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    scene = rng.normal(size=(160, 160)).cumsum(axis=0).cumsum(axis=1)
    scene = (scene - scene.mean()) / scene.std() + 0.5 * rng.normal(size=scene.shape)
    dr, dc = shift
    before, after = scene[16:144, 16:144], scene[16 - dr : 144 - dr, 16 - dc : 144 - dc]
    assert shift_px(before, after + 0.02 * rng.normal(size=after.shape)) == shift


def test_contrast_does_not_see_counting_noise() -> None:
    rng = np.random.default_rng(1)
    flat = rng.poisson(100.0, (64, 64)).astype(float)
    assert contrast(flat) < 0.05
    flat[:32] *= 2
    assert contrast(flat) > 0.3
