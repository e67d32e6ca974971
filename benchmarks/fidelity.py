"""How true the simulator's images of crystals are: against frozen-phonon multislice (abTEM), cell by cell.

    python -m benchmarks.fidelity            about 20 minutes of CPU; needs abTEM (GPL; no extra brings it)
    python -m benchmarks.fidelity --quick    two defoci, one phonon configuration: two minutes
    python -m benchmarks.fidelity --fit      the one number that is fitted to multislice, on other thicknesses
    ... --keep FOLDER                        keep multislice's images there: the next run reads them
    ... --picture FILE                       draw the correlations over thickness and defocus

Normalised cross-correlation, and contrast as (max − min) / mean, over one projected unit cell, 200 kV, 21.4 mrad,
60–130 mrad (graphene: 60 kV, 31 mrad, 60–140 mrad); bright field 0–10 mrad, annular bright field 11–22 mrad; a wide
beam through an objective aperture as wide as the cone. The dark field's contrast is also given uncalibrated, without
the blur by channelling. Then cross-sections of single atoms and the exponent of Z, to which nothing is fitted.

Last a verdict: each target, the worst that was found and where. A row is ``beyond`` where the simulator itself says
that it is out of its range (``instruments.simulated.agreement``); it must say so of every row that fails.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cells import (
    CASES,
    DARK,
    TRAINING,
    TRAINING_SEED,
    Case,
    Images,
    cell_nm,
    contrast,
    correlation,
    ours,
    recipe_of,
    truth,
)
from benchmarks.common import arguments, finish, print_table
from benchmarks.fidelity_verdict import draw, place, rule, verdict
from instruments.simulated.agreement import doubt
from instruments.simulated.incoherence import CHANNELLING_NM
from instruments.simulated.scattering import atomic_number, cross_section_nm2

ATOMS = ("C", "O", "Si", "Ti", "Sr", "Ag", "Au")
ATOM_CONE_MRAD, ATOM_RING_MRAD = 21.4, (60.0, 130.0)
PHONONS, QUICK_PHONONS = 3, 1


def compare(case: Case, defocus_nm: float, phonons: int, keep: Path | None) -> list[dict[str, Any]]:
    """A row for each kind of image and thickness."""
    rows = []
    for kind, images in truth(case, defocus_nm, phonons, keep=keep).items():
        for exit_cell, image in zip(case.exits, images, strict=True):
            thick_nm = exit_cell * cell_nm(case)[2]
            model = ours(case, defocus_nm, thick_nm, kind)
            row = {"crystal": case.crystal, "image": kind, "thick_nm": round(thick_nm, 2), "C10_nm": defocus_nm}
            row |= {"correlation": correlation(model, image), "contrast": contrast(model)}
            row |= {"multislice": contrast(image), "ratio": contrast(model) / contrast(image), "uncalibrated": None}
            if kind == DARK:
                plain = ours(case, defocus_nm, thick_nm, channelling_nm=0.0)
                row["uncalibrated"] = contrast(plain) / contrast(image)
            crystal = recipe_of(case, thick_nm).materials["crystal"]
            row |= {"mean": float(model.mean()), "mean_multislice": float(image.mean())}
            told = doubt(
                crystal,
                thick_nm,
                defocus_nm,
                voltage_kV=case.voltage_kV,
                convergence_mrad=case.convergence_mrad,
                ring_mrad=case.rings_mrad().get(kind),
            )
            rows.append(row | {"beyond": told is not None})
    return rows


def fit(phonons: int, keep: Path | None) -> list[dict[str, Any]]:
    """The blur by channelling that brings contrast and standard deviation nearest to multislice's, in focus."""
    pairs = [
        (case, exit_cell * cell_nm(case)[2], image)
        for case in TRAINING
        for exit_cell, image in zip(case.exits, truth(case, 0.0, phonons, TRAINING_SEED, keep)[DARK], strict=True)
    ]
    blurs_nm = np.arange(0.0, 0.0151, 0.00025)
    found = {name: _best(blurs_nm, [p for p in pairs if p[0].crystal == name]) for name in ("SrTiO3", "Au")}
    found["all"] = _best(blurs_nm, pairs)
    return [
        {"crystal": name, "blur_nm": at, "rms": left, "in_use": CHANNELLING_NM} for name, (at, left) in found.items()
    ]


