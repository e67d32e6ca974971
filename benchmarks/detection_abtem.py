"""Predicted doses for detection against multislice: abTEM renders the feature, one case for each technique.

    python -m benchmarks.detection_abtem            about two minutes of CPU; needs abTEM (GPL; extra `validation`)
    python -m benchmarks.detection_abtem --quick    two cases, one phonon configuration

The questions are those of benchmarks/detection.yaml. abTEM images the feature's column, and the same without the
feature, at every pixel of the plan's filter; the dose for 90 % detection then follows from these images with the plan's
own filter, and stands beside the plan's. Nothing of the simulator is in this table.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.common import arguments, finish
from benchmarks.detection import FACTOR, QUESTIONS, Questions
from configs.load import load
from instruments.physics import wavelength_nm
from surveys.design import make_plan
from surveys.design_optics import lattice_of
from surveys.design_proposal import Proposal, offsets_nm
from surveys.design_question import DopantFeature, Question
from surveys.design_statistics import Curve, filtered

CASES = (
    "p_in_graphene_haadf",
    "sn_in_graphene_bf",
    "hf_in_graphene_abf",
    "mo_in_graphene_ctem",
    "in_in_graphene_4d",
)
QUICK = ("sn_in_graphene_bf", "hf_in_graphene_abf")
PHONONS = 6
ACROSS_NM = 2.0
"""Least width of the box round the feature."""
_A = 10.0
"""Å in a nm."""


def box(question: Question, *, with_feature: bool) -> tuple[Any, np.ndarray]:
    """The atoms of a slab, and where in it the feature's column stands, in Å."""
    import ase

    film, feature = question.specimen, question.feature
    if not isinstance(feature, DopantFeature):
        raise SystemExit(f"{question.name}: only dopants are rendered")
    seen = lattice_of(film)
    (ax, ay), (bx, by) = seen.cell_nm
    # an upright box: of a hexagonal cell the one of twice the area
    upright = [(ax, ay), (bx, by)] if abs(ax * bx + ay * by) < 1e-9 else [(ax, ay), (ax + 2 * bx, ay + 2 * by)]
    if abs(upright[0][0] * upright[1][0] + upright[0][1] * upright[1][1]) > 1e-6:
        upright = [(ax, ay), (2 * bx - ax, 2 * by - ay)]
    turn = math.atan2(upright[0][1], upright[0][0])
    cos, sin = math.cos(turn), math.sin(turn)
    sides = [math.hypot(*side) for side in upright]
    repeats = [math.ceil(ACROSS_NM / side) for side in sides]
    wide, high = (side * n for side, n in zip(sides, repeats, strict=True))
    layers = max(1, round(film.thickness_nm / seen.repeat_nm))
    symbols, places = [], []
    cell = np.array(seen.cell_nm)
    for i in range(-60, 61):
        for j in range(-60, 61):
            for element, place, count in zip(seen.elements, seen.places, seen.atoms, strict=True):
                x, y = np.array([i, j]) @ cell + np.array(place) @ cell
                u, v = cos * x + sin * y, cos * y - sin * x
                if -1e-6 <= u < wide - 1e-6 and -1e-6 <= v < high - 1e-6:
                    for layer in range(layers):
                        for part in range(round(count)):
                            symbols.append(element)
                            places.append((u, v, (layer + part / max(round(count), 1)) * seen.repeat_nm))
    at = np.array(places)
    kind = [n for n, name in enumerate(symbols) if name == feature.replaces]
    middle = np.array([wide, high]) / 2
    nearest = min(kind, key=lambda n: float(np.hypot(*(at[n, :2] - middle))))
    column = at[nearest, :2]
    same = sorted((n for n in kind if np.hypot(*(at[n, :2] - column)) < 1e-3), key=lambda n: float(at[n, 2]))
    if with_feature:
        step = len(same) / (feature.atoms + 1)
        for k in range(feature.atoms):
            symbols[same[min(int((k + 1) * step), len(same) - 1)]] = feature.element
    deep = layers * seen.repeat_nm
    atoms = ase.Atoms(symbols, positions=at * _A, cell=[wide * _A, high * _A, deep * _A], pbc=True)
    atoms.center(vacuum=1.0, axis=2)
    return atoms, column * _A


