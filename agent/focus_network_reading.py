"""Focus read from wide frames by the trained network: apart from the other ways, since it needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.focus_reading import FocusReading, aperture_of, electrons, scanned
from models.focus_network import load_network, read_focus

if TYPE_CHECKING:
    from agent.settings import EstimateSettings
    from instruments.types import Frame, Optics

Array: TypeAlias = npt.NDArray[np.float64]


class ByNetwork:
    """Of one to three wide scanned images. Raises ConfigError where the weights are not there, or not such weights."""

    def __init__(self, settings: EstimateSettings) -> None:
        self._settings, self.exposure, self._network = settings, scanned(settings), load_network()

    def image(self, frame: Frame) -> Array:
        return electrons(frame)

    def read(self, images: Array, changes_nm: Array, optics: Optics) -> FocusReading:
        found = read_focus(self._network, images, changes_nm, aperture_of(self.exposure, optics))
        reason, settled = found.reason, found.settled
        if settled and abs(found.found_nm[0]) > self._settings.search_nm + 2 * found.std_nm[0]:
            settled, reason = False, "the network sees a focus beyond the range searched: widen search_nm"
        elif settled and found.std_nm[0] > self._settings.search_nm / 2:
            settled, reason = False, "the images say too little: expose longer, or add frames further from focus"
        return FocusReading(found.found_nm, found.std_nm, settled, reason)
