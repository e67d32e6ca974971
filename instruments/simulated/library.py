"""Named specimens after published systems: what to survey, to train on, and to try things with."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points

from pydantic import ValidationError

from configs.errors import ConfigError
from configs.named import named as find_named
from configs.named import own
from instruments.simulated.recipe import Film, GridBars, Holes, Material, Population, Recipe

GROUP = "adaptem.specimens"

_CARBON = Material(atoms_per_nm3={"C": 100.0})
_WATER = Material(atoms_per_nm3={"O": 33.4, "H": 66.8})
_NITRIDE = Material(atoms_per_nm3={"Si": 44.0, "N": 58.7})
_VACUUM = Material(atoms_per_nm3={"H": 1e-6})
_BARS = GridBars()

SPECIMENS = {
    "au_on_carbon": Recipe(
        title="Gold nanoparticles on a holey carbon film",
        source="the field's resolution test; sizes after Turkevich gold",
        materials={"carbon": _CARBON, "gold": Material(crystal="Au", zone=(1, 1, 0))},
        film=Film(material="carbon", thickness_nm=8.0, texture=0.16, holes=Holes(pitch_nm=2500.0, size_nm=1200.0)),
        populations={
            "particle": Population(material="gold", per_um2=900.0, radius_nm=2.6, shape="facetted", clump=0.5),
            "twin": Population(material="gold", per_um2=150.0, radius_nm=4.0, shape="facetted", twinned=True),
            "rod": Population(material="gold", per_um2=1.5, radius_nm=5.0, shape="rod", aspect=3.5, rare=True),
        },
        bars=_BARS,
        look_nm=120.0,
    ),
    "srtio3_on_ge": Recipe(
        title="SrTiO₃ film on Ge, plan view, with antiphase domains and threading defects",
        source="McKee et al., Science 293 (2001) 468; films of a few nm on Ge(001), thinned until little Ge is left",
        materials={
            "titanate": Material(crystal="SrTiO3", doped="Sr", dopant="La", debye_waller_nm=0.0085),
            "germanium": Material(atoms_per_nm3={"Ge": 44.2}),  # as ion milling leaves it: without order
            "void": _VACUUM,
        },
        film=Film(
            material="titanate",
            thickness_nm=4.0,
            variation=0.08,
            vacancy=0.02,
            dopant=0.015,
            dislocation_nm=60.0,
            antiphase_nm=40.0,
        ),
        populations={"pinhole": Population(material="void", per_um2=60.0, radius_nm=3.0, embedded=True, rare=True)},
        layers_nm={"germanium": 3.0},
        look_nm=8.0,
    ),
    "zeolite": Recipe(
        title="Zeolite A crystals on lacey carbon: what the beam soon destroys",
        source="structure LTA of the IZA; critical fluences of zeolites of 10²…10³ e/Å²",
        materials={"carbon": _CARBON, "zeolite": Material(crystal="LTA", debye_waller_nm=0.012)},
        film=Film(
            material="carbon", thickness_nm=12.0, texture=0.16, holes=Holes(kind="lacey", pitch_nm=900.0, size_nm=160.0)
        ),
        populations={
            "crystal": Population(
                material="zeolite", per_um2=6.0, radius_nm=70.0, shape="cube", height=0.25, aspect=1.3
            ),
            "intergrowth": Population(
                material="zeolite", per_um2=0.4, radius_nm=60.0, shape="plate", height=0.25, twinned=True, rare=True
            ),
        },
        bars=_BARS,
        look_nm=400.0,
        critical_fluence_e_per_A2=300.0,
        mass_loss=0.1,
    ),
    "oxide_flakes": Recipe(
        title="MgO smoke cubes and flakes on carbon",
        source="MgO smoke, a standard of electron microscopy since the 1940s",
        materials={
            "carbon": _CARBON,
            "oxide": Material(crystal="MgO"),
            "ceria": Material(crystal="CeO2", zone=(1, 1, 0)),
        },
        film=Film(material="carbon", thickness_nm=10.0, texture=0.16),
        populations={
            "cube": Population(material="oxide", per_um2=25.0, radius_nm=22.0, shape="cube", spread=0.4, clump=0.8),
            "flake": Population(material="oxide", per_um2=8.0, radius_nm=60.0, shape="plate", height=0.05, aspect=1.3),
            "speck": Population(material="ceria", per_um2=2.0, radius_nm=4.0, shape="facetted", rare=True),
        },
        bars=_BARS,
        look_nm=400.0,
    ),
    "steel_lamella": Recipe(
        title="Ferritic steel lamella with grains, carbides and voids",
        source="creep-resistant steels with NbC: Danielsen, Mater. Sci. Technol. 32 (2016) 126",
        materials={"iron": Material(crystal="Fe"), "carbide": Material(crystal="NbC"), "void": _VACUUM},
        film=Film(
            material="iron",
            thickness_nm=60.0,
            variation=0.15,
            wave_nm=4000.0,
            grain_nm=350.0,
            misorientation_deg=20.0,
            grain_contrast=0.12,
            dislocation_nm=120.0,
        ),
        populations={
            "carbide": Population(material="carbide", per_um2=50.0, radius_nm=8.0, embedded=True, clump=0.7),
            "void": Population(material="void", per_um2=1.5, radius_nm=9.0, embedded=True, rare=True),
        },
        look_nm=1500.0,
    ),
    "irradiated_ti": Recipe(
        title="Irradiated titanium with loops, bubbles and hydride plates",
        source="Griffiths, J. Nucl. Mater. 159 (1988) 190: loops and cavities in Ti and Zr",
        materials={
            "titanium": Material(crystal="Ti"),
            "gas": _VACUUM,
            "strained": Material(atoms_per_nm3={"Ti": 65.0}),  # a loop's strain, told by as much more matter
            "hydride": Material(atoms_per_nm3={"Ti": 46.0, "H": 75.0}),
        },
        film=Film(
            material="titanium",
            thickness_nm=50.0,
            variation=0.1,
            grain_nm=900.0,
            misorientation_deg=30.0,
            grain_contrast=0.1,
            dislocation_nm=35.0,
        ),
        populations={
            "bubble": Population(material="gas", per_um2=700.0, radius_nm=2.2, embedded=True),
            "loop": Population(
                material="strained",
                core="titanium",
                inner=0.75,
                per_um2=150.0,
                radius_nm=9.0,
                spread=0.4,
                aspect=1.3,
                embedded=True,
                clump=0.5,
            ),
            "cavity": Population(
                material="gas", per_um2=2.0, radius_nm=12.0, shape="facetted", embedded=True, rare=True
            ),
            "hydride": Population(
                material="hydride", per_um2=1.0, radius_nm=15.0, shape="rod", aspect=6.0, embedded=True
            ),
        },
        look_nm=400.0,
    ),
    "pt_on_ceria": Recipe(
        title="Platinum on ceria: a supported catalyst with core-shell and hollow particles",
        source="Pt/CeO₂ catalysts; hollow particles by the Kirkendall effect: Yin et al., Science 304 (2004) 711",
        materials={
            "carbon": _CARBON,
            "ceria": Material(crystal="CeO2", zone=(1, 1, 0)),
            "platinum": Material(crystal="Pt", zone=(1, 1, 0)),
            "copper": Material(crystal="Cu", zone=(1, 1, 0)),
        },
        film=Film(
            material="carbon", thickness_nm=6.0, texture=0.16, holes=Holes(kind="lacey", pitch_nm=700.0, size_nm=180.0)
        ),
        populations={
            "support": Population(material="ceria", per_um2=250.0, radius_nm=14.0, shape="facetted", clump=0.9),
            "metal": Population(material="platinum", per_um2=1500.0, radius_nm=1.6, shape="facetted", clump=0.9),
            "core_shell": Population(material="platinum", core="copper", inner=0.7, per_um2=25.0, radius_nm=5.0),
            "hollow": Population(material="platinum", inner=0.65, per_um2=4.0, radius_nm=8.0, rare=True),
        },
        bars=_BARS,
        look_nm=150.0,
    ),
    "battery_liquid_cell": Recipe(
        title="LiCoO₂ particles in a liquid cell",
        source="closed liquid cells with SiN windows: Ross, Science 350 (2015) aaa9886",
        materials={
            "oxide": Material(crystal="LiCoO2", zone=(1, 1, 0)),
            "lithium": Material(atoms_per_nm3={"Li": 46.0}),
            "water": _WATER,
            "nitride": _NITRIDE,
        },
        populations={
            "particle": Population(material="oxide", per_um2=3.0, radius_nm=90.0, spread=0.35, aspect=1.4, height=0.7),
            "cracked": Population(
                material="oxide", per_um2=0.15, radius_nm=100.0, inner=0.4, aspect=1.4, height=0.7, rare=True
            ),
            "dendrite": Population(material="lithium", per_um2=0.3, radius_nm=25.0, shape="rod", aspect=9.0, rare=True),
        },
        layers_nm={"water": 150.0, "nitride": 60.0},
        look_nm=1500.0,
        critical_fluence_e_per_A2=1000.0,
        mass_loss=0.05,
    ),
    "mos2": Recipe(
        title="MoS₂ monolayer with vacancies and dopants",
        source="Hong et al., Nature Commun. 6 (2015) 6293; sulphur goes at 6.9 eV: Komsa et al., PRL 109 (2012) 035503",
        materials={
            "sulfide": Material(crystal="MoS2", doped="Mo", dopant="W", displacement_eV=6.9),
            "cluster": Material(crystal="Au"),
        },
        film=Film(
            material="sulfide",
            thickness_nm=0.615,
            variation=0.0,
            vacancy=0.02,
            dopant=0.01,
            grain_nm=250.0,
            misorientation_deg=30.0,
        ),
        populations={
            "cluster": Population(
                material="cluster", per_um2=120.0, radius_nm=1.0, shape="plate", height=0.4, rare=True
            )
        },
        look_nm=6.0,
    ),
    "graphene": Recipe(
        title="Graphene with silicon dopants on lacey carbon",
        source="Si in graphene: Susi et al., PRL 113 (2014) 115501; displacement: Zobelli et al., PRB 75 (2007) 245402",
        materials={
            "graphene": Material(crystal="graphene", doped="C", dopant="Si", displacement_eV=22.0),
            "soot": _CARBON,
        },
        film=Film(
            material="graphene",
            thickness_nm=0.3354,
            variation=0.0,
            dopant=0.002,
            vacancy=0.001,
            grain_nm=400.0,
            misorientation_deg=30.0,
        ),
        populations={"soot": Population(material="soot", per_um2=400.0, radius_nm=8.0, height=0.3, clump=0.9)},
        look_nm=5.0,
    ),
}
"""By name. Populations marked rare are what a survey is to find; ``features.particles`` tells where they are."""


def named(name: str) -> Recipe:
    """A specimen of the library, or one's own: ``FILE.py:NAME``, or an entry point of ``adaptem.specimens``.

    One's own is a recipe, its fields, or a function without arguments that gives one. Raises ConfigError: an unknown
    name, with the nearest; a file or name that is not there; what is no recipe.
    """
    if name in SPECIMENS:
        return SPECIMENS[name]
    if ".py:" in name or name in entry_points(group=GROUP).names:
        return _own(name)
    near = get_close_matches(name, SPECIMENS, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"asked for the specimen {name!r}: {hint}the library holds {', '.join(SPECIMENS)}; one's own is FILE.py:NAME"
    )


def _own(name: str) -> Recipe:
    found = find_named(name, GROUP)
    made = own(name, GROUP, (), "recipe of a specimen", ()) if callable(found) else found
    try:
        return made if isinstance(made, Recipe) else Recipe.model_validate(made)
    except ValidationError as error:
        raise ConfigError(f"{name} gave a {type(made).__name__} that is no recipe of a specimen: {error}") from error
