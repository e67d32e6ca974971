"""How true the batch renderer's annular dark field is: against frozen-phonon multislice (abTEM), cell by cell.

    python -m benchmarks.fidelity            about ten minutes; needs abTEM (GPL; no extra brings it)
    python -m benchmarks.fidelity --quick    two defoci, one phonon configuration

Normalised cross-correlation and contrast, (max − min) / mean, over one projected unit cell, 200 kV, 21.4 mrad,
60–130 mrad (graphene: 60 kV, 31 mrad, 60–140 mrad). Nothing is fitted to multislice. Then the exponent of Z for
single atoms.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.common import arguments, finish, print_table
from instruments.simulated.crystals import CRYSTALS
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Renderer, Views
from instruments.simulated.scattering import atomic_number, cross_section_nm2

if TYPE_CHECKING:
    import numpy.typing as npt

POINTS = 14
THERMAL_NM = {"SrTiO3": 0.0085, "Au": 0.0085, "graphene": 0.006}
ATOMS = ("C", "O", "Si", "Ti", "Sr", "Ag", "Au")


@dataclass(frozen=True)
class Case:
    crystal: str
    repeats: tuple[int, int, int]
    exits: tuple[int, ...]
    """After how many cells along the beam the intensity is read."""
    slices_per_cell: int
    voltage_kV: float = 200.0
    convergence_mrad: float = 21.4
    annulus_mrad: tuple[float, float] = (60.0, 130.0)
    is_square: bool = True


CASES = (
    Case("SrTiO3", (5, 5, 20), (2, 5, 10, 20), 2),
    Case("Au", (5, 5, 10), (2, 5, 10), 2),
    Case("graphene", (8, 5, 1), (1,), 1, 60.0, 31.0, (60.0, 140.0), is_square=False),
)


def cell_nm(case: Case) -> tuple[float, float, float]:
    """Of the smallest upright box: x, y, and along the beam."""
    a, b, c = CRYSTALS[case.crystal].lengths_nm
    return (a, b, c) if case.is_square else (a, a * 3**0.5, c)


def unit_cell(name: str) -> Any:
    """One cell of a crystal of ours, for abTEM."""
    from ase import Atoms

    crystal = CRYSTALS[name]
    return Atoms(
        [atom[0] for atom in crystal.atoms],
        scaled_positions=[atom[1:] for atom in crystal.atoms],
        cell=crystal.vectors_nm() * 10,
        pbc=True,
    )


def multislice(case: Case, defocus_nm: float, phonons: int) -> npt.NDArray[np.float64]:
    """(exits, POINTS, POINTS) shares, axes x and y."""
    import abtem

    atoms = unit_cell(case.crystal)
    if not case.is_square:
        atoms = abtem.orthogonalize_cell(atoms)
    atoms = atoms * case.repeats
    if case.crystal == "graphene":
        atoms.center(vacuum=1.5, axis=2)
    x, y, z = (length * 10 for length in cell_nm(case))
    moved = abtem.FrozenPhonons(atoms, phonons, THERMAL_NM[case.crystal] * 10, seed=1)
    thick = z / case.slices_per_cell
    planes = tuple(n * case.slices_per_cell - 1 for n in case.exits)
    potential = abtem.Potential(
        moved,
        sampling=0.0605 if case.is_square else 0.09,
        slice_thickness=thick if case.is_square else atoms.cell[2, 2],
        exit_planes=planes if case.is_square else None,
    )
    probe = abtem.Probe(energy=case.voltage_kV * 1e3, semiangle_cutoff=case.convergence_mrad, defocus=-defocus_nm * 10)
    grid = abtem.GridScan((2 * x, 2 * y), (3 * x, 3 * y), gpts=(POINTS, POINTS), endpoint=False)
    detector = abtem.AnnularDetector(*case.annulus_mrad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = probe.scan(potential, scan=grid, detectors=detector).compute(scheduler="single-threaded").array
    shares = np.asarray(found, dtype=np.float64)
    while shares.ndim > (3 if case.is_square else 2):
        shares = shares.mean(0)
    shares = shares.reshape(-1, POINTS, POINTS)[-len(case.exits) :]
    return symmetric(shares) if case.is_square else shares


def symmetric(images: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean over the eight operations of p4mm about point (0, 0): as many more phonon configurations."""
    back = np.roll(images[:, ::-1], 1, axis=1)
    both = [images, back, np.roll(images[:, :, ::-1], 1, axis=2), np.roll(back[:, :, ::-1], 1, axis=2)]
    return np.mean([*both, *(image.swapaxes(1, 2) for image in both)], axis=0)


