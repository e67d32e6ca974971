"""Bundles between laboratories: what goes in comes out, twice changes nothing, and nothing false is taken."""

from __future__ import annotations

import hashlib
import json
import zipfile

import numpy as np
import pytest
from test_archive_library import made

from archive import library_exchange
from archive.bundle import MANIFEST, Member, crate, write_bundle
from archive.bundle_reading import BundleError, open_bundle
from archive.library import Library
from archive.library_exchange import FORMAT, export_bundle, import_bundle, merge
from archive.library_records import LibraryError, Outcome, Result, canonical

XRD = Result(specimen="S-1", quantity="thickness", value=31.0, unit="nm", technique="XRR", source="report 4")


@pytest.fixture
def ours(place):
    with Library(place("ours")) as library:
        yield library


@pytest.fixture
def theirs(place):
    with Library(place("theirs")) as library:
        for number in range(5):
            library.add(made(number, specimen="S-1" if number else None), {"m": [number, 2.0], "n": [1.0]})
        library.add_result(XRD)
        yield library


def test_what_one_writes_the_other_has(ours, theirs, tmp_path):
    bundle = tmp_path / "bundle.zip"
    assert export_bundle(theirs, bundle, licence_url="https://spdx.org/licenses/CC-BY-4.0", author="Ada") == 5
    with open_bundle(bundle) as opened:
        root = opened.crate()["./"]
        assert root["license"]["@id"].endswith("CC-BY-4.0")
        assert opened.crate()["#export"]["@type"] == "CreateAction"
    assert import_bundle(ours, bundle) == {"new": 6, "same": 0, "revised": 0, "conflict": 0}
    assert [kept.experiment for kept in ours.all()] == [kept.experiment for kept in theirs.all()]
    assert {kept.origin for kept in ours.all()} == {theirs.id} != {ours.id}
    assert ours.results() == [(XRD, theirs.id)]
    np.testing.assert_array_equal(ours.embeddings(3)["m"], theirs.embeddings(3)["m"])
    assert import_bundle(ours, bundle)["same"] == 6  # twice changes nothing
    ((_, source, counts), _) = ours.imports()
    assert (source.author, source.origin, counts["new"]) == ("Ada", theirs.id, 6)


def test_a_part_takes_the_results_of_its_specimens_along(ours, theirs, tmp_path):
    export_bundle(theirs, tmp_path / "a.zip", [1])
    assert import_bundle(ours, tmp_path / "a.zip")["new"] == 1
    export_bundle(theirs, tmp_path / "b.zip", [2, 3])
    assert import_bundle(ours, tmp_path / "b.zip")["new"] == 3
    assert len(ours.results()) == 1


def test_who_told_it_first_may_tell_it_anew_and_nobody_else(ours, theirs, tmp_path):
    merge(ours, theirs.where)
    theirs.add(made(1, specimen="S-1", words="seen again", outcome=Outcome(frames=30, usable_frames=1)))
    assert merge(ours, theirs.where) == {"new": 0, "same": 5, "revised": 1, "conflict": 0}
    assert ours.find("file:1").experiment.words == "seen again"
    ours.add(made(77, words="mine"))
    theirs.add(made(77, words="not mine", outcome=Outcome(frames=50, usable_frames=50)))
    assert merge(ours, theirs.where)["conflict"] == 1
    theirs.database.execute("UPDATE experiments SET origin = ? WHERE uid = 'file:77'", (ours.id,))  # a false claim
    assert merge(ours, theirs.where)["conflict"] == 1
    assert ours.find("file:77").experiment.words == "mine"


def bundle_of(path, lines, root=None, extra=()):
    members = [Member("experiments.jsonl", lines), Member("results.jsonl", b""), *extra]
    parts = [{"@id": member.name, "@type": "File"} for member in members]
    about = crate(name="n", description="d", published_utc="2026-11-03", licence_url=None, parts=parts,
                  root={"additionalType": FORMAT, **(root or {})})  # fmt: skip
    write_bundle(path, members, about)
    return path


def line(experiment, **changes):
    return json.dumps({"origin": "x", "experiment": json.loads(canonical(experiment)) | changes}).encode() + b"\n"


@pytest.mark.parametrize(
    "wrong",
    [
        line(made(2), technique="seeing"),
        line(made(2), elements=["Qq"]),
        line(made(2), conditions={"dwell_us": "quick"}),
        line(made(2), conditions={"fluence_e_per_A2": -3.0}),
        line(made(2), conditions={"pixel_size_nm": 0.0}),
        line(made(2), conditions={"voltage_kV": -200.0}),
        line(made(2), outcome={"frames": -7}),
        line(made(2), outcome={"frames": 10**23}),
        line(made(2), outcome={"frames": 10**400}),
        line(made(2)).replace(b'"origin": "x"', b'"origin": "\\ud800"'),
        line(made(2), tags={"a": "\ud800"}),
        b"{}\n",
        b"not json\n",
        b'{"origin": "x", "experiment": {"uid": "a"}}\n',
        b'{"origin": "x", "experiment": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n",
    ],
)
def test_one_wrong_line_and_nothing_is_taken(ours, tmp_path, wrong):
    with pytest.raises(BundleError, match="line 2"):
        import_bundle(ours, bundle_of(tmp_path / "b.zip", line(made(1)) + wrong))
    assert (len(ours), ours.imports()) == (0, [])


