"""Exports as the programs judge them that others wrote: `make nexus` makes the environment that these live in."""

from __future__ import annotations

import subprocess

import pytest
from survey_samples import small

from archive.export import facts_of
from archive.export_crate import write_crate
from archive.reader import SurveyReader
from surveys.night import open_night
from surveys.runner import run_survey


@pytest.fixture(scope="module")
def others(root):
    """The programs of the environment of others."""
    folder = root / ".venv-nexus" / "bin"
    if not (folder / "pynx").exists():
        pytest.skip("pynxtools and rocrate have an environment of their own: make nexus")
    return folder


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """A short night on the simulated microscope, with everything told that others ask for."""
    folder = tmp_path_factory.mktemp("judged") / "night-001"
    who = {"operator": "Ada", "orcid": "0000-0002-1825-0097", "licence": "CC-BY-4.0", "sample": "Pt on carbon",
           "elements": ["Pt", "C"], "prepared": "2026-11-01", "proposal": "P-7"}  # fmt: skip
    run_survey(open_night(small(who=who), folder))
    return folder


@pytest.mark.parametrize("told", [True, False])
def test_pynx_finds_the_nexus_file_valid(others, survey, tmp_path, told):
    pytest.importorskip("h5py")
    from dataclasses import replace

    from archive.export_nexus import write_nexus

    out = tmp_path / "night.nxs"
    with SurveyReader(survey) as reader:
        facts = facts_of(reader)
        write_nexus(reader, facts if told else replace(facts, who={}), out)
    done = subprocess.run([others / "pynx", "validate", out], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "is valid according to the `NXem` application definition" in said, said[-3000:]
    assert "NOT valid" not in said


def test_pynx_finds_a_file_with_doubts_valid(others, tmp_path):
    pytest.importorskip("h5py")
    from dataclasses import replace

    from archive_samples import frame, intent, new_folder, recorder

    from archive.export_nexus import write_nexus

    with new_folder(tmp_path / "night-001") as folder:
        keeper = recorder(folder)
        exposure_id = intent(keeper)
        keeper.commit(exposure_id, replace(frame(exposure_id), doubts=("the phase is over 1 rad", "thick")))
        keeper.close()
    with SurveyReader(tmp_path / "night-001") as reader:
        write_nexus(reader, facts_of(reader), tmp_path / "night.nxs")
    done = subprocess.run(
        [others / "pynx", "validate", tmp_path / "night.nxs"], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert "is valid according to the `NXem` application definition" in said, said[-3000:]
    assert "NOT valid" not in said


def test_rocrate_reads_the_crate(others, survey, tmp_path):
    out = tmp_path / "night.crate.zip"
    with SurveyReader(survey) as reader:
        write_crate(reader, facts_of(reader), out)
    script = (
        "import sys; from rocrate.rocrate import ROCrate; c = ROCrate(sys.argv[1]);"
        "a = c.get_by_type('CreateAction')[0];"
        "print(c.root_dataset['author'].id, c.license.id, a['agent'].id, [i.type for i in a['instrument']])"
    )
    done = subprocess.run([others / "python", "-c", script, out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "https://orcid.org/0000-0002-1825-0097 https://spdx.org/licenses/CC-BY-4.0 https://orcid"
    )
    assert "SoftwareApplication" in done.stdout
