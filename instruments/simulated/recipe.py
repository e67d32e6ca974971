"""What a specimen is made of, as a person writes it: materials, a film, populations of particles."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from configs.load import Settings
from instruments.simulated.crystals import CRYSTALS
from instruments.simulated.numbers import Fraction, NotNegative, Positive, Ratio

Shape: TypeAlias = Literal["ellipsoid", "facetted", "plate", "rod", "cube"]


ELEMENTS = tuple(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U".split()
)
"""Those whose scattering is tabulated, by number."""


class Material(Settings):
    """A crystal seen along a zone axis, or a composition without order."""

    crystal: str | None = None
    """Name of a crystal structure; None is amorphous, and then ``atoms_per_nm3`` is needed."""
    zone: tuple[int, int, int] = (0, 0, 1)
    atoms_per_nm3: dict[str, Positive] = Field(default_factory=dict)
    dopant: str | None = None
    """Element that takes the place of ``doped``."""
    doped: str | None = None
    debye_waller_nm: NotNegative = 0.008
    """Root mean square displacement of the atoms along one axis."""
    displacement_eV: Positive | None = None
    """Energy that knocks an atom out of it; None: not before something else destroys it."""

    @model_validator(mode="after")
    def _known(self) -> Material:
        if self.crystal is None and not self.atoms_per_nm3:
            raise ValueError("a material needs the name of a crystal, or atoms_per_nm3 by element: give one")
        if self.crystal is not None and self.crystal not in CRYSTALS:
            raise ValueError(f"crystal {self.crystal!r} was asked; known are {', '.join(CRYSTALS)}")
        if self.crystal is not None and self.atoms_per_nm3:
            raise ValueError(f"crystal {self.crystal!r} has its own density: leave atoms_per_nm3 out")
        if (self.dopant is None) != (self.doped is None):
            raise ValueError(f"dopant {self.dopant} and doped {self.doped}: give both, what comes and what it replaces")
        for element in (*self.atoms_per_nm3, *((self.dopant,) if self.dopant else ())):
            if element not in ELEMENTS:
                raise ValueError(f"{element!r} is no element up to {ELEMENTS[-1]}: give its symbol, such as 'Au'")
        return self


class Holes(Settings):
    """Holes in the film."""

    kind: Literal["round", "lacey"] = "round"
    pitch_nm: Positive = 600.0
    """Of round holes; of a lacey film, the size of its meshes."""
    size_nm: Positive = 250.0
    """Diameter of round holes; width of the threads of a lacey film."""

    @model_validator(mode="after")
    def _fits(self) -> Holes:
        if self.size_nm >= self.pitch_nm:
            raise ValueError(f"size_nm {self.size_nm} must be below pitch_nm {self.pitch_nm}: holes would merge")
        return self


class GridBars(Settings):
    """A metal grid that carries the film: opaque bars round square openings; (0, 0) is the middle of one."""

    pitch_um: Positive = 83.0
    bar_um: Positive = 25.0
    broken: Fraction = 0.05
    """Share of the openings whose film is lost."""


class Film(Settings):
    """What spans the specimen."""

    material: str
    thickness_nm: Positive
    variation: Annotated[Ratio, Field(ge=0, le=0.5)] = 0.1
    """Relative standard deviation of the thickness over waves of ``wave_nm``."""
    wave_nm: Positive = 2000.0
    grain_nm: NotNegative = 0.0
    """Mean distance of grains; 0 is one crystal."""
    misorientation_deg: NotNegative = 0.0
    """Grains turn by up to this, either way."""
    angle_deg: float = 0.0
    mistilt_deg: NotNegative = 0.0
    """The zone axis of a world's film leans by up to this along each axis: columns of atoms are then streaks."""
    grain_contrast: Annotated[Ratio, Field(ge=0, le=0.5)] = 0.0
    """How much more or less a grain scatters for its orientation, at most."""
    vacancy: Fraction = 0.0
    """Share of the columns that lack half their atoms."""
    dopant: Fraction = 0.0
    """Share of the columns that hold the dopant."""
    dopant_atoms: Annotated[int, Field(gt=0)] | None = None
    """How many of such a column's atoms are the dopant; None: all."""
    dislocation_nm: NotNegative = 0.0
    """Distance of pairs of threading dislocations; 0 is none."""
    antiphase_nm: NotNegative = 0.0
    """Size of antiphase domains; 0 is none."""
    texture: Fraction = 0.0
    """Scatter of the amount of matter from cluster to cluster of an amorphous film."""
    holes: Holes | None = None


