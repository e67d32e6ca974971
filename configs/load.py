"""Read a config: strict, with every problem found told at once.

``load("survey.yaml", SurveySettings, sets=["budget.time_s=3600"])``

Relative paths inside a config are taken from the working directory, as a shell takes them, not from the config's
folder: the same words mean the same in the file and in ``--set``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from configs.document import Document, Loc, Problem, read_document, write_document
from configs.errors import ConfigError
from configs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ConfigError", "Settings", "dump", "load"]

M = TypeVar("M", bound=Settings)


def load(path: str | Path, model: type[M], sets: Sequence[str] = ()) -> M:
    """Read ``path`` as ``model``, with the overrides ``sets`` (``"a.b=c"``) applied.

    The value of an override is YAML (``3``, ``1e-3``, ``[0, 1]``, ``null``, text); an item of a list is named by its
    index (``looks.0.dwell_us=3``).

    Raises:
        ConfigError: with all problems at once, each with its line and its dotted path.
    """
    source = str(path)
    document = read_document(_text(Path(path)))
    if not isinstance(document.data, dict):
        what = "the file is empty" if document.data is None else "this is not a config, which is lines of `key: value`"
        problems = document.problems or (Problem((), f"{what}; `adaptem init` writes one to start from"),)
        raise ConfigError(*(problem.told(source) for problem in problems))
    refused = [problem for item in sets for problem in _override(document, item)]
    told = {problem.where for problem in (*document.problems, *refused)}
    found: list[Problem] = []
    try:
        settings = model.model_validate(document.data)
    except ValidationError as error:
        found = [problem for problem in _explain(error, document) if problem.where not in told]
    in_file = [problem for problem in (*document.problems, *found) if problem.line is not None]
    in_sets = [problem for problem in (*refused, *found) if problem.line is None]
    if in_file or in_sets:
        in_file.sort(key=lambda problem: problem.line or 0)
        raise ConfigError(
            *(problem.told(source) for problem in in_file),
            *(problem.told("--set" if sets else source) for problem in in_sets),
        )
    return settings


def dump(settings: Settings) -> str:
    """The resolved settings, defaults included, as YAML that ``load`` reads back equal."""
    return write_document(settings.model_dump(mode="json", serialize_as_any=True))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        reason = "there is no such file; `adaptem init` writes a config to start from"
    except IsADirectoryError:
        reason = "this is a folder; name a config file in it"
    except UnicodeDecodeError as error:
        reason = f"not a text file (byte {error.start} is not UTF-8); a config is YAML"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise ConfigError(f"{path}: {reason}")


def _override(document: Document, item: str) -> list[Problem]:
    """Put a value of ``--set`` into the data; whether the key exists is the model's to say."""
    path, equals, text = item.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        return [Problem((item,), "write it as a.b=value, the path with dots and then the value")]
    value = read_document(text)
    if value.problems:
        return [Problem((*keys, *problem.where), problem.message) for problem in value.problems]
    parent, where = document.data, list[str | int]()
    for depth, key in enumerate(keys, start=1):
        if isinstance(parent, dict):
            where.append(key)
        elif isinstance(parent, list) and key.isdecimal() and int(key) < len(parent):
            where.append(int(key))
        elif isinstance(parent, list):
            return [Problem((*where, key), f"no such item; they are counted from 0 to {len(parent) - 1}")]
        else:
            return [Problem((*where, key), f"{'.'.join(map(str, where))} is one value and has nothing below it")]
        if depth == len(keys):
            parent[where[-1]] = value.data
        elif isinstance(parent, dict) and parent.get(key) is None:
            parent[key] = {}
        parent = parent[where[-1]]
    for changed in [known for known in document.lines if known[: len(where)] == tuple(where)]:
        del document.lines[changed]
    return []


def _explain(error: ValidationError, document: Document) -> list[Problem]:
    problems: dict[tuple[Loc, str], Problem] = {}
    for line in error.errors(include_url=False):
        missing = line["type"] == "missing"
        where = _place(document.data, line["loc"], missing=missing)
        message = _message(line["type"], line["msg"], line["input"])
        number = document.lines.get(where[:-1] if missing else where)
        problems[where, message] = Problem(where, message, number)
    return list(problems.values())


def _message(kind: str, text: str, value: Any) -> str:
    if kind == "unknown_key":
        return text
    if kind == "missing":
        return "missing; it has no default"
    text = text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    text = text.removeprefix("Input ") if text.startswith("Input should") else text
    shown = "nothing" if value is None else repr(value)
    found = "" if isinstance(value, dict | list) or len(shown) > 80 else f", found {shown}"
    hint = "; put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
    return f"{text}{found}{hint}"


def _place(data: Any, location: Loc, *, missing: bool) -> Loc:
    """The location as pydantic gives it, without the names of union members, which are no keys of the file."""
    place: list[str | int] = []
    for depth, key in enumerate(location):
        if isinstance(data, dict) and key in data:
            data = data[key]
        elif isinstance(data, list) and isinstance(key, int):
            data = data[key]
        elif not (missing and depth == len(location) - 1):
            continue
        place.append(key)
    return tuple(place)
