"""From labels to a version that the next survey ranks by: fitted, judged, kept, and live only if surely not worse.

A version is compared with the one that is live, or with the order of surprise where none is, on places that neither
was fitted to: the audit set where it holds enough of both kinds, else lessons told out of fold, survey by survey.
Where neither tells, one that has not read all that the live one has read does not take its place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from scipy.stats import rankdata

from archive.durable import sync_file, sync_folder
from archive.errors import ArchiveError
from archive.folder import read_meta, versions
from configs.errors import ConfigError
from models.interest import Interest
from models.prototypes import check_examples
from surveys.learned import ARRAYS, CARD, DULL, KIND, LIVE, OTHER, hash_of, live_version, load_learned, read_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.feedback import Lesson, Lessons

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

INTERESTING = 4.0
"""This verdict, or a mean of several above it, is interesting."""
ENOUGH = 5
"""Interesting and ordinary places each, below which an audit set tells nothing."""
BEARABLE: Ratio = 0.05
"""A new version takes over where, nine times in ten, it is worse by no more than this (AUC). With five places of each
kind a version of 0.65 then replaces one of 0.80 in 7 of 100 instead of 24, one of 0.85 in 60 instead of 80."""
_BEARABLY: Ratio = 0.1
_DRAWS = 1000
_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one `adaptem learn`."""

    folder: Path
    version: str
    live: bool
    why: str
    """Why it is live, or is not."""
    before: str | None
    """The version that was live until then."""
    evaluation: dict[str, Any]


def learn(found: Lessons, store: Path) -> Outcome:
    """Fit to the lessons, judge, and keep as the next version of the store.

    Raises ConfigError where there are too few lessons, or the store cannot be written.
    """
    old = load_learned(store) if live_version(store) is not None else None
    if old is not None and old.columns != found.columns:
        raise ConfigError(f"{store} was learned from other descriptors: name another folder by --into")
    try:
        interest = fitted(found.teaching)
    except ValueError as error:
        raise ConfigError(f"nothing was learned: {error}") from error
    told = {"new": told_by(interest, found.audit), "surprise": np.array([one.surprise for one in found.audit])}
    if old is not None:
        told["live"] = told_by(old.interest, found.audit)
    audit = compared(told, found.audit)
    folds = out_of_fold(found.teaching)
    card = read_card(store / old.version) if old is not None else {}
    known, strange = _known_again(card)
    fresh = [n for n, one in enumerate(found.teaching) if one.survey not in known]
    lessons = compared({"new": folds, "surprise": np.array([one.surprise for one in found.teaching])}, found.teaching)
    unseen = _unseen(found.teaching, fresh, folds, old.interest) if old is not None else {"enough": False}
    folders = {**card.get("folders", {}), **found.folders}
    lacking = [folders.get(one, one) for one, last in known.items() if found.read.get(one, -1) < last]
    fewer = bool(lacking) or len(found.teaching) < int(card.get("lessons", 0))
    live, why = _verdict(audit, lessons, unseen, old is not None, lacking if fewer else None)
    if gone := [path for path in strange if path not in found.read]:
        why += f"; {', '.join(gone)}, which the live version has read, is not there: taken for none of these surveys"
    evaluation = {"audit": audit, "lessons, out of fold": lessons, "new surveys": unseen}
    folder = _write(store, interest, found, {"evaluation": evaluation, "live": live, "why": why})
    if live:
        go_live(store, folder.name)
    before = old.version if old is not None else None
    return Outcome(folder=folder, version=folder.name, live=live, why=why, before=before, evaluation=evaluation)


def fitted(teaching: Sequence[Lesson]) -> Interest:
    """Raises ValueError where the lessons are too few, or all alike."""
    if not teaching:
        raise ValueError("no place that the policy chose was judged in a batch that is locked: press Enter at its end")
    rows = np.array([one.row for one in teaching]).reshape(len(teaching), -1)
    return Interest.fitted(
        rows, np.array([one.surprise for one in teaching]), np.array([one.verdict for one in teaching])
    )


