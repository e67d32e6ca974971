"""One projected cell of a crystal by multislice (abTEM) and by the simulator, on the same points, and how alike."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from instruments.simulated.brightfield import Phases
from instruments.simulated.coherent import Illumination
from instruments.simulated.crystals import CRYSTALS
from instruments.simulated.incoherence import CHANNELLING_NM
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Renderer, Views
from instruments.simulated.thin import bright_field, wide_field

if TYPE_CHECKING:
    from pathlib import Path

Images: TypeAlias = npt.NDArray[np.float64]

POINTS = 14
_QUARTER = POINTS // 2 + 1
"""Points a side of what is scanned of a cell with mirror lines along both sides."""
_FINER = 8
THERMAL_NM = {"SrTiO3": 0.0085, "Au": 0.0085, "graphene": 0.006}
DARK, BRIGHT, ANNULAR, WIDE = "dark field", "bright field", "annular bright field", "wide beam"


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
    gpts_per_cell: tuple[int, int] = (70, 70)
    """Of multislice: they carry what is scattered out to the annulus and the cone beyond."""

    def rings_mrad(self) -> dict[str, tuple[float, float]]:
        return {DARK: self.annulus_mrad, BRIGHT: (0.0, 10.0), ANNULAR: (11.0, 22.0)}


CASES = (
    Case("SrTiO3", (5, 5, 20), (2, 5, 10, 20), 2),
    Case("Au", (5, 5, 10), (2, 5, 10), 2),
    Case("graphene", (8, 5, 1), (1,), 1, 60.0, 31.0, (60.0, 140.0), is_square=False, gpts_per_cell=(56, 98)),
)

TRAINING = (
    Case("SrTiO3", (5, 5, 15), (3, 8, 15), 2),
    Case("Au", (5, 5, 8), (3, 6, 8), 2),
)
"""What ``CHANNELLING_NM`` is fitted on: other thicknesses than those of CASES, and other phonons."""
TRAINING_SEED = 11


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


def potential(case: Case, phonons: int, seed: int = 1) -> Any:
    """abTEM's, with exit planes."""
    import abtem

    atoms = unit_cell(case.crystal)
    if not case.is_square:
        atoms = abtem.orthogonalize_cell(atoms)
    atoms = atoms * case.repeats
    thick = cell_nm(case)[2] * 10 / case.slices_per_cell
    gpts = tuple(n * m for n, m in zip(case.repeats[:2], case.gpts_per_cell, strict=True))
    if not case.is_square:
        atoms.center(vacuum=1.5, axis=2)
        moved = abtem.FrozenPhonons(atoms, phonons, THERMAL_NM[case.crystal] * 10, seed=seed)
        return abtem.Potential(moved, gpts=gpts, slice_thickness=atoms.cell[2, 2])
    atoms.positions[:, 2] += thick / 2  # planes of atoms in the middle of slices: thermal motion leaves them there
    return abtem.Potential(
        abtem.FrozenPhonons(atoms, phonons, THERMAL_NM[case.crystal] * 10, seed=seed),
        gpts=gpts,
        # one by one: a thickness that divides the cell but for rounding gives abTEM one slice more
        slice_thickness=(thick,) * (case.slices_per_cell * case.repeats[2]),
        exit_planes=tuple(n * case.slices_per_cell - 1 for n in case.exits),
    )


