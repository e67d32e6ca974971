"""The frames of a running survey, in tools that know nothing of adaptem."""

from __future__ import annotations

import numpy as np
import pytest
from archive_samples import counts, frame, intent, new_folder, recorder

# Third parties warn about themselves; only what they read is judged here.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def running(tmp_path):
    """A survey with two frames per stream that is still being written."""
    with new_folder(tmp_path / "s") as folder:
        keeper = recorder(folder)
        for _ in range(2):
            exposure_id = intent(keeper)
            keeper.commit(exposure_id, frame(exposure_id))
        yield next(folder.frames.glob("HAADF_*.zarr"))
        keeper.close()


def test_ome_zarr_reads_pixels_and_their_size(running):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (node, *_) = Reader(parse_url(str(running)))()
    np.testing.assert_array_equal(node.data[0][1], counts(2))
    assert node.metadata["coordinateTransformations"] == [[{"type": "scale", "scale": [1.0, 0.5, 0.5]}]]


def test_the_metadata_are_valid_ome_zarr_0_5(running):
    models = pytest.importorskip("ome_zarr_models.v05")
    import zarr

    image = models.Image.from_zarr(zarr.open_group(running, mode="r"))
    axes = image.attributes.ome.multiscales[0].axes
    assert [(axis.name, axis.unit) for axis in axes] == [("t", None), ("y", "nanometer"), ("x", "nanometer")]


def test_tensorstore_reads_it(running):
    tensorstore = pytest.importorskip("tensorstore")
    kvstore = {"driver": "file", "path": f"{running}/0/"}
    array = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True).result()
    np.testing.assert_array_equal(array[1].read().result(), counts(2))
    assert array.domain.labels == ("t", "y", "x")


def test_hyperspy_reads_it(running):
    hyperspy = pytest.importorskip("hyperspy.api")
    dask_array = pytest.importorskip("dask.array")
    signal = hyperspy.signals.Signal2D(dask_array.from_zarr(str(running), component="0")).as_lazy()
    np.testing.assert_array_equal(signal.inav[1].data.compute(), counts(2))


def test_zarr_alone_reads_it(running):
    import zarr

    np.testing.assert_array_equal(zarr.open_group(running, mode="r")["0"][0], counts(1))
