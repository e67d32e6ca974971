"""Weights of a network as safetensors, with how they were made beside them as JSON; nothing is ever unpickled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

Network = TypeVar("Network", bound=nn.Module)


def write_weights(
    state: Mapping[str, Tensor],
    path: Path,
    kind: tuple[str, str],
    about: Mapping[str, Any],
    inside: Mapping[str, str] | None = None,
) -> None:
    """Weights and, beside them under the same name as JSON, how they were made.

    Whoever reads meanwhile, or after a crash, finds the old ones or the new ones whole.
    ``kind``: format and version. ``inside``: what the file itself has to say beside these.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {"format": kind[0], "version": kind[1]}
    partial, card = path.with_name(path.name + ".partial"), path.with_suffix(".json")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial, {**named, **(inside or {})})
    partial.replace(path)
    partial.write_text(json.dumps({**named, **about}, indent=2) + "\n")
    partial.replace(card)


def read_network(network: Network, path: Path, kind: tuple[str, str], again: str) -> Network:
    """``network`` with the weights of a file. Raises ConfigError as ``read_file``, and as ``fill``."""
    fill(network, read_file(path, kind, "weights", again)[1], f"weights {path}", again)
    return network


def fill(network: nn.Module, state: Mapping[str, Tensor], what: str, again: str) -> None:
    """Put weights into a network.

    Raises ConfigError, which begins with ``what`` and ends with ``again``, where they do not fit, or are not finite.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"{what} do not fit ({error}): {again}") from error
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise ConfigError(f"{what} hold numbers that are not finite: {again}")


def read_file(path: Path, kind: tuple[str, str], what: str, again: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What a file says of itself, and its weights by name.

    Raises ConfigError, which begins with ``what`` and ends with ``again``, for a file that is not of this ``kind``.
    """
    try:
        with safe_open(path, "pt") as held:
            about = held.metadata() or {}
            state = {name: held.get_tensor(name) for name in held.keys()}
    except (SafetensorError, OSError) as error:
        told = f"{what} {path}: not safetensors ({error}); other formats may run code and are not read"
        raise ConfigError(f"{told}: {again}") from error
    if (about.get("format"), about.get("version")) != kind:
        found = f"{about.get('format')!r} of version {about.get('version')!r}"
        raise ConfigError(f"{what} {path}: {found}; this reads {kind[0]!r} of version {kind[1]!r}: {again}")
    return about, state
