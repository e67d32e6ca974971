"""Bundles from strangers: what is wrong is named, and nothing is taken."""

from __future__ import annotations

import hashlib
import stat
import struct
import warnings
import zipfile

import pytest

from archive.bundle import MANIFEST, METADATA, Member, crate, write_bundle
from archive.bundle_reading import BundleError, open_bundle

CRATE = crate(
    name="n", description="d", published_utc="2026-11-03T20:00:00+00:00", licence_url="https://spdx.org/licenses/CC0-1.0",
    parts=[{"@id": "data.json", "@type": "File"}],
)  # fmt: skip


@pytest.fixture
def whole(tmp_path):
    (tmp_path / "long.bin").write_bytes(bytes(range(256)) * 9000)
    path = tmp_path / "whole.zip"
    write_bundle(path, [Member("data.json", b'{"a": 1}'), Member("frames/long.bin", tmp_path / "long.bin")], CRATE)
    return path


def test_what_was_written_is_read(whole):
    with open_bundle(whole) as bundle:
        assert set(bundle.names) == {"data.json", "frames/long.bin", METADATA}
        assert bundle.json("data.json") == {"a": 1}
        assert bundle.crate()["./"]["name"] == "n"
        with pytest.raises(BundleError, match="no such member"):
            bundle.read("other")


def rebuilt(whole, change):
    """The same bundle with ``change(archive members) -> list of (ZipInfo or name, bytes)``."""
    with zipfile.ZipFile(whole) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    path = whole.with_name("changed.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in change(members):
            archive.writestr(name, data)
    return path


def with_sums(members):
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {getattr(name, 'filename', name)}\n" for name, data in members)
    return [*members, (MANIFEST, sums.encode())]


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def without_manifest(members):
    return [member for member in members if member[0] != MANIFEST]


HOSTILE = {
    "leads out of its folder": lambda m: with_sums([*without_manifest(m), ("../../evil", b"x")]),
    "leads out": lambda m: with_sums([*without_manifest(m), ("/etc/evil", b"x")]),
    "out of its folder": lambda m: with_sums([*without_manifest(m), ("a\\..\\evil", b"x")]),
    "is a link": lambda m: with_sums([*without_manifest(m), (link("frames/l"), b"/etc/passwd")]),
    "as bombs do": lambda m: with_sums([*without_manifest(m), ("zeros", bytes(64 << 20))]),
    "not what its checksum says": lambda m: [(n, b'{"a": 2}' if n == "data.json" else d) for n, d in m],
    "is not in the manifest": lambda m: [("extra.txt", b"x"), *m],
    "is in the manifest and not there": lambda m: [member for member in m if member[0] != "data.json"],
    "is there twice": lambda m: [m[0], *m],
    f"no {MANIFEST}": without_manifest,
    "no line of a manifest": lambda m: [*without_manifest(m), (MANIFEST, b"hello")],
}


@pytest.mark.parametrize("said", HOSTILE)
def test_what_is_wrong_is_refused_by_name(whole, said):
    with pytest.raises(BundleError, match=said), open_bundle(rebuilt(whole, HOSTILE[said])):
        pass


def spoiled_lzma(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(METADATA, "x" * 5000)
        archive.writestr(MANIFEST, "0" * 64 + f"  {METADATA}\n")
    data = bytearray(path.read_bytes())
    start = data.find(METADATA.encode()) + len(METADATA)
    for place in range(start + 9, start + 20):
        data[place] ^= 0x5A
    path.write_bytes(data)


def name_in_no_encoding(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("é.txt", "x")
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))


def false_extra_field(path):
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("a.txt")
        info.extra = struct.pack("<HH", 1, 4) + b"abcd"
        archive.writestr(info, "x")


@pytest.mark.parametrize("spoil", [spoiled_lzma, name_in_no_encoding, false_extra_field])
def test_what_pythons_reader_answers_to_is_refused_too(tmp_path, spoil):
    spoil(tmp_path / "b.zip")
    with pytest.raises(BundleError), open_bundle(tmp_path / "b.zip"):
        pass


def test_a_description_that_would_fill_the_memory_is_refused(whole):
    small = b'{"@graph":[' + b",".join([b"[]"] * (5 << 20)) + b"]}"
    path = rebuilt(whole, lambda _: with_sums([(METADATA, small)]))
    assert path.stat().st_size < 100_000
    with open_bundle(path) as bundle, pytest.raises(BundleError, match="bytes of JSON"):
        bundle.crate()
    for graph in (b'{"@graph": 5}', b"[]", b'{"@graph": {"a": 1}}'):
        with open_bundle(rebuilt(whole, lambda _, g=graph: with_sums([(METADATA, g)]))) as bundle:
            with pytest.raises(BundleError, match="no RO-Crate"):
                bundle.crate()


def test_what_does_not_fit_is_refused_and_an_error_of_the_readers_is_its_own(whole):
    with pytest.raises(BundleError, match="far more than it holds"), open_bundle(whole, most_bytes=1_000_000):
        pass
    with pytest.raises(RuntimeError, match="mine"), open_bundle(whole):
        raise RuntimeError("mine")


@pytest.mark.parametrize("cut", [10, 5000, -30])
def test_a_cut_file_is_refused(whole, cut):
    whole.write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(BundleError), open_bundle(whole):
        pass


def test_any_changed_byte_of_the_data_is_seen(whole):
    data = bytearray(whole.read_bytes())
    for place in range(60, len(data) // 2, 97):
        changed = bytes(data[:place]) + bytes([data[place] ^ 0x55]) + bytes(data[place + 1 :])
        whole.write_bytes(changed)
        with pytest.raises(BundleError), open_bundle(whole):
            pass
