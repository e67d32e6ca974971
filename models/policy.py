"""A policy for belief maps: fully convolutional, one logit for each look at each target, whatever the map's size.

    map (C, H, W) ─► convolutions, wider and wider ─┬─► at a cell ──► looks at the finest targets
    scalars (G,) ──► added everywhere               ├─► mean of its cells ─► looks at a coarser target
                                                    └─► mean and largest ─► skills, stop, value

A specimen that is shifted by whole cells gives logits that are shifted alike, as far as the map's edge is out of sight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    Seen: TypeAlias = Mapping[str, Tensor]

DILATIONS = (1, 2, 4, 1)
KINDS = ("map", "set")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """What a policy sees and may do, by name: kept with its weights, compared with what it is to fly on."""

    kind: str
    """map or set."""
    columns: tuple[str, ...]
    """The C numbers of a cell, or of a target."""
    scalars: tuple[str, ...]
    """The G numbers of the whole."""
    looks: tuple[str, ...]
    skills: tuple[str, ...]
    width: int = 16

    def __post_init__(self) -> None:
        """Raises ValueError for a kind or width that is none."""
        if self.kind not in KINDS or not 1 <= self.width <= 1024:
            raise ValueError(f"a policy of kind {self.kind!r} and width {self.width}: kinds are {', '.join(KINDS)}")


class MapPolicy(nn.Module):
    """``forward`` takes B belief maps of one tree: ``cells`` (B, C, H, W), ``scalars`` (B, G), ``action_mask`` (B, A).

    ``cell`` (N,): flat cell of each slot, −1 for coarser ones; ``pool`` (K, H·W): the cells of each of the K coarser
    slots, a row sums to 1.
    """

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.spec = spec
        width, channels = spec.width, (len(spec.columns), *([spec.width] * (len(DILATIONS) - 1)))
        self.trunk = nn.ModuleList(
            nn.Conv2d(before, width, 3, padding=step, dilation=step)
            for before, step in zip(channels, DILATIONS, strict=True)
        )
        self.told = nn.Linear(len(spec.scalars), width)
        self.context = nn.Linear(2 * width, width)
        self.fine, self.coarse = nn.Linear(width, len(spec.looks)), nn.Linear(width, len(spec.looks))
        self.rest = head(spec, len(spec.skills) + 1)
        self.worth = head(spec, 1)
        for last in (self.fine, self.coarse, self.rest[-1]):
            begin_evenly(last)

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """(B, A) logits, −∞ where the mask forbids, and (B,) values."""
        told = self.told(seen["scalars"])[:, :, None, None]
        x = torch.relu(self.trunk[0](seen["cells"]) + told)
        for layer in self.trunk[1:-1]:
            x = torch.relu(x + layer(x))
        x = torch.relu(x + self.trunk[-1](x) + self.context(pooled(x.flatten(2)))[:, :, None, None])
        flat = x.flatten(2).transpose(1, 2)
        cell = seen["cell"]
        fine, coarse = self.fine(flat), self.coarse(seen["pool"] @ flat)
        looks = fine.new_zeros(len(flat), len(cell), fine.shape[-1])
        looks[:, cell >= 0] = fine[:, cell[cell >= 0]]
        looks[:, cell < 0] = coarse
        whole = torch.cat([pooled(flat.transpose(1, 2)), seen["scalars"]], dim=1)
        logits = torch.cat([looks.flatten(1), self.rest(whole)], dim=1)
        return logits.masked_fill(~seen["action_mask"], -torch.inf), self.worth(whole)[:, 0]


def head(spec: PolicySpec, outputs: int) -> nn.Sequential:
    """Of what is pooled over all targets, and the scalars."""
    whole = 2 * spec.width + len(spec.scalars)
    return nn.Sequential(nn.Linear(whole, 2 * spec.width), nn.ReLU(), nn.Linear(2 * spec.width, outputs))


def begin_evenly(layer: nn.Module) -> None:
    """First weights by which every allowed action is about as likely."""
    if isinstance(layer, nn.Linear):
        nn.init.orthogonal_(layer.weight, 0.01)
        nn.init.zeros_(layer.bias)


def pooled(x: Tensor) -> Tensor:
    """(B, D, N) → (B, 2 D): mean and largest."""
    return torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)
