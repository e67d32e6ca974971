"""A column behind temscript whose scans do not end when they should: the call blocks, the beam is on."""

from __future__ import annotations

from typing import Any

from instruments.drivers import served


class Stuck(served.ServedMicroscope):
    """Scans for 4 s, whatever is asked."""

    def set_stem_acquisition_param(self, param: dict[str, Any], ignore_errors: bool = False) -> None:
        super().set_stem_acquisition_param({**param, "dwell_time(s)": 1e-3}, ignore_errors)


if __name__ == "__main__":
    served.main(Stuck)
