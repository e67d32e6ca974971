"""Every kind of real file as an experiment, with the units that its raw tags say, read here by another way."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image
from test_archive_library import made

from archive.library import Library
from archive.library_from_file import Told, _finished, experiments_in
from archive.likeness import MODEL, SIZE, embed
from configs.errors import ConfigError


def conditions(experiment):
    return {name: value for name, value in asdict(experiment.conditions).items() if value is not None}


@pytest.mark.parametrize(
    ("name", "group", "techniques"),
    [
        ("EMDReader_Image_FEI.emd", "Image", ["HAADF"]),
        ("EMDReader_SpectrumImage_Si.emd", "Image", ["HAADF", "EDS"]),
        ("EDS-STO.emd", "Spectrum", ["EDS"] * 5),
    ],
)
def test_velox(real_data, name, group, techniques):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("rsciio")
    path = real_data / "spectra" / name
    found = [experiment for experiment, _ in experiments_in(path)]
    assert [experiment.technique for experiment in found] == techniques
    with h5py.File(path) as file:
        raw = json.loads(bytes(next(iter(file["Data"][group].values()))["Metadata"][:, 0]).split(b"\0")[0])
    told, optics = conditions(found[0]), raw["Optics"]
    assert told["voltage_kV"] == pytest.approx(float(optics["AccelerationVoltage"]) / 1e3)
    assert told["current_pA"] == pytest.approx(float(optics["LastMeasuredScreenCurrent"]) * 1e12)
    assert told["defocus_nm"] == pytest.approx(float(optics["Defocus"]) * 1e9)
    if group == "Image":
        assert told["dwell_us"] == pytest.approx(float(raw["Scan"]["DwellTime"]) * 1e6)
        size_nm = float(raw["BinaryResult"]["PixelSize"]["width"]) * 1e9
        assert told["pixel_size_nm"] == pytest.approx(size_nm)
        columns = {"EMDReader_Image_FEI.emd": 512, "EMDReader_SpectrumImage_Si.emd": 16}[name]
        assert told["field_of_view_nm"] == pytest.approx(size_nm * columns)
    else:
        assert told["convergence_mrad"] == pytest.approx(float(optics["BeamConvergence"]) * 1e3)
        assert "dwell_us" not in told
    steps_eV = {float(each["Dispersion"]) for each in raw["Detectors"].values() if "Dispersion" in each}
    assert {conditions(one)["energy_step_eV"] for one in found if one.technique == "EDS"} <= steps_eV
    assert found[0].instrument == f"{raw['Instrument']['Manufacturer']} {found[0].instrument.split()[-1]}"
    assert all(one.uid == f"file:{found[0].source_sha256}#{n}" for n, one in enumerate(found))


@pytest.mark.parametrize(
    ("name", "technique"),
    [
        ("AL-DFoffset0.00.dm3", "EELS"),
        ("DMReader_EELS_STO.dm3", "EELS"),
        ("EELS_STO.dm3", "EELS"),
        ("DMReader_SpectrumImage_SI-EELS.dm3", "EELS"),
        ("DMReader_Image_SI-Survey.dm3", "STEM"),
        ("DMReader_SI-HAADF.dm3", "HAADF"),
    ],
)
def test_digitalmicrograph(real_data, name, technique):
    reader = pytest.importorskip("rsciio.digitalmicrograph")
    path = real_data / "spectra" / name
    ((experiment, _),) = experiments_in(path)
    (signal,) = reader.file_reader(str(path))
    raw = signal["original_metadata"]["ImageList"]["TagGroup0"]["ImageTags"]
    told = conditions(experiment)
    assert experiment.technique == technique
    assert told["voltage_kV"] == pytest.approx(raw["Microscope Info"]["Voltage"] / 1e3)
    assert "current_pA" not in told  # a 0 that stands for "nobody told"
    energy = [axis for axis in signal["axes"] if axis["units"] == "eV"]
    assert told.get("energy_step_eV") == (energy[0]["scale"] if energy else None)
    if "EELS" in raw and "Experimental Conditions" in raw["EELS"]:
        angles = raw["EELS"]["Experimental Conditions"]
        for ours, theirs in (("convergence_mrad", "Convergence"), ("collection_mrad", "Collection")):
            value = angles[f"{theirs} semi-angle (mrad)"]
            assert told.get(ours) == (value or None)
    if "SI" in raw:
        assert told["dwell_us"] == pytest.approx(raw["SI"]["Acquisition"]["Pixel time (s)"] * 1e6)
    lengths = [axis for axis in signal["axes"] if axis["units"] in ("nm", "µm")]
    assert ("pixel_size_nm" in told) == bool(lengths)  # none of these files knows it


def test_one_file_under_two_names_is_one_experiment(real_data, tmp_path):
    pytest.importorskip("rsciio")
    with Library(tmp_path / "library.sqlite") as library:
        added = [
            library.add(*each)
            for name in ("EELS_STO.dm3", "DMReader_EELS_STO.dm3")
            for each in experiments_in(real_data / "spectra" / name)
        ]
    assert added == ["new", "same"]


@pytest.mark.parametrize(
    "name",
    [
        "cryo_images/08mar13e_00010gr_00004sq_v02.mrc",
        "cryo_images/08mar13e_00010gr_00004sq_v02_00005hl.mrc",
        "cryo_images/tilt1.mrc",
        "cryo_images/tilt2.mrc",
        "sto_ge_haadf/STO-Ge-HAADF.jpg",
        "metal_strips/Slice-2Top_x2048.png",
        "insitu_ti/frames/*1357*",
        "dislocation_loops/imgs/6.png",
    ],
)
def test_what_a_file_does_not_tell_stays_unknown(real_data, name):
    (path,) = real_data.glob(name)
    ((experiment, vectors),) = experiments_in(path)
    assert conditions(experiment) == {}
    assert experiment.technique == ("HAADF" if "HAADF" in name else "image")
    assert vectors[MODEL].shape == (SIZE,)
    assert np.isnan(vectors[MODEL]).sum() == 1  # the spacing, in nm
    assert experiment.outcome.frames == 1


@pytest.mark.slow
def test_every_real_image_imports(real_data, tmp_path):
    names = ("metal_strips/*.png", "insitu_ti/frames/*", "dislocation_loops/imgs/*", "sto_ge_haadf/support_set/**/*.*")
    files = [path for name in names for path in sorted(real_data.glob(name)) if path.suffix in (".png", ".jpg", ".tif")]
    assert len(files) >= 25
    with Library(tmp_path / "library.sqlite") as library:
        for path in files:
            for experiment, vectors in experiments_in(path):
                assert conditions(experiment) == {}
                library.add(experiment, vectors)
        assert len(library) == len({path.read_bytes() for path in files})


def test_ome_zarr_and_told_words(tmp_path):
    import zarr

    image = np.random.default_rng(1).poisson(30.0, (96, 80)).astype(np.uint16)
    group = zarr.create_group(tmp_path / "im.zarr")
    group.create_array("0", data=image)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [0.002, 0.002]}]
    shown = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [shown]}
    told = Told(material="SrTiO3", specimen="S-1", words="film on Ge", licence="MIT")
    ((experiment, vectors),) = experiments_in(tmp_path / "im.zarr", told)
    assert conditions(experiment) == {"pixel_size_nm": 2.0, "field_of_view_nm": 160.0}
    assert (experiment.elements, experiment.specimen, experiment.licence) == (("Sr", "Ti", "O"), "S-1", "MIT")
    assert np.isfinite(vectors[MODEL]).all()


def test_likeness_knows_neither_gain_nor_place(real_data):
    """A tilt pair is one another's nearest; another crop of an image is nearer to it than another image is."""
    from instruments.images import read_image

    one = read_image(real_data / "sto_ge_haadf" / "STO-Ge-HAADF.jpg").data[:512]
    other = read_image(real_data / "cryo_images" / "tilt1.mrc").data
    here, there, else_ = (embed(image, 0.02) for image in (one[:, :512], 3.0 * one[:, 700:1212] + 20.0, other))
    assert np.abs(here - there).mean() < 0.5 * np.abs(here - else_).mean()
    assert embed(np.ones((64, 64)), 1.0) is None
    assert embed(np.full((64, 64), np.nan), 1.0) is None
    assert embed(one[:4, :4], 1.0) is None