def ours(case: Case, defocus_nm: float, thick_nm: float) -> npt.NDArray[np.float64]:
    """(POINTS, POINTS) shares, axes x and y."""
    x, y, _ = cell_nm(case)
    recipe = Recipe(
        title=case.crystal,
        materials={"crystal": Material(crystal=case.crystal, debye_waller_nm=THERMAL_NM[case.crystal])},
        film=Film(material="crystal", thickness_nm=thick_nm, variation=0.0),
    )
    # a frame has square pixels: so fine that each point of either axis lies within a tenth of an ångström of one
    fine = x / POINTS / 2
    pixels = 2 * int(2.6 / fine / 2)
    camera = Camera(
        shape=(pixels, pixels),
        pixel_nm=fine,
        annuli_mrad=(case.annulus_mrad,),
        voltage_kV=case.voltage_kV,
        convergence_mrad=case.convergence_mrad,
        source_size_nm=0.0,
    )
    coefficients = torch.zeros(1, 8)
    coefficients[0, 0] = defocus_nm
    views = Views(
        seeds=np.array([1]),
        places_nm=np.full((1, 2), -fine * (pixels - 1) / 2),
        coefficients_nm=coefficients,
        electrons=torch.ones(1),
        frames=np.array([0]),
    )
    image = Renderer(recipe, camera).shares(views)[0, 0].numpy().astype(np.float64)
    # pixel (r, c) looks at (−c, −r) · fine; points lie at n · x / POINTS, and the crystal repeats
    inside = pixels // 4 * fine
    columns, rows = (
        np.rint((np.arange(POINTS) * side / POINTS + np.ceil(inside / side) * side) / fine).astype(int)
        for side in (x, y)
    )
    seen = image[np.ix_(rows, columns)].T
    return np.roll(seen[::-1, ::-1], 1, axis=(0, 1))


def correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """The largest over whole-point shifts: the two may put the origin of a cell elsewhere."""
    found = [np.corrcoef(np.roll(a, (i, j), axis=(0, 1)).ravel(), b.ravel())[0, 1] for i, j in np.ndindex(*a.shape)]
    return float(max(found))


def contrast(image: npt.NDArray[np.float64]) -> float:
    return float((image.max() - image.min()) / image.mean())


def compare(case: Case, defoci_nm: tuple[float, ...], phonons: int) -> list[dict[str, Any]]:
    rows = [
        {"crystal": case.crystal, "thick_nm": round(n * cell_nm(case)[2], 2), **{f"{d:+g}_nm": 0.0 for d in defoci_nm}}
        for n in case.exits
    ]
    for defocus_nm in defoci_nm:
        truth = multislice(case, defocus_nm, phonons)
        for row, shares in zip(rows, truth, strict=True):
            model = ours(case, defocus_nm, row["thick_nm"])
            row[f"{defocus_nm:+g}_nm"] = correlation(model, shares)
            if defocus_nm == 0:
                row["contrast"], row["contrast_multislice"] = contrast(model), contrast(shares)
                row["mean"], row["mean_multislice"] = float(model.mean()), float(shares.mean())
    return rows


def single_atoms(elements: tuple[str, ...]) -> list[dict[str, Any]]:
    """Cross-sections of single atoms, whole cells scanned."""
    import abtem
    from ase import Atoms

    rows = []
    for element in elements:
        atom = Atoms(element, positions=[(5, 5, 2)], cell=(10, 10, 4), pbc=True)
        potential = abtem.Potential(atom, sampling=0.05, slice_thickness=4, projection="infinite")
        probe = abtem.Probe(energy=200e3, semiangle_cutoff=21.4)
        grid = abtem.GridScan((0, 0), (10, 10), gpts=(28, 28), endpoint=False)
        found = probe.scan(potential, scan=grid, detectors=abtem.AnnularDetector(60, 130)).compute(
            scheduler="single-threaded"
        )
        share = float(np.asarray(found.array).mean())  # of a cell of 1 nm²
        rows.append(
            {
                "element": element,
                "Z": atomic_number(element),
                "nm2": cross_section_nm2(element, 60, 130, 200),
                "nm2_multislice": share,
            }
        )
    return rows


def exponent(rows: list[dict[str, Any]], column: str) -> float:
    return float(np.polyfit(np.log([r["Z"] for r in rows]), np.log([r[column] for r in rows]), 1)[0])


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    defoci_nm = (-5.0, 0.0) if options.quick else (-20.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0)
    rows: list[dict[str, Any]] = []
    for case in CASES:
        found = compare(case, defoci_nm, 1 if options.quick else 3)
        print_table(found, title=f"{case.crystal}: cross-correlation by defocus (C10)")
        rows += found
    atoms = single_atoms(ATOMS[::3] if options.quick else ATOMS)
    print_table(atoms, title="Single atoms, 60–130 mrad, 200 kV")
    powers = {"exponent": exponent(atoms, "nm2"), "exponent_multislice": exponent(atoms, "nm2_multislice")}
    print_table([powers])
    if options.json:
        finish([*rows, *atoms, powers], options, title="All rows")


if __name__ == "__main__":
    main()
