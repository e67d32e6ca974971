"""The vendors' fakes for other processes of ours: as modules that lie where Python looks for them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAKED = {
    "autoscript_tem_microscope_client": "fakes_autoscript.autoscript",
    "PyJEM": "fakes_jeol.pyjem",
    "serialem": "fakes_serialem.serialem",
}
_MODULE = """
from {file} import {name}
_there = {name}()
_there.__enter__()  # for as long as the process lasts
"""


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Every process that is started meanwhile finds the vendors' modules, each with a column of its own."""
    for module, fake in _FAKED.items():
        file, _, name = fake.partition(".")
        (folder / f"{module}.py").write_text(_MODULE.format(file=file, name=name))
    places = (str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    with mock.patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(filter(None, places))}):
        yield
