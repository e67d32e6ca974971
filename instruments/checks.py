"""Does this instrument keep the contract of ``Microscope``? For tests, and for a laboratory on its own hardware.

Needs a specimen with something to see in the field of view, and gives it six exposures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.errors import InstrumentError, LimitError, NotCalibrated, NotSupported
from instruments.guard_checks import interlocks
from instruments.types import Exposure, Optics, Reading, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from instruments.limits import Interlock
    from instruments.protocol import Microscope

Image: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_NOTHING: Mapping[str, str] = MappingProxyType({})
_FAR_NM = 1e12
"""A kilometre: out of any stage's range."""
_CHANGED: Ratio = 0.1
"""A sharpness that changes by less than this part does not answer to the focus."""

READS: Mapping[Interlock, str] = MappingProxyType(
    {
        "blanker": "the blanker is read",
        "valve": "the column valve is read",
        "vacuum": "the vacuum is read",
        "emission": "the emission is read",
        "high_tension": "the high tension is read",
    }
)
"""The check that each interlock is read."""

EXPOSURE = Exposure(field_of_view_nm=200.0, shape=(128, 128), dwell_us=10.0)
"""What is exposed unless something else is asked for."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found."""

    name: str
    ok: bool
    message: str
    checked: bool = True
    """False where the instrument is not calibrated, or its driver declares that it lacks this: then ``ok`` says
    nothing."""


class _Failed(Exception):
    """A promise that was not kept."""


def check_microscope(
    scope: Microscope,
    *,
    exposure: Exposure = EXPOSURE,
    allow_motion_nm: float | None = None,
    allow_defocus_nm: float = 400.0,
    lacks: Mapping[str, str] = _NOTHING,
) -> list[CheckResult]:
    """Every promise of the contract, one result each, never an error. The last one closes the instrument.

    ``allow_motion_nm``: how far the stage may go along +x and +y (None: an eighth of the field of view);
    ``allow_defocus_nm``: how far the focus may. Both are put back. Hand in a guard where the limits must hold.
    ``lacks``: why, by check, this instrument is known not to pass it; one that passes all the same fails, and so does
    one that is not supported and not named here.
    """
    step_nm = exposure.field_of_view_nm / 8 if allow_motion_nm is None else allow_motion_nm
    checks: dict[str, Callable[[], str]] = {
        **{check: partial(_reads, scope, name) for name, check in READS.items()},
        "read-back is true": lambda: _reads_back(scope, step_nm),
        "blank blanks": lambda: _blanks(scope, exposure),
        "out of range is refused": lambda: _refuses(scope, StagePosition(x_nm=_FAR_NM), Optics(defocus_nm=_FAR_NM)),
        "NaN is refused": lambda: _refuses(scope, StagePosition(y_nm=math.nan), Optics(defocus_nm=math.nan)),
        "a broken exposure is refused": lambda: _refuses_exposures(scope, exposure),
        "stage and image agree": lambda: _directions(scope, exposure, step_nm),
        "focus responds": lambda: _focuses(scope, exposure, allow_defocus_nm),
        "close is safe twice": lambda: _closes(scope),
    }
    return [_declared(_run(name, check), lacks.get(name)) for name, check in checks.items()]


def _declared(result: CheckResult, reason: str | None) -> CheckResult:
    """A declaration is as good as a check only while it is true."""
    if reason is None or not result.checked:
        return result
    if result.ok:
        return replace(result, ok=False, message=f"declared as lacking ({reason}), but it passes: {result.message}")
    return CheckResult(result.name, True, f"lacking, as declared: {reason}", checked=False)


