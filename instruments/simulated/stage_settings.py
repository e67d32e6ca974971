"""What a simulated stage is like: how far it goes, how well it gets there, and how its axes lie in the image."""

from __future__ import annotations

import math

from pydantic import model_validator

from configs.load import Settings
from instruments.drivers.orientation import STRAIGHT, Matrix
from instruments.simulated.numbers import NotNegative, Positive, Range


class StageSettings(Settings):
    """A side-entry goniometer."""

    x_nm: Range = (-1e6, 1e6)
    y_nm: Range = (-1e6, 1e6)
    z_nm: Range = (-2e5, 2e5)
    alpha_deg: Range | None = (-30.0, 30.0)
    """None: no tilt at all."""
    beta_deg: Range | None = None
    """Of a double-tilt holder."""
    speed_nm_per_s: Positive = 1000.0
    overhead_s: NotNegative = 0.3
    backlash_nm: NotNegative = 60.0
    """Play of the drive."""
    approach: bool = True
    """Whether the driver takes up the play: every move ends in +x and +y."""
    reach_nm: NotNegative = 3.0
    """Reached position against target, at most, per axis."""
    readback_nm: NotNegative = 0.5
    """Read-back against position, at most, per axis."""
    creep_nm: NotNegative = 4.0
    """What remains to be crept at the end of a move, at most."""
    creep_s: Positive = 0.4
    """Time constant of the creep."""
    settle_s: NotNegative = 1.0
    """Wait after a move, before it returns."""
    drift_nm: NotNegative = 6.0
    """Amplitude of the slow thermal drift, per axis."""
    insertion_drift_nm: NotNegative = 0.0
    """How far, at most and per axis, a holder that was just put in still moves while it takes the column's warmth."""
    insertion_decay_s: Positive = 1800.0
    """Time constant of that."""
    eucentric_offset_nm: NotNegative = 0.0
    """Spread of the specimen's height over the axis of tilt when the world begins, at the place (0, 0) and z = 0: what
    lies off the axis swings sideways as the stage tilts."""

    turned_deg: float = 0.0
    """How far its axes lie turned in the image, clockwise, as a real stage's do; `adaptem calibrate` finds it."""
    mirrored: bool = False
    """Whether its y runs the other way, before it is turned."""

    @property
    def in_image(self) -> Matrix:
        """The truth of ``stage_to_image``."""
        cosine, sine = math.cos(math.radians(self.turned_deg)), math.sin(math.radians(self.turned_deg))
        flip = -1.0 if self.mirrored else 1.0
        return (cosine, -sine * flip), (sine, cosine * flip)

    @property
    def straight(self) -> bool:
        """Whether it moves the image along its own axes, as an instrument does that is calibrated."""
        return self.in_image == STRAIGHT

    @model_validator(mode="after")
    def _alpha_first(self) -> StageSettings:
        if self.beta_deg is not None and self.alpha_deg is None:
            raise ValueError("beta_deg needs alpha_deg: a holder tilts about its own axis first")
        return self
