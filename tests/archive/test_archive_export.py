"""Exports: what is written, that it reads back, and that nothing half-written stays."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from archive_samples import counts, frame, intent, new_folder, recorder, step
from typer.testing import CliRunner

from archive.bundle_reading import open_bundle
from archive.errors import DamagedFrame, FolderInUse
from archive.export import ExportError, facts_of, publish
from archive.export_crate import write_crate
from archive.reader import SurveyReader
from console.main import app
from instruments.types import Axis, Signal

PIXELS = (Axis("row", 0.5, "nm"), Axis("column", 0.5, "nm"))


@pytest.fixture
def finished(tmp_path):
    """A survey of an image, a burst and a spectrum image, that nobody writes any more."""
    with new_folder(tmp_path / "night-001") as folder:
        keeper = recorder(folder)
        burst = Signal(np.stack([counts(8), counts(9)]), (Axis("frame", 1e-3, "s"), *PIXELS))
        spectra = Signal(counts(7, (4, 4, 16)), (*PIXELS, Axis("energy", 5.0, "eV", 100.0)))
        for signals in (None, {"HAADF": burst, "EELS": spectra}):
            exposure_id = intent(keeper)
            keeper.commit(exposure_id, frame(exposure_id, signals))
        keeper.fail(intent(keeper), "the beam stayed off", spent=False)
        keeper.step(step(0, 1, 2))
        keeper.close()
    return tmp_path / "night-001"


def test_the_facts_are_those_of_the_rows(finished):
    with SurveyReader(finished) as reader:
        facts = facts_of(reader)
    assert (facts.name, facts.frames, facts.electrons, facts.specimens) == ("night-001", 2, 2e5, ("a",))
    assert facts.deciders == ("agent",)
    assert facts.orcid_url is None
    assert {"who.orcid", "who.elements", "who.licence"} <= set(facts.not_told())
    assert "who.operator" not in facts.not_told()


def test_nexus_has_every_frame_with_si_units(finished, tmp_path):
    h5py = pytest.importorskip("h5py")
    from archive.export_nexus import write_nexus

    out = tmp_path / "night.nxs"
    with SurveyReader(finished) as reader:
        write_nexus(reader, facts_of(reader), out)
    with h5py.File(out) as file:
        measured = file["entry/measurement"]
        assert {name for name in measured if name.startswith("event")} == {"event1", "event2"}
        image = measured["event1/image1/image_2d"]
        np.testing.assert_array_equal(image["real"], counts(1))
        assert (image["axis_i"][1], image["axis_i"].attrs["units"]) == (0.5e-9, "m")
        spectra = measured["event2/spectrum2/spectrum_2d"]
        assert list(spectra["axis_energy"][:2]) == [100.0, 105.0]
        np.testing.assert_array_equal(measured["event2/image1/stack_2d/real"][1], counts(9))
        optics, stage = measured["event1/instrument/optics"], measured["event1/instrument/stage"]
        assert (optics["defocus"][()], optics["defocus"].attrs["units"]) == (-2e-8, "m")
        assert optics["field_of_view"][()] == 1.6e-8
        assert measured["event1/instrument/ebeam_column/scan_controller/dwell_time"][()] == 1e-6
        np.testing.assert_array_equal(stage["position"], [1e-9, 2e-9, np.nan])
        assert np.isnan(stage["tilt2"][()])
        assert measured["event1/instrument/sensor_temperature_K/value"][()] == 293.0


def test_nexus_tells_what_the_instrument_doubts(tmp_path):
    h5py = pytest.importorskip("h5py")
    from archive.export_nexus import write_nexus

    with new_folder(tmp_path / "night-001") as folder:
        keeper = recorder(folder)
        for doubts in ((), ("the phase is over 1 rad", "thicker than 20 nm")):
            exposure_id = intent(keeper)
            keeper.commit(exposure_id, replace(frame(exposure_id), doubts=doubts))
        keeper.close()
    with SurveyReader(tmp_path / "night-001") as reader:
        write_nexus(reader, facts_of(reader), tmp_path / "night.nxs")
    with h5py.File(tmp_path / "night.nxs") as file:
        sure, doubted = (file[f"entry/measurement/event{n}/image1/process"] for n in (1, 2))
        assert "note1" not in sure
        told = [doubted[f"note{n}/description"].asstr()[()] for n in (1, 2)]
        assert told == ["the phase is over 1 rad", "thicker than 20 nm"]
        assert doubted["note1/type"].asstr()[()] == "doubt"


def test_a_crate_is_the_record_with_its_provenance(finished, tmp_path):
    out = tmp_path / "night.crate.zip"
    with SurveyReader(finished) as reader:
        write_crate(reader, facts_of(reader), out)
    with open_bundle(out) as bundle:
        crate = bundle.crate()
        assert crate["#survey"]["@type"] == "CreateAction"
        assert crate["#survey"]["result"] == [{"@id": "./"}]
        assert crate["./"]["license"] == {"@id": "#no-licence"}
        assert crate[crate["./"]["author"]["@id"]]["name"] == "Ada"
        unpacked = tmp_path / "unpacked"
        for name in bundle.names:
            target = unpacked / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bundle.read(name))
    with SurveyReader(unpacked) as copy, SurveyReader(finished) as original:
        assert [row.id for row in copy.exposures()] == [1, 2, 3]
        for name, data in original.frame(2).items():
            np.testing.assert_array_equal(copy.frame(2)[name], data)


def test_hyperspy_gets_a_file_a_stream_with_where_each_frame_was_taken(finished, tmp_path):
    rsciio_hspy = pytest.importorskip("rsciio.hspy")
    from archive.export_hyperspy import write_hyperspy
    from instruments.recordings_apart import opened

    out = tmp_path / "night.hyperspy"
    with SurveyReader(finished) as reader:
        write_hyperspy(reader, facts_of(reader), out)
    assert {file.name.split("_")[0] for file in out.iterdir()} == {"HAADF", "BF", "EELS"}
    with opened(next(out.glob("HAADF*"))) as (signal,):
        assert (signal.shape, signal.pixel_size_nm) == ((3, 32, 32), 0.5)
        np.testing.assert_array_equal(signal.block()[2], counts(9))
    (read,) = rsciio_hspy.file_reader(str(next(out.glob("HAADF*"))))
    about = read["original_metadata"]["adaptem"]
    assert list(about["defocus_nm"]) == [-20.0] * 3
    assert list(about["exposure"]) == [1.0, 2.0, 2.0]
    with opened(next(out.glob("EELS*"))) as (signal,):
        assert signal.shape[-1] == 16


def test_a_damaged_record_is_not_handed_on_and_nothing_stays(finished, tmp_path):
    chunk = next((finished / "frames").glob("HAADF*")) / "0" / "c.0.0.0"
    chunk.unlink()
    out = tmp_path / "night.crate.zip"
    with SurveyReader(finished) as reader, pytest.raises(DamagedFrame):
        facts = facts_of(reader)
        publish(out, lambda path: write_crate(reader, facts, path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["night-001"]


def test_what_is_there_is_never_written_over(finished, tmp_path):
    out = tmp_path / "there.crate.zip"
    out.write_text("mine")
    with pytest.raises(ExportError, match="there already"):
        publish(out, lambda path: path.write_text("yours"))
    assert out.read_text() == "mine"
    (tmp_path / ".new.partial").write_text("of an export that was killed")
    publish(tmp_path / "new", lambda path: path.write_text("whole"))
    assert not (tmp_path / ".new.partial").exists()
    assert (tmp_path / "new").read_text() == "whole"


def test_a_running_survey_is_not_exported(tmp_path):
    with new_folder(tmp_path / "s") as folder:
        keeper = recorder(folder)
        keeper.commit(intent(keeper), frame(1))
        with SurveyReader(folder.path) as reader, pytest.raises(FolderInUse, match="still writing"):
            facts_of(reader)
        keeper.close()


def test_the_command_says_what_nobody_told(finished):
    told = CliRunner().invoke(app, ["export", str(finished), "--format", "ro-crate", "--json"])
    assert told.exit_code == 0, told.output
    assert "who.orcid" in json.loads(told.output)["not_told"]
    again = CliRunner().invoke(app, ["export", str(finished), "--format", "ro-crate"])
    assert again.exit_code == 1
    nowhere = CliRunner().invoke(app, ["export", str(finished.parent / "none"), "--format", "nexus"])
    assert nowhere.exit_code == 2