def _run(name: str, check: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(name, True, check())
    except NotCalibrated as error:
        return CheckResult(name, True, f"not checked: {error}", checked=False)
    except NotSupported as error:
        return CheckResult(name, False, f"{error}; where it never will, the driver declares it (lacks)")
    except (_Failed, InstrumentError) as error:
        return CheckResult(name, False, str(error))
    except Exception as error:  # a driver's bug is a finding, and the other checks still count
        return CheckResult(name, False, f"{type(error).__name__}, which is no InstrumentError: {error}")


def _reads(scope: Microscope, name: Interlock) -> str:
    """Whether an interlock tells anything: if that is good, is the guard's affair."""
    found = interlocks(scope.state())[name]
    if found is None:
        raise _Failed("the instrument tells nothing of it: declare it (lacks), and waive it in the limits of a survey")
    return f"{found.value} {found.unit}" if isinstance(found, Reading) else f"{found}"


def _reads_back(scope: Microscope, step_nm: float) -> str:
    start = scope.state()
    x_nm, y_nm = _where(scope)
    target = StagePosition(x_nm=x_nm + step_nm, y_nm=y_nm)
    try:
        achieved = scope.move(target).achieved
        reached = _where(scope)
    finally:
        scope.move(StagePosition(x_nm=x_nm, y_nm=y_nm))
    off_nm = math.dist(reached, (x_nm + step_nm, y_nm))
    if off_nm > step_nm / 2:
        raise _Failed(f"asked to go {step_nm:g} nm along +x, the stage reads {off_nm:.3g} nm off the target")
    if achieved.x_nm is None or abs(achieved.x_nm - reached[0]) > step_nm / 10:
        raise _Failed(f"move says that it achieved x = {achieved.x_nm} nm, the stage reads {reached[0]} nm")
    if not scope.state().time_s > start.time_s:
        raise _Failed(f"the clock stood at {start.time_s} s while the stage moved")
    return f"the stage reads {off_nm:.2g} nm off its target"


def _blanks(scope: Microscope, exposure: Exposure) -> str:
    x_nm, y_nm = _where(scope)
    acts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("blank", scope.blank),
        ("a second blank", scope.blank),
        ("an exposure", lambda: scope.acquire(exposure)),
        ("a move", lambda: scope.move(StagePosition(x_nm=x_nm, y_nm=y_nm))),
    )
    for name, act in acts:
        act()
        blanked = scope.state().blanked
        if blanked is not True:
            raise _Failed(f"after {name} the beam reads {'on' if blanked is False else 'unknown'}, expected blanked")
    return "the beam reads blanked after " + ", ".join(name for name, _ in acts)


def _refuses(scope: Microscope, place: StagePosition, optics: Optics) -> str:
    (x_nm, y_nm), defocus_nm = _where(scope), scope.state().optics.defocus_nm
    try:
        _expect_refusal(lambda: scope.move(place), f"a move to {place}", LimitError)
    except _Failed:
        scope.move(StagePosition(x_nm=x_nm, y_nm=y_nm))
        raise
    _expect_refusal(lambda: scope.tune(optics), f"tuning to {optics}", LimitError, NotSupported, NotCalibrated)
    if math.dist(_where(scope), (x_nm, y_nm)) > 1.0:
        raise _Failed(f"the stage moved in a refused move, from ({x_nm}, {y_nm}) to {_where(scope)} nm")
    if (found_nm := scope.state().optics.defocus_nm) != defocus_nm:
        raise _Failed(f"the defocus changed in a refused tune, from {defocus_nm} to {found_nm} nm")
    return "LimitError, and nothing moved"


def _refuses_exposures(scope: Microscope, exposure: Exposure) -> str:
    broken = {
        "a dwell of NaN": replace(exposure, dwell_us=math.nan),
        "an endless dwell": replace(exposure, dwell_us=math.inf),
        "a field of view of −1 nm": replace(exposure, field_of_view_nm=-1.0),
        "no rows": replace(exposure, shape=(0, 128)),
        "a detector that is not there": replace(exposure, signals=("no such detector",)),
    }
    for name, wish in broken.items():
        _expect_refusal(partial(scope.acquire, wish), f"an exposure with {name}", LimitError, NotSupported)
    return "refused: " + ", ".join(broken)


def _expect_refusal(act: Callable[[], object], wish: str, *kinds: type[InstrumentError]) -> None:
    try:
        act()
    except kinds:
        return
    except Exception as error:
        raise _Failed(f"{wish} raised {type(error).__name__} ({error}) instead of {kinds[0].__name__}") from error
    raise _Failed(f"{wish} was carried out instead of raising {kinds[0].__name__}")


