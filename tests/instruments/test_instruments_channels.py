"""Spectra, patterns and further images of the same place as channels of one recorded world."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from replay_samples import PIXEL_NM, energies, patterns, write

from configs.load import ConfigError
from instruments import recordings_apart
from instruments.clock import SimulatedClock
from instruments.errors import Disconnected, LimitError, NotSupported
from instruments.physics import wavelength_nm
from instruments.powers import HasDiffraction, HasSpectra, HasTilt
from instruments.replay import ReplayMicroscope
from instruments.replay_settings import ReplaySettings
from instruments.types import Exposure, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = Path(os.environ.get("ADAPTEM_DATA", Path(__file__).parents[3] / "shared" / "data"))
RNG = np.random.default_rng(0)
HIGH, WIDE = 12, 16
SPECTRA = RNG.normal(50, 5, (HIGH, WIDE, 40)).astype(np.float32)
COUNTS = RNG.poisson(20, (HIGH, WIDE, 40)).astype(np.uint16)
PATTERNS = RNG.poisson(9, (HIGH, WIDE, 6, 8)).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channels")
    write(folder / "si.hspy", energies(SPECTRA, Acquisition_instrument={"TEM": {"beam_energy": 200.0}}))
    write(folder / "counts.hspy", energies(COUNTS))
    write(folder / "scan.hspy", patterns(PATTERNS))
    write(folder / "waves.hspy", patterns(PATTERNS, "1/nm", 0.4))
    write(folder / "bare.hspy", patterns(PATTERNS, "", 1.0))
    kept: dict[str, Any] = {"imagej": True, "metadata": {"unit": "nm"}}
    fine = np.kron(SPECTRA.sum(axis=2), np.ones((4, 4), np.float32))
    tifffile.imwrite(folder / "fine.tif", fine, resolution=(8.0, 8.0), **kept)
    tifffile.imwrite(folder / "wide.tif", np.ones((60, 80), np.float32), resolution=(2.0, 2.0), **kept)
    return folder


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., ReplayMicroscope]]:
    scopes: list[ReplayMicroscope] = []

    def make(image: str, **values: Any) -> ReplayMicroscope:
        for channel in values.get("channels", {}).values():
            if "file" in channel:
                channel["file"] = str(folder / channel["file"])
        chosen = ReplaySettings.model_validate({"image": str(folder / image)} | values)
        scopes.append(ReplayMicroscope(chosen, SimulatedClock(), seed=0))
        return scopes[-1]

    yield make
    for scope in scopes:
        scope.close()
        scope.close()


def frame(width_px: float, shape: tuple[int, int], *signals: str, dwell_us: float = 1.0) -> Exposure:
    """As wide as so many recorded pixels."""
    return Exposure(field_of_view_nm=width_px * PIXEL_NM, shape=shape, dwell_us=dwell_us, signals=signals)


def test_a_spectrum_image_alone_is_a_world_its_sum_the_image(opened: Callable[..., ReplayMicroscope]) -> None:
    scope = opened("si.hspy")
    assert scope.size_nm == (WIDE * PIXEL_NM, HIGH * PIXEL_NM)
    spectra = scope.power(HasSpectra)
    assert spectra is not None and dict(spectra.channels()) == {"EELS": 40}
    assert scope.power(HasDiffraction) is None and scope.power(HasTilt) is None
    assert scope.state().optics.voltage_kV == 200.0
    scope.move(StagePosition(x_nm=2 * PIXEL_NM, y_nm=-PIXEL_NM))  # looks 2 columns to the left, 1 row below
    got = scope.acquire(frame(8, (6, 8), "image", "EELS")).signals
    assert list(got) == ["image", "EELS"]
    np.testing.assert_allclose(got["EELS"].data, SPECTRA[4:10, 2:10], rtol=1e-6)
    np.testing.assert_allclose(got["image"].data, SPECTRA[4:10, 2:10].sum(axis=2), rtol=1e-5)
    assert [(axis.name, axis.scale, axis.unit, axis.offset) for axis in got["EELS"].axes] == [
        ("row", PIXEL_NM, "nm", 0.0), ("column", PIXEL_NM, "nm", 0.0), ("energy", 2.0, "eV", 100.0),
    ]  # fmt: skip
    assert got["EELS"].unit == "recorded"  # no counts: nothing says that they are
    assert list(scope.acquire(Exposure(field_of_view_nm=4.0, shape=(8, 8), dwell_us=1.0)).signals) == ["image"]


def test_a_file_that_names_columns_first_is_not_turned(opened: Callable[..., ReplayMicroscope], folder: Path) -> None:
    """An open EMD file, whose reader gives the axes backwards."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "open.emd", "w") as file:
        file.attrs.update(version_major=0, version_minor=2)
        group = file.create_group("signals/EELS")
        group.attrs["emd_group_type"], group["data"] = 1, SPECTRA
        for number, (name, unit, step) in enumerate((("y", "nm", 0.5), ("x", "nm", 0.5), ("Energy", "eV", 2.0)), 1):
            group[f"dim{number}"] = step * np.arange(SPECTRA.shape[number - 1])
            group[f"dim{number}"].attrs.update(name=name, units=unit)
    got = opened("open.emd").acquire(frame(8, (6, 8), "EELS")).signals["EELS"].data
    np.testing.assert_allclose(got, SPECTRA[3:9, 4:12], rtol=1e-6)