def test_tags_are_kept_as_they_are_and_numbers_that_are_none_are_nothing():
    tags = {"Sample": "NaNbO3 on Infinity glass", "a": float("-inf"), "b": [float("nan"), 2, {"c": np.float32(2.5)}]}
    kept = dict(_finished(made(1), tags).tags)
    assert kept == {"Sample": "NaNbO3 on Infinity glass", "a": None, "b": [None, 2, {"c": "2.5"}]}


def test_a_file_name_that_holds_a_detectors_letters_names_no_detector(tmp_path):
    image = np.random.default_rng(1).poisson(40, (96, 96)).astype(np.uint8)
    found = []
    for name in ("subfigure_1", "MoS2_subframe", "dbfile", "HAADF_3", "my-BF_2", "LAADF"):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        ((experiment, _),) = experiments_in(tmp_path / f"{name}.png")
        found.append(experiment.technique)
    assert found == ["image", "image", "image", "HAADF", "BF", "ADF"]


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        next(experiments_in(tmp_path / "none.dm3"))
    (tmp_path / "broken.mrc").write_bytes(b"not an image")
    with pytest.raises(ConfigError, match="cannot be read"):
        next(experiments_in(tmp_path / "broken.mrc"))
    (tmp_path / "words.txt").write_text("hello")
    with pytest.raises(ConfigError):
        next(experiments_in(tmp_path / "words.txt"))
