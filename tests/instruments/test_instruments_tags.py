"""Vendors' real files in our words: against their raw tags, which are read here by another way than the converter's."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import tifffile
from mrcfile.dtypes import get_ext_header_dtype

from configs.load import ConfigError
from instruments.tags import Described, describe
from instruments.vocabulary import to_nexus

DATA = Path(os.environ.get("ADAPTEM_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROOT = "/entry/measurement/event/instrument/"


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real data not found: {path} (set ADAPTEM_DATA)")
    return path


def said(each: Described) -> dict[str, Any]:
    """What is told."""
    assert each.understood is not None
    return {name: value for name, value in each.understood.values.items() if value is not None}


def velox_raw(path: Path, group: str) -> dict[str, Any]:
    """The JSON of the first signal, straight from the file."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        signal = next(iter(file["Data"][group].values()))
        found: dict[str, Any] = json.loads(bytes(signal["Metadata"][:, 0]).split(b"\0")[0])
    return found


def test_velox_is_in_si_and_stays_so() -> None:
    """A published converter takes these for µm, µs, mm and degrees: its stage lies a million times nearer to zero."""
    pytest.importorskip("rsciio")
    path = real("spectra/EMDReader_Image_FEI.emd")
    raw = velox_raw(path, "Image")
    (image,) = describe(path)
    assert image.understood is not None
    nexus = to_nexus(image.understood.values)
    stage = raw["Stage"]["Position"]
    position, unit = nexus[ROOT + "stage/position"]
    assert unit == "m"
    assert position == pytest.approx((float(stage["x"]), float(stage["y"]), float(stage["z"])), rel=1e-12)
    assert position == pytest.approx((-9.37098624e-06, 0.00014370586066, 2.8805790e-05), rel=1e-9)
    assert nexus[ROOT + "ebeam_column/scan_controller/dwell_time"] == (pytest.approx(2e-5), "s")
    assert nexus[ROOT + "optics/camera_length"] == (pytest.approx(0.098), "m")
    assert nexus[ROOT + "stage/tilt1"] == (pytest.approx(float(raw["Stage"]["AlphaTilt"]), rel=1e-9), "rad")
    assert said(image) == {
        "voltage_kV": 200.0,
        "current_pA": pytest.approx(252.3464394),
        "camera_length_mm": 98.0,
        "magnification": 40000.0,
        "field_of_view_nm": pytest.approx(2714.8363970517),
        "pixel_size_nm": pytest.approx(5.3024148379916),
        "pixel_height_nm": pytest.approx(5.3024148379916),
        "defocus_nm": 0.0,  # the file says so
        "scan_rotation_deg": pytest.approx(95.0),
        "dwell_us": pytest.approx(20.0),
        "x_nm": pytest.approx(-9370.98624),
        "y_nm": pytest.approx(143705.86065966),
        "z_nm": pytest.approx(28805.79),
        "alpha_deg": pytest.approx(0.006344),
        "holder": "Single Tilt",  # and no beta_deg, though the file has BetaTilt 0
        "detector": "HAADF",
        "manufacturer": "FEI Company",
        "model": "Talos",
        "start_time": "2017-03-06T09:56:41+00:00",
    }
    assert raw["Stage"]["BetaTilt"] == "0"


def test_velox_of_a_double_tilt_holder() -> None:
    pytest.importorskip("rsciio")
    path = real("spectra/EDS-STO.emd")
    raw = velox_raw(path, "Spectrum")
    told = said(describe(path)[0])
    assert told["beta_deg"] == pytest.approx(np.degrees(float(raw["Stage"]["BetaTilt"])))
    assert told["beta_deg"] == pytest.approx(0.7904962658)
    assert told["defocus_nm"] == pytest.approx(-170.2146336)
    assert told["convergence_mrad"] == pytest.approx(29.99730639)
    assert "pixel_size_nm" not in told
    assert "dwell_us" not in told


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "DMReader_SpectrumImage_SI-EELS.dm3",
            {
                "voltage_kV": 200.0, "convergence_mrad": 30.0, "collection_mrad": 33.0, "camera_length_mm": 2.8,
                "magnification": 100.0, "dwell_us": 200000.0, "exposure_s": 0.2, "mode": "STEM",
                "detector": "QUEFINA 1",
            },
        ),
        (
            "DMReader_Image_SI-Survey.dm3",
            {
                "voltage_kV": 200.0, "camera_length_mm": 2.8, "magnification": 100.0, "scan_rotation_deg": 328.0,
                "dwell_us": 31.5, "mode": "STEM", "start_time": "2019-12-14T20:14:22+00:00",
            },
        ),
        (
            "AL-DFoffset0.00.dm3",
            {
                "voltage_kV": pytest.approx(199.99028125), "emission_current_pA": 2.3e8, "collection_mrad": 100.0,
                "camera_length_mm": pytest.approx(480, rel=1e-6), "magnification": 1e5, "spherical_nm": 2.2e6,
                "exposure_s": 10.0, "mode": "TEM", "detector": "US1000XP 1", "model": "Libra 200 MC",
            },
        ),
    ],
)  # fmt: skip
def test_digitalmicrographs_zeros_are_unknown(name: str, expected: dict[str, Any]) -> None:
    reader = pytest.importorskip("rsciio.digitalmicrograph")
    path = real(f"spectra/{name}")
    (signal,) = describe(path)
    assert said(signal) == expected
    raw = reader.file_reader(str(path))[0]["original_metadata"]["ImageList"]["TagGroup0"]["ImageTags"]
    scope = raw["Microscope Info"]
    assert float(scope["Voltage"]) / 1e3 == expected["voltage_kV"]
    assert (float(scope["Probe Current (nA)"]), float(scope["Probe Size (nm)"])) == (0.0, 0.0)
    assert {"current_pA", "probe_size_nm", "x_nm", "alpha_deg", "pixel_size_nm"}.isdisjoint(said(signal))


