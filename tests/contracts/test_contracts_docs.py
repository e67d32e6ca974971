"""The driver of docs/drivers.md, taken from the page as it stands, keeps the contract."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from line_instrument import serving

from configs.load import ConfigError
from instruments.checks import READS, check_microscope
from instruments.clock import RealClock
from instruments.drivers import registry
from instruments.errors import Disconnected
from instruments.types import Exposure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def driver(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    page = (root / "docs" / "drivers.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert code.count("\n") < 150
    path = tmp_path / "lines_driver.py"
    path.write_text(code, encoding="utf-8")
    spec = spec_from_file_location("lines_driver", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lines_driver", module)
    spec.loader.exec_module(module)
    point = EntryPoint("lines", "lines_driver", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group, name="lines": [point] if name == "lines" else [])
    return module


def test_the_worked_example_keeps_the_contract(driver: Any) -> None:
    with serving() as port:
        settings = registry.parse(
            {"kind": "lines", "port": port, "current_pA": 50.0, "stage_to_image": [[1.0, 0.0], [0.0, 1.0]]}
        )
        scope = registry.open_microscope(settings, seed=0, clock=RealClock())
        assert isinstance(scope, driver.LinesMicroscope)
        look, lacks = Exposure(field_of_view_nm=200.0, shape=(128, 128), dwell_us=10.0), registry.lacks(settings)
        results = check_microscope(scope, exposure=look, lacks=lacks)
    assert [result for result in results if not result.ok] == []
    unread = [check for name, check in READS.items() if name != "blanker"]
    assert [result.name for result in results if not result.checked] == list(lacks) == unread


def test_the_blocks_of_the_page_are_settings(root: Path) -> None:
    page = (root / "docs" / "drivers.md").read_text(encoding="utf-8")
    blocks = [
        yaml.safe_load(text).get("instrument", {}) for text in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    ]
    kinds = [registry.parse(block).model_dump()["kind"] for block in blocks if "kind" in block]
    assert {"autoscript", "serialem"} <= set(kinds)


def test_the_worked_example_says_what_is_wrong(driver: Any) -> None:
    with serving() as port:
        pass
    settings = registry.parse({"kind": "lines", "port": port, "current_pA": 50.0})
    with pytest.raises(Disconnected, match="start it"):
        registry.open_microscope(settings, seed=0, clock=RealClock())
    with pytest.raises(ConfigError, match="did you mean 'lines'"):
        registry.parse({"kind": "line"})
