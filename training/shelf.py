"""Policies as files: what is there, what one is for, and where a name leads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from models.checkpoint import SHIPPED
from training.run import CONFIG, again

WEIGHTS, CARD = "policy.safetensors", "policy.json"
IMPORTED = "train.yaml"
"""The config of a policy that was imported: not as a run's own, which ``adaptem train --resume`` would go on with."""


def listed(folder: Path) -> list[dict[str, Any]]:
    """The shipped policies, and those of runs below ``folder``: name, hash, kind, score, file, and what is wrong.

    Score: the share found where it was selected; None where the card does not tell. Wrong: None where nothing is.
    """
    found = [*sorted(SHIPPED.glob("*.safetensors")), *sorted(folder.glob(f"*/{WEIGHTS}"))]
    return [_row(path) for path in found]


def _row(path: Path) -> dict[str, Any]:
    name = path.stem if path.parent == SHIPPED else path.parent.name
    row = {"policy": name, "hash": "", "kind": "", "score": None, "file": str(path), "wrong": None}
    try:
        card = read_card(path)
    except ConfigError as error:  # one that is torn hides no other
        return row | {"wrong": str(error)}
    if path.parent != SHIPPED:
        name = str(card.get("name", name))
    told = {"policy": name, "hash": str(card.get("hash", "")), "kind": str(card["spec"].get("kind", ""))}
    return row | told | {"score": card["progress"].get("best")}


def find(name: str, folder: Path) -> Path:
    """The weights of a path, or of a name as ``listed`` has it: of a shipped policy, or of a run below ``folder``.

    Raises ConfigError: none of that name, or several, each told with its file.
    """
    if Path(name).suffix == ".safetensors" or "/" in name:
        return Path(name)
    rows = listed(folder)
    files = [row["file"] for row in rows if row["policy"] == name or Path(row["file"]).parent == folder / name]
    if len(files) > 1:
        raise ConfigError(f"policy {name!r} is one of {len(files)}, give its file: {', '.join(files)}")
    if not files:
        there = ", ".join(sorted({row["policy"] for row in rows})) or "none is"
        raise ConfigError(
            f"policy {name!r} neither comes with adaptem nor is in {folder} (there: {there}); name another folder by "
            "--runs, or give its file, FILE.safetensors"
        )
    return Path(files[0])


def read_card(path: Path) -> dict[str, Any]:
    """What the JSON beside the weights tells; ``spec``, ``config`` and ``progress`` are tables, empty if left out.

    Raises ConfigError where it is not there or no such card.
    """
    try:
        card = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"policy {path} has no card that can be read ({error}): export it again") from error
    if not isinstance(card, dict):
        raise ConfigError(f"policy {path}: its card is no table of names")
    tables = {name: card.get(name, {}) for name in ("spec", "config", "progress")}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"policy {path}: {name} of its card is no table of names")
    best = tables["progress"].get("best")
    if not isinstance(best, (int, float, type(None))):
        raise ConfigError(f"policy {path}: progress.best of its card is no number: {best!r}")
    return card | tables


def config_of(path: Path) -> Path | None:
    """The config that the policy was trained by, where it is kept beside the weights."""
    if path.name != WEIGHTS:
        return None
    return next((file for name in (CONFIG, IMPORTED) if (file := path.with_name(name)).is_file()), None)


def card_text(path: Path, config: Path | None = None) -> str:
    """A model card in Markdown: what it is, sees and may do, what it was trained on, and its limits.

    ``config``: where whoever reads it finds the config; None = where it is now.
    """
    card = read_card(path)
    spec, trained, progress = card["spec"], card["config"], card["progress"]
    kinds = trained.get("worlds", {}).get("kinds", {})
    best, kept = progress.get("best"), config or config_of(path)
    command = card.get("command") if kept is None else again(kept, str(card.get("name", path.stem)))
    lines = [
        f"# {card.get('name', path.stem)}",
        f"{spec.get('kind')} policy of width {spec.get('width')}, weights {card.get('hash')}.",
        "## Sees",
        f"Of each place: {', '.join(spec.get('columns', ()))}. Of the whole: {', '.join(spec.get('scalars', ()))}.",
        "## May do",
        f"Looks: {', '.join(spec.get('looks', ()))}. Skills: {', '.join(spec.get('skills', ())) or 'none'}. Stop.",
        "## Trained on",
        f"Simulated specimens: {', '.join(kinds)}; {progress.get('env_steps')} steps, {progress.get('cpu_s')} s of a "
        f"processor, seed {card.get('seed')}, commit {card.get('commit')}. Remade by "
        f"`{command}`{_besides(trained)}.",
        f"Finds {float('nan') if best is None else best:.3f} of what is rare on specimens kept for selecting.",
        "## Limits",
        str(card.get("limits", "not told")),
    ]
    return "\n\n".join(lines) + "\n"


def _besides(trained: dict[str, Any]) -> str:
    """Files that the config names and no bundle carries."""
    files = [trained.get("worlds", {}).get("readings"), *trained.get("nights", ())]
    told = ", ".join(str(file) for file in files if file)
    return f", which reads {told}" if told else ""