def test_larger_pixels_are_means_and_smaller_ones_are_not_invented(opened: Callable[..., ReplayMicroscope]) -> None:
    scope = opened("si.hspy")
    coarse = scope.acquire(frame(WIDE, (3, 4), "EELS")).signals["EELS"]
    np.testing.assert_allclose(coarse.data, SPECTRA.reshape(3, 4, 4, 4, 40).mean(axis=(1, 3)), rtol=1e-6)
    fine = scope.acquire(frame(4, (64, 64), "image", "EELS")).signals
    assert fine["image"].data.shape == (64, 64)
    np.testing.assert_allclose(fine["EELS"].data, SPECTRA[4:8, 6:10], rtol=1e-6)
    row = fine["EELS"].axes[0]
    pixel_nm = 4 * PIXEL_NM / 64
    assert (row.scale, row.offset) == (PIXEL_NM, pytest.approx((PIXEL_NM - pixel_nm) / 2))  # from middle to middle
    with pytest.raises(LimitError, match="none has its middle there"):
        scope.acquire(frame(0.5, (8, 8), "EELS"))


def test_counts_are_drawn_for_the_dwell_and_never_more_than_recorded(opened: Callable[..., ReplayMicroscope]) -> None:
    counting = {"counting": True, "dwell_us": 100.0}
    scope = opened("counts.hspy", channels={"EELS": counting})
    whole = scope.acquire(frame(WIDE, (HIGH, WIDE), "EELS", dwell_us=100.0)).signals["EELS"]
    np.testing.assert_array_equal(whole.data, COUNTS)
    assert (whole.unit, whole.data.dtype) == ("counts", np.uint32)
    tenth = scope.acquire(frame(WIDE, (HIGH, WIDE), "EELS", dwell_us=10.0)).signals["EELS"].data
    assert tenth.mean() == pytest.approx(2.0, rel=0.05)
    assert tenth.var() == pytest.approx(2.0, rel=0.1)
    sums = scope.acquire(frame(WIDE, (3, 4), "EELS", dwell_us=1600.0)).signals["EELS"].data  # as long for each area
    np.testing.assert_array_equal(sums, COUNTS.reshape(3, 4, 4, 4, 40).sum(axis=(1, 3)))
    before_s = scope.state().time_s
    with pytest.raises(LimitError, match=re.escape("holds the electrons of 100 µs at most: ask for less")):
        scope.acquire(frame(WIDE, (HIGH, WIDE), "EELS", dwell_us=100.1))
    with pytest.raises(NotSupported, match="ask for one"):
        scope.acquire(Exposure(field_of_view_nm=4.0, shape=(8, 8), dwell_us=1.0, frames=2, signals=("EELS",)))
    assert scope.state().time_s == before_s
    renamed = opened("counts.hspy", channels={"loss": {"counting": True, "dwell_us": 100.0}})
    assert list(renamed.channels()) == ["loss"]  # it is there once, by the name that the config gives
    with pytest.raises(ConfigError, match="not whole counts"):
        opened("si.hspy", channels={"EELS": {"counting": True, "dwell_us": 1.0}})


