"""de-twin behind the vendor's own protocols: a DE-Server and a DE-TEM-Channel on the loopback, in a process of its own.

python -m benchmarks.detwin_served        prints {"port": …, "channel_port": …}; ends when its stdin closes
"""

from __future__ import annotations

import json
import sys

from de_twin.faces.deapi_server import TwinDeapiServer
from de_twin.faces.temchannel_soap import TemChannelServer

from instruments.clock import RealClock
from instruments.drivers.detwin import DetwinSettings, make_twin


def main() -> None:
    """Serve until stdin closes."""
    settings = DetwinSettings(specimen="Negative stain on carbon", real_time=True)
    twin = make_twin(settings, 3, RealClock())
    twin.column.set("Magnification", settings.magnification)
    twin.snap(0.1)  # its renderer compiles now, and not while a camera's frame is waited for
    camera = TwinDeapiServer(twin, 0, "127.0.0.1", pace=False).start()
    channel = TemChannelServer(twin.column, host="127.0.0.1", port=0).start()
    print(json.dumps({"port": camera.port, "channel_port": channel.port}), flush=True)
    sys.stdin.buffer.read()
    camera.stop()
    channel.stop()


if __name__ == "__main__":
    main()
