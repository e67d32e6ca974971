"""From what a person typed or answered (a config, any image, a driver's name) to a config."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from configs.load import ConfigError, load
from instruments.drivers.registry import kinds
from instruments.images import read_image
from surveys.geometry import FEWEST_PX
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from configs.document import Loc

CONFIG_ENDINGS = (".yaml", ".yml")
SITES_ACROSS, OVERVIEW_SITES = 32, 8
"""As the packaged config for an image has them; a small image holds fewer."""
CROSSING_S = 10.0
"""The time that a replayed stage takes across its image, as the driver's own default has it."""
_TEMPLATES = {"simulated": "survey_demo.yaml", "replay": "survey_replay.yaml"}


def settings_of(source: Path, sets: Sequence[str] = ()) -> SurveySettings:
    """The settings of a config, or of a survey of this image; ``sets`` have the last word. Raises ConfigError."""
    if source.suffix.lower() in CONFIG_ENDINGS:
        return load(source, SurveySettings, sets)
    given = dict(item.split("=", 1) for item in sets if "=" in item)
    own = {".".join(map(str, path)): json.dumps(value) for path, value in _of_image(source, given).items()}
    return load(packaged("survey_replay.yaml"), SurveySettings, [f"{k}={v}" for k, v in (own | given).items()])


def packaged(name: str) -> Path:
    """A config that comes with adaptem."""
    return Path(str(resources.files("configs").joinpath(name)))


def template(image: Path | None, instrument: str | None) -> str:
    """The text of the packaged config that suits. Raises ConfigError for a driver that has none."""
    kind = "replay" if image is not None else instrument or "simulated"
    if kind not in _TEMPLATES:
        raise ConfigError(
            f"instrument {kind!r}: init knows {', '.join(_TEMPLATES)}; installed are {', '.join(kinds())}"
        )
    return packaged(_TEMPLATES[kind]).read_text(encoding="utf-8")


def answers_for(image: Path | None, ask: Callable[[str, str], str]) -> dict[Loc, object]:
    """What ``ask(question, default)`` gives, five questions at most, by place in the config. Raises ConfigError."""
    answers: dict[Loc, object] = {}
    if image is not None:
        found = read_image(image)
        answers = _of_image(image, {}, lambda: _number(ask("Pixel size in nm (the file does not tell)", "1.0")))
        answers["name",] = _plain(image.stem)
        rows, columns = found.data.shape
        ask_share = ask(f"Share of the {columns} × {rows} pixels to see in detail, 0 to 1", "0.1")
        answers["budget", "detail_fraction"] = _number(ask_share)
    answers["budget", "hours"] = _number(ask("Hours, at most", "2" if image else "0.5"))
    answers["flagging", "false_discovery_rate"] = _number(ask("Share of flags that may be false, 0 to 1", "0.1"))
    return answers


def _of_image(
    image: Path, given: dict[str, str], pixel_size_nm: Callable[[], float] | None = None
) -> dict[Loc, object]:
    """What an image's own size settles. Raises ConfigError where the image cannot be read or has no scale."""
    found = read_image(image)
    told = given.get("instrument.pixel_size_nm")
    pixel_nm = _number(told) if told is not None else found.pixel_size_nm
    if pixel_nm is None and pixel_size_nm is not None:
        pixel_nm = pixel_size_nm()
    if pixel_nm is None:
        raise ConfigError(
            f"{image}: the file does not tell its pixel size; give it by --set instrument.pixel_size_nm=0.1, "
            "or let `adaptem init --image` ask for it"
        )
    if not pixel_nm > 0:
        raise ConfigError(f"instrument.pixel_size_nm: a pixel is more than 0 nm wide, found {pixel_nm:g}")
    shorter_px = min(found.data.shape)
    across = shorter_px // min(max(shorter_px // SITES_ACROSS, FEWEST_PX), shorter_px)
    small: dict[Loc, object] = {("looks", "overview", "sites"): across} if across < OVERVIEW_SITES else {}
    return small | {
        ("name",): _plain(image.stem),
        ("instrument", "image"): str(image),
        ("instrument", "pixel_size_nm"): pixel_nm,
        ("motion", "stage_speed_nm_per_s"): max(found.data.shape) * pixel_nm / CROSSING_S,
    }


def _plain(stem: str) -> str:
    """A name that a folder can have."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in stem)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a number") from None