def test_patterns_have_angles_or_are_refused(opened: Callable[..., ReplayMicroscope]) -> None:
    scope = opened("scan.hspy")
    cameras = scope.power(HasDiffraction)
    assert cameras is not None and dict(cameras.patterns()) == {"camera": (6, 8)}
    got = scope.acquire(frame(4, (4, 4), "image", "camera")).signals["camera"]
    np.testing.assert_allclose(got.data, PATTERNS[4:8, 6:10], rtol=1e-6)
    assert [(axis.name, axis.scale, axis.offset, axis.unit) for axis in got.axes[2:]] == [
        ("ky", 3.0, -7.5, "mrad"), ("kx", 3.0, -10.5, "mrad"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="set mrad_per_px"):
        opened("waves.hspy")  # 1/nm, and no voltage
    with pytest.raises(ConfigError, match="set mrad_per_px"):
        opened("bare.hspy")
    given = opened("bare.hspy", channels={"camera": {"mrad_per_px": 2.0}})
    assert given.acquire(frame(4, (4, 4), "camera")).signals["camera"].axes[2].scale == 2.0
    over = opened("si.hspy", channels={"camera": {"file": "waves.hspy"}})
    ky = over.acquire(frame(4, (4, 4), "camera")).signals["camera"].axes[2]
    assert ky.scale == pytest.approx(0.4 * wavelength_nm(200.0) * 1e3)


def test_channels_lie_over_each_other(opened: Callable[..., ReplayMicroscope]) -> None:
    """An image four times finer than its spectra: the spectra of a place sum up to what the image shows there."""
    scope = opened("fine.tif", channels={"EELS": {"file": "si.hspy"}, "again": {"file": "fine.tif"}})
    scope.move(StagePosition(x_nm=-PIXEL_NM, y_nm=2 * PIXEL_NM))
    got = scope.acquire(frame(4, (16, 16), "image", "EELS", "again")).signals
    np.testing.assert_array_equal(got["image"].data, got["again"].data)
    shown = got["image"].data.reshape(4, 4, 4, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(got["EELS"].data.sum(axis=2), shown, rtol=1e-5)
    np.testing.assert_allclose(got["EELS"].data, SPECTRA[2:6, 7:11], rtol=1e-6)


def test_a_channel_has_its_place_in_a_larger_image(opened: Callable[..., ReplayMicroscope]) -> None:
    place = {"x_nm": 6.0, "y_nm": -4.0, "width_nm": WIDE * PIXEL_NM, "height_nm": HIGH * PIXEL_NM}
    channels = {"EELS": {"file": "si.hspy", "place": place}, "part": {"file": "fine.tif", "place": place}}
    scope = opened("wide.tif", channels=channels)
    with pytest.raises(LimitError, match="not recorded"):
        scope.acquire(frame(4, (8, 8), "image", "EELS"))
    with pytest.raises(LimitError, match="part was asked where it was not recorded"):
        scope.acquire(frame(4, (8, 8), "part"))
    everywhere = Exposure(field_of_view_nm=2.0, shape=(8, 8), dwell_us=1.0)
    assert list(scope.acquire(everywhere).signals) == ["image"]
    scope.move(StagePosition(x_nm=6.0, y_nm=-4.0))
    assert list(scope.acquire(everywhere).signals) == ["image", "part"]
    np.testing.assert_allclose(
        scope.acquire(frame(4, (8, 8), "EELS")).signals["EELS"].data, SPECTRA[4:8, 6:10], rtol=1e-6
    )
    with pytest.raises(NotSupported, match="recorded are image, part, EELS"):
        scope.acquire(frame(4, (8, 8), "EDS"))


@pytest.mark.parametrize(
    ("image", "channels", "told"),
    [
        ("wide.tif", {"EELS": {"file": "si.hspy"}}, r"does not fit a place .* give instrument\.channels\.EELS\.place"),
        ("fine.tif", {"EELS": {"file": "missing.hspy"}}, "no such file"),
        ("fine.tif", {"EELS": {"file": "si.hspy", "signal": "core"}}, "nothing of it suits"),
        ("fine.tif", {"image": {"file": "si.hspy"}}, "choose another"),
        ("fine.tif", {"EELS": {"file": "cut.hspy"}}, "check that the copy is whole"),
        ("missing.hspy", {}, "no such file"),
        ("fine.tif", {"EELS": {"file": "a.xyzzy"}}, "no reader knows"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    opened: Callable[..., ReplayMicroscope], folder: Path, image: str, channels: dict[str, Any], told: str
) -> None:
    (folder / "cut.hspy").write_bytes((folder / "si.hspy").read_bytes()[:4000])
    (folder / "a.xyzzy").write_bytes(b"1")
    with pytest.raises(ConfigError, match=told) as caught:
        opened(image, channels=channels)
    (problem,) = caught.value.problems
    assert "\n" not in problem


def test_a_large_record_is_read_by_rows(
    opened: Callable[..., ReplayMicroscope], monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = opened("fine.tif", channels={"camera": {"file": "scan.hspy"}})
    channel = scope._world.slow["camera"]
    asked: list[int] = []
    reader, read = channel.recording._reader, channel.recording._reader.read

    def counted(*words: Any) -> np.ndarray:
        block = read(*words)
        asked.append(block.nbytes)
        return block

    monkeypatch.setattr(reader, "read", counted)
    scope.acquire(frame(8, (2, 2), "camera"))
    assert len(asked) == 8 and max(asked) == 8 * PATTERNS[0, 0].nbytes  # a row of the frame each, and no more


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_reader_that_dies_or_hangs_is_an_instrument_that_is_gone(
    opened: Callable[..., ReplayMicroscope], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = opened("si.hspy")
    monkeypatch.setattr(recordings_apart, "_LONGEST_S", 0.3)
    process = scope._world.slow["EELS"].recording._reader._process
    process.send_signal(number)
    with pytest.raises(Disconnected, match="its reader gave no answer"):
        scope.acquire(frame(4, (4, 4), "EELS"))
    assert scope.acquire(frame(4, (4, 4), "image")).signals["image"].data.shape == (4, 4)
    scope.close()
    assert process.poll() is not None


def real(name: str) -> str:
    if not (DATA / "spectra" / name).exists():
        pytest.skip(f"real data not found: {DATA / 'spectra' / name} (set ADAPTEM_DATA)")
    return str(DATA / "spectra" / name)


def test_real_eels_lies_in_its_survey_image_where_its_tags_say(opened: Callable[..., ReplayMicroscope]) -> None:
    reader = pytest.importorskip("rsciio.digitalmicrograph").file_reader
    eels, haadf = real("DMReader_SpectrumImage_SI-EELS.dm3"), real("DMReader_SI-HAADF.dm3")
    scope = opened(
        real("DMReader_Image_SI-Survey.dm3"),
        pixel_size_nm=0.1,
        channels={"EELS": {"file": eels}, "HAADF": {"file": haadf}},
    )
    lie = scope._world.slow["EELS"].lie
    assert (lie.top_px, lie.left_px, lie.shape) == (52.0, 213.0, (49, 6))  # Spectrum Image Rect (52, 213, 428, 259)
    assert (lie.top_px + 49 * lie.step_px[0], lie.left_px + 6 * lie.step_px[1]) == (428.0, 259.0)
    raw = reader(eels)[0]["data"]  # (E, y, x)
    scope.move(StagePosition(x_nm=(256 - 236) * 0.1, y_nm=(256 - 240) * 0.1))  # the middle of that place
    got = scope.acquire(
        Exposure(field_of_view_nm=4.6, shape=(48, 46), dwell_us=1.0, signals=("image", "EELS", "HAADF"))
    )
    spectra = got.signals["EELS"]
    assert spectra.data.shape == (7, 6, 1024)
    np.testing.assert_array_equal(spectra.data, np.moveaxis(raw[:, 21:28, :], 0, -1))
    assert (spectra.axes[2].scale, spectra.axes[2].offset, spectra.axes[2].unit) == (0.5, 350.0, "eV")
    assert spectra.calibration["recorded_dwell_us"] == 200000.0
    assert got.signals["HAADF"].data.shape == (48, 46)


def test_real_x_rays_of_a_velox_stream_are_all_there(opened: Callable[..., ReplayMicroscope]) -> None:
    h5py = pytest.importorskip("h5py")
    path = real("EMDReader_SpectrumImage_Si.emd")
    with h5py.File(path) as file:
        (stream,) = file["Data/SpectrumStream"].values()
        numbers = stream["Data"][:, 0]
    scope = opened(path)
    assert scope.size_nm[0] == pytest.approx(16 * 5.3024148379916)
    exposure = Exposure(field_of_view_nm=scope.size_nm[0], shape=(16, 16), dwell_us=250.0, signals=("image", "EDS"))
    eds = scope.acquire(exposure).signals["EDS"]
    assert (eds.unit, eds.axes[2].scale, eds.axes[2].offset) == ("counts", 10.0, -1000.0)
    assert eds.data.sum() == (numbers != 65535).sum() == 6564
    np.testing.assert_array_equal(eds.data.sum(axis=(0, 1)), np.bincount(numbers[numbers != 65535], minlength=4096))
    ended = np.cumsum(numbers == 65535)
    first = numbers[(ended % 256 == 17) & (numbers != 65535)]  # row 1, column 1, of all five passes
    np.testing.assert_array_equal(eds.data[1, 1], np.bincount(first, minlength=4096))
