"""What a back end declares to lack, it lacks: asked of the vendor's own library, around our driver."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.benches import BENCHES
from instruments.drivers import registry, vendor

USIM = """
import json, os, sys
from instruments.drivers.nion import open_driver
block = json.loads(sys.argv[1])
driver = open_driver({"instrument": block, "seed": 1, "start_s": 0.0})
from nion.utils import Registry
stem = Registry.get_component("stem_controller")
scan = stem.scan_controller
parameters = scan.get_frame_parameters(0)
means = []
for blank in (0.0, 1.0):
    assert stem.SetVal("C_Blank", blank)
    means.append(float(scan.record_immediate(parameters)[0].data.mean()))
driver.close()
print(json.dumps(means), flush=True)
os._exit(0)  # not for Swift's threads to be waited for
"""


def test_the_simulated_nion_scan_does_not_know_the_blanker() -> None:
    """In a process of its own: what is under the GPL is not loaded here."""
    with BENCHES["nion"].start() as block:
        assert "a blanked beam is dark" in registry.lacks(registry.parse(block))
        done = subprocess.run(
            [sys.executable, "-c", USIM, json.dumps(block)], capture_output=True, text=True, timeout=120, check=True
        )
    lit, blanked = json.loads(done.stdout.splitlines()[-1])
    assert blanked > 0.9 * lit > 0


def test_the_demonstrations_shutter_stops_nothing() -> None:
    with BENCHES["micromanager"].start() as block:
        assert "a blanked beam is dark" in registry.lacks(registry.parse(block))
    core = vendor.library("pymmcore_plus", package="pymmcore-plus", extra="micromanager", oldest="0.18").CMMCorePlus()
    core.loadSystemConfiguration("MMConfig_demo.cfg")
    core.setAutoShutter(False)
    core.setShutterOpen(False)
    core.snapImage()
    assert core.getImage().mean() > 100
    core.unloadAllDevices()