def told_by(interest: Interest, lessons: Sequence[Lesson]) -> Array:
    """(N,) expected verdicts."""
    if not lessons:
        return np.zeros(0)
    return interest.verdict(np.array([one.row for one in lessons]), np.array([one.surprise for one in lessons]))


def out_of_fold(teaching: Sequence[Lesson]) -> Array:
    """(N,) expected verdicts, each by a fit to other surveys, held out whole.

    Of one survey alone by a fit to its other specimens, of one specimen alone to its other places. NaN where what is
    left would be too little to fit to.
    """
    surveys = sorted({one.survey for one in teaching})
    specimens = sorted({one.specimen for one in teaching})
    if len(surveys) > 1:
        fold = np.array([surveys.index(one.survey) % _FOLDS for one in teaching])
    elif len(specimens) > 1:
        fold = np.array([specimens.index(one.specimen) % _FOLDS for one in teaching])
    else:
        fold = np.array([one.target for one in teaching]) % _FOLDS
    told = np.full(len(teaching), np.nan)
    for number in sorted(set(fold.tolist())):
        left = [one for one, at in zip(teaching, fold, strict=True) if at != number]
        try:
            model = fitted(left)
        except ValueError:
            continue
        told[fold == number] = told_by(model, [one for one, at in zip(teaching, fold, strict=True) if at == number])
    return told


def compared(told: dict[str, Array], lessons: Sequence[Lesson]) -> dict[str, Any]:
    """For each way to order them: the chance that an interesting place comes before an ordinary one (AUC).

    ``better``: of the new way over the others, with a 95 % interval by the bootstrap over places, and what the gain
    exceeds nine times in ten. A way that puts all of them on one level orders nothing and is no rival: it is named in
    ``ties`` instead.
    """
    yes = np.array([one.verdict >= INTERESTING for one in lessons], dtype=bool)
    known = np.all([np.isfinite(each) for each in told.values()], axis=0) if lessons else np.zeros(0, dtype=bool)
    yes, values = yes[known], {name: each[known] for name, each in told.items()}
    report: dict[str, Any] = {"places": len(yes), "interesting": int(yes.sum())}
    report["enough"] = min(int(yes.sum()), int((~yes).sum())) >= ENOUGH
    if not 0 < yes.sum() < len(yes):
        return report
    report["ties"] = sorted(name for name, each in values.items() if float(np.ptp(each)) == 0.0)
    values = {name: each for name, each in values.items() if name == "new" or name not in report["ties"]}
    report |= {name: auc(each, yes) for name, each in values.items()}
    rng = np.random.default_rng(len(yes))
    draws = [rng.integers(len(yes), size=len(yes)) for _ in range(_DRAWS)]
    draws = [draw for draw in draws if 0 < yes[draw].sum() < len(yes)]
    for other in sorted(set(values) - {"new"}):
        gains = [auc(values["new"][draw], yes[draw]) - auc(values[other][draw], yes[draw]) for draw in draws]
        low, high, least = np.quantile(gains, [0.025, 0.975, _BEARABLY]).tolist()
        report[f"better than {other}"] = [report["new"] - report[other], low, high, least]
    return report


def auc(told: Array, yes: npt.NDArray[np.bool_]) -> Ratio:
    """Area under the curve of true over false positives, ties counted half (Mann & Whitney 1947).

    >>> auc(np.array([3.0, 1.0, 2.0]), np.array([True, False, False]))
    1.0
    """
    ranks, count = rankdata(told), int(yes.sum())
    return float((ranks[yes].sum() - count * (count + 1) / 2) / (count * (len(yes) - count)))


def _known_again(card: dict[str, Any]) -> tuple[dict[str, int], list[str]]:
    """What a version has read, by survey, and which of these it names by a path where no survey lies now.

    Cards once named surveys by where they lay.
    """
    read: dict[str, int] = {}
    strange = []
    for name, last in card.get("read", {}).items():
        survey = name
        if not name.startswith("survey:"):
            try:
                survey = read_meta(Path(name)).identity
            except ArchiveError:
                strange.append(name)
        read[survey] = max(last, read.get(survey, 0))
    return read, strange


