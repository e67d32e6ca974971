"""Spectra and patterns of a place, beside its images: where every place has them, and nowhere else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from archive_samples import PIXELS, counts
from PIL import Image
from review_samples import MadeUp, flag

from envs.step import Purpose
from instruments.types import Axis, Signal
from review.feature import Feature
from review.gallery import Gallery, site_of
from review.study import Study

SIDE, LINE = 240, 20
ENERGY = Axis(name="energy", scale=2.0, unit="eV", offset=100.0)
CAMERA = (Axis(name="ky", scale=4.0, unit="mrad"), Axis(name="kx", scale=4.0, unit="mrad"))


def eels(edge):
    """(32, 32, 100): a falling background, and a step at one channel."""
    spectrum = 1e4 * np.linspace(1.0, 0.1, 100) ** 3 + 1e5 * (np.arange(100) >= edge)
    return Signal(np.broadcast_to(spectrum, (32, 32, 100)).astype(np.float32), (*PIXELS, ENERGY))


def camera():
    """(32, 32, 16, 16): a disc in the middle."""
    rows, columns = np.mgrid[:16, :16] - 7.5
    disc = 1000.0 * (np.hypot(rows, columns) < 4)
    return Signal(np.broadcast_to(disc, (32, 32, 16, 16)).astype(np.float32), (*PIXELS, *CAMERA))


def made(path, *, of_all):
    """Two flags and a control; with spectra and patterns all, or the first flag alone."""
    record = MadeUp(path)
    flags = []
    for rank in (1, 2, 3):
        images = {"HAADF": Signal(counts(rank), PIXELS)}
        more = {"EELS": eels(20 * rank), "camera": camera()} if of_all or rank == 1 else {}
        purpose = Purpose.CONTROL if rank == 3 else Purpose.DETAIL
        number = record.look(purpose, x_nm=10.0 * rank, target=4 + rank, signals=images | more)
        site = {"target": 4 + rank, "x_nm": 10.0 * rank, "y_nm": 0.0, "width_nm": 8.0, "height_nm": 8.0}
        flags += [flag(number, rank, x_nm=10.0 * rank, sites=[site])] if rank < 3 else []
    record.record.flags(flags)
    record.event("end", "done", reason="complete")
    record.close()


def strips(path, features=None):
    """(H, W) of each place, its detectors side by side."""
    study = Study(path)
    gallery = Gallery(path, study.places, features)
    found = [
        np.asarray(Image.open(io.BytesIO(gallery.picture(p.exposure_id, "a", site_of(p), "channels", "same") or b"")))
        for p in study.places
    ]
    gallery.close()
    study.close()
    return found


def test_spectrum_and_pattern_are_shown_at_limits_that_all_places_share(tmp_path):
    made(tmp_path / "n", of_all=True)
    one, other, *_ = strips(tmp_path / "n")
    assert one.shape == (SIDE + LINE, 4 * SIDE)  # HAADF, FFT, EELS, camera
    curves = [strip[4 : SIDE - 6, 2 * SIDE + 2 : 3 * SIDE - 6] for strip in (one, other)]
    edges = []
    for curve in curves:
        dark = curve[18:] == 0  # below the words
        assert dark.any(axis=0).mean() > 0.8
        heights = [np.flatnonzero(column)[0] for column in dark.T if column.any()]
        edges.append(int(np.argmin(np.diff(heights))))
    assert edges[1] - edges[0] == pytest.approx(20 / 100 * SIDE, abs=8)
    disc = one[: SIDE - 4, 3 * SIDE : 4 * SIDE - 4]
    assert disc[SIDE // 2, SIDE // 2] > 200 and disc[5, 5] == 0


def test_what_only_some_places_have_tells_nobody_which(tmp_path):
    made(tmp_path / "n", of_all=False)
    assert {strip.shape for strip in strips(tmp_path / "n")} == {(SIDE + LINE, 2 * SIDE)}  # HAADF, FFT


def test_no_spectrum_belies_a_seeded_positive(tmp_path):
    made(tmp_path / "n", of_all=True)
    image = np.ones((4, 4), np.float32)
    seeded = {"a/99": Feature(image, image, {"HAADF": image})}
    assert {strip.shape for strip in strips(tmp_path / "n", seeded)} == {(SIDE + LINE, 2 * SIDE)}


def test_a_frame_that_is_missing_has_no_strip_and_the_others_are_drawn(tmp_path):
    made(tmp_path / "n", of_all=True)
    stream = next((tmp_path / "n" / "frames").glob("EELS*"))
    stream.rename(stream.with_name("gone"))
    study = Study(tmp_path / "n")
    gallery = Gallery(tmp_path / "n", study.places)
    place = study.places[0]
    assert gallery.picture(place.exposure_id, "a", site_of(place), "channels", "same") is None
    gallery.close()
    study.close()
