from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import zarr
from archive_samples import PIXELS, counts

import archive.store as store_module
import archive.streams as streams_module
from archive.errors import DamagedFrame
from archive.store import FrameStore
from archive.streams import CHUNK_BYTES, Stream, array_folder
from instruments.types import Axis, Signal

ENERGY = Axis("energy", 0.5, "eV", 100.0)


def kept(store, name, signal):
    stored = store.write(name, signal)
    store.keep(stored)
    return stored


SIGNALS = {
    "image": Signal(counts(1), PIXELS),
    "big endian": Signal(counts(1).astype(">u2"), PIXELS),
    "transposed": Signal(counts(1).T, PIXELS),
    "all zero": Signal(np.zeros((32, 32), np.uint8), PIXELS),
    "not finite": Signal(np.array([[np.nan, np.inf], [1.0, -np.inf]], np.float32), PIXELS),
    "burst": Signal(counts(2, (5, 32, 32)), (Axis("frame", 0.1, "s"), *PIXELS)),
    "burst of one": Signal(counts(2, (1, 32, 32)), (Axis("frame", 0.1, "s"), *PIXELS)),
    "spectra": Signal(counts(3, (4, 4, 64)).astype(np.float32), (*PIXELS, ENERGY)),
    "patterns": Signal(counts(4, (3, 3, 8, 8)), (*PIXELS, Axis("ky", 1.0, "mrad"), Axis("kx", 1.0, "mrad"))),
    "complex": Signal(np.exp(1j * counts(5)).astype(np.complex64), PIXELS),
    "one number": Signal(np.array(3.5), ()),
    "wrongly described": Signal(counts(6), PIXELS[:1]),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_what_was_written_is_read_after_a_restart(tmp_path, name):
    signal = SIGNALS[name]
    stored = kept(FrameStore(tmp_path, {}), "any/name ü", signal)
    data = FrameStore(tmp_path).read(stored)
    assert data.shape == signal.data.shape
    assert data.dtype == signal.data.dtype.newbyteorder("<")
    np.testing.assert_array_equal(data, signal.data)


def test_a_burst_and_single_frames_share_a_stream(tmp_path):
    store = FrameStore(tmp_path, {})
    image, burst = kept(store, "HAADF", SIGNALS["image"]), kept(store, "HAADF", SIGNALS["burst"])
    assert (burst.stream, burst.first, burst.count) == (image.stream, 1, 5)


def test_streams_are_kept_apart_by_signal_shape_dtype_and_pixel_size():
    image = SIGNALS["image"]
    names = {
        Stream.of("HAADF", image).name,
        Stream.of("BF", image).name,
        Stream.of("HA/ADF", image).name,
        Stream.of("HA-ADF", image).name,
        Stream.of("HAADF", replace(image, data=counts(1, (32, 16)))).name,
        Stream.of("HAADF", replace(image, data=image.data.astype(np.uint8))).name,
        Stream.of("HAADF", replace(image, axes=tuple(replace(axis, scale=0.25) for axis in PIXELS))).name,
    }
    assert len(names) == 7
    assert all("/" not in name for name in names)
    moved = replace(image, axes=tuple(replace(axis, offset=7.0) for axis in PIXELS))
    assert Stream.of("HAADF", moved).name == Stream.of("HAADF", image).name


BLOCK = 8


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(store_module, "BLOCK", BLOCK)
    monkeypatch.setattr(streams_module, "BLOCK", BLOCK)


@pytest.mark.usefixtures("small_blocks")
def test_an_array_grows_by_blocks_and_is_trimmed(tmp_path):
    store = FrameStore(tmp_path, {})
    small = Signal(np.ones((2, 2), np.uint8), PIXELS)
    stored = [kept(store, "HAADF", replace(small, data=small.data * i)) for i in range(BLOCK + 2)]
    store.write("HAADF", small)  # never acknowledged
    path = array_folder(tmp_path, stored[0].stream)
    assert zarr.open_array(path, mode="r").shape[0] == 2 * BLOCK
    store.trim()
    assert zarr.open_array(path, mode="r").shape[0] == BLOCK + 2
    assert not (path / f"c.{BLOCK + 2}.0.0").exists()
    again = FrameStore(tmp_path, {stored[0].stream: BLOCK + 2})
    assert kept(again, "HAADF", small).first == BLOCK + 2
    assert again.read(stored[-1])[0, 0] == BLOCK + 1


@pytest.mark.usefixtures("small_blocks")
def test_a_reader_sees_what_was_written_after_it_opened_the_array(tmp_path):
    store, reader = FrameStore(tmp_path, {}), FrameStore(tmp_path)
    small = Signal(np.ones((2, 2), np.uint8), PIXELS)
    reader.read(kept(store, "HAADF", small))
    for _ in range(BLOCK):
        last = kept(store, "HAADF", small)
    assert reader.read(last)[0, 0] == 1


def test_large_frames_are_split(tmp_path):
    signal = Signal(np.arange(3000 * 3000, dtype=np.float32).reshape(3000, 3000), PIXELS)
    store = FrameStore(tmp_path, {})
    stored = kept(store, "HAADF", signal)
    array = zarr.open_array(array_folder(tmp_path, stored.stream), mode="r")
    assert np.prod(array.chunks) * 4 <= CHUNK_BYTES
    np.testing.assert_array_equal(store.read(stored), signal.data)
    (array_folder(tmp_path, stored.stream) / "c.0.1.0").unlink()
    assert store.missing(stored.stream, [(stored.first, stored.count)]) == [stored.first]


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "missing"),
        (_flip, "unreadable"),
        (lambda path: path.write_bytes(b""), "unreadable"),
        (lambda path: path.write_bytes(path.with_name("c.1.0.0").read_bytes()), "changed"),
        (lambda path: path.with_name("zarr.json").write_bytes(b""), "unreadable"),
    ],
    ids=["missing", "one bit", "empty", "another frame", "no metadata"],
)
def test_harm_is_never_read_as_a_frame(tmp_path, harm, message):
    store = FrameStore(tmp_path, {})
    stored = kept(store, "HAADF", Signal(counts(1), PIXELS))
    kept(store, "HAADF", Signal(counts(2), PIXELS))
    harm(array_folder(tmp_path, stored.stream) / "c.0.0.0")
    with pytest.raises(DamagedFrame, match=message):
        FrameStore(tmp_path).read(stored)


def test_plain_streams_are_calibrated(tmp_path):
    stored = kept(FrameStore(tmp_path, {}), "EELS", SIGNALS["spectra"])
    metadata = json.loads((tmp_path / f"{stored.stream}.zarr" / "zarr.json").read_text())
    assert metadata["dimension_names"] == ["exposure", "row", "column", "energy"]
    assert metadata["attributes"]["axes"][2] == {"name": "energy", "scale": 0.5, "unit": "eV", "offset": 100.0}
    assert [codec["name"] for codec in metadata["codecs"]] == ["bytes", "blosc", "crc32c"]
