"""The process that writes HyperSpy's files: ``python -m archive.hyperspy_writing``. ``export_hyperspy`` starts it.

RosettaSciIO is under the GPL, so it is loaded in here and nowhere else. On standard input one JSON object:

    {"file": PATH, "array": ZARR, "length": N, "axes": [{name, scale, offset, units, navigate}, …],
     "metadata": {…}, "about": {…}}        ► on standard output {} or {"error": TEXT}

``length``: only so many of the first axis are written. ``about`` becomes HyperSpy's ``original_metadata``.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from typing import Any


def write(request: dict[str, Any]) -> None:
    """Write one signal, chunk by chunk: the data are never in memory whole."""
    dask_array = importlib.import_module("dask.array")
    writer = importlib.import_module("rsciio.hspy").file_writer
    data = dask_array.from_zarr(request["array"])[: request["length"]]
    axes = [
        {"_type": "UniformDataAxis", "is_binned": False, "size": size, **axis}
        for size, axis in zip(data.shape, request["axes"], strict=True)
    ]
    signal = {
        "data": data,
        "axes": axes,
        "metadata": request["metadata"],
        "original_metadata": request["about"],
        "learning_results": {},
        "attributes": {"_lazy": True, "ragged": False},
        "models": {},
        "tmp_parameters": {},
        "package_info": {"package": "adaptem", "package_version": request["version"]},
    }
    writer(request["file"], signal, chunks=data.chunksize, show_progressbar=False)


def main() -> None:
    """Answer one request."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    warnings.simplefilter("ignore")
    try:
        write(json.load(sys.stdin))
        answer = {}
    except Exception as error:  # the parent tells it to a person
        answer = {"error": " ".join(str(error).split()) or type(error).__name__}
    answers.write(json.dumps(answer))
    answers.flush()


if __name__ == "__main__":
    main()
