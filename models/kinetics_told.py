"""All numbers that readings have told, as one Gaussian around what a law says, for all of its parameter sets at once.

What looks have in common (``models.kinetics_nuisance``) makes their errors hang together. With the Cholesky factor L of
the covariance of N numbers, L⁻¹ (told − shown) are N independent standard normal ones if a set is right, so that its
probability density, the best guess at the common errors, and what comes next are products of matrices. It is what a
Kalman filter finds reading by reading (Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, ch. 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from models.kinetics import Array
from models.kinetics_nuisance import Nuisance, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Ints: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Told:
    """N numbers of R readings, whitened."""

    nuisance: Nuisance
    readings: tuple[Reading, ...]
    values: Array
    """(N,) told."""
    reading: Ints
    """(N,) by number, of which they are."""
    descriptor: Ints
    """(N,)"""
    whiten: Array
    """(N, N) L⁻¹."""
    reach: Array
    """(N, M) L⁻¹ × their covariance with the common errors."""
    log_norm: Array
    """(R,) ln of the density that each reading has at most, given those before it."""

    @classmethod
    def nothing(cls, nuisance: Nuisance) -> Told:
        """Before any reading."""
        none, ints = np.zeros(0), np.zeros(0, dtype=np.intp)
        return cls(nuisance, (), none, ints, ints, np.zeros((0, 0)), np.zeros((0, nuisance.layout.count)), none)

    @classmethod
    def all(
        cls, nuisance: Nuisance, readings: Sequence[Reading], at_s: Sequence[float], moved: Iterable[Array]
    ) -> Told:
        """Of R readings at once; ``moved`` (descriptors, M) of each, as of ``Layout.effect``."""
        if not readings:
            return cls.nothing(nuisance)
        told = [np.flatnonzero(reading.told) for reading in readings]
        reading = np.repeat(np.arange(len(readings)), [len(each) for each in told])
        effect = np.concatenate([rows[each] for rows, each in zip(moved, told, strict=True)])
        times = np.asarray(at_s, dtype=np.float64)[reading]
        with_errors = effect * nuisance.at(times)
        common = with_errors @ effect.T  # an error that wanders has in common what it was at the earlier time
        covariance = np.where(times[:, None] <= times, common, common.T)
        covariance.flat[:: len(times) + 1] += np.concatenate([nuisance.noise(each) for each in readings])
        lower = np.linalg.cholesky(covariance)
        whiten = solve_triangular(lower, np.eye(len(lower)), lower=True, check_finite=False)
        logs = np.log(np.diag(lower)) + 0.5 * np.log(2 * np.pi)
        values = np.concatenate([each.values[some] for each, some in zip(readings, told, strict=True)])
        norms = np.asarray(-np.bincount(reading, logs, len(readings)), dtype=np.float64)
        return cls(
            nuisance, tuple(readings), values, reading, np.concatenate(told), whiten, whiten @ with_errors, norms
        )

    def foretold(self, reading: Reading, at_s: float, moved: Array) -> Foretold:
        """How far such a reading may lie from what one parameter set says; ``moved`` (descriptors, M)."""
        effect = moved[reading.told]
        with_errors = effect * self.nuisance.at(np.asarray(at_s))
        known = self.reach @ effect.T
        covariance = with_errors @ effect.T - known.T @ known + np.diag(self.nuisance.noise(reading))
        return Foretold(reading, with_errors, known, covariance, np.asarray(np.linalg.cholesky(covariance)))

    def after(self, foretold: Foretold) -> Told:
        """With one reading more."""
        reading, lower = foretold.reading, foretold.lower
        told = np.flatnonzero(reading.told)
        size, more = len(self.values), len(told)
        inverse = np.linalg.inv(lower)
        whiten = np.zeros((size + more, size + more))
        whiten[:size, :size] = self.whiten
        whiten[size:, :size] = -inverse @ (foretold.known.T @ self.whiten)
        whiten[size:, size:] = inverse
        reach = inverse @ (foretold.with_errors - foretold.known.T @ self.reach)
        norm = -float(np.log(np.diag(lower)).sum()) - 0.5 * more * float(np.log(2 * np.pi))
        return Told(
            self.nuisance,
            (*self.readings, reading),
            np.append(self.values, reading.values[told]),
            np.append(self.reading, np.full(more, len(self.readings))),
            np.append(self.descriptor, told),
            whiten,
            np.concatenate([self.reach, reach]),
            np.append(self.log_norm, norm),
        )

    def white(self, shown: Array) -> Array:
        """(P, N) how far sets that show (P, N) are off what was told, whitened."""
        return np.asarray((self.values - shown) @ self.whiten.T)

    def weigh(self, white: Array) -> tuple[Array, Array]:
        """Of sets that are so far off (P, N): ln of the density of all readings but the last, and of the last."""
        squares, before = white * white, int(np.searchsorted(self.reading, len(self.readings) - 1))
        past = self.log_norm[:-1].sum() - 0.5 * squares[:, :before].sum(axis=1)
        return past, self.log_norm[-1:].sum() - 0.5 * squares[:, before:].sum(axis=1)

    def unknown(self, t_s: float) -> Array:
        """(M, M) covariance of what is left unknown of the common errors at a time."""
        return np.asarray(np.diag(self.nuisance.at(np.asarray(t_s))) - self.reach.T @ self.reach)


@dataclass(frozen=True, slots=True)
class Foretold:
    """One reading of m numbers, before it is taken up."""

    reading: Reading
    with_errors: Array
    """(m, M) covariance with the common errors, before any reading."""
    known: Array
    """(N, m) L⁻¹ × covariance with what was told before."""
    covariance: Array
    """(m, m) around what a set says, once its guess at the common errors is added."""
    lower: Array
    """(m, m) its Cholesky factor."""

    def judge(self, shown: Array, white: Array) -> tuple[Array, Array, Array]:
        """Of sets that show (P, descriptors) and were so far off (P, N) until now.

        What they foretell (P, m), ln of the density of the reading, and how far they are off with it (P, N + m).
        """
        told = self.reading.told
        said = shown[:, told] + white @ self.known
        new = (self.reading.values[told] - said) @ np.linalg.inv(self.lower).T
        norm = -float(np.log(np.diag(self.lower)).sum()) - 0.5 * new.shape[1] * float(np.log(2 * np.pi))
        return said, norm - 0.5 * (new * new).sum(axis=1), np.concatenate([white, new], axis=1)
