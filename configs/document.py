"""YAML as people mean it: numbers like 1e-3 are numbers, ``no`` and 12:30 are words, a key may stand once.

PyYAML follows YAML 1.1, where ``1e-3`` is a string, ``no`` is False and ``12:30`` is 750. Here plain scalars are read
by the core schema of YAML 1.2 (null, true, false, integers, floats, else text), digits may be grouped (1_000_000), and
aliases, tags and numbers that are not finite are refused.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, TypeAlias

import yaml

Loc: TypeAlias = tuple[str | int, ...]
"""Where a value stands: keys and list indices from the top."""

_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
"""What the composer itself gives to untagged nodes; scalars are resolved here."""
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?\d+(_\d+)*", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    where: Loc
    message: str
    line: int | None = None

    def told(self, source: str) -> str:
        """As compilers write it: ``survey.yaml:12: budget.time_s: ...``."""
        head = source if self.line is None else f"{source}:{self.line}"
        path = ".".join(map(str, self.where))
        return f"{head}: {path}: {self.message}" if path else f"{head}: {self.message}"


class Document(NamedTuple):
    """What a YAML text says: plain data, the line of each value, and what is wrong with the text itself."""

    data: Any
    lines: dict[Loc, int]
    problems: tuple[Problem, ...]


def read_document(text: str) -> Document:
    """Parse one YAML document; what is wrong is collected in ``problems``, nothing is raised."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        return _Builder().document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        return Document(None, {}, (Problem((), f"not valid YAML: {error.problem or error.context}", line),))
    except yaml.YAMLError as error:
        return Document(None, {}, (Problem((), f"not valid YAML: {' '.join(str(error).split())}"),))
    except RecursionError:
        return Document(None, {}, (Problem((), "nested too deeply"),))


class _Builder:
    """Turns nodes into data and remembers lines and problems on the way."""

    def __init__(self) -> None:
        self._lines: dict[Loc, int] = {}
        self._problems: list[Problem] = []
        self._seen: set[int] = set()

    def document(self, node: yaml.Node | None) -> Document:
        data = None if node is None else self._value(node, ())
        return Document(data, self._lines, tuple(self._problems))

    def _value(self, node: yaml.Node, where: Loc) -> Any:
        self._lines.setdefault(where, node.start_mark.line + 1)
        if id(node) in self._seen:
            return self._refuse(where, "anchors and aliases (&, *) are not read; write the value out, or quote it")
        self._seen.add(id(node))
        if node.tag not in _TAGS:
            return self._refuse(where, f"the tag {node.tag!r} is not read; write the plain value")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*where, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, where) if isinstance(node, yaml.ScalarNode) else None

    def _mapping(self, node: yaml.MappingNode, where: Loc) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.append(Problem(where, "a key must be one word", line))
                continue
            key = key_node.value
            if key in result:
                first = self._lines[*where, key]
                self._problems.append(Problem((*where, key), f"given twice, first in line {first}; keep one", line))
                continue
            self._lines[*where, key] = line
            result[key] = self._value(value_node, (*where, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, where: Loc) -> Any:
        text: str = node.value
        if node.style is not None:
            return text
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        try:
            number = int(text) if _INT.fullmatch(text) else float(text) if _FLOAT.fullmatch(text) else None
        except ValueError:
            return self._refuse(where, f"{text[:20]}… is not a number that can be read")
        if _NOT_FINITE.fullmatch(text) or (number is not None and not _is_finite(number)):
            return self._refuse(where, f"{text} is not a finite number; write one")
        return text if number is None else number

    def _refuse(self, where: Loc, message: str) -> None:
        self._problems.append(Problem(where, message, self._lines[where]))


def _is_finite(number: float) -> bool:
    """Whether a float64 can hold it: integers of 400 digits overflow too."""
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False


class _Writer(yaml.SafeDumper):
    """PyYAML's writer, with lists on one line, and quotes where text would read back as something else."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        return super().represent_mapping(tag, mapping, flow_style=False)


def _write_text(writer: _Writer, text: str) -> yaml.ScalarNode:
    """Quote line breaks of every kind: PyYAML writes some, like U+0085, so that it reads them back as spaces."""
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Writer.add_representer(str, _write_text)
_Writer.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"^({_FLOAT.pattern})$"), list("-+.0123456789"))


def write_document(data: Any) -> str:
    """YAML that both ``read_document`` and YAML 1.1 readers understand alike."""
    return yaml.dump(data, Dumper=_Writer, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
