"""What every file of ours keeps to."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest
from architecture_sources import FOLDERS, ROOT, modules, name, published, tree

if TYPE_CHECKING:
    from pathlib import Path

MOST_LINES = 300


@pytest.mark.parametrize("path", [*modules(), *modules("tests", "benchmarks")], ids=name)
def test_files_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines < MOST_LINES, f"{name(path)} has {lines} lines: split it by concept"


def test_what_judges_a_request_stays_readable() -> None:
    """A rule more is a decision (docs/decisions/0009-what-is-trusted.md): raise this number there, too."""
    parts = ("guard", "guard_checks", "guard_powers", "bounds", "limits", "dose", "booking")
    texts = [(ROOT / "instruments" / f"{part}.py").read_text(encoding="utf-8") for part in parts]
    assert sum(text.count("\n") for text in texts) < 1300
    assert not [part for part, text in zip(parts, texts, strict=True) if "numpy" in text or "torch" in text]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_says_what_it_is(folder: str) -> None:
    for path in modules(folder):
        assert ast.get_docstring(tree(path)), f"{name(path)} has no docstring"


@pytest.mark.parametrize("folder", FOLDERS)
def test_packages_import_nothing_of_ours(folder: str) -> None:
    """So that importing one module never drags in its neighbours."""
    for path in (ROOT / folder).rglob("__init__.py"):
        for node in ast.walk(tree(path)):
            assert not isinstance(node, ast.ImportFrom) or not str(node.module).startswith(FOLDERS), name(path)
            assert not isinstance(node, ast.Import) or not any(a.name.startswith(FOLDERS) for a in node.names), name(
                path
            )


def test_functions_import_in_three_places_only() -> None:
    """The driver registry, the agent factory and the console's groups: where what is not needed must not load."""
    allowed = {"instruments/drivers/registry.py", "agent/factory.py"}
    found = [
        f"{name(path)}:{inner.lineno}"
        for path in modules()
        if name(path) not in allowed and not name(path).startswith("console/")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert found == []


DANGEROUS_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "jsonpickle"}
DANGEROUS_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "pandas.read_pickle", "os.system", "os.popen",
                   "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}  # fmt: skip
DANGEROUS_ARGUMENTS = {"allow_pickle", "shell"}


@pytest.mark.parametrize("path", modules(), ids=name)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    assert list(dangers(tree(path))) == []


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from cloudpickle import loads", "eval('1')", "torch.load(p)", "np.load(p, allow_pickle=True)",
     "run(c, shell=True)", "yaml.load(t, Loader=yaml.Loader)"],
)  # fmt: skip
def test_the_check_above_sees(text: str) -> None:
    assert list(dangers(ast.parse(text)))


def dangers(module: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in DANGEROUS_IMPORTS]
        elif isinstance(node, ast.ImportFrom):
            found += [str(node.module)] if str(node.module).partition(".")[0] in DANGEROUS_IMPORTS else []
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            found += [called] if called in DANGEROUS_CALLS else []
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                found += [f"{called}({keyword.arg}=...)"] if keyword.arg in DANGEROUS_ARGUMENTS and not off else []
    return found


def test_no_place_of_one_machine_is_written_down() -> None:
    """A path that only its author's computer has."""
    private = re.compile(r"(?<![\w.])/(home|Users|root|work|mnt|scratch)/\w")
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in published()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if private.search(line)
    ]
    assert found == []