def _unseen(teaching: Sequence[Lesson], fresh: Sequence[int], folds: Array, old: Interest) -> dict[str, Any]:
    """On the lessons of surveys that the live version has not read; it knows the others by heart."""
    lessons = [teaching[n] for n in fresh]
    surprise = np.array([one.surprise for one in lessons])
    return compared({"new": folds[list(fresh)], "surprise": surprise, "live": told_by(old, lessons)}, lessons)


def _verdict(
    audit: dict[str, Any],
    lessons: dict[str, Any],
    unseen: dict[str, Any],
    has_live: bool,
    lacking: Sequence[str] | None,
) -> tuple[bool, str]:
    """Whether the new version may take over, and why.

    ``lacking``: surveys that the live one has read, or has read farther in; None = the new one has read as much.
    """
    rival = "live" if has_live else "surprise"
    words = "the live version" if has_live else "the order of surprise"
    for name, report in (("the audit set", audit), ("lessons of new surveys", unseen)):
        if report["enough"] and rival in report:
            better, low, high, least = report[f"better than {rival}"]
            told = f"on {name} ({report['places']} places, {report['interesting']} interesting) "
            told += f"{report['new']:.3f} against {report[rival]:.3f} of {words} ({low:+.3f} to {high:+.3f})"
            if better >= 0 > least + BEARABLE:
                told += "; too few places to be sure that it is not worse: judge more of the audit set"
            return least >= -BEARABLE, told
    told = f"the audit set cannot tell ({audit['interesting']} interesting of {audit['places']}); "
    if lacking is not None:
        what = f"name {', '.join(lacking)} too, or where it lies now" if lacking else "it was taught by fewer places"
        return False, f"{told}it has not read all that the live version has: {what}"
    if "better than surprise" in lessons:
        told += (
            f"on lessons out of fold {lessons['new']:.3f} against {lessons['surprise']:.3f} of the order of surprise"
        )
        return lessons["better than surprise"][-1] >= -BEARABLE, told
    return False, f"{told}there is nothing else to judge it by: judge another specimen"


def _write(store: Path, interest: Interest, found: Lessons, about: dict[str, Any]) -> Path:
    """As the next version, whole or not at all: its folder gets its name when all in it is on disk."""
    dull = [one for one in found.teaching if one.verdict <= DULL] if found.wanted else []
    rows = [one.row for _, one in found.wanted] + [one.row for one in dull]
    said = [name for name, _ in found.wanted] + [OTHER] * len(dull)
    examples = np.array(rows).reshape(len(rows), len(found.columns))
    if found.wanted:
        try:
            check_examples(examples, said)
        except ValueError as error:
            raise ConfigError(f"what was asked more of cannot be told from the rest: {error}") from error
    store.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.name[1:]) for path in store.glob("v*") if path.name[1:].isdigit()]
    folder = store / f"v{max(numbers, default=0) + 1:03d}"
    beside = store / f".{folder.name}"
    try:
        beside.mkdir(exist_ok=True)
        arrays = {name: np.ascontiguousarray(each) for name, each in interest.arrays().items()} | {"examples": examples}
        save_file(arrays, beside / ARRAYS, {"format": KIND[0], "version": KIND[1]})
        card = {
            "version": folder.name, "hash": hash_of(beside / ARRAYS), "columns": found.columns, "said": said,
            "lessons": len(found.teaching), "audit": len(found.audit), "wanted": len(found.wanted),
            "read": found.read, "folders": found.folders, "versions": versions(), **about,
        }  # fmt: skip
        (beside / CARD).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        for path in beside.iterdir():
            sync_file(path)
        beside.rename(folder)
        sync_folder(store)
    except OSError as error:
        raise ConfigError(f"{store} cannot be written ({error}): name another folder by --into") from error
    return folder


def go_live(store: Path, version: str) -> None:
    """From now on surveys use this version. Raises ConfigError for one that does not load."""
    load_learned(store / version)
    beside = store / f".{LIVE}"
    beside.write_text(version + "\n", "utf-8")
    sync_file(beside)
    beside.rename(store / LIVE)
    sync_folder(store)
