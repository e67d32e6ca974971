"""Train the network that reads focus from wide frames, on simulated worlds, and keep its weights.

    python -m training.focus                                   five minutes on one core; remakes models/weights
    python -m training.focus --worlds 480 --epochs 2 --out /tmp/focus.safetensors

Worlds are trained on, selected by and judged by seed: none of those that ``benchmarks.focusing`` measures on is seen
here. The loss is the negative logarithm of the likelihood of the true coefficients. How much wider the stated
uncertainties must be is then fitted on worlds that were not trained on, and judged on a third set.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from archive.software import commit
from models.focus_network import FRAMES, WEIGHTS, FocusNetwork, Mixture, save_network
from models.focus_spectra import SECTORS
from training.focus_worlds import Examples, examples

TRAIN_SEED, SELECT_SEED, CHECK_SEED = 1_000_000, 2_000_000, 3_000_000
BATCH, RATE, DECAY = 64, 3e-3, 1e-4
HELD_OUT = 480
"""Worlds to select and to judge by, each."""
FRAMES_GIVEN = (0.1, 0.4, 0.5)
"""How often an example shows one, two and three frames."""
INFLATIONS = np.geomspace(0.7, 3.0, 60)


@dataclass(frozen=True, slots=True)
class Held:
    """How a network does on worlds that it was not trained on."""

    loss: float
    """Mean negative logarithm of the density per pixel of blur, cubed."""
    error_px: float
    """Median error of the likeliest part's C10."""
    ratio: float
    """1.48 median of its error over its standard deviation: 1 where that is right."""


def fit(network: FocusNetwork, seen: Examples, epochs: int, seed: int) -> list[float]:
    """Mean loss of each epoch."""
    rng, losses = np.random.default_rng(seed), []
    steps = epochs * math.ceil(len(seen.truth_px) / BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    network.train()
    for _ in range(epochs):
        order, spent = rng.permutation(len(seen.truth_px)), []
        for begin in range(0, len(order), BATCH):
            some, present = varied(_part(seen, order[begin : begin + BATCH]), rng)
            told = network(some.spectra, some.offsets_px, present)
            loss = -told.log_density(some.truth_px).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            spent.append(float(loss.detach()))
        losses.append(float(np.mean(spent)))
    network.eval()
    return losses


def varied(seen: Examples, rng: np.random.Generator) -> tuple[Examples, torch.Tensor]:
    """The same worlds turned, mirrored, seen from the other side of focus, in another order and with fewer frames.

    Without spherical aberration the power of an image is the same on both sides of focus. The second are the frames
    that are present, (N, FRAMES).
    """
    count = len(seen.truth_px)
    spectra, offsets, truth = seen.spectra.clone(), seen.offsets_px.clone(), seen.truth_px.clone()
    turn = rng.integers(SECTORS, size=count)
    mirror = rng.random(count) < 0.5
    sector = np.where(mirror[:, None], -np.arange(SECTORS), np.arange(SECTORS)) - turn[:, None]
    spectra = torch.take_along_dim(spectra, torch.from_numpy(sector % SECTORS)[:, None, None, :], 3)
    a, b = truth[:, 1].clone(), truth[:, 2] * torch.from_numpy(np.where(mirror, -1, 1)).float()
    # an image that is turned by an angle turns its astigmatism by twice that
    angle = torch.from_numpy(np.where(mirror, -1, 1) * turn * 2 * math.pi / SECTORS).float()
    truth[:, 1], truth[:, 2] = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    side = torch.from_numpy(rng.choice((-1.0, 1.0), count)).float()
    truth, offsets = truth * side[:, None], offsets * side[:, None]
    given = rng.choice(FRAMES, count, p=FRAMES_GIVEN) + 1
    return _given(
        Examples(spectra, offsets, truth), rng.permuted(np.tile(np.arange(FRAMES), (count, 1)), axis=1), given
    )


def _given(seen: Examples, order: np.ndarray, given: np.ndarray) -> tuple[Examples, torch.Tensor]:
    """The first ``given`` (N,) frames of each ``order`` (N, FRAMES), as the network wants them, and which are there."""
    there = np.arange(FRAMES) < given[:, None]
    offsets = np.take_along_axis(seen.offsets_px.numpy(), order, 1)
    rising = np.argsort(np.where(there, offsets, np.inf), axis=1, kind="stable")
    taken = torch.from_numpy(np.take_along_axis(order, rising, 1))
    present = torch.from_numpy(there.astype(np.float32))
    spectra = torch.take_along_dim(seen.spectra, taken[:, :, None, None], 1) * present[:, :, None, None]
    steps = torch.take_along_dim(seen.offsets_px, taken, 1)
    middle = (steps * present).sum(1) / present.sum(1)
    truth = seen.truth_px.clone()
    truth[:, 0] += middle
    return Examples(spectra, (steps - middle[:, None]) * present, truth), present


def judged(network: FocusNetwork, held: Examples) -> Held:
    """On all frames of the examples."""
    count = len(held.truth_px)
    held, present = _given(held, np.tile(np.arange(FRAMES), (count, 1)), np.full(count, FRAMES))
    with torch.no_grad():
        told: Mixture = network(held.spectra, held.offsets_px, present)
    best = told.log_share.argmax(1)
    rows = torch.arange(len(best))
    root = told.root[rows, best]
    std = torch.linalg.inv(root @ root.transpose(-1, -2))[:, 0, 0].sqrt()
    off = (told.mean[rows, best, 0] - held.truth_px[:, 0]).abs()
    loss = -told.log_density(held.truth_px).mean()
    return Held(float(loss), float(off.median()), 1.4826 * float((off / std).median()))


def calibrate(network: FocusNetwork, held: Examples) -> float:
    """Set the factor on standard deviations under which these worlds are likeliest, and return it."""
    losses = []
    for factor in INFLATIONS:
        network.inflation.fill_(float(factor))
        losses.append(judged(network, held).loss)
    best = float(INFLATIONS[int(np.argmin(losses))])
    network.inflation.fill_(best)
    return best


def _part(seen: Examples, chosen: np.ndarray) -> Examples:
    rows = torch.from_numpy(chosen)
    return Examples(seen.spectra[rows], seen.offsets_px[rows], seen.truth_px[rows])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=1920, help="to train on")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of the order of examples")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    console, held_out = Console(), min(HELD_OUT, options.worlds)
    console.print(f"rendering {options.worlds} worlds to train on, {2 * held_out} to select and judge by")
    seen = examples(options.worlds, TRAIN_SEED)
    select, check = examples(held_out, SELECT_SEED), examples(held_out, CHECK_SEED)
    network = FocusNetwork()
    for epoch, loss in enumerate(fit(network, seen, options.epochs, options.seed)):
        console.print(f"epoch {epoch + 1}: loss {loss:.3f}")
    inflation = calibrate(network, select)
    result = judged(network, check)
    about = {
        "worlds": str(options.worlds),
        "epochs": str(options.epochs),
        "seed": str(options.seed),
        "commit": commit() or "unknown",
        "inflation": f"{inflation:.3f}",
        "held_out_loss": f"{result.loss:.3f}",
        "held_out_error_px": f"{result.error_px:.4f}",
        "held_out_ratio": f"{result.ratio:.3f}",
    }
    save_network(network, options.out, about)
    console.print(about)


if __name__ == "__main__":
    main()
