"""A holder with a history, and rate laws, for the tests of specimens that evolve."""

from __future__ import annotations

from instruments.simulated.conditions import Conditions
from instruments.simulated.holders import ConditionSettings, HolderSettings
from instruments.simulated.kinetics import RateLaw

HOLDER = HolderSettings(
    conditions={
        "temperature_K": ConditionSettings(start=300.0, lowest=100.0, highest=1300.0, ramp_per_s=50.0, lag_s=1.0),
        "concentration_mM": ConditionSettings(start=0.0, lowest=0.0, highest=5.0, lag_s=2.0),
        "bias_V": ConditionSettings(start=0.0, lowest=-1.0, highest=1.0),
    }
)
STEADY = RateLaw(at_reference=0.01)
HOT = RateLaw(at_reference=0.01, activation_eV=1.5, reference_K=900.0)


def run(seed: int = 0) -> Conditions:
    conditions = Conditions(HOLDER, seed)
    conditions.set("concentration_mM", 1.0, 5.0)
    conditions.set("temperature_K", 900.0, 20.0)
    conditions.set("bias_V", 0.06, 30.0)
    conditions.set("concentration_mM", 0.4, 60.0)
    return conditions
