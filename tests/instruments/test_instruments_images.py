"""Images of every common kind, with the pixel size the file truly knows; damaged ones get one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from configs.load import ConfigError
from instruments import recordings_apart
from instruments.images import read_image

DATA = Path(os.environ.get("ADAPTEM_DATA", Path(__file__).parents[3] / "shared" / "data"))
PICTURE = (np.arange(24 * 40).reshape(24, 40) % 251).astype(np.uint8)


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real data not found: {path} (set ADAPTEM_DATA)")
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_pictures_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(PICTURE).save(tmp_path / f"a.{suffix}", dpi=(300, 300))
    image = read_image(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(image.data, PICTURE)
    assert image.pixel_size_nm is None  # a printer's resolution is no pixel size


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    deep = PICTURE.astype(np.uint16) * 200
    Image.fromarray(deep).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").data, deep)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_becomes_luminance(tmp_path: Path, mode: str) -> None:
    colour = np.zeros((24, 40, 3), dtype=np.uint8)
    colour[:, :20] = (255, 0, 0)
    colour[:, 20:] = (0, 0, 255)
    Image.fromarray(colour).convert(mode).save(tmp_path / "a.png")
    data = read_image(tmp_path / "a.png").data
    assert data[0, 0] == pytest.approx(0.2126 * 255, abs=1)
    assert data[0, -1] == pytest.approx(0.0722 * 255, abs=1)


def test_tiff_of_imagej_and_ome_know_their_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "ij.tif", PICTURE, imagej=True, resolution=(50.0, 50.0), metadata={"unit": "um"})
    assert read_image(tmp_path / "ij.tif").pixel_size_nm == pytest.approx(20)
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeYUnit": "nm",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", PICTURE, metadata=metadata)
    assert read_image(tmp_path / "a.ome.tif").pixel_size_nm == pytest.approx(0.5)
    metadata["PhysicalSizeY"] = 0.7
    tifffile.imwrite(tmp_path / "b.ome.tif", PICTURE, metadata=metadata)
    with pytest.raises(ConfigError, match="square"):
        read_image(tmp_path / "b.ome.tif")


def test_planes_of_a_stack_are_chosen(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([PICTURE, PICTURE + 1, PICTURE + 2]), photometric="minisblack")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", plane=2).data, PICTURE + 2)
    with pytest.raises(ConfigError, match="it holds 3"):
        read_image(tmp_path / "a.tif", plane=3)


def test_mrc_knows_its_pixels_but_not_by_default(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(PICTURE.astype(np.float32))
        mrc.voxel_size = 2.5
    assert read_image(tmp_path / "a.mrc").pixel_size_nm == pytest.approx(0.25)
    with mrcfile.new(tmp_path / "b.mrc") as mrc:
        mrc.set_data(PICTURE.astype(np.float32))
        mrc.voxel_size = 1.0
    assert read_image(tmp_path / "b.mrc").pixel_size_nm is None


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr_knows_its_pixels(tmp_path: Path, version: int) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    group.create_array("0", data=np.stack([PICTURE, PICTURE + 1]))
    scales = [
        {
            "axes": [{"name": "t"}, {"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}],
            "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.003, 0.003]}]}],
        }
    ]
    group.attrs.update({"multiscales": scales} if version == 2 else {"ome": {"version": "0.5", "multiscales": scales}})
    image = read_image(tmp_path / "a.zarr", plane=1)
    np.testing.assert_array_equal(image.data, PICTURE + 1)
    assert image.pixel_size_nm == pytest.approx(3)


def test_bad_files_get_one_clear_line(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).resize((400, 400)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    with mrcfile.new(tmp_path / "cut.mrc") as mrc:
        mrc.set_data(np.ones((64, 64), dtype=np.float32))
    (tmp_path / "cut.mrc").write_bytes((tmp_path / "cut.mrc").read_bytes()[:5000])
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "a.xyzzy").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    tifffile.imwrite(tmp_path / "nan.tif", np.full((9, 9), np.nan, dtype=np.float32))
    tifffile.imwrite(tmp_path / "complex.tif", np.ones((9, 9), dtype=np.complex64))
    names = "cut.mrc cut.png cut.tif text.png empty.jpg a.xyzzy folder nan.tif complex.tif missing.png".split()
    for name in names:
        with pytest.raises(ConfigError) as caught:
            read_image(tmp_path / name)
        (problem,) = caught.value.problems
        assert name in problem
        assert "\n" not in problem


def test_a_missing_reader_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.dm3").write_bytes(b"1")
    monkeypatch.setattr(recordings_apart.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"adaptem\[formats\]"):
        read_image(tmp_path / "a.dm3")


@pytest.mark.parametrize(
    ("name", "shape", "pixel_size_nm"),
    [
        ("sto_ge_haadf/STO-Ge-HAADF.jpg", (3044, 3042), None),
        ("cryo_images/tilt1.mrc", (512, 512), None),
        ("dislocation_loops/imgs/1.png", (512, 512), None),
    ],
)
def test_real_images_are_read(name: str, shape: tuple[int, int], pixel_size_nm: float | None) -> None:
    image = read_image(real(name))
    assert image.data.shape == shape
    assert image.pixel_size_nm == pixel_size_nm
    assert image.data.std() > 1


def test_vendors_images_are_read_with_the_pixels_they_know() -> None:
    pytest.importorskip("rsciio")
    known = read_image(real("spectra/EMDReader_Image_FEI.emd"))
    assert known.data.std() > 0
    assert known.pixel_size_nm is not None
    assert 1e-3 < known.pixel_size_nm < 100
    assert read_image(real("spectra/DMReader_Image_SI-Survey.dm3")).pixel_size_nm is None  # it holds no unit
