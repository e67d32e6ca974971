"""Messages to people, by a web hook or by mail, from the standard library; secrets come from files or the environment.

By other services through Apprise, where that is installed (``surveys.notify_apprise``).

Never on the way of an acquisition: a process beside the survey reads its record and sends (``surveys.watching``).
"""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import stat
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from configs.errors import ConfigError
from configs.load import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from surveys.notices import Message

TIMEOUT_S = 20.0


class HookSettings(Settings):
    """An address that takes a POST of JSON: {"title", "text", "severity", "survey"}."""

    url_from: str
    """Where its address is kept, which is a secret: ``file:PATH`` that nobody else can read, or ``env:NAME``."""


class MailSettings(Settings):
    """A mail server, over TLS."""

    host: str
    port: PositiveInt = 465
    starttls: bool = False
    """Begin in the clear and change to TLS, as port 587 has it; otherwise TLS from the first byte."""
    sender: str
    to: Annotated[tuple[str, ...], Field(min_length=1)]
    user: str | None = None
    password_from: str | None = None
    """``file:PATH`` that nobody else can read, or ``env:NAME``."""


class AppriseSettings(Settings):
    """Other services, of which Apprise knows over a hundred; needs the extra ``notify``."""

    urls_from: str
    """Where their addresses are kept, one a line, which are secrets: ``file:PATH`` that nobody else can read, or
    ``env:NAME``."""


class NotifySettings(Settings):
    """Who is told of a survey, and how often."""

    hook: HookSettings | None = None
    mail: MailSettings | None = None
    apprise: AppriseSettings | None = None
    quiet_s: PositiveFloat = 1800.0
    """The same thing is said again only after so long."""
    silent_s: PositiveFloat = 120.0
    """A running survey of which nothing is heard for so long is an alarm."""

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.hook is None and self.mail is None and self.apprise is None:
            raise ValueError("nobody would be told: give hook, mail or apprise")
        return self


def secret(source: str) -> str:
    """What stands behind ``file:PATH`` or ``env:NAME``. Raises ConfigError; its message never holds the secret."""
    kind, _, name = source.partition(":")
    if kind == "env" and name:
        if (found := os.environ.get(name)) is None:
            raise ConfigError(f"the environment has no {name}: set it, or use file:PATH")
        return found.strip()
    if kind == "file" and name:
        path = Path(name).expanduser()
        try:
            mode = path.stat().st_mode
            found = path.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(f"secret {path} cannot be read: {error.strerror}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"secret {path} can be read by others: chmod 600 {path}")
        return found
    raise ConfigError("a secret is file:PATH or env:NAME, never the secret itself")


def _check_address(address: str) -> None:
    """Raises ConfigError, which never holds the address: it is the secret."""
    if any(letter.isspace() or not letter.isprintable() for letter in address):
        raise ConfigError("the hook's address holds a space or a control character: it is one line, without them")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, None
    if parts is not None and parts.scheme not in ("http", "https"):
        raise ConfigError("the hook's address begins neither with https:// nor with http://")
    if not host or not address.isascii():
        raise ConfigError(
            "the hook's address has no host, a port that is none or a letter beyond ASCII: https://HOST[:PORT]/PATH"
        )


class Sender:
    """Sends to everybody that the settings name."""

    def __init__(self, settings: NotifySettings, services: Callable[[Message], None] | None = None) -> None:
        """``services``: tells by other services, and raises OSError where one of them was not reached.

        Raises ConfigError where a secret cannot be had, or an address is none.
        """
        self._services = services
        self._mail = settings.mail
        self._password = secret(settings.mail.password_from) if settings.mail and settings.mail.password_from else None
        self._hook = secret(settings.hook.url_from) if settings.hook else None
        if self._hook is not None:
            _check_address(self._hook)

    def send(self, message: Message) -> list[str]:
        """Tell everybody; what went wrong, in words and without secrets. Empty where all were told."""
        troubles = []
        for name, deed in (("hook", self._post), ("mail", self._write), ("apprise", self._services)):
            if deed is None:
                continue
            try:
                deed(message)
            except Exception as error:  # whatever the other side answers: watching goes on, and says so
                troubles.append(f"{name}: {type(error).__name__}")
        return troubles

    def _post(self, message: Message) -> None:
        if self._hook is None:
            return
        body = {"title": message.title, "text": message.text, "severity": message.severity}
        request = urllib.request.Request(  # noqa: S310 - http or https: looked at above
            self._hook, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310  # nosec B310
            pass

    def _write(self, message: Message) -> None:
        if self._mail is None:
            return
        mail = EmailMessage()
        mail["Subject"] = " ".join(f"{message.severity}: {message.title}".split())
        mail["From"], mail["To"] = self._mail.sender, ", ".join(self._mail.to)
        mail.set_content(message.text)
        context = ssl.create_default_context()
        if self._mail.starttls:
            with smtplib.SMTP(self._mail.host, self._mail.port, timeout=TIMEOUT_S) as server:
                server.starttls(context=context)
                self._login_and_send(server, mail)
        else:
            with smtplib.SMTP_SSL(self._mail.host, self._mail.port, timeout=TIMEOUT_S, context=context) as server:
                self._login_and_send(server, mail)

    def _login_and_send(self, server: smtplib.SMTP, mail: EmailMessage) -> None:
        if self._mail is not None and self._mail.user is not None:
            server.login(self._mail.user, self._password or "")
        server.send_message(mail)