def rendered(question: Question, proposal: Proposal, phonons: int, *, with_feature: bool) -> np.ndarray:
    """(h, w) share of the electrons at the pixels of the plan's filter round the column."""
    import abtem

    abtem.config.set({"device": "cpu", "local_diagnostics.progress_bar": False})
    made, film = question.instrument, question.specimen
    atoms, column = box(question, with_feature=with_feature)
    moving = abtem.FrozenPhonons(atoms, num_configs=phonons, sigmas=film.debye_waller_nm * _A, seed=7)
    widest = 1.1e-3 * max(made.haadf_mrad[1] if proposal.technique == "HAADF" else 90.0, 90.0)
    sampling = wavelength_nm(made.voltage_kV) * _A / (3 * widest)
    potential = abtem.Potential(moving, sampling=sampling, slice_thickness=1.0, parametrization="lobato")
    depth = potential.thickness
    offsets = offsets_nm(proposal.weights.shape[0] // 2, proposal.pixel_nm) * _A
    if proposal.technique == "CTEM":
        waves = abtem.PlaneWave(energy=made.voltage_kV * 1e3).multislice(potential)
        nodes, weights = np.polynomial.hermite_e.hermegauss(5)
        total: Any = 0.0
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            ctf = abtem.CTF(
                energy=made.voltage_kV * 1e3,
                defocus=-(proposal.defocus_nm + node * made.focal_spread_nm) * _A - depth / 2,
                semiangle_cutoff=made.objective_mrad,
            )
            image = waves.apply_ctf(ctf).intensity().compute()
            total = total + weight * image.array
        array = np.asarray(total)
        array = array.mean(axis=0) if array.ndim == 3 else array
        step = np.array(potential.extent) / np.array(array.shape)
        at = (column + offsets) / step
        return np.asarray(ndimage.map_coordinates(array, [at[..., 0], at[..., 1]], order=3, mode="grid-wrap"))
    probe = abtem.Probe(
        energy=made.voltage_kV * 1e3, semiangle_cutoff=made.convergence_mrad,
        defocus=-proposal.defocus_nm * _A + depth / 2,
    )  # fmt: skip
    probe.grid.match(potential)
    ring = proposal.ring_mrad or made.haadf_mrad
    scan = abtem.CustomScan((column + offsets).reshape(-1, 2))
    found = probe.scan(potential, scan=scan, detectors=abtem.AnnularDetector(*ring)).compute()
    array = np.asarray(found.array)
    array = array.mean(axis=0) if array.ndim == 2 else array
    return _blurred(array.reshape(offsets.shape[:2]), made.source_size_nm / proposal.pixel_nm)


def _blurred(image: np.ndarray, width_px: float) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(image, width_px, mode="nearest"))


def case(name: str, question: Question, phonons: int) -> dict[str, Any]:
    plan = make_plan(question.model_copy(update={"name": name}))
    proposal = plan.rows[0].proposal
    curve = proposal.curve
    if not isinstance(curve, Curve):
        raise SystemExit(f"{name}: nothing is detected")
    background, both = (rendered(question, proposal, phonons, with_feature=there) for there in (False, True))
    seen = filtered(proposal.weights, background, both - background, proposal.pixel_nm, curve.search, curve.false_alarm)
    found = seen.dose_e_per_A2(0.9)
    ratio = found / plan.rows[0].needed_e_per_A2
    return {
        "question": name,
        "technique": proposal.technique,
        "predicted_e_per_A2": plan.rows[0].needed_e_per_A2,
        "multislice_e_per_A2": found,
        "ratio": ratio,
        "within": "yes" if 1 / FACTOR <= ratio <= FACTOR else "NO",
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the cases, these")
    options = parser.parse_args()
    told = load(QUESTIONS, Questions)
    rows = []
    for name in options.only or (QUICK if options.quick else CASES):
        rows.append(case(name, told.questions[name], 1 if options.quick else PHONONS))
        print(f"{name}: {rows[-1]['ratio']:.2f}", flush=True)
    finish(rows, options, title="dose for 90 % detection: the plan's, and that of multislice images under its filter")


if __name__ == "__main__":
    main()