def test_other_bundles_and_false_vectors_are_refused(ours, tmp_path):
    with pytest.raises(BundleError, match="no bundle of a library"):
        import_bundle(ours, bundle_of(tmp_path / "a.zip", line(made(1)), {"additionalType": "adaptem library 99"}))
    short = [Member("embeddings/m.json", b'{"model": "m", "size": 4, "uids": ["file:1"]}'),
             Member("embeddings/m.f32", bytes(12))]  # fmt: skip
    with pytest.raises(BundleError, match="promises 1 vectors of 4"):
        import_bundle(ours, bundle_of(tmp_path / "b.zip", line(made(1)), extra=short))
    assert len(ours) == 0


def vectors_of(model, size, uids=("file:1",)):
    about = json.dumps({"model": model, "size": size, "uids": list(uids)}).encode()
    data = np.ones((len(uids), size), "<f4").tobytes()
    return [Member("embeddings/v.json", about), Member("embeddings/v.f32", data)]


@pytest.mark.parametrize("model", ["../../evil", "a/b", "", ".hidden", "\ud800", "m" * 200])
def test_a_models_name_is_a_name(ours, tmp_path, model):
    with pytest.raises(BundleError, match="no model's name"):
        import_bundle(ours, bundle_of(tmp_path / "b.zip", line(made(1)), extra=vectors_of(model, 2)))
    assert len(ours) == 0


def test_what_is_told_of_vectors_is_no_longer_than_the_experiments(ours, tmp_path):
    bombs = [Member("embeddings/v.json", b"[" + b",".join([b"[]"] * 10_000) + b"]"), Member("embeddings/v.f32", b"")]
    with pytest.raises(BundleError, match="bytes of JSON"):
        import_bundle(ours, bundle_of(tmp_path / "b.zip", line(made(1)), extra=bombs))


@pytest.mark.parametrize(
    ("root", "author", "licence"),
    [
        ({"author": [{"@id": "#a"}, {"@id": "#b"}]}, "#a, #b", "#no-licence"),
        ({"author": "me", "license": "https://x"}, "me", "https://x"),
        ({"author": {"@id": 3}, "license": ["https://x", {"@id": "https://y"}]}, None, "https://x, https://y"),
    ],
)
def test_a_crate_may_say_who_and_on_what_terms_in_several_ways(ours, tmp_path, root, author, licence):
    assert import_bundle(ours, bundle_of(tmp_path / "b.zip", line(made(1)), root))["new"] == 1
    ((_, source, _),) = ours.imports()
    assert (source.author, source.licence) == (author, licence)


def test_half_a_character_in_the_crate_is_refused(ours, tmp_path):
    for root in ({"identifier": "HALF"}, {"author": "HALF"}):
        with zipfile.ZipFile(bundle_of(tmp_path / "a.zip", line(made(1)), root)) as archive:
            members = {name: archive.read(name).replace(b"HALF", b"\\ud800") for name in archive.namelist()}
        sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in members.items() if name != MANIFEST]
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, "".join(sums) if name == MANIFEST else data)
        with pytest.raises(BundleError, match="no text"):
            import_bundle(ours, tmp_path / "b.zip")
    assert len(ours) == 0


def test_a_crash_in_the_middle_takes_nothing(ours, theirs, tmp_path, monkeypatch):
    export_bundle(theirs, tmp_path / "b.zip")
    real, calls = library_exchange.experiment_of, []

    def third_fails(data):
        calls.append(data)
        if len(calls) == 3:
            raise MemoryError
        return real(data)

    monkeypatch.setattr(library_exchange, "experiment_of", third_fails)
    with pytest.raises(MemoryError):
        import_bundle(ours, tmp_path / "b.zip")
    assert len(ours) == 0


def test_merging_what_is_no_library_is_refused(ours, tmp_path):
    with pytest.raises(LibraryError, match="no such file"):
        merge(ours, tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("hello")
    with pytest.raises(LibraryError, match=r"not a database|another kind"):
        merge(ours, tmp_path / "text.sqlite")
    with Library(tmp_path / "new.sqlite") as newer:
        newer.database.execute("PRAGMA user_version = 9")
    with pytest.raises(LibraryError, match="schema_version 9"):
        merge(ours, tmp_path / "new.sqlite")
