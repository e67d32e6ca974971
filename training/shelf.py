"""Policies as files: what is there, what one is for, and moving one from a laboratory to another."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from models.checkpoint import SHIPPED, load_policy, weights_hash

WEIGHTS, CARD = "policy.safetensors", "policy.json"
MOST_BYTES = 64 << 20
"""A bundle that unpacks to more is no policy of ours."""


def listed(folder: Path) -> list[dict[str, Any]]:
    """The shipped policies, and those of runs below ``folder``: name, hash, kind, parameters, score, file."""
    found = [*sorted(SHIPPED.glob("*.safetensors")), *sorted(folder.glob(f"*/{WEIGHTS}"))]
    rows = []
    for path in found:
        card = read_card(path)
        rows.append({
            "policy": path.stem if path.parent == SHIPPED else card.get("name", path.parent.name),
            "hash": card.get("hash", ""),
            "kind": card.get("spec", {}).get("kind", ""),
            "score": card.get("progress", {}).get("best"),
            "file": str(path),
        })  # fmt: skip
    return rows


def read_card(path: Path) -> dict[str, Any]:
    """What the JSON beside the weights tells. Raises ConfigError where it is not there or no such card."""
    try:
        card = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"policy {path} has no card that can be read ({error}): export it again") from error
    if not isinstance(card, dict):
        raise ConfigError(f"policy {path}: its card is no table of names")
    return card


def card_text(path: Path) -> str:
    """A model card in Markdown: what it is, sees and may do, what it was trained on, and its limits."""
    card = read_card(path)
    spec, config, progress = (card.get(name, {}) for name in ("spec", "config", "progress"))
    kinds = config.get("worlds", {}).get("kinds", {})
    lines = [
        f"# {card.get('name', path.stem)}",
        f"{spec.get('kind')} policy of width {spec.get('width')}, weights {card.get('hash')}.",
        "## Sees",
        f"Of each place: {', '.join(spec.get('columns', ()))}. Of the whole: {', '.join(spec.get('scalars', ()))}.",
        "## May do",
        f"Looks: {', '.join(spec.get('looks', ()))}. Skills: {', '.join(spec.get('skills', ())) or 'none'}. Stop.",
        "## Trained on",
        f"Simulated specimens: {', '.join(kinds)}; {progress.get('env_steps')} steps, {progress.get('cpu_s')} s of a "
        f"processor, seed {card.get('seed')}, commit {card.get('commit')}. Remade by `{card.get('command')}`.",
        f"Finds {progress.get('best', float('nan')):.3f} of what is rare on specimens kept for selecting.",
        "## Limits",
        str(card.get("limits", "not told")),
    ]
    return "\n\n".join(lines) + "\n"


def export(path: Path, bundle: Path) -> Path:
    """Weights, card and model card in one zip. Raises ConfigError for a policy that does not load."""
    load_policy(path)
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(path, WEIGHTS)
        packed.write(path.with_suffix(".json"), CARD)
        packed.writestr("README.md", card_text(path))
    return bundle


def take_in(bundle: Path, folder: Path) -> Path:
    """Unpack a bundle into ``folder``/NAME, after its weights have loaded and are those that its card names.

    Raises ConfigError: no bundle, weights that do not load or are others, a policy of that name that is there already.
    """
    with tempfile.TemporaryDirectory() as place:
        beside = Path(place)
        try:
            with zipfile.ZipFile(bundle) as packed:
                if sum(item.file_size for item in packed.infolist()) > MOST_BYTES:
                    raise ConfigError(f"{bundle} unpacks to over {MOST_BYTES >> 20} MB: no policy is so large")
                for name in (WEIGHTS, CARD):
                    (beside / name).write_bytes(packed.read(name))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"{bundle} is no bundle of a policy ({error}); `adaptem policies export` makes one"
            ) from error
        policy, card = load_policy(beside / WEIGHTS), read_card(beside / WEIGHTS)
        found = weights_hash(policy.state_dict())
        if card.get("hash") != found:
            raise ConfigError(f"{bundle}: its card tells of weights {card.get('hash')}, found {found}: it was changed")
        name = "".join(letter for letter in str(card.get("name", "")) if letter.isalnum() or letter in "-_") or found
        target = folder / name
        if target.exists():
            raise ConfigError(f"{target} is there already: move it, or import into another folder by --into")
        target.mkdir(parents=True)
        for each in (WEIGHTS, CARD):
            shutil.copy(beside / each, target / each)
    return target / WEIGHTS
