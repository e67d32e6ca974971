"""What a fluence does to a specimen: critical fluences with their sources, and atoms knocked out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from instruments.simulated.harm import displacement_nm2
from surveys.design_proposal import Evidence

if TYPE_CHECKING:
    from surveys.design_question import SpecimenQuestion

Ratio: TypeAlias = float

_INORGANIC = Evidence(
    "taken as conducting inorganic matter: only knock-on, and that needs 1000 C/cm² and more",
    "Egerton, Microsc. Res. Tech. 75 (2012) 1550 (PMID 22807142)",
)
CRITICAL_E_PER_A2: dict[str, tuple[float, Evidence]] = {
    "LTA": (
        300.0,
        Evidence("zeolites lose their lattice at 10²…10³ e/Å²; 300 is taken", "as the simulator's specimen `zeolite`"),
    ),
    "LiCoO2": (
        1000.0,
        Evidence(
            "in a liquid, radiolysis of the water comes first", "as the simulator's specimen `battery_liquid_cell`"
        ),
    ),
}
"""By crystal; others are taken to be conducting inorganic matter."""
INORGANIC_E_PER_A2 = 6e5


@dataclass(frozen=True, slots=True)
class Bearing:
    """What a specimen bears."""

    critical_e_per_A2: float
    """Structure fades as exp(−fluence ÷ this)."""
    knock_on_nm2: float
    """Cross-section for the mean atom to be knocked out."""
    evidence: tuple[Evidence, ...]

    def lost(self, fluence_e_per_A2: float) -> Ratio:
        """Share of the structure that is gone after a fluence, by fading and by knock-on."""
        rate = 1 / self.critical_e_per_A2 + 100.0 * self.knock_on_nm2
        return -math.expm1(-fluence_e_per_A2 * rate)

    def borne_e_per_A2(self, harm: Ratio) -> float:
        """Fluence at which that share is gone."""
        return -math.log1p(-harm) / (1 / self.critical_e_per_A2 + 100.0 * self.knock_on_nm2)


def bearing(film: SpecimenQuestion, voltage_kV: float) -> Bearing:
    """What a film bears: as the question says, or as the table has it."""
    if film.critical_fluence_e_per_A2 is not None:
        critical = film.critical_fluence_e_per_A2
        grounds = Evidence(f"critical fluence {critical:g} e/Å²", "given in the question")
    else:
        critical, grounds = CRITICAL_E_PER_A2.get(str(film.crystal), (INORGANIC_E_PER_A2, _INORGANIC))
    if film.displacement_eV is None:
        return Bearing(critical, 0.0, (grounds,))
    held = film.density_per_nm3()
    mean = sum(n * displacement_nm2(e, film.displacement_eV, voltage_kV) for e, n in held.items()) / sum(held.values())
    knock = Evidence(
        f"atoms leave at {film.displacement_eV:g} eV: {mean * 1e10:.3g}·10⁻¹⁰ nm² at {voltage_kV:g} kV",
        "McKinley & Feshbach, Phys. Rev. 74 (1948) 1759; Seitz & Koehler, Solid State Phys. 2 (1956) 305",
    )
    return Bearing(critical, mean, (grounds, knock))
