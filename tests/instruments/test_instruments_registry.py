"""Kinds by name: imported when asked for, refused with the nearest name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from configs.load import ConfigError
from instruments.clock import SimulatedClock
from instruments.drivers import registry, vendor
from instruments.replay import ReplayMicroscope, ReplaySettings
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_every_kind_opens(tmp_path: Path) -> None:
    Image.new("L", (32, 32), 7).save(tmp_path / "flat.png")
    simulated = registry.parse({"kind": "simulated", "specimen": {"film_nm": 9}})
    replay = registry.parse({"kind": "replay", "image": str(tmp_path / "flat.png"), "pixel_size_nm": 0.1})
    assert isinstance(simulated, SimulatedSettings)
    assert isinstance(replay, ReplaySettings)
    opened = [registry.open_microscope(s, seed=1, clock=SimulatedClock(), truth=None) for s in (simulated, replay)]
    assert [type(scope) for scope in opened] == [SimulatedMicroscope, ReplayMicroscope]
    assert {"simulated", "replay"} <= set(registry.kinds())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "simulatd"}, "did you mean 'simulated'"),
        ({"kind": "cryostat"}, "replay, serialem, simulated"),
        ({}, "None"),
        ({"kind": ["replay"]}, "no driver"),
    ],
)
def test_unknown_kind_names_the_nearest(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        registry.parse(settings)


def test_a_laboratory_adds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SimpleNamespace(
        SETTINGS=SimulatedSettings, open_microscope=lambda settings, *, seed, clock, truth: ("mine", seed)
    )

    class Point(EntryPoint):
        def load(self) -> object:
            return driver

    found = [Point("mine", "lab:driver", registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group, name="mine": [p for p in found if p.name == name])
    assert "mine" in registry.kinds()
    settings = registry.parse({"kind": "simulated"})
    mine = settings.model_copy(update={"kind": "mine"})
    assert registry.open_microscope(mine, seed=4, clock=SimulatedClock(), truth=None) == ("mine", 4)


def test_a_driver_is_imported_when_asked_for_only() -> None:
    program = (
        "import sys; from instruments.drivers import registry; registry.kinds();"
        "print([m for m in sys.modules if m.startswith(('instruments.sim', 'instruments.replay', 'scipy', 'zarr'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_vendor_brings_is_looked_for_where_python_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package index has it: the hint says whose software does."""
    driver = SimpleNamespace(
        SETTINGS=SimulatedSettings, NEEDS=("json", "no_such_module"), SUPPLIED_BY="the column's CD"
    )
    point = SimpleNamespace(name="column", load=lambda: driver)
    monkeypatch.setattr(registry, "entry_points", lambda group, name="column": [point] if name == "column" else [])
    assert registry.needs("column") == {"json": "of an unknown version", "no_such_module": None}
    assert registry.comes_from("column") == "it comes with the column's CD"
    assert registry.comes_from("nion") == "pip install 'adaptem[nion]'"
    with pytest.raises(ConfigError, match=r"no_such_module.*pip does not find it, it comes with the column's CD"):
        vendor.supplied("no_such_module", by="the column's CD")
