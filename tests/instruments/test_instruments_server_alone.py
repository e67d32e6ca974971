"""The driver server needs nothing but an old Python and numpy, and no POSIX."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from instruments.checks import check_microscope
from instruments.clock import RealClock
from instruments.errors import Disconnected
from instruments.remote import RemoteMicroscope, RemoteSettings, token_in
from instruments.types import Exposure

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "instruments" / "server").glob("*.py")), ROOT / "docs" / "plain_driver.py"]

OF_3_8 = {
    "argparse", "hmac", "importlib", "json", "math", "os", "pathlib", "queue", "secrets", "select", "signal",
    "socket",
    "struct", "sys", "threading", "time", "typing", "__future__", "collections", "numpy",
}  # fmt: skip
"""Modules that Python 3.8 has on Windows, and numpy."""
NOT_ON_WINDOWS = {
    "fork", "kill", "killpg", "getuid", "geteuid", "getppid", "setsid", "nice", "uname", "statvfs", "mkfifo", "chown",
    "AF_UNIX", "socketpair", "poll", "epoll", "SIGKILL", "SIGSTOP", "SIGHUP", "SIGALRM", "alarm", "setitimer",
    "pass_fds", "preexec_fn", "fchmod", "sendmsg", "recvmsg", "pthread_kill", "sigwait", "pread", "pwrite", "fork_exec",
}  # fmt: skip
LATER_THAN_3_8 = {
    "removeprefix", "removesuffix", "cache", "pairwise", "randbytes", "is_relative_to", "with_stem", "readlink",
    "to_thread", "TaskGroup", "batched", "hardlink_to", "lcm", "nextafter", "unparse", "bit_count", "anext", "aiter",
}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_python_3_8_without_posix(path: Path) -> None:
    found = list(unfit(path.read_text(encoding="utf-8")))
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "match x:\n    case 1: pass", "with (open(a) as b, open(c) as d): pass", "import fcntl", "os.kill(1, 9)",
        "x: int | None = 1", "f(isinstance(a, int | str))", "x = 'a'.removeprefix('b')",
        "from instruments.types import State", "from __future__ import annotations\nT = list[int]", "{} | {'a': 1}",
    ],
)  # fmt: skip
def test_the_check_above_sees(text: str) -> None:
    assert list(unfit(text))


def unfit(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text, feature_version=(3, 8))
    except SyntaxError as error:
        yield f"{error.lineno}: syntax"
        return
    later = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    notes = {id(inner) for node in ast.walk(tree) for inner in annotations(node)} if later else set()
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [str(node.module)]
        yield from (f"{name} is imported" for name in modules if name.partition(".")[0] not in {*OF_3_8, "server"})
        if isinstance(node, ast.Attribute) and node.attr in NOT_ON_WINDOWS | LATER_THAN_3_8:
            yield f"{node.lineno}: {node.attr}"
        if id(node) in notes:
            continue
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and "os.O_" not in ast.unparse(node):
            yield f"{node.lineno}: | of types or dictionaries"
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            if node.value.id in {"list", "dict", "tuple", "set", "type"}:
                yield f"{node.lineno}: {node.value.id}[...] is evaluated"


def annotations(node: ast.AST) -> Iterator[ast.AST]:
    """What is below an annotation: never evaluated."""
    for name in ("annotation", "returns"):
        if (note := getattr(node, name, None)) is not None:
            yield from ast.walk(note)


@pytest.fixture
def alone(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """What ``make driver-zip`` makes, and an environment in which numpy is all that can be imported beside."""
    made = tmp_path / "driver-server"
    python = Path(sys.executable)
    done = subprocess.run(
        ["make", "driver-zip", f"DRIVER_SERVER={made}", f"PYTHON={python}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert made.with_suffix(".zip").is_file()
    only = tmp_path / "only"
    only.mkdir()
    packages = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (packages / name).exists():
            (only / name).symlink_to(packages / name)
    unpacked = tmp_path / "unpacked"
    subprocess.run([python, "-m", "zipfile", "-e", made.with_suffix(".zip"), unpacked], check=True)
    return unpacked / "driver-server", {"PYTHONPATH": str(only), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}


def test_the_folder_runs_without_anything_installed(alone: tuple[Path, dict[str, str]]) -> None:
    folder, env = alone
    words = ["--driver", "plain_driver.py", "--token-file", "token.txt", "--name", "practice", "--until-stdin-closes"]
    python = [sys.executable, "-S", "-B"]
    absent = subprocess.run(
        [*python, "-c", "import instruments"], cwd=folder, env=env, capture_output=True, check=False
    )
    assert b"No module named 'instruments'" in absent.stderr
    process = subprocess.Popen(
        [*python, "-m", "server", *words], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["port"]
        token_file = folder / "token.txt"
        assert token_file.stat().st_mode & 0o077 == 0
        settings = RemoteSettings(port=port, token_file=token_file, name="practice")
        with pytest.raises(Disconnected, match="token"):
            RemoteMicroscope(settings, "0" * 64, RealClock())
        scope = RemoteMicroscope(settings, token_in(token_file), RealClock())
        results = check_microscope(scope, exposure=Exposure(field_of_view_nm=200.0, shape=(128, 128), dwell_us=5.0))
        assert [result for result in results if not (result.ok and result.checked)] == []
        scope.close()
    finally:
        process.stdin.close()
        assert process.wait(20) == 0
        process.stdout.close()


def test_the_plain_drivers_interlocks_are_asked_of_the_instrument(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever replaces ``Practice`` has to say where they read: nothing of them stands in the driver."""
    monkeypatch.syspath_prepend(str(root / "instruments"))
    plain = run_path(str(root / "docs" / "plain_driver.py"))
    scope = plain["Practice"]()
    for name, told in (("valve_is_open", False), ("pressure_pa", 0.1), ("emission_ua", 0.0), ("tension_kv", 0.0)):
        setattr(scope, name, lambda told=told: told)
    state = plain["PlainDriver"](scope).state()
    found = (state["valve_open"], state["vacuum"]["value"], state["emission"]["value"], state["optics"]["voltage_kV"])
    assert found == (False, 0.1, 0.0, 0.0)


def test_a_token_that_is_short_is_no_token(alone: tuple[Path, dict[str, str]]) -> None:
    folder, env = alone
    (folder / "token.txt").write_text("1234\n")
    assert "32 characters" in not_served(folder, env, "--name", "practice")


@pytest.mark.parametrize(("words", "message"), [((), "--name"), (("--name", "../titan"), "letters, digits, dot")])
def test_an_instrument_without_a_name_is_not_served(
    alone: tuple[Path, dict[str, str]], words: tuple[str, ...], message: str
) -> None:
    """Its latches are kept under it."""
    assert message in not_served(*alone, *words)


def not_served(folder: Path, env: dict[str, str], *more: str) -> str:
    """What it says instead."""
    words = ["-S", "-B", "-m", "server", "--driver", "plain_driver.py", "--token-file", "token.txt", *more]
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    return done.stderr
