"""What is worth waking somebody for, said once: trouble and its end, that a person is waited for, the end, silence.

Pure: rows and a moment go in, messages come out. A survey that has died cannot say so itself; whoever runs this beside
it, as a process of its own (``adaptem watch``), hears that nothing is heard: a dead man's switch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archive.rows import EventRow

Severity: TypeAlias = Literal["information", "warning", "alarm"]

_ENDS_WELL = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing to say. No picture and no place: what is not published stays here."""

    key: str
    """Messages of one key are about one thing."""
    severity: Severity
    title: str
    text: str


@dataclass(slots=True)
class Notices:
    """Of one survey. ``quiet_s``: the same thing is said again only after so long, with how often it came meanwhile."""

    survey: str
    quiet_s: float = 1800.0
    silent_s: float = 120.0
    """Nothing heard of a running survey for so long is an alarm."""
    recovered_steps: int = 3
    """Steps without trouble after which it is called over."""
    _last_s: dict[str, float] = field(default_factory=dict)
    _held: dict[str, int] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)
    """By trouble that was told, the steps there were then."""
    _silent: bool = False
    _unread: bool = False
    _ended: bool = False

    def take(self, events: Sequence[EventRow], steps: int, heard_s: float | None, now_s: float) -> list[Message]:
        """What to say now that the record was read. An end after which the survey was resumed is not told.

        ``events``: new ones; ``steps``: all so far; ``heard_s``: since the survey's process last said that it lives;
        None = no process of it is there. ``now_s``: on a clock that people live by.
        """
        said = [self._message("record", "information", "is read again", "its record can be read")] * self._unread
        self._unread = False
        begun = max((event.id for event in events if event.kind == "start"), default=0)
        for event in events:
            message = None if event.kind == "end" and event.id < begun else self._of(event)
            if message is not None and self._due(message, now_s):
                said.append(self._counted(message))
                if message.severity != "information":
                    self._open[message.key] = steps
        for key, since in list(self._open.items()):
            if steps >= since + self.recovered_steps and key != "silence":
                del self._open[key]
                said.append(
                    self._message(key, "information", "recovered", f"{key}: {steps - since} steps went well since")
                )
        return [*said, *self._silence(events, heard_s)]

    def unread(self, reason: str, for_s: float) -> list[Message]:
        """What to say while the record cannot be read, ``for_s`` after it last could: an alarm, once."""
        if self._unread or for_s <= self.silent_s:
            return []
        self._unread = True
        return [self._message("record", "alarm", "cannot be watched",
                              f"its record could not be read for {for_s:.0f} s ({reason}): see to it")]  # fmt: skip

    def _of(self, event: EventRow) -> Message | None:
        match event.kind:
            case "start":
                return self._message("start", "information", "begins", event.message)
            case "fault":
                name = str(event.data.get("error", "fault"))
                return self._message(name, "warning", name, event.message)
            case "park" | "latch":
                return self._message("waits", "alarm", "waits for a person, blanked", event.message)
            case "proposal":
                return self._message("proposal", "information", "asks", event.message)
            case "end":
                well = event.data.get("reason") == _ENDS_WELL
                title = "ended" if well else "ended early"
                return self._message("end", "information" if well else "alarm", title, event.message)
            case _:
                return None

    def _due(self, message: Message, now_s: float) -> bool:
        last_s = self._last_s.get(message.key)
        if last_s is not None and now_s - last_s < self.quiet_s and message.key not in ("start", "end"):
            self._held[message.key] = self._held.get(message.key, 0) + 1
            return False
        self._last_s[message.key] = now_s
        return True

    def _counted(self, message: Message) -> Message:
        held = self._held.pop(message.key, 0)
        if not held:
            return message
        return self._message(message.key, message.severity, message.title.partition(": ")[2],
                             f"{message.text} ({held} more of this since it was last said)")  # fmt: skip

    def _silence(self, events: Sequence[EventRow], heard_s: float | None) -> list[Message]:
        """Said once, and once more when it is over."""
        for event in events:
            if event.kind in ("start", "end"):
                self._ended = event.kind == "end"
        if self._ended:
            self._silent = False
            return []
        silent = heard_s is None or heard_s > self.silent_s
        if silent == self._silent:
            return []
        self._silent = silent
        if not silent:
            return [self._message("silence", "information", "is heard again", "its process lives and goes on")]
        text = "no process of it is there, and it has not ended: `adaptem resume` goes on" if heard_s is None else (
            f"its process has said nothing for {heard_s:.0f} s: see to the instrument"
        )  # fmt: skip
        return [self._message("silence", "alarm", "is silent", text)]

    def _message(self, key: str, severity: Severity, title: str, text: str) -> Message:
        return Message(key=key, severity=severity, title=f"{self.survey}: {title}", text=text)
