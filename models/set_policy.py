"""A policy for targets without a map: attention over a set of any size, at a cost that grows with it evenly.

    targets (N, C) ─► embedded, with parent and children ─► attend through a few points, twice ─┬─► looks
                                                                      mean and largest ─────────┴─► skills, stop, value

Targets attend to a few learned points that attend to all targets (Lee et al., Set Transformer, 2019, eq. 9-10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from models.policy import begin_evenly, head, pooled

if TYPE_CHECKING:
    from torch import Tensor

    from models.policy import PolicySpec, Seen

POINTS, HEADS, LAYERS = 8, 4, 2


class _Induced(nn.Module):
    """(B, N, D) → (B, N, D): by way of ``POINTS`` learned queries."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(1, POINTS, width) / width**0.5)
        self.gather = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.spread = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norms[0](x)
        points = self.points.expand(len(x), -1, -1)
        gathered = points + self.gather(points, normed, normed, need_weights=False)[0]
        x = x + self.spread(normed, gathered, gathered, need_weights=False)[0]
        return torch.as_tensor(x + self.mix(self.norms[1](x)))


class SetPolicy(nn.Module):
    """``forward`` takes B sets of one tree: ``slots`` (B, N, C), ``scalars`` (B, G), ``action_mask`` (B, A).

    ``parent`` (N,): slot of the parent, −1 none. In any order of the targets the logits are ordered alike.
    """

    def __init__(self, spec: PolicySpec) -> None:
        """Raises ValueError for a width that the heads of attention do not share evenly."""
        super().__init__()
        if spec.width % HEADS:
            raise ValueError(f"width {spec.width} was asked; attention wants a multiple of {HEADS}")
        self.spec = spec
        width = spec.width
        self.embed = nn.Linear(len(spec.columns), width)
        self.above, self.below = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.told = nn.Linear(len(spec.scalars), width)
        self.layers = nn.ModuleList(_Induced(width) for _ in range(LAYERS))
        self.looks = nn.Linear(width, len(spec.looks))
        self.rest = head(spec, len(spec.skills) + 1)
        self.worth = head(spec, 1)
        begin_evenly(self.looks)
        begin_evenly(self.rest[-1])

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """(B, A) logits, −∞ where the mask forbids, and (B,) values."""
        own = torch.relu(self.embed(seen["slots"]))
        parent = seen["parent"]
        child = parent >= 0
        count = torch.bincount(parent[child], minlength=own.shape[1]).clamp(min=1).to(own)
        children = torch.zeros_like(own).index_add(1, parent[child], own[:, child]) / count[:, None]
        parents = own[:, parent.clamp(min=0)] * child[:, None].to(own)
        x = own + self.above(parents) + self.below(children) + self.told(seen["scalars"])[:, None, :]
        for layer in self.layers:
            x = layer(x)
        whole = torch.cat([pooled(x.transpose(1, 2)), seen["scalars"]], dim=1)
        logits = torch.cat([self.looks(x).flatten(1), self.rest(whole)], dim=1)
        return logits.masked_fill(~seen["action_mask"], -torch.inf), self.worth(whole)[:, 0]
