"""A change that images do not show: nickel particles in a liquid cell become copper, one by one.

Copper ions oxidise nickel (+0.34 against −0.26 V) and take its place: galvanic exchange. The metals are neighbours in
the periodic table, so that particles keep their size and, but for 1 %, what they scatter to high angles, while the
edges of the loss and the X-ray lines are others. Many changes of a phase are of this kind: it is here because none of
the other worlds asks which signal to take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.tracking_draws import HORIZON_S, log_normal
from envs.track_standards import standards
from envs.track_worlds import copper
from instruments.simulated.insitu import PopulationSettings
from instruments.simulated.insitu_changes import Transformation, TransformationSettings
from instruments.simulated.kinetics import Drive, RateLaw
from instruments.simulated.recipe import Material

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from envs.tracked import Sensor, TrackLook
    from instruments.simulated.conditions import Conditions

NICKEL_PER_NM3 = 91.4
"""Of the metal: 8.91 g/cm³."""
_SUPPLY = Drive(condition="concentration_mM", law="power", reference=1.0, strength=1.0)


def exchange_sensors(looks: Sequence[TrackLook]) -> dict[str, Sensor]:
    """What signals show of nickel, and of copper in its place, by signal."""
    settings = copper("front")
    sample = settings.specimen_by_recipe
    if sample is None or sample.evolves is None:
        raise ValueError("the copper specimen has no recipe of what evolves on it")
    materials = {**sample.recipe.materials, "nickel": Material(atoms_per_nm3={"Ni": NICKEL_PER_NM3})}
    recipe = sample.recipe.model_copy(update={"materials": materials})
    evolves = sample.evolves.model_copy(update={"material": "nickel", "becomes": "copper"})
    specimen = sample.model_copy(update={"recipe": recipe, "evolves": evolves})
    return standards(settings.model_copy(update={"specimen": specimen}), looks)


def exchange(rng: np.random.Generator, conditions: Conditions, seed: int) -> Any:
    """Particles begin one by one, and a boundary crosses each in some seconds."""
    rate, exponent = log_normal(rng, 1.3 / HORIZON_S, 0.3), float(rng.uniform(1.2, 2.4))
    settings = TransformationSettings(
        population=PopulationSettings(
            per_um2=log_normal(rng, 350.0, 0.2), radius_nm=log_normal(rng, 7.0, 0.15), size_spread=0.2
        ),
        onset=RateLaw(at_reference=rate, drives=(_SUPPLY,)),
        avrami=exponent,
        threshold_spread=0.0,
        crossing=RateLaw(at_reference=2.0),
    )
    truth = {"rate_per_s": rate, "exponent": exponent}
    return "transformation after Avrami", truth, Transformation(settings, conditions, seed), 4
