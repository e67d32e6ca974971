"""What the commands that see share."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def told_progress(chips: Sequence[Any]) -> Iterator[Any]:
    """Each of ``chips``, with a bar that says how many are left."""
    from rich.progress import track

    from console.exits import errors

    yield from track(chips, "looking", console=errors, transient=True)


def seeing(module: str) -> Any:
    """A module that needs torch. Raises ConfigError where that is not installed."""
    from configs.errors import ConfigError

    try:
        found = import_module(module)
        import_module("torch").set_num_threads(1)  # the same numbers on every machine, and no slower on a busy one
        return found
    except ModuleNotFoundError as error:
        raise ConfigError(f"seeing needs {error.name}, which is not installed: pip install 'adaptem[see]'") from error
