"""Does a plan tell the truth? Predicted against simulated detection, and against real spectra with few counts.

    python -m benchmarks.detection            about 12 minutes of CPU
    python -m benchmarks.detection --quick
    ... --picture FILE                        draw predicted and simulated curves

The questions stand in benchmarks/detection.yaml, written before the first run. Of each, `adaptem plan` foretells how
often the feature is found at a fluence, and the simulator images it (frames with it, and as many without it): at 0.35,
0.6, 1, 1.6 and 2.8 times the dose for 90 %. The simulated dose for 90 % is read from a probit line through the rates.

What the prediction shares with the simulator: cross-sections of atoms, ionisation and losses. What it does not: it is a
closed form of one feature on an even or periodic background; no frame, wave through a whole specimen, spectrum image or
count of the simulator enters it. So the table checks images and statistics, not cross-sections; for those see
benchmarks.fidelity, and the recorded spectra below, of which the full count tells what is there.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, stats

from benchmarks.common import arguments, finish, print_table
from benchmarks.detection_recorded import RecordedQuestion, recorded_rows
from configs.load import Settings, load
from surveys.design import make_plan
from surveys.design_check import simulate
from surveys.design_question import Question
from surveys.design_statistics import Curve

if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTIONS = Path(__file__).with_suffix(".yaml")
DOSES = (0.35, 0.6, 1.0, 1.6, 2.8)
"""Times the predicted dose for 90 %."""
TRIALS, QUICK_TRIALS = 120, 12
FACTOR, OF_TWELVE = 1.5, 10 / 12


class Questions(Settings):
    """What the benchmark asks."""

    questions: dict[str, Question]
    recorded: dict[str, RecordedQuestion]


def dose_of(doses: Sequence[float], rates: Sequence[float], trials: int, wanted: float = 0.9) -> float:
    """The fluence at which a probit line in its logarithm passes ``wanted``; binomial likelihood."""
    x, found = np.log(np.asarray(doses)), np.asarray(rates) * trials

    def loss(line: np.ndarray) -> float:
        p = np.clip(stats.norm.cdf(line[0] + math.exp(line[1]) * (x - x.mean())), 1e-6, 1 - 1e-6)
        return float(-np.sum(found * np.log(p) + (trials - found) * np.log(1 - p)))

    starts = [np.array([middle, slope]) for middle in (-1.0, 0.5, 2.0) for slope in (0.2, 0.8, 1.4)]
    best = min((optimize.minimize(loss, start, method="Nelder-Mead") for start in starts), key=lambda fit: fit.fun).x
    return math.exp(float(x.mean() + (stats.norm.ppf(wanted) - best[0]) / math.exp(best[1])))


def asked(name: str, question: Question, trials: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row of the table, and the curve behind it."""
    plan = make_plan(question.model_copy(update={"name": name}))
    if not plan.rows:
        raise SystemExit(f"{name}: {plan.refused[0].why}")
    proposal = plan.rows[0].proposal
    curve, predicted = proposal.curve, plan.rows[0].needed_e_per_A2
    if not isinstance(curve, Curve) or not math.isfinite(predicted):
        raise SystemExit(f"{name}: no dose is predicted")
    doses = tuple(predicted * factor for factor in DOSES)
    found = simulate(question, proposal, curve, doses, trials)
    rates = [each[0] / trials for each in found]
    false, clean = sum(each[1] for each in found), sum(each[2] for each in found)
    simulated = dose_of(doses, rates, trials)
    ratio = simulated / predicted
    row = {
        "question": name,
        "technique": proposal.technique,
        "predicted_e_per_A2": predicted,
        "simulated_e_per_A2": simulated,
        "ratio": ratio,
        "within": "yes" if 1 / FACTOR <= ratio <= FACTOR else "NO",
        **{
            f"at_{factor:g}": f"{curve.probability(dose):.2f} {rate:.2f}"
            for factor, dose, rate in zip(DOSES, doses, rates, strict=True)
        },
        "false": f"{false}/{clean}",
    }
    curves = {"doses": doses, "predicted": [curve.probability(d) for d in doses], "simulated": rates, "trials": trials}
    return row, curves


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the curves")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the questions, these")
    options = parser.parse_args()
    told = load(QUESTIONS, Questions)
    names = options.only or list(told.questions)
    if options.quick and not options.only:
        names = ["ba_in_titanate_haadf", "void_in_copper_haadf", "zn_in_aluminium_eds"]
    rows: list[dict[str, Any]] = []
    curves: dict[str, dict[str, Any]] = {}
    for name in names:
        row, curves[name] = asked(name, told.questions[name], QUICK_TRIALS if options.quick else TRIALS)
        rows.append(row)
        print(f"{name}: {row['ratio']:.2f}", flush=True)
    within = sum(row["within"] == "yes" for row in rows)
    print_table(rows, title="dose for 90 % detection; under a multiple of it the predicted and the simulated rate")
    print(f"within a factor {FACTOR}: {within} of {len(rows)}; at least {OF_TWELVE:.0%} are asked")
    recorded = [] if options.only else recorded_rows(told.recorded, quick=options.quick)
    if options.picture is not None:
        draw(curves, options.picture)
    finish(recorded, options, title="real spectra, thinned binomially")
    if options.json is not None:
        finish_json(rows, recorded, curves, options)


def finish_json(rows: Sequence[Any], recorded: Sequence[Any], curves: dict[str, Any], options: Any) -> None:
    from benchmarks.common import write

    write([*rows, *recorded, {"curves": curves}], options, title="detection")


def draw(curves: dict[str, dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    across = 5
    down = math.ceil(len(curves) / across)
    figure = Figure(figsize=(2.6 * across, 2.1 * down), layout="constrained")
    for n, (name, told) in enumerate(curves.items()):
        axes = figure.add_subplot(down, across, n + 1)
        axes.semilogx(told["doses"], told["predicted"], "-", color="tab:blue")
        error = np.sqrt(
            np.maximum(np.array(told["simulated"]) * (1 - np.array(told["simulated"])), 1e-4) / told["trials"]
        )
        axes.errorbar(told["doses"], told["simulated"], yerr=1.96 * error, fmt="o", color="tab:orange", markersize=3)
        axes.set(ylim=(-0.03, 1.03))
        axes.set_title(name.replace("_", " "), fontsize=7)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(labelsize=6)
    figure.supxlabel("fluence, e/Å²; line: foretold, dots: simulated (95 %)", fontsize=8)
    figure.supylabel("chance of detection", fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
