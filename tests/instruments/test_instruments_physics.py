from __future__ import annotations

import pytest

from instruments.physics import diffraction_limit_nm, wavelength_nm


@pytest.mark.parametrize(
    ("voltage_kV", "expected_pm"), [(80.0, 4.1757), (100.0, 3.7014), (200.0, 2.5079), (300.0, 1.9687)]
)
def test_wavelengths_of_the_usual_voltages(voltage_kV: float, expected_pm: float) -> None:
    """As tabulated in textbooks (Williams & Carter, table 1.2), in pm."""
    assert wavelength_nm(voltage_kV) * 1e3 == pytest.approx(expected_pm, abs=2e-4)


def test_the_diffraction_limit_falls_with_the_angle() -> None:
    assert diffraction_limit_nm(200.0, 10.0) == pytest.approx(2 * diffraction_limit_nm(200.0, 20.0))
