"""The number that a spectrum is taken for."""

from __future__ import annotations

import numpy as np
import pytest

from envs.property import PropertySettings, power_law, property_of
from instruments.types import Axis, Exposure, Frame, Optics, Signal, StagePosition

ENERGIES_EV = 350.0 + 0.5 * np.arange(800)
BACKGROUND = 1e9 * ENERGIES_EV**-2.5
EDGE = np.where(ENERGIES_EV >= 532.0, 20.0, 0.0)


def frame(spectrum: np.ndarray, electrons: float = 1e6, name: str = "EELS") -> Frame:
    data = np.tile(spectrum / 4, (2, 2, 1))
    axes = (Axis("row", 1.0, "nm"), Axis("column", 1.0, "nm"), Axis("energy", 0.5, "eV", 350.0))
    return Frame(
        exposure=Exposure(field_of_view_nm=2.0, shape=(2, 2), dwell_us=1.0),
        signals={name: Signal(data, axes)},
        stage=StagePosition(x_nm=0.0, y_nm=0.0),
        optics=Optics(),
        start_s=0.0,
        end_s=1.0,
        electrons=electrons,
    )


def settings(**changes: object) -> PropertySettings:
    return PropertySettings.model_validate({"signal": "EELS", "energy_eV": [540, 560], **changes})


def test_counts_above_a_power_law_are_the_edges_counts() -> None:
    found = property_of(frame(BACKGROUND + EDGE), settings(background_eV=[490, 530]))
    assert found == pytest.approx(40 * 20.0 / 1e6, rel=0.02)
    assert power_law(ENERGIES_EV, BACKGROUND, (490.0, 530.0)) == pytest.approx(BACKGROUND, rel=2e-3)


def test_over_another_window_it_needs_no_dose() -> None:
    wanted = settings(over_eV=[400, 420])
    ten = property_of(frame(10 * BACKGROUND, 3.0), wanted)
    assert ten == pytest.approx(property_of(frame(BACKGROUND), wanted))


def test_what_was_not_read_or_holds_nothing_tells_nothing() -> None:
    assert property_of(frame(BACKGROUND, name="EDS"), settings()) is None
    nothing = frame(np.zeros(800))
    assert property_of(nothing, settings(over_eV=[400, 420])) is None
    assert property_of(nothing, settings(background_eV=[490, 530])) is None


def test_windows_beyond_the_spectrum_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"EELS reaches from 350 to 749.5 eV.*800 to 900"):
        property_of(frame(BACKGROUND), settings(energy_eV=[800, 900]))
    image = frame(BACKGROUND)
    flat = Signal(np.ones((4, 4)), (Axis("row", 1.0, "nm"), Axis("column", 1.0, "nm")))
    with pytest.raises(ValueError, match="4×4 over column: no spectra"):
        property_of(
            Frame(
                **{name: getattr(image, name) for name in image.__slots__ if name != "signals"}, signals={"EELS": flat}
            ),
            settings(),
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"energy_eV": [560, 540]}, "from below to"), ({"background_eV": [530, 545]}, "before energy_eV")],
)
def test_windows_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**changes)
