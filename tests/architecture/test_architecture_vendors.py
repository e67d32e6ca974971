"""A vendor's library is asked for in its own driver only: what ``vendor.library`` loads, import-linter cannot see."""

from __future__ import annotations

import ast

from architecture_sources import modules, name, tree

OWN = {
    "instruments/drivers/autoscript.py": {"autoscript_tem_microscope_client"},
    "instruments/drivers/de.py": {"deapi", "de_twin"},
    "instruments/drivers/detwin.py": {"de_twin"},
    "instruments/drivers/jeol.py": {"PyJEM"},
    "instruments/drivers/micromanager.py": {"pymmcore_plus"},
    "instruments/drivers/nion.py": {"nion"},
    "instruments/drivers/serialem.py": {"serialem"},
    "instruments/drivers/thermofisher.py": {"temscript"},
}


_LOADERS = ("library", "supplied", "import_module")


def asked_for(module: ast.Module) -> set[str]:
    """Top-level names of the libraries that a module loads by a call; "" for a computed one."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _LOADERS:
            first = node.args[0]
            text = first.values[0] if isinstance(first, ast.JoinedStr) else first
            told = text.value if isinstance(text, ast.Constant) else ""
            found.add(str(told).partition(".")[0])
    return found


def test_libraries_are_loaded_by_their_own_drivers() -> None:
    found = {name(path): asked_for(tree(path)) for path in modules("instruments/drivers")}
    of_others = {"instruments/drivers/registry.py", "instruments/drivers/vendor.py"}  # they load what they are told to
    assert {file: names for file, names in found.items() if names and file not in of_others} == OWN


def test_the_check_above_sees() -> None:
    source = (
        "library('a.b', oldest='1')\nimportlib.import_module(f'c.{x}')\nvendor.library(name)\nsupplied('d', by='e')"
    )
    assert asked_for(ast.parse(source)) == {"a", "c", "d", ""}
