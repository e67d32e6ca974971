"""The specimen that a question poses, with the feature and without, as a recipe of the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from instruments.simulated.recipe import Film, Material, Population, Recipe
from surveys.design_question import ConcentrationFeature, DopantFeature, MatterSettings, ParticleFeature, Question

if TYPE_CHECKING:
    from instruments.simulated.numbers import Ratio

_VOID = {"H": 1e-6}
_HARDY_E_PER_A2 = 1e6


@dataclass(frozen=True, slots=True)
class Posed:
    """Two specimens that differ by the feature alone."""

    with_feature: Recipe
    without: Recipe


def posed(question: Question, share: Ratio, per_um2: float = 100.0) -> Posed:
    """Both specimens. ``share``: of the columns that hold the dopant; ``per_um2``: of particles."""
    film, feature = question.specimen, question.feature
    made = Film(material="film", thickness_nm=film.thickness_nm, variation=0.0)
    material = _material(film, displacement_eV=film.displacement_eV)
    more: dict[str, Material] = {}
    populations: dict[str, Population] = {}
    changed, changed_film = material, made
    if isinstance(feature, DopantFeature):
        material = material.model_copy(update={"dopant": feature.element, "doped": feature.replaces})
        changed, changed_film = material, made.model_copy(update={"dopant": share, "dopant_atoms": feature.atoms})
    elif isinstance(feature, ConcentrationFeature):
        plain = film.density_per_nm3()
        material = Material(atoms_per_nm3=plain)
        changed = Material(atoms_per_nm3=substituted(plain, feature) if share else plain)
    elif isinstance(feature, ParticleFeature):
        more["feature"] = Material(atoms_per_nm3=_VOID) if feature.material is None else _material(feature.material)
        populations["feature"] = Population(
            material="feature",
            per_um2=per_um2,
            radius_nm=feature.diameter_nm / 2,
            spread=0.0,
            embedded=feature.embedded,
            rare=True,
        )

    def recipe(of: Material, film: Film, held: dict[str, Population]) -> Recipe:
        title = question.text or question.name
        critical = question.specimen.critical_fluence_e_per_A2
        return Recipe(
            title=title,
            source="posed by adaptem plan",
            materials={"film": of, **more},
            film=film,
            populations=held,
            critical_fluence_e_per_A2=_HARDY_E_PER_A2 if critical is None else critical,
        )

    return Posed(recipe(changed, changed_film, populations), recipe(material, made, {}))


def substituted(plain: dict[str, float], feature: ConcentrationFeature) -> dict[str, float]:
    """Atoms per nm³ with the element in the place of as many others."""
    new = sum(plain.values()) * feature.at_percent / 100
    taken_from = {feature.replaces: plain[feature.replaces]} if feature.replaces is not None else plain
    total = sum(taken_from.values())
    left = {name: n - (taken_from.get(name, 0.0) / total) * new for name, n in plain.items()}
    return {name: n for name, n in left.items() if n > 0} | {feature.element: new}


def _material(matter: MatterSettings, displacement_eV: float | None = None) -> Material:
    if matter.crystal is None:
        return Material(atoms_per_nm3=matter.atoms_per_nm3, displacement_eV=displacement_eV)
    return Material(
        crystal=matter.crystal,
        zone=matter.zone,
        debye_waller_nm=matter.debye_waller_nm,
        displacement_eV=displacement_eV,
    )
