"""Train the encoder without labels on simulated worlds, and keep its weights.

    python -m training.supervised                               ten minutes on one core; remakes models/weights
    python -m training.supervised --views 99 --steps 50 --out /tmp/encoder.safetensors

Two looks at a place must give the same numbers and other places others (VICReg, Bardes et al., ICLR 2022; on places,
VICRegL, Bardes et al., NeurIPS 2022). The specimens in ``encoder_worlds.HELD_OUT`` are not trained on: by five shots of
what is on them, at one dose and magnification, chips at others are told apart, before and after.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from archive.software import commit
from models.encoder import CHANNELS, WEIGHTS, Encoder, fused, laid_out, save_encoder, standardised
from training.encoder_chips import few_shot
from training.encoder_worlds import views
from training.varying import Pair, pair

TRAIN_SEED = 1_000_000
PAIRS, RATE, DECAY = 48, 2e-3, 1e-4
WIDTH = 256
"""Of the space in which looks are compared; it is thrown away."""
_ALIKE, _SPREAD, _UNLIKE = 25.0, 25.0, 1.0
"""Weights of the three parts of VICReg's loss, as published."""


def vicreg(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Of two looks (N, D) at the same N: alike, each number spread over places, no two telling the same."""
    loss = _ALIKE * nn.functional.mse_loss(first, second)
    for each in (first, second):
        centred = each - each.mean(0)
        loss = loss + _SPREAD / 2 * torch.relu(1 - (centred.var(0) + 1e-4).sqrt()).mean()
        covariance = centred.T @ centred / (len(each) - 1)
        off = covariance - torch.diag(covariance.diagonal())
        loss = loss + _UNLIKE / 2 * off.square().sum() / each.shape[1]
    return loss


class Comparison(nn.Module):
    """The encoder, and what compares its places and its whole looks."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.places = _expander(CHANNELS)
        self.wholes = _expander(2 * CHANNELS)

    def forward(self, seen: Pair) -> torch.Tensor:
        """Loss of a batch."""
        maps = [self.encoder(standardised(each)) for each in (seen.first, seen.second)]
        there = [
            nn.functional.grid_sample(found, points[:, :, None], align_corners=False)[..., 0].transpose(1, 2)
            for found, points in zip(maps, seen.points, strict=True)
        ]
        places = [self.places(each[seen.shared]) for each in there]
        wholes = [self.wholes(torch.cat([each.mean((2, 3)), each.std((2, 3))], 1)) for each in maps]
        return vicreg(places[0], places[1]) + vicreg(wholes[0], wholes[1])


def _expander(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


def fit(encoder: Encoder, seen: torch.Tensor, steps: int, seed: int) -> list[float]:
    """Loss of each step; ``seen`` (N, H, W) as ``encoder_worlds.views`` makes them."""
    torch_rng = torch.Generator().manual_seed(seed)
    compared = laid_out(Comparison(encoder).train())
    optimiser = torch.optim.AdamW(compared.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    losses = []
    for _ in track(range(steps), "training", transient=True):
        chosen = torch.randint(len(seen), (PAIRS,), generator=torch_rng)
        loss = compared(pair(seen[chosen], torch_rng))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    encoder.eval()
    return losses


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=2000, help="to train on")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of how views are varied")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--anyway", action="store_true", help="replace weights that told more of the held-out chips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    console, begun_s = Console(), time.process_time()
    encoder = Encoder()
    before = few_shot(fused(encoder))
    parts = track(views(options.views, TRAIN_SEED), "rendering", total=None, transient=True)
    seen = torch.cat(list(parts))
    rendered_s = time.process_time() - begun_s
    console.print(f"{len(seen)} views in {rendered_s:.0f} s; held-out chips told apart without training: {before:.3f}")
    losses = fit(encoder, seen, options.steps, options.seed)
    after = few_shot(fused(encoder))
    about = {
        "views": str(len(seen)),
        "steps": str(options.steps),
        "seed": str(options.seed),
        "commit": commit() or "unknown",
        "cpu_s": f"{time.process_time() - begun_s:.0f}",
        "loss": f"{np.mean(losses[-50:]):.3f}",
        "held_out_accuracy": f"{after:.3f}",
        "held_out_accuracy_untrained": f"{before:.3f}",
    }
    place = options.out if options.anyway else placed(options.out, after)
    save_encoder(encoder, place, about)
    console.print(about)
    if place != options.out:
        console.print(
            f"{options.out} tells more of the held-out chips and stays; these are in {place} (--anyway replaces)"
        )


def placed(out: Path, accuracy: float) -> Path:
    """Where new weights go: in the place of ``out``, or beside it where those there told more held-out chips apart."""
    card = out.with_suffix(".json")
    known = float(json.loads(card.read_text()).get("held_out_accuracy", "nan")) if card.is_file() else math.nan
    return out.with_name(f"{out.stem}-not-better{out.suffix}") if known > round(accuracy, 3) else out


if __name__ == "__main__":
    main()
