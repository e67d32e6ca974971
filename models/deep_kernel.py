"""A Gaussian process whose likeness in structure is learned: a small network, trained by the marginal likelihood.

After Wilson et al., AISTATS 2016 (arXiv:1511.02222), and for structure → spectrum Liu et al., Nat. Mach. Intell. 4, 341
(2022). Several networks from different starts are averaged: one alone is sure of itself where no value was measured
(Ober et al., UAI 2021, arXiv:2102.12108), and how much they differ is the uncertainty that this leaves.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.intp]

_ROOT5 = math.sqrt(5.0)
_JITTER = 1e-6
_EXPECTED = (math.log(0.5), math.log(0.5), math.log(0.05), 0.0)
"""Logarithms of the variances told by place, by structure and by neither, and of the reach over the one given."""
_LEARNING_RATE = 0.01
AT_ONCE = 4096
"""Places embedded and predicted at a time."""


class DeepKernelGP:
    """Over N places; the same calls as ``models.structure_gp.StructureGP``.

    ``places`` (N, 2), in any unit; ``structure`` (N, F): what is seen at each, in standard deviations; ``reach``: how
    far neighbours are expected to be alike. ``members`` networks, trained for ``first`` cycles at the start and for
    ``then`` whenever values are added. Raises ValueError where shapes differ or a number is not finite.
    """

    def __init__(
        self,
        places: Array,
        structure: Array,
        *,
        reach: float,
        members: int = 3,
        first: int = 150,
        then: int = 30,
        seed: int = 0,
    ) -> None:
        if places.ndim != 2 or structure.ndim != 2 or len(places) != len(structure):
            raise ValueError(f"needs places (N, 2) and structure (N, F); found {places.shape} and {structure.shape}")
        if not (np.isfinite(places).all() and np.isfinite(structure).all() and reach > 0):
            raise ValueError("places, structure and reach must be finite, and reach positive")
        self._places = torch.as_tensor(places / reach, dtype=torch.float32)
        self._structure = torch.as_tensor(structure, dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        self._members = [_Member(structure.shape[1], generator) for _ in range(members)]
        self._cycles = (first, then)
        self._seen = torch.zeros(0, dtype=torch.int64)
        self._values = torch.zeros(0, dtype=torch.float64)
        self._mean, self._spread = 0.0, 1.0

    def fit(self, seen: Ints, values: Array, *, scales: bool = True) -> None:
        """Take in ``values`` (M,) measured at places ``seen`` (M,). ``scales``: train the networks further, else not.

        Raises ValueError for fewer than 2 values, or one that is not finite.
        """
        if len(seen) < 2 or len(seen) != len(values) or not np.isfinite(values).all():
            raise ValueError(f"needs 2 finite values or more, one for each place; found {len(values)} of {len(seen)}")
        young = not len(self._seen)
        self._mean, self._spread = float(np.mean(values)), float(np.std(values)) or 1.0
        self._seen = torch.as_tensor(np.asarray(seen), dtype=torch.int64)
        self._values = torch.as_tensor((np.asarray(values) - self._mean) / self._spread, dtype=torch.float64)
        if scales or young:
            for member in self._members:
                member.train_on(*self._known(), self._values, self._cycles[0] if young else self._cycles[1])

    def predict(self, query: Ints) -> tuple[Array, Array]:
        """Mean and standard deviation (Q,) of the property at places ``query`` (Q,), without the noise of measuring.

        Raises RuntimeError before ``fit``.
        """
        if not len(self._seen):
            raise RuntimeError("fit before predicting")
        wanted = torch.as_tensor(np.asarray(query), dtype=torch.int64)
        means, variances = [], []
        with torch.no_grad():
            for member in self._members:
                parts = [
                    member.moments(*self._known(), self._values, self._places[some], self._structure[some])
                    for some in torch.split(wanted, AT_ONCE)
                ]
                means.append(torch.cat([mean for mean, _ in parts]).numpy())
                variances.append(torch.cat([variance for _, variance in parts]).numpy())
        mean = np.mean(means, axis=0)
        variance = np.maximum(np.mean(variances + np.square(means), axis=0) - mean**2, 1e-9)
        return self._mean + self._spread * mean, self._spread * np.sqrt(variance)

    def _known(self) -> tuple[Tensor, Tensor]:
        return self._places[self._seen], self._structure[self._seen]


class _Member:
    """One network, its scales, and the optimiser that goes on where it stopped."""

    def __init__(self, features: int, generator: torch.Generator) -> None:
        sizes = (features, 32, 16, 2)
        self._weights: list[Tensor] = []
        for inputs, outputs in pairwise(sizes):
            drawn = torch.randn(inputs, outputs, generator=generator) / math.sqrt(inputs)
            self._weights += [drawn.requires_grad_(), torch.zeros(outputs).requires_grad_()]
        self._scales = torch.tensor(_EXPECTED, dtype=torch.float64).requires_grad_()
        self._optimiser = torch.optim.Adam(
            [
                {"params": self._weights, "weight_decay": 1e-2},
                {"params": [self._scales], "lr": 5 * _LEARNING_RATE},
            ],
            lr=_LEARNING_RATE,
        )

    def train_on(self, places: Tensor, structure: Tensor, values: Tensor, cycles: int) -> None:
        expected = torch.tensor(_EXPECTED, dtype=torch.float64)
        for _ in range(cycles):
            self._optimiser.zero_grad()
            lower = self._lower(places, structure)
            inside = torch.linalg.solve_triangular(lower, values[:, None], upper=False)
            loss = 0.5 * (inside**2).sum() + lower.diagonal().log().sum() + 0.5 * ((self._scales - expected) ** 2).sum()
            loss.backward()
            self._optimiser.step()

    def moments(
        self, places: Tensor, structure: Tensor, values: Tensor, at: Tensor, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        lower = self._lower(places, structure)
        cross = torch.linalg.solve_triangular(lower, self._covariance(places, structure, at, like), upper=False)
        inside = torch.linalg.solve_triangular(lower, values[:, None], upper=False)
        prior = self._scales[:2].exp().sum()
        return (cross * inside).sum(0), (prior - (cross**2).sum(0)).clamp_min(1e-9)

    def _lower(self, places: Tensor, structure: Tensor) -> Tensor:
        noise = self._scales[2].exp() + _JITTER
        covariance = self._covariance(places, structure, places, structure)
        lower: Tensor = torch.linalg.cholesky(covariance + noise * torch.eye(len(places), dtype=torch.float64))
        return lower

    def _covariance(self, places: Tensor, structure: Tensor, at: Tensor, like: Tensor) -> Tensor:
        variances = self._scales[:2].exp()
        near = _matern52(_distance(places, at) / self._scales[3].exp())
        alike = _matern52(_distance(self._embedded(structure), self._embedded(like)))
        return variances[0] * near + variances[1] * alike

    def _embedded(self, structure: Tensor) -> Tensor:
        *hidden, (weight, bias) = zip(self._weights[::2], self._weights[1::2], strict=True)
        for inner, offset in hidden:
            structure = nn.functional.silu(torch.addmm(offset, structure, inner))
        return torch.addmm(bias, structure, weight)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """(R, C), in double precision; its slope at 0 is 0 rather than NaN."""
    square = torch.square((a[:, None] - b[None]).double()).sum(-1)
    return torch.sqrt(square + 1e-12)


def _matern52(distance: Tensor) -> Tensor:
    """Rasmussen & Williams 2006, eq. 4.17."""
    root = _ROOT5 * distance
    return (1 + root + root**2 / 3) * torch.exp(-root)
