"""A policy in one zip, from a laboratory to another: weights, card, model card, and the config it was trained by."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from configs.errors import ConfigError
from models.checkpoint import load_policy, weights_hash
from training.run import CONFIG
from training.shelf import CARD, IMPORTED, WEIGHTS, card_text, config_of, read_card

MOST_BYTES = 64 << 20
"""A bundle that unpacks to more is no policy of ours."""


def export(path: Path, bundle: Path) -> Path:
    """Pack a policy. Raises ConfigError for one that does not load, or not its card's, and a bundle that is there."""
    if bundle.exists():
        raise ConfigError(f"{bundle} exists already and is left as it is; name another by --out")
    _check(path, str(path))
    config = config_of(path)
    text = card_text(path, None if config is None else Path(CONFIG))
    partial = bundle.with_name(bundle.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.write(path, WEIGHTS)
            packed.write(path.with_suffix(".json"), CARD)
            packed.writestr("README.md", text)
            if config is not None:
                packed.write(config, CONFIG)
        partial.replace(bundle)
    finally:
        partial.unlink(missing_ok=True)
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
                if CONFIG in packed.namelist():
                    (beside / IMPORTED).write_bytes(packed.read(CONFIG))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"{bundle} is no bundle of a policy ({error}); `adaptem policies export` makes one"
            ) from error
        found = _check(beside / WEIGHTS, str(bundle))
        told = str(read_card(beside / WEIGHTS).get("name", ""))
        name = "".join(letter for letter in told if letter.isalnum() or letter in "-_") or found
        target = folder / name
        if target.exists():
            raise ConfigError(f"{target} is there already: move it, or import into another folder by --into")
        target.mkdir(parents=True)
        for each in beside.iterdir():
            shutil.copy(each, target / each.name)
    return target / WEIGHTS


def _check(path: Path, where: str) -> str:
    """The hash of weights that load and are those of their card. Raises ConfigError."""
    found = weights_hash(load_policy(path).state_dict())
    if (told := read_card(path).get("hash")) != found:
        raise ConfigError(f"{where}: its card tells of weights {told}, found {found}: it was changed")
    return found
