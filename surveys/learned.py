"""What labels taught, as the next survey reads it: a folder of versions, one of them live.

FOLDER/live names the version; FOLDER/v001/interest.safetensors has the arrays, interest.json beside it the card.
``adaptem learn`` writes them (``training.feedback``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError
from envs.scoring import make_scorer
from models.arrays_file import read_arrays
from models.interest import Interest
from models.prototypes import Prototypes, Settings
from surveys.portraits import columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from surveys.portraits import Portraits
    from surveys.settings import SurveySettings

Array: TypeAlias = npt.NDArray[np.float64]

KIND = ("adaptem interest", "1")
ARRAYS, CARD, LIVE = "interest.safetensors", "interest.json", "live"
OTHER = "other"
DULL = 2.0
"""At most this verdict: told from what a person asked more of."""
MOST_ALIKE = 10
"""Places of a specimen that are flagged because they are like what a person asked for."""
_SPACE = Settings(directions=32)


@dataclass(frozen=True, slots=True)
class Learned:
    """One version."""

    version: str
    hash: str
    """Sixteen hex digits of its arrays' file."""
    columns: tuple[str, ...]
    """Of the rows of ``surveys.portraits`` that it judges."""
    interest: Interest
    examples: Array
    """(M, 2F) of what a person asked more of, and of what is told from it."""
    said: tuple[str, ...]
    """Their names, ``OTHER`` for what is not wanted."""

    def verdicts(self, portraits: Portraits, targets: Sequence[int], surprise: Array) -> Array:
        """(N,) the verdict, from 1 to 5, to expect of places."""
        return self.interest.verdict(portraits.rows(targets), surprise)

    def verdicts_from_above(self, portraits: Portraits, targets: Sequence[int], surprise: Array) -> Array:
        """(N,) the verdict to expect of places by what their overview shows, as if none had a look of its own."""
        rows = portraits.rows(targets)
        rows[:, len(self.columns) // 2 :] = 0.0  # surveys.portraits: the overview's numbers come first
        return self.interest.verdict(rows, surprise)

    def alike(self, portraits: Portraits, targets: Sequence[int]) -> dict[int, str]:
        """Those of ``targets`` that are like what was asked for, the surest first, at most ``MOST_ALIKE``."""
        if not set(self.said) - {OTHER} or not targets:
            return {}
        rows = portraits.rows(targets)
        model = Prototypes.fitted(self.examples, self.said, rows, _SPACE)
        told, sure = model.told(rows), model.belonging(rows)
        wanted = [n for n in np.argsort(-sure, kind="stable").tolist() if told[n] in self.said and told[n] != OTHER]
        return {targets[n]: told[n] for n in wanted[:MOST_ALIKE]}


def live_version(store: Path) -> str | None:
    """The name of the version that surveys use; None where there is none yet. Raises ConfigError."""
    path = store / LIVE
    if not path.is_file():
        return None
    version = path.read_text("utf-8").strip()
    if not version.isalnum():
        raise ConfigError(f"{path} names no version ({version[:40]!r}): run `adaptem learn` again")
    return version


def load_learned(store: Path) -> Learned:
    """The live version of a store, or the version whose own folder is given. Raises ConfigError."""
    if not store.is_dir():
        raise ConfigError(f"{store} is not there: `adaptem learn SURVEY --into {store}` makes it from labels")
    folder = store
    if not (store / ARRAYS).is_file():
        version = live_version(store)
        if version is None:
            raise ConfigError(f"{store} has no live version: `adaptem learn SURVEY --into {store}` makes one")
        folder = store / version
    arrays, card = read_arrays(folder / ARRAYS, KIND), read_card(folder)
    digest = hash_of(folder / ARRAYS)
    if card.get("hash") != digest:
        raise ConfigError(f"{folder}: its card tells of arrays {card.get('hash')}, found {digest}: it was changed")
    try:
        columns, said = tuple(map(str, card["columns"])), tuple(map(str, card["said"]))
        interest = Interest.of(arrays)
        examples = arrays["examples"]
        if examples.shape != (len(said), len(columns)) or interest.rows.shape[1] != len(columns):
            raise ValueError(f"{len(columns)} columns, {len(said)} names and arrays of {examples.shape}")
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{folder} does not fit what it says of itself ({error}): run `adaptem learn` again"
        ) from error
    return Learned(folder.name, digest, columns, interest, examples, said)


def hash_of(path: Path) -> str:
    """Sixteen hex digits that change with any byte of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read_card(folder: Path) -> dict[str, Any]:
    """What stands beside the arrays of a version. Raises ConfigError."""
    try:
        card = json.loads((folder / CARD).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} has no card that can be read ({error}): run `adaptem learn` again") from error
    if not isinstance(card, dict):
        raise ConfigError(f"{folder}: its card is no table of names")
    return card


def learned_problems(settings: SurveySettings) -> list[str]:
    """Why this survey cannot use what its config names; empty where it can, or where it names nothing."""
    store = settings.flagging.learned
    if store is None:
        return []
    try:
        found = load_learned(store)
    except ConfigError as error:
        return [f"flagging.learned: {error}"]
    if found.columns != columns_of(make_scorer(settings.scorer).names):
        return [f"flagging.learned: {store} was learned from other descriptors than this survey's scorer gives"]
    return []
