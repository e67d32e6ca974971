"""What is wrong with a config. Apart from the loader, so that who only catches it need not load pydantic."""

from __future__ import annotations


class ConfigError(Exception):
    """A config that cannot be used; ``problems`` has one line for each thing that is wrong."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)
