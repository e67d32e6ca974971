"""Messages by any service that Apprise knows (https://github.com/caronc/apprise): the extra ``notify``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import apprise

from configs.errors import ConfigError
from surveys.notify import secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from surveys.notices import Message
    from surveys.notify import AppriseSettings

_KINDS = {
    "information": apprise.NotifyType.INFO,
    "warning": apprise.NotifyType.WARNING,
    "alarm": apprise.NotifyType.FAILURE,
}


def services(settings: AppriseSettings) -> Callable[[Message], None]:
    """What tells all of them; it raises ConnectionError where one was not reached, and names no address.

    Raises ConfigError where the addresses cannot be had, or one is of no service that Apprise knows.
    """
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its lines tell addresses, and they are secrets
    addresses = secret(settings.urls_from).split()
    all_of_them = apprise.Apprise()
    for number, address in enumerate(addresses, start=1):
        if not all_of_them.add(address):
            raise ConfigError(
                f"address {number} of {len(addresses)} under apprise.urls_from is of no service that Apprise knows: "
                "one a line, as in https://github.com/caronc/apprise/wiki"
            )
    if not addresses:
        raise ConfigError("there is no address under apprise.urls_from")

    def tell(message: Message) -> None:
        done = all_of_them.notify(body=message.text, title=message.title, notify_type=_KINDS[message.severity])
        if not done:
            raise ConnectionError

    return tell
