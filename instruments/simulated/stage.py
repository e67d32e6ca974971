"""A goniometer as it is: it travels, has play, misses a little, creeps after the move and drifts with the hours."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from instruments.drivers.orientation import to_ours
from instruments.simulated.hashing import uniform
from instruments.simulated.wander import WAVES, Wander
from instruments.types import StagePosition

if TYPE_CHECKING:
    from instruments.simulated.numbers import Ratio
    from instruments.simulated.stage_settings import StageSettings

AXES = ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")
_REACH, _CREEP, _READ, _DRIFT, _INSERTION = 301, 302, 303, 304, 305
_DEG_PER_S = 5.0


@dataclass(frozen=True)
class _Motion:
    """The last move: the drive goes from ``start`` to ``end`` between two times. Lists run over AXES."""

    start: list[float]
    end: list[float]
    start_s: float = 0.0
    end_s: float = 0.0
    play_nm: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """How far the specimen hangs behind the drive, in x and y: 0 after a motion to +, the backlash after one to −."""
    creep_nm: list[float] = field(default_factory=lambda: [0.0, 0.0])
    number: int = 0


class Stage:
    """True and read-back position as functions of time. Its errors depend on the seed and the number of the move."""

    def __init__(self, settings: StageSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._motion = _Motion([0.0] * len(AXES), [0.0] * len(AXES))
        self._wander = Wander(seed, _DRIFT, 2)

    def go(self, target: StagePosition, now_s: float, *, part: Ratio = 1.0, tilt_part: Ratio = 1.0) -> float:
        """Set off for a target; returns when the drive will stand still (instrument clock).

        ``part`` and ``tilt_part`` < 1 break the motion off on the way, as faults do.
        """
        settings, old = self._settings, self._motion
        start = self._drive(now_s)
        wanted = [getattr(target, axis) for axis in AXES]
        number = old.number + 1
        misses = settings.reach_nm * (2 * uniform(self._seed, _REACH, number, np.arange(2)) - 1)
        end, play, extra_nm = list(start), list(old.play_nm), 0.0
        for n, value in enumerate(wanted):
            if value is None:
                continue
            if n >= 2:
                end[n] = start[n] + (value - start[n]) * (tilt_part if n >= 3 else part)
                continue
            end[n] = start[n] + (value + float(misses[n]) - start[n]) * part
            if settings.approach and part == 1:
                play[n], extra_nm = 0.0, 2 * settings.backlash_nm
            else:
                play[n] = min(max(play[n] - (end[n] - start[n]), 0.0), settings.backlash_nm)
        distance = max(math.dist(start[:2], end[:2]) + extra_nm, abs(end[2] - start[2]))
        tilt_deg = max(abs(end[n] - start[n]) for n in (3, 4))
        time_s = max(distance / settings.speed_nm_per_s, tilt_deg / _DEG_PER_S) + settings.overhead_s
        creeps = settings.creep_nm * (2 * uniform(self._seed, _CREEP, number, np.arange(2)) - 1)
        scale = min(1.0, distance / 100.0)
        self._motion = _Motion(start, end, now_s, now_s + time_s, play, [scale * float(c) for c in creeps], number)
        return now_s + time_s

    def halt(self, now_s: float) -> None:
        """Stop where the drive is now."""
        self._motion = replace(self._motion, end=self._drive(now_s), end_s=min(now_s, self._motion.end_s))

    def displace_tilt(self, by_deg: float) -> None:
        """Knock the tilt out of place, as a touch of the pole piece does."""
        motion = self._motion
        tilted = [[*drive[:3], drive[3] + by_deg, *drive[4:]] for drive in (motion.start, motion.end)]
        self._motion = replace(motion, start=tilted[0], end=tilted[1])

    def readback(self, now_s: float) -> StagePosition:
        """What the encoders say, along the stage's own axes: the drive, not the play, the creep nor the drift."""
        drive = self._drive(now_s)
        noise = self._settings.readback_nm * (2 * uniform(self._seed, _READ, self._motion.number, np.arange(3)) - 1)
        x, y, z = (value + float(n) for value, n in zip(drive[:3], noise, strict=True))
        alpha = drive[3] if self._settings.alpha_deg is not None else None
        beta = drive[4] if self._settings.beta_deg is not None else None
        return StagePosition(x_nm=x, y_nm=y, z_nm=z, alpha_deg=alpha, beta_deg=beta)

    def position(self, now_s: float) -> tuple[float, float, float, float]:
        """The truth: the place (x, y) under the beam, height and tilt."""
        motion = self._motion
        drive = self._drive(now_s)
        left = math.exp(-max(0.0, now_s - motion.end_s) / self._settings.creep_s) if now_s >= motion.end_s else 0.0
        drift = self._drift(now_s)
        along = [drive[n] + motion.play_nm[n] + left * motion.creep_nm[n] for n in range(2)]
        x, y = to_ours(along[0], along[1], self._settings.in_image)
        return x + drift[0], y + drift[1], drive[2], drive[3]

    def beta_deg(self, now_s: float) -> float:
        """The second tilt; 0 on a holder without one."""
        return self._drive(now_s)[4]

    def snapshot(self) -> dict[str, Any]:
        """All that a later process needs to go on from here."""
        return dict(vars(self._motion))

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._motion = _Motion(**snapshot)

    def _drive(self, now_s: float) -> list[float]:
        motion = self._motion
        if now_s >= motion.end_s:
            return list(motion.end)
        gone = (now_s - motion.start_s) / (motion.end_s - motion.start_s)
        return [a + (b - a) * gone for a, b in zip(motion.start, motion.end, strict=True)]

    def _drift(self, now_s: float) -> tuple[float, float]:
        """It wanders but stays within ``drift_nm`` on each axis, about what is left of the holder's coming in."""
        settings = self._settings
        x, y = settings.drift_nm / WAVES * self._wander.at(now_s)
        if settings.insertion_drift_nm:
            gone = 1 - math.exp(-max(now_s, 0.0) / settings.insertion_decay_s)
            far = settings.insertion_drift_nm * gone * (2 * uniform(self._seed, _INSERTION, np.arange(2)) - 1)
            x, y = x + far[0], y + far[1]
        return float(x), float(y)
