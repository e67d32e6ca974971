from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments_fake import EXPOSURE, limits
from pydantic import ValidationError

from instruments.bounds import check_exposure, check_move, check_optics, merged, number
from instruments.errors import BusyError, LimitError, NotSupported
from instruments.limits import inside
from instruments.types import Optics, StagePosition

HERE = StagePosition(x_nm=0.0, y_nm=0.0, z_nm=0.0, alpha_deg=0.0)


def at(**axes: Any) -> StagePosition:
    return StagePosition(**axes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_nm": (5.0, -5.0)}, "swap"),
        ({"dwell_us": (0.0, 5.0)}, "above 0"),
        ({"max_electrons": math.inf}, "finite"),
        ({"max_current_pA": 0.0}, "greater than 0"),
        ({"backlash_nm": -1.0}, "greater than or equal"),
        ({"off_axis_nm": None}, "off_axis_nm is not said, and the stage may tilt"),
        ({"off_axis_nm": None, "alpha_deg": None, "beta_deg": (-1.0, 1.0)}, "dose is booked that much wider"),
        ({"z_tilt": ((0.0, 0.0), (1.0, 1.0))}, "convex"),
        ({"z_tilt": ((0.0, 0.0), (4.0, 0.0), (1.0, 1.0), (0.0, 4.0))}, "convex"),
        ({"z_tilt": ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (0.0, 1.0))}, "convex"),
        ({"max_dose": 3}, "max_dose"),
    ],
)
def test_limits_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        limits(**changes)


def test_a_stage_that_does_not_tilt_swings_nothing() -> None:
    assert limits(off_axis_nm=None, alpha_deg=None).off_axis_nm is None


def test_what_has_no_safe_guess_has_no_default() -> None:
    values = limits().model_dump()
    for name in ("x_nm", "y_nm", "backlash_nm", "stage_uncertainty_nm", "max_current_pA", "max_electrons",
                 "max_fluence_e_per_A2", "max_time_s"):  # fmt: skip
        with pytest.raises(ValidationError, match=name):
            type(limits())(**{key: value for key, value in values.items() if key != name})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "3", None, 10**400, 1j, np.nan, np.bool_(True)])
def test_not_a_number(value: object) -> None:
    with pytest.raises(LimitError, match="not a finite number"):
        number("x_nm", value)


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.int64(3)])
def test_a_number(value: object) -> None:
    assert number("x_nm", value) == 3.0


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([10_000.0, -9_500.0, -10_000.0])


@given(x=NUMBERS, y=NUMBERS)
def test_a_move_that_passes_is_inside_with_its_overshoot(x: float, y: float) -> None:
    try:
        check_move(at(x_nm=x, y_nm=y), HERE, limits())
    except LimitError:
        assert not (-9_500 <= x <= 10_000 and -9_500 <= y <= 10_000)
    else:
        assert -9_500 <= x <= 10_000
        assert -9_500 <= y <= 10_000


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (at(x_nm=10_000.1), "x_nm"),
        (at(y_nm=-9_500.1), "on the way"),
        (at(z_nm=-9_500.1), "on the way"),
        (at(alpha_deg=60.1), "alpha_deg"),
        (at(beta_deg=0.0), "do not allow beta_deg"),
        ((1.0, 2.0), "StagePosition"),
        (Optics(), "StagePosition"),
        (None, "StagePosition"),
    ],
)
def test_moves_refused(target: Any, message: str) -> None:
    with pytest.raises(LimitError, match=message):
        check_move(target, HERE, limits())


@pytest.mark.parametrize("target", [at(), at(x_nm=10_000.0), at(y_nm=-9_500.0), at(alpha_deg=-60.0), at(z_nm=0)])
def test_moves_allowed(target: StagePosition) -> None:
    check_move(target, HERE, limits())


def test_tilt_has_no_overshoot() -> None:
    check_move(at(alpha_deg=-60.0), HERE, limits(backlash_nm=0.0))
    check_move(at(alpha_deg=-60.0), HERE, limits(backlash_nm=5_000.0))


def test_a_move_from_an_unknown_place_is_refused() -> None:
    for unknown in (None, math.nan, math.inf):
        with pytest.raises(BusyError, match="must be known"):
            check_move(at(x_nm=1.0), replace(HERE, x_nm=unknown), limits())
    check_move(at(y_nm=1.0), replace(HERE, x_nm=None), limits())


def test_a_tilt_the_holder_does_not_have() -> None:
    with pytest.raises(NotSupported, match="no beta_deg"):
        check_move(at(beta_deg=1.0), HERE, limits(beta_deg=(-20.0, 20.0)))
    check_move(at(beta_deg=1.0), replace(HERE, beta_deg=0.0), limits(beta_deg=(-20.0, 20.0)))


PEAK = ((-9_000.0, -5.0), (9_000.0, -5.0), (0.0, 60.0))
"""The higher the tilt, the less z is allowed: a triangle."""