class Population(Settings):
    """Particles of one class, at random places."""

    material: str
    per_um2: Positive
    radius_nm: Positive
    """Median; sizes are nearly log-normal."""
    spread: Annotated[Ratio, Field(ge=0, le=0.6)] = 0.25
    shape: Shape = "ellipsoid"
    aspect: Annotated[Ratio, Field(ge=1, le=12)] = 1.0
    """Length over width, on average."""
    height: Annotated[Ratio, Field(gt=0, le=2)] = 1.0
    """Along the beam, over the width."""
    inner: Annotated[Ratio, Field(ge=0, lt=1)] = 0.0
    """Size of the core over that of the whole; 0 is no core."""
    core: str | None = None
    """Material of the core; None is hollow where ``inner`` is not 0."""
    clump: Annotated[Ratio, Field(ge=0, le=1)] = 0.0
    clump_nm: Positive = 200.0
    embedded: bool = False
    """Whether it takes the film's place, or lies on it."""
    twinned: bool = False
    rare: bool = False
    """Whether it is what a survey is to find: its truth is kept for scoring."""


class Recipe(Settings):
    """A specimen."""

    title: str
    source: str = ""
    """The published system that it follows."""
    materials: Annotated[dict[str, Material], Field(min_length=1)]
    film: Film | None = None
    populations: dict[str, Population] = Field(default_factory=dict)
    bars: GridBars | None = None
    layers_nm: dict[str, Positive] = Field(default_factory=dict)
    """Featureless layers by material, such as a liquid and its windows."""
    look_nm: Positive = 200.0
    """Field of view that shows what it is about."""
    critical_fluence_e_per_A2: Positive = 1e6
    """Structure fades as exp(−fluence ÷ this)."""
    mass_loss: Fraction = 0.0
    """Share of the matter that goes with the structure."""
    deposit_e_per_A2: Positive = 3e3
    """Carbon comes as 1 − exp(−fluence ÷ this)."""

    @property
    def thermal_nm(self) -> float:
        """Displacement of the atoms that a fine view shows: of the first crystal, the film's before any particle's."""
        seen = [self.film.material] if self.film is not None else []
        seen += [population.material for population in self.populations.values()]
        crystals = [name for name in seen if self.materials[name].crystal is not None]
        return self.materials[(crystals or seen)[0]].debye_waller_nm

    @model_validator(mode="after")
    def _made_of_its_materials(self) -> Recipe:
        used = {"film": self.film.material} if self.film else {}
        used |= {f"the layer of {name}": name for name in self.layers_nm}
        for name, population in self.populations.items():
            used[name] = population.material
            if population.core is not None:
                used[f"{name}'s core"] = population.core
        for name, population in self.populations.items():
            if population.core is not None and population.inner == 0:
                raise ValueError(
                    f"{name}'s core is of {population.core!r} and of no size: give inner, or leave core out"
                )
        for name, material in used.items():
            if material not in self.materials:
                raise ValueError(f"{name} is of {material!r}; the materials are {', '.join(self.materials)}")
        if self.film is not None and self.film.dopant > 0 and self.materials[self.film.material].dopant is None:
            raise ValueError(f"film.dopant {self.film.dopant}, and {self.film.material!r} names no dopant: give it one")
        if self.film is None and not self.populations:
            raise ValueError("a specimen needs a film or a population: give one")
        return self
