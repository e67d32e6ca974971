"""Other people's spectrum images, surveyed: looks keep spectra, and a map is made of them afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from replay_samples import energies, write

from archive.reader import SurveyReader
from configs.load import load
from review.signals import make_signals
from surveys.dryrun import plan
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings

CONFIG = Path(__file__).parents[2] / "configs" / "survey_spectra.yaml"
DATA = Path(os.environ.get("ADAPTEM_DATA", Path(__file__).parents[3] / "shared" / "data")) / "spectra"


def surveyed(folder: Path, *sets: str) -> Path:
    """The record of the packaged config with these changes."""
    night = open_night(load(CONFIG, SurveySettings, sets), folder / "night")
    summary = run_survey(night)
    assert (str(summary.reason), night.guard.denials) == ("complete", 0)
    return summary.folder


def test_the_packaged_config_surveys_an_image_and_its_spectra(tmp_path: Path) -> None:
    """Of 8 × 4 sites, half seen closely; each close look's map is the recorded one at that place."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(30, (32, 16, 20)).astype(np.float32)
    eels = write(tmp_path / "eels.hspy", energies(counts))
    image = np.kron(counts.sum(axis=2), np.ones((8, 8), np.float32)) + rng.normal(0, 2, (256, 128)).astype(np.float32)
    pixels = {"imagej": True, "resolution": (16.0, 16.0), "metadata": {"unit": "nm"}}
    tifffile.imwrite(tmp_path / "haadf.tif", image.astype(np.float32), **pixels)
    sets = [f"instrument.image={tmp_path / 'haadf.tif'}", f"instrument.channels.EELS.file={eels}"]
    told = plan(load(CONFIG, SurveySettings, sets)).as_text()
    assert "4 of 8 sites in detail" in told
    folder = surveyed(tmp_path, *sets)
    (made,) = make_signals(folder, ["energy:110-130"], tmp_path / "maps")
    assert len(made.files) >= 4
    wanted = counts[:, :, 5:15].sum(axis=2)
    with SurveyReader(folder) as reader:
        for path in made.files:
            frame = reader.recorded(int(path.name[:6]))
            left = round(8 - 2 * frame.stage.x_nm - 4)  # in recorded pixels of 0.5 nm
            top = round(16 - 2 * frame.stage.y_nm - 4)
            with tifffile.TiffFile(path) as tiff:
                np.testing.assert_allclose(tiff.asarray(), wanted[top : top + 8, left : left + 8], rtol=1e-5)
                ones, nm = tiff.pages.first.tags["XResolution"].value
            assert nm / ones == pytest.approx(0.5, rel=1e-3)  # the spectra's pixels, not the image's


def test_a_real_spectrum_image_with_its_image(tmp_path: Path) -> None:
    pytest.importorskip("rsciio")
    files = [DATA / "DMReader_SI-HAADF.dm3", DATA / "DMReader_SpectrumImage_SI-EELS.dm3"]
    if not all(file.exists() for file in files):
        pytest.skip(f"real data not found: {files[0]} (set ADAPTEM_DATA)")
    sets = [
        f"instrument.image={files[0]}",
        f"instrument.channels.EELS.file={files[1]}",
        "instrument.pixel_size_nm=0.01",
    ]
    folder = surveyed(tmp_path, *sets, "budget.detail_fraction=0.2")
    (made,) = make_signals(folder, ["energy:525-560"], tmp_path / "maps")
    with SurveyReader(folder) as reader:
        frame = reader.recorded(int(made.files[0].name[:6]))
    spectra = frame.signals["EELS"]
    assert spectra.data.shape[2] == 1024
    energies_eV = spectra.axes[2].offset + spectra.axes[2].scale * np.arange(1024)
    assert (energies_eV[0], energies_eV[-1]) == (350.0, 861.5)
    mean = spectra.data.mean(axis=(0, 1))
    edge = (
        mean[(energies_eV > 530) & (energies_eV < 540)].mean() / mean[(energies_eV > 515) & (energies_eV < 525)].mean()
    )
    assert edge > 1.05  # oxygen K, in every place of the record
    assert frame.optics.voltage_kV == 200.0


def test_where_spectra_lie_in_a_part_of_the_image_that_part_is_surveyed() -> None:
    pytest.importorskip("rsciio")
    files = [DATA / "DMReader_Image_SI-Survey.dm3", DATA / "DMReader_SpectrumImage_SI-EELS.dm3"]
    if not all(file.exists() for file in files):
        pytest.skip(f"real data not found: {files[0]} (set ADAPTEM_DATA)")
    sets = [f"instrument.image={files[0]}", f"instrument.channels.EELS.file={files[1]}", "instrument.pixel_size_nm=0.1"]
    settings = load(CONFIG, SurveySettings, [*sets, "looks.overview.sites=1"])
    area = settings.specimens[0].area
    assert settings.looks.detail.field_of_view_nm == pytest.approx(4.6)  # 46 pixels, as wide as the spectra
    assert (area.x_nm, area.y_nm) == (pytest.approx(2.0), pytest.approx(1.6))
    assert (area.width_nm, area.height_nm) == (pytest.approx(4.6), pytest.approx(8 * 4.6))
