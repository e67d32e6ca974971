"""A vendor's library, or a clear word on what is missing. Drivers are read without it, so that a config is too.

Each library is asked for in its own driver only (tests/architecture).
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from importlib import metadata
from typing import Any

from configs.load import ConfigError


def library(module: str, *, package: str, extra: str, oldest: str, before: str | None = None) -> Any:
    """The module, imported now.

    Args:
        module: what to import.
        package: its name where packages come from.
        extra: of adaptem, that brings it.
        oldest: version that the driver is tested with at the least.
        before: first version that is known, or has to be feared, to differ.

    Raises:
        ConfigError: it is not installed, cannot be imported, or is of another version.
    """
    install = f"pip install 'adaptem[{extra}]'"
    if (found := installed(package)) is None:
        raise ConfigError(f"this instrument needs {package}, which is not installed: {install}")
    if _numbers(found) < _numbers(oldest) or (before is not None and _numbers(found) >= _numbers(before)):
        wanted = f"{oldest} or newer" + (f", older than {before}" if before else "")
        raise ConfigError(f"this instrument needs {package} {wanted}, found {found}: {install}")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{package} {found} is installed, but cannot be loaded ({error}): {install}") from error


def supplied(module: str, *, by: str) -> Any:
    """A module that no package index has, imported now.

    Args:
        module: what to import.
        by: the vendor's own software that brings it.

    Raises:
        ConfigError: it is not there, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"this instrument needs the Python module {module} ({error}): pip does not find it, it comes with {by}; "
            "install that, and run adaptem, or its driver server, in the Python that has it"
        ) from error


def installed(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def there(module: str) -> str | None:
    """The version of a module that a vendor's software brings, as far as it tells, or None."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    return None if found is None else installed(module) or "of an unknown version"


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers in a version, to compare.

    >>> _numbers("75.20261014.post1") > _numbers("75"), _numbers("0.10") > _numbers("0.9")
    (True, True)
    """
    return tuple(int(part) for part in re.findall(r"\d+", version))