def _best(blurs_nm: Images, pairs: list[tuple[Case, float, Images]]) -> tuple[float, float]:
    """The blur, and what is left of the logarithm of the ratios, root mean square."""
    losses = []
    for blur_nm in blurs_nm:
        models = [ours(case, 0.0, thick_nm, channelling_nm=float(blur_nm)) for case, thick_nm, _ in pairs]
        ratios = [
            measure(model) / measure(image)
            for model, (_, _, image) in zip(models, pairs, strict=True)
            for measure in (contrast, lambda image: image.std() / image.mean())
        ]
        losses.append(float(np.sqrt(np.mean(np.log(ratios) ** 2))))
    return float(blurs_nm[np.argmin(losses)]), min(losses)


def single_atoms(elements: tuple[str, ...]) -> list[dict[str, Any]]:
    """Cross-sections of single atoms, whole cells scanned."""
    import abtem
    from ase import Atoms

    rows = []
    for element in elements:
        atom = Atoms(element, positions=[(5, 5, 2)], cell=(10, 10, 4), pbc=True)
        potential = abtem.Potential(atom, sampling=0.025, slice_thickness=4, projection="infinite")
        probe = abtem.Probe(energy=200e3, semiangle_cutoff=ATOM_CONE_MRAD)
        grid = abtem.GridScan((0, 0), (10, 10), gpts=(20, 20), endpoint=False)
        found = probe.scan(potential, scan=grid, detectors=abtem.AnnularDetector(*ATOM_RING_MRAD))
        share = float(np.asarray(found.compute(scheduler="single-threaded").array).mean())  # of a cell of 1 nm²
        section_nm2 = cross_section_nm2(element, *ATOM_RING_MRAD, 200.0, ATOM_CONE_MRAD)
        row = {"element": element, "Z": atomic_number(element), "nm2": section_nm2, "nm2_multislice": share}
        rows.append(row | {"ratio": section_nm2 / share})
    return rows


def exponent(rows: list[dict[str, Any]], column: str) -> float:
    return float(np.polyfit(np.log([r["Z"] for r in rows]), np.log([r[column] for r in rows]), 1)[0])


def main() -> None:
    made = arguments(__doc__)
    made.add_argument("--fit", action="store_true", help="fit the blur by channelling, on its own thicknesses")
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="keep multislice's images there, and read them again")
    made.add_argument("--picture", type=Path, metavar="FILE", help="draw correlations over thickness and defocus")
    options = made.parse_args()
    torch.set_num_threads(1)
    phonons = QUICK_PHONONS if options.quick else PHONONS
    if options.fit:
        finish(fit(phonons, options.keep), options, title="Blur by 1 nm of a crystal, fitted to multislice")
        return
    rows: list[dict[str, Any]] = []
    for case in CASES:
        for defocus_nm in (-5.0, 0.0) if options.quick else (-20.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0):
            found = compare(case, defocus_nm, phonons, options.keep)
            print_table(found, title=f"{case.crystal}, C10 = {defocus_nm:+g} nm")
            rows += found
    atoms = single_atoms(ATOMS[::3] if options.quick else ATOMS)
    print_table(atoms, title="Single atoms, 60–130 mrad, 200 kV")
    powers = {"exponent": exponent(atoms, "nm2"), "exponent_multislice": exponent(atoms, "nm2_multislice")}
    print_table([powers])
    if options.picture is not None:
        draw(rows, options.picture)
    untold, needless = rule(rows)
    for row in untold:
        print(f"fails, and the simulator does not say so: {place(row)}: {row['correlation']:.3g}, {row['ratio']:.3g}")
    print(f"declared out of range: {sum(row['beyond'] for row in rows)} of {len(rows)}, {len(needless)} needlessly")
    judged = verdict(rows, powers)
    if options.json:
        told = options.json.with_suffix(".rows.json")
        told.write_text(json.dumps([*rows, *atoms, powers], indent=1) + "\n")
    finish(judged, options, title="Targets")
    if not options.quick and any(row["held"] == "NO" for row in judged):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
