"""``adaptem init``: a packaged config with a person's answers written into it, comments and all."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from configs.document import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from configs.document import Loc

_VALUE = re.compile(r"^(?P<key>\s*(?:- )?[\w.-]+:\s*)(?P<value>[^#\n]*?)(?P<comment>\s+#.*)?$")


def edited(text: str, answers: Mapping[Loc, object]) -> str:
    r"""The YAML ``text`` with the scalar values at ``answers``' paths replaced; comments and order stay.

    Raises KeyError for a path that has no line of its own in ``text``.

    >>> print(edited("budget:\n  hours: 8  # one night\n", {("budget", "hours"): 0.5}), end="")
    budget:
      hours: 0.5  # one night
    """
    lines, where = text.splitlines(), read_document(text).lines
    for path, value in answers.items():
        number = where[path] - 1
        match = _VALUE.match(lines[number])
        if match is None:
            raise KeyError(path)
        lines[number] = f"{match['key']}{json.dumps(value)}{match['comment'] or ''}"
    return "\n".join(lines) + "\n"


def without_header(text: str) -> str:
    r"""``text`` without the comments at its top, which speak of the packaged config.

    >>> without_header("# demo\n# of ours\n\nname: demo\n")
    '\nname: demo\n'
    """
    lines = text.splitlines(keepends=True)
    first = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[first:])
