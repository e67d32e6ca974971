"""Structure → property: which pixels' spectra to take, when an image of all of them is known and few can be taken.

    python -m benchmarks.property                                 about an hour of a core
    python -m benchmarks.property --maps PTO_BEPS_1d3um           the map that published tools are compared on
    python -m benchmarks.property --quick

Recorded maps of `mexpsimu` (PyPI, MIT): every pixel has a hysteresis loop, whose area is the property. A pixel is known
by the patch of the images around it before anything is measured. Ten random measurements, then one after another. What
counts is how many of the highest 1 % of all pixels are among those measured. Nothing was tuned on these maps but on
`artificial_defect_cAFM`, whose highest pixels no image shows: printed last, as what it is.
Published, on PTO_BEPS_1d3um: a deep kernel with expected improvement, AtomAI 0.8.1, one seed: 13 of 32 within 59
measurements, 7.7 s a decision on a loaded computer; random: 0.5 within 100.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.seeking import Seeker
from benchmarks.common import arguments, print_table, write
from models.structure_gp import StructureGP, whitened
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.seeking import Model

Array: TypeAlias = npt.NDArray[np.float64]

MAPS = ("PTO_BEPS_1d3um", "PTO_BEPS_1d7um", "PTO_BEPS_3um", "artificial_defect_cAFM")
PATCH_PX, FIRST, SHARE = 8, 10, 0.01
WITHIN = (59, 100)
COMPONENTS, REACH_PX = 4, 6.0


@dataclass(frozen=True)
class Map:
    """N pixels: what is seen of each, and what measuring it would tell."""

    places: Array
    """(N, 2) pixels."""
    patches: tuple[Array, ...]
    """(N, PATCH_PX²) of every image."""
    values: Array
    """(N,) the property."""

    @property
    def highest(self) -> npt.NDArray[np.bool_]:
        """(N,) the highest 1 %."""
        among = np.zeros(len(self.values), dtype=bool)
        among[np.argsort(self.values)[len(self.values) - int(SHARE * len(self.values)) :]] = True
        return among


def read(name: str) -> Map:
    """Raises ModuleNotFoundError without mexpsimu: pip install 'adaptem[validate]'."""
    import mexpsimu

    recorded = mexpsimu.Microscope(name).dataset
    voltage, response = recorded.excitation_waveform, recorded.spectra
    area = np.abs(0.5 * np.sum(response * (np.roll(voltage, -1) - np.roll(voltage, 1)), axis=-1))
    height, width = (side - PATCH_PX for side in area.shape)
    half = PATCH_PX // 2
    rows, columns = np.mgrid[:height, :width]
    windows = [
        np.lib.stride_tricks.sliding_window_view(image, (PATCH_PX, PATCH_PX))[:height, :width]
        for image in recorded.channels.values()
    ]
    return Map(
        np.column_stack([rows.ravel(), columns.ravel()]).astype(np.float64),
        tuple(window.reshape(height * width, -1) for window in windows),
        area[half : half + height, half : half + width].ravel(),
    )


def shallow(drawn: Map, seed: int) -> Model:
    blocks = [whitened(patches, COMPONENTS) for patches in drawn.patches]
    return StructureGP(drawn.places, blocks, reach=REACH_PX, seed=seed)


def deep(drawn: Map, seed: int) -> Model:
    from models.deep_kernel import DeepKernelGP

    standard = [(patches - patches.mean()) / patches.std() for patches in drawn.patches]
    return DeepKernelGP(drawn.places, np.concatenate(standard, axis=1), reach=REACH_PX, seed=seed)


METHODS: dict[str, tuple[Callable[[Map, int], Model] | None, dict[str, Any]]] = {
    "random": (None, {}),
    "Gaussian process, improvement": (shallow, {"seek": "improvement"}),
    "Gaussian process, highest": (shallow, {}),
    "the same, in batches of 5": (shallow, {"batch": 5}),
    "the same, never patient": (shallow, {"patience": 0}),
    "deep kernel, improvement": (deep, {"seek": "improvement"}),
    "deep kernel, highest": (deep, {}),
}


def fly(drawn: Map, method: str, seed: int, measurements: int) -> tuple[Array, list[float]]:
    """How many of the highest are among the first 1, 2, … measurements, and CPU seconds for each decision."""
    make, how = METHODS[method]
    rng = np.random.default_rng(seed)
    everything = np.arange(len(drawn.values))
    if make is None:
        return np.cumsum(drawn.highest[rng.permutation(everything)[:measurements]]), [0.0]
    batch = how.get("batch", 1)
    seek = partial(Seeker, make(drawn, seed), drawn.places)
    seeker = seek(share=SHARE, **{name: value for name, value in how.items() if name != "batch"})
    seen, spent_s = rng.choice(everything, FIRST, replace=False).tolist(), []
    while len(seen) < measurements:
        began_s = time.process_time()
        seeker.learn(seen, drawn.values[seen].tolist())
        left = np.setdiff1d(everything, seen)
        picks = seeker.batch(seen, drawn.values[seen].tolist(), left, np.ones(len(left)), batch)
        spent_s += [(time.process_time() - began_s) / len(picks)] * len(picks)
        seen += [pick.place for pick in picks]
    return np.cumsum(drawn.highest[seen[:measurements]]), spent_s


def row(name: str, drawn: Map, method: str, seeds: int, measurements: int) -> dict[str, Any]:
    flown = [fly(drawn, method, seed, measurements) for seed in range(seeds)]
    found: dict[str, Any] = {"map": name, "method": method}
    for within in WITHIN:
        mean, low, high = interval(np.array([hits[min(within, measurements) - 1] for hits, _ in flown], dtype=float))
        found[f"within_{within}"] = f"{mean:.1f} ({low:.1f}–{high:.1f})"
    every_s = [each for _, spent_s in flown for each in spent_s]
    median_s, slow_s = np.quantile(every_s, (0.5, 0.95)).tolist()
    return found | {
        "highest": int(drawn.highest.sum()),
        "seconds_a_decision": median_s,
        "slow_95": slow_s,
        "slowest": max(every_s),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--maps", default=",".join(MAPS), help="comma-separated")
    parser.add_argument("--methods", default=",".join(map(str, range(len(METHODS)))), help="numbers, in order: 0,2")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    names, methods = options.maps.split(","), [list(METHODS)[int(n)] for n in options.methods.split(",")]
    seeds, measurements = (1, 20) if options.quick else (options.seeds, max(WITHIN))
    if options.quick:
        names = names[:1]
    title = f"Highest 1 % of the pixels measured: mean over {seeds} seeds (95 %)"
    rows = []
    for name in names:
        drawn = read(name)
        for method in methods:
            rows.append(row(name, drawn, method, seeds, measurements))
            write(rows, options, title=title)
    print_table(rows, title=title + (" (quick: not a result)" if options.quick else ""))


if __name__ == "__main__":
    main()