@pytest.mark.parametrize("name", ["tilt1", "tilt2", "08mar13e_00010gr_00004sq_v02_00005hl"])
def test_an_mrc_that_tells_nothing_tells_nothing(name: str) -> None:
    path = real(f"cryo_images/{name}.mrc")
    assert struct.unpack_from("<i", path.read_bytes(), 92)[0] == 0  # no extended header
    (image,) = describe(path)
    assert (image.shape, image.vendor, said(image)) == ((512, 512), "mrc", {})


MDOC = """\
PixelSpacing = 7.88
Voltage = 300
Version = SerialEM Version 4.0.20 32-bit,  built Feb 17 2023  20:16:11
ImageFile = test0.mrc

[T =     Tilt axis angle = -90.0, binning = 2  spot = 7  camera = 0 bidir = -0.0]

[ZValue = 0]
TiltAngle = -0.000488
StagePosition = -15.99 -8.5543
StageZ = -123.688
Magnification = 115000
ExposureDose = 0
PixelSpacing = 7.88
Defocus = -0.015685
ImageShift = 0.282358 -0.180588
RotationAngle = 0
ExposureTime = 0.524
DateTime = 31-Mar-23  16:24:15
ChannelName = HAADF

[ZValue = 1]
StagePosition = 99.0 99.0
"""
"""Of a Titan at NIST (etspy's test data, public domain), and of its MRC the short numbers below."""


def test_serialem_by_both_its_ways(tmp_path: Path) -> None:
    path = tmp_path / "series.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.ones((2, 8, 8), np.int16))
        mrc.voxel_size = 7.88
        mrc.header.exttyp = b"SERI"
        mrc.set_extended_header(np.frombuffer(struct.pack("<14h", 0, -400, -214, 1150, *([0] * 10)), np.uint8))
        extra = bytearray(mrc.header.extra2.tobytes())
        struct.pack_into("<2h", extra, 16, 14, 61)
        mrc.header.extra2 = np.void(bytes(extra))
    Path(f"{path}.mdoc").write_text(MDOC, encoding="utf-8")
    header, text = describe(path)
    assert said(header) == {
        "magnification": 115000.0, "pixel_size_nm": pytest.approx(0.788), "pixel_height_nm": pytest.approx(0.788),
        "x_nm": -16000.0, "y_nm": -8560.0, "alpha_deg": 0.0,
    }  # fmt: skip
    assert said(text) == {
        "voltage_kV": 300.0, "magnification": 115000.0, "pixel_size_nm": 0.788, "defocus_nm": -15.685,
        "scan_rotation_deg": 0.0, "exposure_s": 0.524, "x_nm": -15990.0, "y_nm": -8554.3, "z_nm": -123688.0,
        "alpha_deg": -0.000488, "image_shift_x_nm": 282.358, "image_shift_y_nm": -180.588,
        "detector": "HAADF", "start_time": "2023-03-31T16:24:15",
    }  # fmt: skip
    assert [said(each) for each in describe(Path(f"{path}.mdoc"))] == [said(text)]


def test_thermo_fishers_mrc_tells_what_its_bits_say(tmp_path: Path) -> None:
    form = get_ext_header_dtype(b"FEI1", "<")
    names, section = list(form.names), np.zeros(1, form)
    values = {"HT": 300000.0, "Alpha tilt": 15.5, "X-Stage": -1.65e-5, "Pixel size X": 1.2e-10, "Defocus": -2e-6}
    section["Metadata size"], section["Y-Stage"] = form.itemsize, 7.0
    for mask, names_after in (("Bitmask 1", names.index("Bitmask 1")), ("Bitmask 2", names.index("Bitmask 2"))):
        for name, value in values.items():
            bit = names.index(name) - names_after - 1
            if 0 <= bit < 32 and (mask == "Bitmask 2") == (names.index(name) > names.index("Bitmask 2")):
                section[name] = value
                section[mask] |= 1 << bit
    with mrcfile.new(tmp_path / "epu.mrc") as mrc:
        mrc.set_data(np.ones((8, 8), np.int16))
        mrc.voxel_size = 1.2
        mrc.header.exttyp = b"FEI1"
        mrc.set_extended_header(section)
    (image,) = describe(tmp_path / "epu.mrc")
    assert image.vendor == "fei-mrc"
    assert said(image) == {
        "voltage_kV": 300.0, "pixel_size_nm": 0.12, "defocus_nm": -2000.0, "x_nm": -16500.0, "alpha_deg": 15.5,
    }  # fmt: skip


def test_jeols_text_beside_a_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 8), np.uint8))
    assert describe(tmp_path / "a.tif")[0].understood is None
    text = "$CM_FORMAT 2.0\n$CM_INSTRUMENT JEM-ARM200F\n$CM_ACCEL_VOLTAGE 200.0\n$CM_MAG 800000\n"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (image,) = describe(tmp_path / "a.tif")
    assert said(image) == {"voltage_kV": 200.0, "magnification": 8e5, "model": "JEM-ARM200F"}


@pytest.mark.parametrize("suffix", [".mrc", ".tif", ".dm3", ".emd", ".xyzzy"])
def test_broken_files_get_one_clear_line(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("rsciio")
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"II*\0 this is nothing")
    for bad in (path, tmp_path / f"missing{suffix}"):
        with pytest.raises(ConfigError) as caught:
            describe(bad)
        (problem,) = caught.value.problems
        assert bad.name in problem
        assert "\n" not in problem
