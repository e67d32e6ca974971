"""Focusing as a gymnasium environment: change the lenses, expose, see what came of it, stop when it is sharp.

action ─► guard.tune ─► intent ─► guard.acquire ─► commit ─► frame joins the last ones ─► reward, where truth is known
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from envs.exposing import Exposer, fault_of
from envs.recorder import NullRecorder, Recorder
from envs.step import Purpose, Stream, Tag
from instruments.aberrations import residual_rad
from instruments.clock import Clock
from instruments.errors import InstrumentError, LimitError
from instruments.guard import Guard
from instruments.types import Exposure, Optics

if TYPE_CHECKING:
    from instruments.types import Frame

Ratio: TypeAlias = float
Floats: TypeAlias = npt.NDArray[np.float32]
Observation: TypeAlias = dict[str, Floats]

KEPT = 4
"""Frames that an observation shows, the newest last."""
CONTROLS = ("defocus_nm", "stig_a_nm", "stig_b_nm")
_STEPS_NM = {"defocus_nm": (3.0, 10.0, 30.0, 100.0), "stig_a_nm": (1.0, 5.0), "stig_b_nm": (1.0, 5.0)}
_PER_EXPOSURE: Ratio = 0.02
"""What an exposure costs, in the unit of the reward."""
_MOST = 1e9
"""Of any number in an observation."""
SHARP_RAD = np.pi / 4
"""Residual phase over the aperture at which a probe counts as sharp: an eighth of a wave, half of Rayleigh's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusTask:
    """What is exposed, how far a control may be moved at once, what may be spent."""

    exposure: Exposure
    reach_nm: tuple[float, float] = (250.0, 20.0)
    """Of one action: of the defocus, of each component of the astigmatism."""
    exposures: int = 8
    electrons: float = 1e9
    convergence_mrad: float = 21.4
    """Of the probe: the aperture over which its phase is judged."""
    voltage_kV: float = 200.0

    def __post_init__(self) -> None:
        if self.exposures < 1 or not self.electrons > 0 or not all(reach > 0 for reach in self.reach_nm):
            raise ValueError(f"{self} allows nothing: give exposures, electrons and reach_nm above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusSituation:
    """The instrument at one place, and what is to be done there."""

    guard: Guard
    clock: Clock
    task: FocusTask
    truth_nm: Callable[[], tuple[float, ...]] | None = None
    """The eight coefficients (``aberrations.NAMES``) that are left, 0 where the image is sharpest; None at an
    instrument, where nobody knows: then rewards are 0."""
    recorder: Recorder = field(default_factory=NullRecorder)
    specimen: str = "specimen"


class FocusEnv(gymnasium.Env[Observation, Any]):
    """One place. ``remake`` builds a new episode's situation from a seed; an instrument has no second episode.

    Actions: continuous, (4,) in −1…1, three changes in parts of ``reach_nm`` and above 0 for stop; or, ``discrete``,
    one of ``moves()``, then stop. Stop exposes nothing and ends the episode.

    Reward: what the residual phase has gone down, as −log₁₀(1 + phase ÷ (π/4)), less 0.02 an exposure.
    """

    def __init__(
        self,
        situation: FocusSituation,
        *,
        remake: Callable[[int], FocusSituation] | None = None,
        discrete: bool = False,
    ) -> None:
        self._remake = remake
        self.discrete = discrete
        rows, columns = situation.task.exposure.shape
        self.action_space = spaces.Discrete(len(moves()) + 1) if discrete else spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.observation_space: spaces.Dict = spaces.Dict(  # type: ignore[assignment]
            {
                "frames": spaces.Box(-_MOST, _MOST, (KEPT, rows, columns), np.float32),
                "settings": spaces.Box(-_MOST, _MOST, (KEPT, len(CONTROLS)), np.float32),
                "taken": spaces.Box(0.0, 1.0, (KEPT,), np.float32),
                "globals": spaces.Box(-_MOST, _MOST, (4,), np.float32),
            }
        )
        self._begin(situation)

    def _begin(self, situation: FocusSituation) -> None:
        self.situation = situation
        tag = Tag(stream=Stream.POLICY, inclusion_probability=None)
        self._exposer = Exposer(situation.guard, situation.recorder, situation.clock, situation.specimen, (tag,))
        self._frames: list[tuple[Floats, tuple[float, ...]]] = []
        self._optics = situation.guard.state().optics
        self._fault, self._refused = "", 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode, with one frame as the lenses stand.

        Raises RuntimeError where exposures were made that cannot be undone (no ``remake``).
        """
        super().reset(seed=seed)
        if self._remake is not None:
            self.situation.guard.close()
            self._begin(self._remake(int(self.np_random.integers(2**31)) if seed is None else seed))
        elif self._exposer.records:
            raise RuntimeError("this place was exposed and cannot begin again; make the environment with remake=")
        self._expose()
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Change the lenses and expose, or stop. What is no action, or refused by the guard, is told in ``info``."""
        before, made, stops = self.merit(), len(self._exposer.records), False
        self._fault = ""
        try:
            change = self._change(action)
            stops = change is None
            if change is not None:
                self._tune(change)
                self._expose()
        except InstrumentError as error:
            fault = fault_of(error)
            self._fault = f"{fault.error}: {fault.message}"
            self._refused += len(self._exposer.records) == made
        reward = self.merit() - before - _PER_EXPOSURE * (len(self._exposer.records) - made)
        return self._observation(), reward, stops, not stops and not self._can_pay(), self._info()

    def close(self) -> None:
        self.situation.guard.close()

    def merit(self) -> float:
        """−log₁₀(1 + residual phase ÷ (π/4)): 0 is perfect. 0 also where nobody knows the truth."""
        if (residual := self.residual_rad()) is None:
            return 0.0
        return -float(np.log10(1 + residual / SHARP_RAD))

    def residual_rad(self) -> float | None:
        """Root mean square of the aberration's phase over the aperture; None where nobody knows the truth."""
        task, truth_nm = self.situation.task, self.situation.truth_nm
        return None if truth_nm is None else residual_rad(truth_nm(), task.convergence_mrad, task.voltage_kV)

    def _change(self, action: Any) -> tuple[float, float, float] | None:
        """Changes in nm, None is stop. Raises LimitError for what is no action."""
        defocus, stig = self.situation.task.reach_nm
        if self.discrete:
            number = int(action) if isinstance(action, int | np.integer) else -1
            if not 0 <= number <= len(moves()):
                raise LimitError(f"asked for action {action!r}; there are 0 to {len(moves())}, the last is stop")
            return None if number == len(moves()) else moves()[number]
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (4,) or not np.isfinite(values).all() or (np.abs(values) > 1).any():
            raise LimitError(f"asked for action {action!r}; give four numbers from -1 to 1")
        if values[3] > 0:
            return None
        return float(values[0]) * defocus, float(values[1]) * stig, float(values[2]) * stig

    def _tune(self, change: tuple[float, float, float]) -> None:
        optics = self._optics = self.situation.guard.state().optics
        asked = {}
        for name, by_nm in zip(CONTROLS, change, strict=True):
            found = getattr(optics, name)
            if by_nm and found is None:
                raise LimitError(f"{name} was to change by {by_nm:g}, but this instrument does not read it back")
            if by_nm:
                asked[name] = found + by_nm
        if asked:
            self._optics = self.situation.guard.tune(Optics(**asked)).achieved

    def _expose(self) -> None:
        frame = self._exposer.expose(self.situation.task.exposure, Purpose.FOCUS)
        optics = tuple(getattr(frame.optics, name) or 0.0 for name in CONTROLS)
        self._frames = [*self._frames, (_electrons(frame), optics)][-KEPT:]

    def _can_pay(self) -> bool:
        """As often as exposures are allowed, an action may be refused: no episode goes on for ever."""
        task = self.situation.task
        electrons = sum(record.electrons for record in self._exposer.records)
        each = electrons / max(len(self._exposer.records), 1)
        made = max(len(self._exposer.records), self._refused)
        return made < task.exposures and electrons + each <= task.electrons

    def _observation(self) -> Observation:
        task, exposure = self.situation.task, self.situation.task.exposure
        frames = np.zeros((KEPT, *exposure.shape), dtype=np.float32)
        settings = np.zeros((KEPT, len(CONTROLS)), dtype=np.float32)
        taken = np.zeros(KEPT, dtype=np.float32)
        now = np.array([getattr(self._optics, name) or 0.0 for name in CONTROLS])
        scale = np.array([task.reach_nm[0], task.reach_nm[1], task.reach_nm[1]])
        for n, (image, at_nm) in enumerate(self._frames, start=KEPT - len(self._frames)):
            frames[n], settings[n], taken[n] = image, (np.array(at_nm) - now) / scale, 1.0
        electrons = sum(record.electrons for record in self._exposer.records)
        left = (
            1 - len(self._exposer.records) / task.exposures,
            1 - electrons / task.electrons,
            exposure.pixel_size_nm,
            task.convergence_mrad / 20.0,
        )
        return {"frames": frames, "settings": settings, "taken": taken, "globals": np.array(left, dtype=np.float32)}

    def _info(self) -> dict[str, Any]:
        residual = self.residual_rad()
        return {
            "exposures": len(self._exposer.records),
            "electrons": sum(record.electrons for record in self._exposer.records),
            "residual_rad": np.nan if residual is None else residual,
            "fault": self._fault,
        }


def moves() -> tuple[tuple[float, float, float], ...]:
    """The discrete changes in nm of ``CONTROLS``: nothing, then each control by each of its steps, up and down."""
    found = [(0.0, 0.0, 0.0)]
    for n, name in enumerate(CONTROLS):
        for step_nm in _STEPS_NM[name]:
            for sign in (1.0, -1.0):
                change = [0.0, 0.0, 0.0]
                change[n] = sign * step_nm
                found.append((change[0], change[1], change[2]))
    return tuple(found)


def _electrons(frame: Frame) -> Floats:
    """(H, W) of the first detector that gives an image, in electrons."""
    for signal in frame.signals.values():
        if signal.data.ndim == 2:
            gain = signal.calibration.get("gain_counts_per_electron", 1.0)
            counts = signal.data.astype(np.float32) - np.float32(signal.calibration.get("offset_counts", 0.0))
            return np.asarray(counts / np.float32(gain))
    raise LimitError(
        f"no detector gave an image to focus by, only {', '.join(frame.signals)}: name one in the exposure"
    )