def multislice(case: Case, defocus_nm: float, phonons: int, seed: int = 1) -> dict[str, Images]:
    """(exits, POINTS, POINTS) by ring: shares with a probe at every point; axes x and y."""
    import abtem

    x, y, _ = (length * 10 for length in cell_nm(case))
    probe = abtem.Probe(energy=case.voltage_kV * 1e3, semiangle_cutoff=case.convergence_mrad, defocus=-defocus_nm * 10)
    parts = _QUARTER if case.is_square else POINTS
    end = (2 + parts / POINTS) * np.array((x, y))
    grid = abtem.GridScan((2 * x, 2 * y), tuple(end), gpts=(parts, parts), endpoint=False)
    rings = case.rings_mrad()
    detectors = [abtem.AnnularDetector(*ring) for ring in rings.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = probe.scan(potential(case, phonons, seed), scan=grid, detectors=detectors)
        found = found.compute(scheduler="single-threaded")
    return {name: _cells(case, np.asarray(each.array)) for name, each in zip(rings, found, strict=True)}


def multislice_wide(case: Case, defocus_nm: float, phonons: int, seed: int = 1) -> Images:
    """(exits, POINTS, POINTS) of images in a wide parallel beam, all cells averaged; the objective passes the cone."""
    import abtem

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wave = abtem.PlaneWave(energy=case.voltage_kV * 1e3).multislice(potential(case, phonons, seed))
        wave = wave.apply_ctf(semiangle_cutoff=case.convergence_mrad, defocus=-defocus_nm * 10)
        found = np.asarray(wave.intensity().compute(scheduler="single-threaded").array, dtype=np.float64)
    (nx, ny), (mx, my) = case.repeats[:2], case.gpts_per_cell
    cells = found.reshape(*found.shape[:-2], nx, mx, ny, my).mean((-4, -2))
    return _cells(case, cells[..., :: mx // POINTS, :: my // POINTS])


def truth(case: Case, defocus_nm: float, phonons: int, seed: int = 1, keep: Path | None = None) -> dict[str, Images]:
    """(exits, POINTS, POINTS) of each kind by multislice; in the folder ``keep`` it is kept, and read again."""
    asked = (case, defocus_nm, phonons, seed, POINTS, THERMAL_NM[case.crystal])
    name = f"{case.crystal}_{defocus_nm:+g}_{hashlib.sha256(repr(asked).encode()).hexdigest()[:12]}.npz"
    if keep is not None and (keep / name).exists():
        with np.load(keep / name) as kept:
            return {kind: kept[kind] for kind in kept.files}
    found = {**multislice(case, defocus_nm, phonons, seed), WIDE: multislice_wide(case, defocus_nm, phonons, seed)}
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        with (keep / name).open("wb") as file:
            np.savez(file, **found)
    return found


def _cells(case: Case, shares: npt.NDArray[np.floating]) -> Images:
    """(exits, POINTS, POINTS), the mean over phonon configurations."""
    planes = shares.astype(np.float64).reshape(-1, shares.shape[-3] if case.is_square else 1, *shares.shape[-2:])
    kept = planes.mean(0)[-len(case.exits) :]
    if not case.is_square:
        return kept
    folded = np.minimum(np.arange(POINTS), POINTS - np.arange(POINTS))
    return symmetric(kept[:, folded[:, None], folded] if kept.shape[-1] == _QUARTER else kept)


def symmetric(images: Images) -> Images:
    """The mean over the eight operations of p4mm about point (0, 0): as many more phonon configurations."""
    back = np.roll(images[:, ::-1], 1, axis=1)
    both = [images, back, np.roll(images[:, :, ::-1], 1, axis=2), np.roll(back[:, :, ::-1], 1, axis=2)]
    return np.asarray(np.mean([*both, *(image.swapaxes(1, 2) for image in both)], axis=0))


def recipe_of(case: Case, thick_nm: float) -> Recipe:
    """A film of the crystal."""
    return Recipe(
        title=case.crystal,
        materials={"crystal": Material(crystal=case.crystal, debye_waller_nm=THERMAL_NM[case.crystal])},
        film=Film(material="crystal", thickness_nm=thick_nm, variation=0.0),
    )


def _first_plane_nm(case: Case) -> float:
    """How much higher than ours multislice's planes lie: its slices scatter at their upper face, ours in the middle."""
    return cell_nm(case)[2] / case.slices_per_cell / 2


def ours(
    case: Case, defocus_nm: float, thick_nm: float, kind: str = DARK, *, channelling_nm: float = CHANNELLING_NM
) -> Images:
    """(POINTS, POINTS) shares on a ring, or the intensity in a wide beam; axes x and y."""
    x, y, _ = cell_nm(case)
    recipe = recipe_of(case, thick_nm)
    # a frame has square pixels: what the points of either axis see lies between some
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
    coefficients[0, 0] = defocus_nm + _first_plane_nm(case) * (1 if kind == WIDE else -1)
    views = Views(
        seeds=np.array([1]),
        places_nm=np.full((1, 2), -fine * (pixels - 1) / 2),
        coefficients_nm=coefficients,
        electrons=torch.ones(1),
        frames=np.array([0]),
    )
    if kind == DARK:
        seen = Renderer(recipe, camera, channelling_nm=channelling_nm).shares(views)[0, 0]
    elif kind == WIDE:
        beam = Illumination(case.voltage_kV, objective_mrad=case.convergence_mrad)
        seen = wide_field(Phases(recipe, case.voltage_kV), views, camera, beam, thick_nm, None)[0]
    else:
        atoms = Phases(recipe, case.voltage_kV)
        seen = bright_field(atoms, views, camera, case.rings_mrad()[kind], thickness_nm=thick_nm)[0]
    # pixel (r, c) looks at (−c, −r) · fine; points lie at n · x / POINTS, and the crystal repeats
    inside = pixels // 4 * fine
    columns, rows = ((np.arange(POINTS) * side / POINTS + np.ceil(inside / side) * side) / fine for side in (x, y))
    points = np.meshgrid(rows, columns, indexing="ij")
    cell = ndimage.map_coordinates(seen.numpy().astype(np.float64), points).T
    return np.roll(cell[::-1, ::-1], 1, axis=(0, 1))


def finer(image: Images) -> Images:
    """The same periodic image on ``_FINER`` times as many points a side: what a probe draws has no finer detail."""
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    margin = POINTS * (_FINER - 1) // 2
    return np.asarray(np.fft.ifft2(np.fft.ifftshift(np.pad(spectrum, margin))).real * _FINER**2)


def correlation(a: Images, b: Images) -> float:
    """The largest over shifts, of a part of a point: the two may put the origin of a cell elsewhere."""
    one, other = (finer(image) - image.mean() for image in (a, b))
    found = np.fft.ifft2(np.fft.fft2(one).conj() * np.fft.fft2(other)).real
    return float(found.max() / np.sqrt((one**2).sum() * (other**2).sum()))


def contrast(image: Images) -> float:
    """(max − min) / mean."""
    return float(np.ptp(finer(image)) / image.mean())
