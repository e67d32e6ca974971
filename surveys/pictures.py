"""Folders of images that a person gives, and the folder that their tables and pictures go to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from configs.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".mrc", ".mrcs")


def images_in(folder: Path) -> list[Path]:
    """The images of a folder. Raises ConfigError where there is none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES) if folder.is_dir() else []
    if not found:
        raise ConfigError(f"{folder}: holds no image ({', '.join(PICTURES)}); name a folder that does")
    return found


def by_stem(paths: list[Path]) -> dict[str, Path]:
    """The images by their names without kind. Raises ConfigError for two of one name: they would share a picture."""
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise ConfigError(f"{found[path.stem].name} and {path.name} are called the same: rename one of them")
        found[path.stem] = path
    return found


def masked(images: dict[str, Path], folder: Path, masks: Path) -> dict[str, Path]:
    """Masks by the names of the images that they label, which lie in ``folder``.

    Raises ConfigError for one that labels none of them, and where the images themselves were named.
    """
    if masks.resolve() == folder.resolve():
        raise ConfigError(f"{masks}: is the folder of the images; name one that holds masks alone")
    known = by_stem(images_in(masks))
    if strange := sorted(set(known) - set(images)):
        raise ConfigError(f"mask {known[strange[0]]} has no image of its name in {folder}: name masks as their images")
    return dict(sorted(known.items()))


def made_apart(out: Path, *given: Path) -> Path:
    """The folder to write to, made where it is not there.

    Raises ConfigError for one that images were given in: what is written could replace them, or be read as one.
    """
    for folder in given:
        if out.resolve() == folder.resolve():
            raise ConfigError(f"--out {out}: holds the images that are read; name another folder to write to")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    return out
