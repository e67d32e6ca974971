"""Gatan cameras and the column behind them, through DigitalMicrograph's Python, which lives inside GMS only.

    this process ─► RemoteMicroscope ═ loopback, token ═► driver server in GMS (``server/digitalmicrograph.py``)

What was measured is kept here, and told to the server at each connection: there is no calibration in GMS to forget.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, PositiveInt

from configs.load import Settings
from instruments.drivers.orientation import StageToImage
from instruments.limits import Range
from instruments.remote import RemoteMicroscope, RemoteSettings, token_in
from instruments.server.digitalmicrograph import POWER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from instruments.clock import Clock

Positive = Annotated[float, Field(gt=0)]
Ratio: TypeAlias = float


class DigitalmicrographSettings(Settings):
    """GMS with a driver server in it."""

    kind: Literal["digitalmicrograph"] = "digitalmicrograph"
    port: Annotated[int, Field(ge=1, le=65535)]
    """On the loopback: of the server, or of the ssh tunnel to it."""
    token_file: Path
    """Copied from GMS's computer; nobody else may read it."""
    name: str = Field("digitalmicrograph", pattern=r"^[\w.-]+$")
    """Of the instrument, as ``serve`` in GMS was told: its latches are kept under it, and another one is refused."""
    answer_s: Positive = 10.0
    move_s: Positive = 180.0
    exposure_overhead_s: Positive = 15.0
    """What an exposure may take beyond its own time before it is given up."""
    x_nm: Range = (-990_000.0, 990_000.0)
    """That the stage may be sent to, in its own axes: GMS does not tell its limits."""
    y_nm: Range = (-990_000.0, 990_000.0)
    z_nm: Range | None = None
    """None: the height is left alone."""
    alpha_deg: Range | None = None
    """Of this holder; None: it is not tilted."""
    beta_deg: Range | None = None
    """None: a single-tilt holder."""
    defocus_nm: Range = (-20_000.0, 20_000.0)
    sensor_px: tuple[PositiveInt, PositiveInt] = (4096, 4096)
    """Rows and columns of the camera, unbinned."""
    screen_up: int | None = None
    """What GMS reads of the screen where it is up: programs contradict each other, so look at it. None: nobody has
    looked yet, and nothing is exposed."""
    processing: int | None = None
    """GMS's number of how an image is corrected; None: not at all."""
    current_pA: Positive | None = None
    """Of the whole beam, as last measured on the screen; None: unknown, and the limits' largest is booked."""
    lit_nm: Positive | None = None
    """Diameter of what the beam lights on the specimen; None: the dose is booked on the frame alone."""
    field_of_view_nm_at_1x: Positive | None = None
    """Width of the whole sensor times magnification. None: not calibrated, nothing is exposed."""
    defocus_nm_per_unit: float | None = None
    """Of GMS's focus, < 0 where more is underfocus. None: not calibrated, the focus stays as it is."""
    focus_zero: Ratio | None = None
    """The number of GMS that counts as in focus; None: that it stood at when the server there was first told, so that a
    guard that is started anew in the night goes on from the same."""
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""

    def detectors(self) -> tuple[str, ...]:
        """Those that give a number a pixel, for a plan."""
        return ("camera",)


SETTINGS = DigitalmicrographSettings
NO_ADVISER = "who tells GMS's server what was measured is its pilot, for whose silences it blanks"


def open_microscope(
    settings: DigitalmicrographSettings, *, seed: int, clock: Clock, truth: Path | None
) -> RemoteMicroscope:
    """For the registry: connect to GMS, and tell it what was measured. Raises Disconnected, ConfigError."""
    del seed, truth
    there = RemoteSettings(
        port=settings.port,
        token_file=settings.token_file,
        name=settings.name,
        answer_s=settings.answer_s,
        move_s=settings.move_s,
        exposure_overhead_s=settings.exposure_overhead_s,
    )
    about = _about(settings)
    first = {"op": "use", "power": POWER, "verb": "set_up", "values": [about]}
    scope = RemoteMicroscope(there, token_in(settings.token_file), clock, first=first)
    about["focus_zero"] = scope.greeted  # also where GMS is started anew, out of focus
    return scope


def _about(settings: DigitalmicrographSettings) -> dict[str, Any]:
    """What the server has to know, as JSON."""
    axes = ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")
    told = settings.model_dump(mode="json")
    names = (
        "stage_to_image", "defocus_nm_per_unit", "field_of_view_nm_at_1x", "sensor_px", "screen_up", "processing",
        "current_pA", "lit_nm", "focus_zero", "move_s", "defocus_nm",
    )  # fmt: skip
    return {name: told[name] for name in names} | {"ranges": {axis: told[axis] for axis in axes if told[axis]}}


def lacks(settings: DigitalmicrographSettings) -> Mapping[str, str]:
    """What GMS's Python is not asked for."""
    del settings
    return {
        "column valves": "GMS tells whether they are open; nothing is known to close them",
        "scanned images": "what DigiScan takes from Python is not known well enough: the camera is read",
        "the vacuum is read": "GMS does not tell it",
        "the emission is read": "GMS does not tell it",
        "stigmators": "their numbers have no unit yet",
    }