@pytest.mark.parametrize(
    ("start", "target", "allowed"),
    [
        (HERE, at(z_nm=5_000.0), True),
        (HERE, at(alpha_deg=50.0), True),
        (replace(HERE, z_nm=5_000.0), at(alpha_deg=50.0), False),
        (replace(HERE, alpha_deg=50.0), at(z_nm=5_000.0), False),
        # both ends are allowed, but on the way z and tilt may both be large
        (replace(HERE, z_nm=5_000.0), at(z_nm=0.0, alpha_deg=50.0), False),
        # the target is allowed, its overshoot to −900 nm is not
        (replace(HERE, alpha_deg=55.0), at(z_nm=-400.0), False),
        (replace(HERE, alpha_deg=55.0), at(z_nm=100.0), True),
        # already outside: nothing moves, not even along x
        (replace(HERE, z_nm=8_000.0, alpha_deg=55.0), at(x_nm=1.0), False),
    ],
)
def test_z_and_tilt_limit_each_other(start: StagePosition, target: StagePosition, allowed: bool) -> None:
    if allowed:
        check_move(target, start, limits(z_tilt=PEAK))
    else:
        with pytest.raises(LimitError, match="z_tilt"):
            check_move(target, start, limits(z_tilt=PEAK))


@pytest.mark.parametrize("unknown", [{"z_nm": None}, {"alpha_deg": None}])
def test_coupled_axes_must_both_be_known(unknown: dict[str, None]) -> None:
    with pytest.raises(BusyError, match="limits the other"):
        check_move(at(x_nm=1.0), replace(HERE, **unknown), limits(z_tilt=PEAK))


def test_a_coupled_axis_that_reads_nan_is_not_inside() -> None:
    with pytest.raises(LimitError, match="z_tilt"):
        check_move(at(x_nm=1.0), replace(HERE, z_nm=math.nan), limits(z_tilt=PEAK))


@given(st.floats(-12_000, 12_000), st.floats(-10, 70))
def test_inside_whichever_way_the_corners_go_round(z_nm: float, alpha_deg: float) -> None:
    assert inside(PEAK, z_nm, alpha_deg) == inside(PEAK[::-1], z_nm, alpha_deg)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Optics(voltage_kV=200.0), "high tension"),
        (Optics(defocus_nm=-2_000.1), "defocus_nm"),
        (Optics(stig_a_nm=201.0), "stig_a_nm"),
        (Optics(stig_b_nm=math.nan), "stig_b_nm"),
        (Optics(current_pA=200.1), "current_pA"),
        (Optics(current_pA=-1.0), "current_pA"),
        (Optics(convergence_mrad=10.0), "do not allow convergence_mrad"),
        (HERE, "Optics"),
    ],
)
def test_optics_refused(target: Any, message: str) -> None:
    with pytest.raises(LimitError, match=message):
        check_optics(target, limits())


def test_optics_allowed() -> None:
    check_optics(Optics(), limits())
    check_optics(Optics(defocus_nm=-2_000.0, stig_a_nm=0.0, current_pA=200.0), limits())
    check_optics(Optics(convergence_mrad=10.0), limits(convergence_mrad=(1.0, 30.0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"field_of_view_nm": math.nan}, "field_of_view_nm"),
        ({"field_of_view_nm": 0.5}, "field_of_view_nm"),
        ({"field_of_view_nm": -100.0}, "field_of_view_nm"),
        ({"dwell_us": math.inf}, "dwell_us"),
        ({"dwell_us": 0.0}, "dwell_us"),
        ({"dwell_us": True}, "dwell_us"),
        ({"rotation_deg": math.nan}, "rotation_deg"),
        ({"interval_s": -0.1}, "interval_s"),
        ({"interval_s": math.inf}, "interval_s"),
        ({"shape": (10,)}, "shape"),
        ({"shape": [10, 10]}, "shape"),
        ({"shape": 10}, "shape"),
        ({"shape": (0, 10)}, "rows"),
        ({"shape": (10, 1.5)}, "columns"),
        ({"shape": (10, math.nan)}, "columns"),
        ({"shape": (True, 10)}, "rows"),
        ({"frames": 0}, "frames"),
        ({"frames": -3}, "frames"),
        ({"frames": 10**9}, "pixels"),
        ({"shape": (10**200, 10**200)}, "pixels"),
        ({"id": True}, "id"),
        ({"id": "7"}, "id"),
        ({"id": 1.0}, "id"),
        ({"id": -1}, "id"),
        ({"id": 2**63}, "id"),
        ({"signals": ()}, "signals"),
        ({"signals": "HAADF"}, "signals"),
        ({"signals": (3,)}, "signals"),
        ({"signals": ("HAADF", "EELS")}, "EELS"),
    ],
)
def test_exposures_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LimitError, match=message):
        check_exposure(replace(EXPOSURE, **changes), limits(detectors=("HAADF", "BF")))


def test_exposures_allowed() -> None:
    for changes in ({}, {"id": 3}, {"signals": ("BF",)}, {"frames": 3, "interval_s": 1.0}, {"rotation_deg": -30.0}):
        check_exposure(replace(EXPOSURE, **changes), limits(detectors=("HAADF", "BF")))
    check_exposure(replace(EXPOSURE, signals=("anything",)), limits())
    with pytest.raises(LimitError, match="Exposure"):
        check_exposure(None, limits())  # type: ignore[arg-type]


def test_merged_names_every_axis() -> None:
    assert merged(at(x_nm=5.0), replace(HERE, beta_deg=2.0)) == replace(HERE, x_nm=5.0, beta_deg=2.0)
