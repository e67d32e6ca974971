"""What is imported is declared, what is declared is pinned, and the instrument's computer gets no learning stack."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata

import pytest
from architecture_sources import FOLDERS, ROOT, imports, modules, name, tree
from packaging.requirements import Requirement

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {extra: [Requirement(line) for line in lines] for extra, lines in PROJECT["optional-dependencies"].items()}

MODULE_OF = {
    "pyyaml": "yaml", "pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn", "rosettasciio": "rsciio",
    "ome-zarr": "ome_zarr", "pytest-timeout": "pytest_timeout",
}  # fmt: skip
MODULE_PULLED_IN = {
    "pydantic_core": "pydantic", "click": "typer", "numcodecs": "zarr", "google_crc32c": "zarr", "llvmlite": "numba",
    "starlette": "fastapi",
}  # fmt: skip
"""Imported, and a part of what its declared owner always brings."""


def module_of(requirement: Requirement) -> str:
    return MODULE_OF.get(requirement.name.lower(), requirement.name.lower().replace("-", "_"))


def test_imports_are_declared() -> None:
    vendors = {"temscript", "PyJEM", "nion", "serialem", "DigitalMicrograph", "pymmcore", "pymmcore_plus"}
    ours = {*FOLDERS, *sys.stdlib_module_names, "adaptem"}
    declared = {
        module_of(one)
        for extra in (
            "formats",
            "simulate",
            "see",
            "train",
            "review",
            "notify",
            "parquet",
            "postgres",
            "sb3",
            "rllib",
            "minari",
        )
        for one in [*CORE, *EXTRAS[extra]]
    }
    found = [
        f"{name(path)}:{line}: {module}"
        for path in modules()
        for line, module in imports(tree(path))
        if MODULE_PULLED_IN.get(module, module) not in declared | ours | vendors
    ]
    assert found == [], "declare them in pyproject.toml"


def pins() -> dict[str, str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[\w.!+]+", line) for line in lines), "a constraint is name==version"
    return {_folded(line.partition("==")[0]): line.partition("==")[2] for line in lines}


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_what_is_declared_is_pinned_within_its_range(extra: str | None) -> None:
    for requirement in EXTRAS[extra] if extra else CORE:
        pin = pins().get(_folded(requirement.name))
        assert pin, f"{requirement.name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pin), f"{requirement} excludes its pin {pin}"


def test_the_core_brings_no_learning_stack_and_no_copyleft() -> None:
    """Everything that `pip install adaptem` would bring, as installed here, followed to the last dependency."""
    reached: set[str] = set()
    waiting = list(CORE)
    while waiting:
        folded = _folded(waiting.pop().name)
        if folded in reached:
            continue
        reached.add(folded)
        needs = map(Requirement, metadata.requires(folded) or [])
        waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    assert {"numpy", "zarr"} <= reached
    assert not reached & {"torch", "ray", "mlflow", "hyperspy", "rosettasciio", "abtem", "nionswift"}


def _folded(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()