def _directions(scope: Microscope, exposure: Exposure, step_nm: float) -> str:
    steps_px = round(step_nm / exposure.pixel_size_nm)
    if not 3 <= steps_px <= min(exposure.shape) // 3:
        raise _Failed(f"{step_nm:g} nm are {steps_px} pixels: allow a motion of 3 pixels to a third of the frame")
    length_nm = steps_px * exposure.pixel_size_nm
    x_nm, y_nm = _where(scope)
    try:
        first = image_of(scope, exposure)
        scope.move(StagePosition(x_nm=x_nm + length_nm, y_nm=y_nm))
        along_x = shift_px(first, image_of(scope, exposure))
        scope.move(StagePosition(x_nm=x_nm, y_nm=y_nm + length_nm))
        along_y = shift_px(first, image_of(scope, exposure))
    finally:
        scope.move(StagePosition(x_nm=x_nm, y_nm=y_nm))
    slack_px = max(2.0, steps_px / 4)
    found = f"+{steps_px} px along x moved the image by {along_x}, along y by {along_y} (rows down, columns right)"
    if math.dist(along_x, (0, steps_px)) > slack_px or math.dist(along_y, (steps_px, 0)) > slack_px:
        raise _Failed(
            f"{found}, expected (0, {steps_px}) and ({steps_px}, 0): give the driver its stage_to_image matrix, "
            "or look at a specimen with more to see"
        )
    return found


def _focuses(scope: Microscope, exposure: Exposure, allow_defocus_nm: float) -> str:
    start_nm = scope.state().optics.defocus_nm
    if start_nm is None:
        scope.tune(Optics(defocus_nm=0.0))  # one that cannot be set says so, and one that is not calibrated
        raise _Failed("the defocus was set to 0 nm, and does not read")
    sharp = {}
    try:
        for offset_nm in (0.0, allow_defocus_nm):
            scope.tune(Optics(defocus_nm=start_nm + offset_nm))
            sharp[offset_nm] = contrast(image_of(scope, exposure))
    finally:
        scope.tune(Optics(defocus_nm=start_nm))
    here, there = sharp.values()
    found = f"contrast {here:.3g} here, {there:.3g} with {allow_defocus_nm:g} nm more defocus"
    if abs(here - there) <= _CHANGED * max(here, there):
        raise _Failed(f"{found}: the focus does nothing, or this place has nothing to focus on")
    return found


def _closes(scope: Microscope) -> str:
    scope.close()
    scope.close()
    scope.blank()
    return "closed twice, and blanked after"


def _where(scope: Microscope) -> tuple[float, float]:
    stage = scope.state().stage
    if stage.x_nm is None or stage.y_nm is None or not math.isfinite(stage.x_nm + stage.y_nm):
        raise _Failed(f"the stage reads ({stage.x_nm}, {stage.y_nm})")
    return stage.x_nm, stage.y_nm


def image_of(scope: Microscope, exposure: Exposure) -> Image:
    """Expose; return the first detector's image, ``(H, W)`` counts."""
    return np.asarray(next(iter(scope.acquire(exposure).signals.values())).data, dtype=np.float64)


def shift_px(before: Image, after: Image) -> tuple[int, int]:
    """How far the features moved, in whole (rows down, columns right): the peak of the phase correlation.

    Kuglin & Hines 1975; each ``(H, W)`` image is faded out to its border, which would correlate with itself.

    >>> image = np.random.default_rng(0).normal(size=(64, 64))
    >>> shift_px(image, np.roll(image, (3, -5), axis=(0, 1)))
    (3, -5)
    """
    rows, columns = before.shape
    window = np.outer(np.hanning(rows), np.hanning(columns))
    one, two = (np.fft.fft2((image - image.mean()) * window) for image in (before, after))
    product = two * one.conj()
    peak = np.argmax(np.fft.ifft2(product / np.maximum(np.abs(product), 1e-12)).real)
    row, column = divmod(int(peak), columns)
    return (row + rows // 2) % rows - rows // 2, (column + columns // 2) % columns - columns // 2


def contrast(image: Image) -> Ratio:
    """Standard deviation over mean of an ``(H, W)`` image, averaged over 4 × 4 pixels against counting noise."""
    rows, columns = (length // 4 * 4 for length in image.shape)
    coarse = image[:rows, :columns].reshape(rows // 4, 4, columns // 4, 4).mean(axis=(1, 3))
    return float(coarse.std() / max(abs(coarse.mean()), 1e-12))
