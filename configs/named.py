"""What is a user's own: found in a named Python file, or by entry point; never text that is evaluated."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


def named(reference: str, group: str) -> Any:
    """``FILE.py:NAME``, relative to the working directory, or the entry point of this name in ``group``.

    Raises ConfigError: no such file, nothing of that name in it, no such entry point, or one that cannot be imported.
    """
    file, colon, name = reference.rpartition(":")
    if colon and file.endswith(".py"):
        return _from_file(Path(file), name)
    found = entry_points(group=group)
    if reference not in found.names:
        raise ConfigError(
            f"{reference!r} was asked for, but the entry points in {group} are {sorted(found.names) or 'none'}: "
            "install the package that offers it, or name FILE.py:NAME"
        )
    try:
        return found[reference].load()
    except Exception as error:  # as of a file: whatever it raises while it is imported
        raise ConfigError(f"{reference!r} cannot be loaded ({type(error).__name__}: {error})") from error


def own(reference: str, group: str, given: Sequence[Any], what: str, members: Sequence[str]) -> Any:
    """What the thing of this name makes of what it is ``given``: a ``what``, which has these members.

    Raises ConfigError: as ``named``, or it raises, told with its place, or what it makes lacks some.
    """
    make = named(reference, group)
    try:
        made = make(*given)
    except ConfigError:
        raise
    except Exception as error:  # whatever a user's file raises, it is told before anything begins
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error}; {Path(where.filename).name}, line {where.lineno}"
        raise ConfigError(f"{reference} makes no {what} ({told})") from error
    if missing := [each for each in members if not hasattr(made, each)]:
        raise ConfigError(f"{reference} gave a {type(made).__name__}, which is no {what}: no {', '.join(missing)}")
    return made


def _from_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise ConfigError(f"{path} was named for {name}, and there is no such file in {Path.cwd()}")
    module_name = f"adaptem_own_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise ConfigError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            raise ConfigError(f"{path} cannot be imported ({type(error).__name__}: {error})") from error
    if not hasattr(module, name):
        names = [each for each in vars(module) if not each.startswith("_")]
        raise ConfigError(f"{path} has no {name}, only {', '.join(names) or 'nothing'}")
    return getattr(module, name)
