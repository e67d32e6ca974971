"""The table of names and units: complete in itself, and true to the vendors' own libraries where they can be asked."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.types import Optics, StagePosition
from instruments.vocabulary import QUANTITIES, TERMS, converted, to_nexus, understand

KNOBS = {"clicks", "knob"}


@pytest.mark.parametrize("vendor", TERMS)
def test_every_term_names_a_quantity_and_a_unit_that_can_be_converted(vendor: str) -> None:
    for term in TERMS[vendor]:
        ours = QUANTITIES[term.ours].unit
        if ours is None or term.unit.startswith("@"):
            continue
        if term.unit in KNOBS:
            with pytest.raises(ValueError, match=term.unit):
                converted(1.0, term.unit, ours)
        else:
            assert converted(1.0, term.unit, ours) > 0


def test_units_stand_in_our_names_and_match_the_types_of_the_instrument() -> None:
    for name, quantity in QUANTITIES.items():
        if quantity.unit not in (None, "1"):
            unit = {"e/A^2": "e_per_A2", "e/A^2/s": "e_per_A2_per_s"}.get(quantity.unit, quantity.unit)
            assert name.endswith(f"_{unit}")
    both = {*StagePosition.__dataclass_fields__, *Optics.__dataclass_fields__}
    assert {"x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg", "defocus_nm", "voltage_kV"} <= both & set(QUANTITIES)


@given(st.floats(-1e6, 1e6), st.sampled_from([name for name, each in QUANTITIES.items() if each.unit]))
def test_si_and_back_is_the_same(value: float, name: str) -> None:
    quantity = QUANTITIES[name]
    assert quantity.unit is not None and quantity.si is not None
    back = converted(converted(value, quantity.unit, quantity.si), quantity.si, quantity.unit)
    assert back == pytest.approx(value, rel=1e-12)


def test_an_ampere_is_no_angstrom_and_no_unit_is_guessed() -> None:
    assert converted(2.5e-10, "A", "pA") == 250
    assert converted(7.88, "A", "nm") == converted(7.88, "Å", "nm") == 0.788
    for unit, to in (("clicks", "nm"), ("", "nm"), ("eV", "kV"), ("nm", "parsec"), ("rad", "nm")):
        with pytest.raises(ValueError, match="no "):
            converted(1.0, unit, to)
    with pytest.raises(KeyError, match="no vendor"):
        understand("nobody", {})


@pytest.mark.parametrize("vendor", TERMS)
def test_what_is_not_told_is_none_and_never_zero(vendor: str) -> None:
    said = understand(vendor, {})
    assert set(said.values) == set(QUANTITIES)
    assert set(said.values.values()) == {None}
    assert to_nexus(said.values) == {}
    broken = dict.fromkeys((term.tag for term in TERMS[vendor]), "nan")
    assert set(understand(vendor, broken).values.values()) == {None}


def test_knobs_need_a_calibration() -> None:
    said = understand("pyjem", {"EOS3.GetObjFocus": 32768, "Stage3.GetPos.0": -1500.0, "Stage3.GetPos.3": 12.5})
    assert said.uncalibrated == ("EOS3.GetObjFocus",)
    assert (said.number("defocus_nm"), said.number("x_nm"), said.number("alpha_deg")) == (None, -1500.0, 12.5)


def test_one_place_is_one_place_in_every_vendors_units() -> None:
    """−16.5 µm and 30°, as eight interfaces would say it."""
    said = {
        "velox": {"Stage/Position/x": "-1.65e-05", "Stage/AlphaTilt": str(math.radians(30))},
        "autoscript": {"specimen.stage.position.x": -1.65e-5, "specimen.stage.position.a": math.radians(30)},
        "fei-com": {"Stage.Position.X": -1.65e-5, "Stage.Position.A": math.radians(30)},
        "fei-mrc": {"X-Stage": -1.65e-5, "Alpha tilt": 30.0},
        "digitalmicrograph-live": {"GetStageX": -16.5, "GetStageAlpha": 30.0},
        "pyjem": {"Stage3.GetPos.0": -16500.0, "Stage3.GetPos.3": 30.0},
        "nion": {"instrument/ImageScanned/StageOutX": -1.65e-5, "instrument/ImageScanned/StageOutA": math.radians(30)},
        "serialem": {"ReportStageXYZ.x": -16.5, "ReportTiltAngle": 30.0},
        "direct-electron": {
            "Instrument Stage Position X (micrometers)": -16.5,
            "Instrument Stage Tilt Alpha (degrees)": 30.0,
        },
    }
    for vendor, tags in said.items():
        values = understand(vendor, tags).values
        assert (values["x_nm"], values["alpha_deg"]) == (pytest.approx(-16500), pytest.approx(30)), vendor
        nexus = to_nexus(values)
        assert nexus["/entry/measurement/event/instrument/stage/position"][0] == (pytest.approx(-1.65e-5), None, None)
        assert nexus["/entry/measurement/event/instrument/stage/tilt1"] == (pytest.approx(math.pi / 6), "rad")


def test_names_of_direct_electron_are_its_servers_and_carry_their_unit() -> None:
    package = util.find_spec("de_twin")
    if package is None or package.origin is None:
        pytest.skip("de-twin, which serves Direct Electron's properties, is not installed (adaptem[de])")
    source = (Path(package.origin).parent / "faces" / "deapi_properties.py").read_text(encoding="utf-8")
    words = {"um": "micrometers", "deg": "degrees", "cm": "centimeters", "nm": "nanometers", "V": "V", "mrad": "mrad"}
    for term in TERMS["direct-electron"]:
        if term.tag.startswith(("Instrument", "Specimen")):
            assert f'"{term.tag}"' in source
        if found := re.search(r"\((\w+)\)$", term.tag):
            assert found[1] in (words.get(term.unit), "seconds")


def test_nions_own_metadata_is_understood() -> None:
    """The simulated instrument of Nion Swift in a process of its own (it is under the GPL)."""
    if util.find_spec("nion") is None or util.find_spec("nion.usim_device") is None:
        pytest.skip("nionswift-usim is not installed (adaptem[nion])")
    run = subprocess.run([sys.executable, "-c", USIM], capture_output=True, text=True, check=True, timeout=120)
    tags = json.loads(run.stdout.splitlines()[-1])
    said = understand("nion", tags)
    assert {name: value for name, value in said.values.items() if value is not None} == {
        "voltage_kV": 100.0,
        "defocus_nm": pytest.approx(300.0),
        "field_of_view_nm": 100.0,
        "scan_rotation_deg": pytest.approx(math.degrees(0.1)),
        "dwell_us": 1.0,
        "exposure_s": pytest.approx(16 * 16 * 1e-6),
        "detector": "HAADF",
    }


def test_micromanagers_own_tags_are_understood() -> None:
    plus = pytest.importorskip("pymmcore_plus")
    core = plus.CMMCorePlus()
    core.loadSystemConfiguration("MMConfig_demo.cfg")
    core.setExposure(12.5)
    core.snapImage()
    said = understand("micromanager", dict(core.getTaggedImage().tags))
    core.reset()
    assert said.number("exposure_s") == 0.0125
    assert said.number("pixel_size_nm") == 1000.0
    assert said.values["detector"] == "Camera"


USIM = """
import json, pathlib, tempfile
from nion.instrumentation import DriftTracker, HardwareSource, camera_base, scan_base
from nion.usim_device import DeviceConfiguration
from nion.utils import Geometry, Registry
folder = pathlib.Path(tempfile.mkdtemp())
HardwareSource.run(); DriftTracker.run(); camera_base.run(folder); scan_base.run(folder)
world = DeviceConfiguration.AcquisitionContextConfiguration(set_configuration_location=False, sample_index=2)
world.run()
stem = Registry.get_component("stem_controller")
stem.SetValAndConfirm("C10", 3e-7, 1.0, 3000)
wish = stem.scan_controller.get_frame_parameters(0)
wish.pixel_size, wish.fov_nm, wish.pixel_time_us, wish.rotation_rad = Geometry.IntSize(16, 16), 100, 1.0, 0.1
metadata = stem.scan_controller.record_immediate(wish)[0].metadata
def flat(tags, prefix=""):
    for name, value in tags.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, (str, int, float)):
            yield f"{prefix}{name}", value
world.stop(); scan_base.stop(); camera_base.stop(); DriftTracker.stop(); HardwareSource.stop()
HardwareSource.HardwareSourceManager().close()
print(json.dumps(dict(flat(metadata))))
"""
