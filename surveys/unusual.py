"""The probability that a place is unusual in truth: by its p-value, by what a person says of some, and of earlier ones.

    p-values of all ─────────────────────► how many are unusual, as far as they tell it ──────┐
    answers about some of these ─────────► how many are, and what a p-value is worth here ────┼─► probability of each
    answers about the like of before ────► how many are mostly, and what it was worth there ──┘

Two groups (Efron 2004): p-values of unusual places are a falling power. How many are unusual, and how both groups'
p-values are spread, is not known but believed, on a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_LEAST_P, _FITTED = 1e-6, 0.5
_POWER, _PRIOR, _HEEDED = 0.32, 30.0, 100.0
"""Where nobody said anything. Of p-values of unusual places: their exponent, by maximum likelihood on seven specimens
whose seeds are below 1000; rate of the prior of their share, one in thirty before anything is seen; and how many
places' worth of evidence about that share is believed, however many were seen: places of one specimen err together, as
far as its ordinary ones are not spread as the null says. Fixed on specimens with seeds below 1000, of 0 to 18 % rare
sites, and on drawn folders with 0 to 8 % rare cells, where the null is wrong as it is on recorded images."""
_SHARES = np.linspace(0.0, 0.3, 121)
"""That are thought possible."""

_SHARES_SAID = np.geomspace(0.004, 0.9, 64)
_WIDTHS = np.gradient(_SHARES_SAID)
_PRIOR_SAID, _TRUSTED = 10.0, 40
"""The same where a person said of so many places what they are: then half of the prior of their share has this rate, in
proportion less where of fewer. A few answers alone would not tell the share, and it may be large."""
_TRUSTED_UNUSUAL = 20
"""Where so many earlier places were said to be unusual the prior of their kind's mean share is as wide: would it widen
with all that was said, one more ordinary place could raise what is expected."""
_UNUSUAL = ((0.2, 0.15), (0.32, 0.4), (0.5, 0.2), (0.7, 0.1), (1.0, 0.15))
_ORDINARY = ((0.6, 0.1), (0.77, 0.2), (1.0, 0.45), (1.3, 0.25))
"""Exponents of the p-values of unusual and of ordinary places, each with its probability. What is unusual need not
look it (1 = p says nothing), and where the null is wrong ordinary places look unusual more or less often than it says.
Were that left out, a share would have to explain that all of the most unusual are, or that none is."""
_LAWS = tuple((high, low) for (high, _), (low, _) in product(_UNUSUAL, _ORDINARY))
_LAWS_PRIOR = np.array([of_high * of_low for (_, of_high), (_, of_low) in product(_UNUSUAL, _ORDINARY)])
_MEANS, _SCATTERS = np.geomspace(0.005, 0.5, 24), (0.2, 0.5, 1.0)
"""Shares about which those of specimens of one kind lie, and standard deviations of their log-odds."""
_LIKE, _ANOTHER = 0.7, 1.0
"""Probability that a specimen's p-values are spread as is usual for its kind, and how many earlier specimens the
possibility counts that a new one is of no such kind. These, the rates and the exponents are fixed on drawn places of
drawn kinds, in which p-values say something or nothing, and whose null is right, or wrong in several ways."""
_LEAST_DOUBT = 1e-9


@dataclass(frozen=True, slots=True)
class Answered:
    """Places of one earlier specimen of which a person said what they are."""

    p_values: Array
    """(n,) that they had there."""
    unusual: Array
    """(n,) 1 = unusual, 0 = ordinary."""


def probability_unusual(p_values: Array, said: Array | None = None, earlier: Sequence[Answered] = ()) -> Array:
    """(N,) → (N,) probability that each place is unusual in truth: one minus the local false-discovery rate.

    ``said``: (N,) what a person says of some of the places, 1 = unusual, 0 = ordinary, NaN of the others. It may be the
    most unusual that were looked at: which place was chosen by its p-value says nothing more about it.
    ``earlier``: answers about other specimens of the same kind, one entry a specimen.

    Where nobody said anything, the exponent is that of rare features on development specimens. Most of those look
    nearly ordinary: were it fitted too, what cannot be seen would be taken not to be there. The share is believed by an
    exponential prior and by the p-values below a half (above it an empirical null piles up), whose likelihood counts as
    that of so many places at most (a power of it, after Miller & Dunson 2019). Falls with p then.

    >>> p = np.concatenate([np.linspace(0.001, 1, 999), np.full(50, 1e-6)])
    >>> told = probability_unusual(p)
    >>> bool(told[-1] > 0.95), bool(told[500] < 0.1)
    (True, True)
    """
    if not len(p_values):
        return np.zeros(0)
    p = np.clip(p_values, _LEAST_P, 1.0)
    if said is None:
        said = np.full(len(p), np.nan)
    if earlier or not np.isnan(said).all():
        return _by_answers(p, said, believed(earlier, int((~np.isnan(said)).sum())))
    given, likely = _two_groups(p, (_POWER, 1.0), _SHARES)
    belief = likely * _HEEDED / (_HEEDED + len(p)) - _PRIOR * _SHARES
    belief = np.exp(belief - belief.max())
    return np.asarray(belief @ given / belief.sum())


def believed(earlier: Sequence[Answered], answers: int = 0) -> Array:
    """(L, S) probability of each law and share for a specimen of which nothing is known but its like.

    ``answers``: how many there are about it, which are not yet heard.

    Shares of one kind scatter about a mean in their log-odds, and each specimen has the kind's law or any other. Of
    earlier ones the answers count alone: what p-values say of a share errs the same way on all of a kind. The default
    belief, which does not hear them, stays a part of it, the smaller the more earlier specimens there are. One more
    ordinary place never raises the share.
    """
    trusted = min(answers / _TRUSTED, 1.0)
    default = np.outer(_LAWS_PRIOR, _exponentials(_SHARES_SAID, trusted / 2) * _WIDTHS)
    default /= default.sum()
    if not earlier:
        return default
    of_kind = _LIKE * np.eye(len(_LAWS)) + (1 - _LIKE) * _LAWS_PRIOR
    logits, centres = special.logit(_SHARES_SAID), special.logit(_MEANS)
    shares = np.array(
        [
            np.exp(-0.5 * ((logits - centre) / scatter) ** 2) * _WIDTHS / (_SHARES_SAID * (1 - _SHARES_SAID))
            for scatter, centre in product(_SCATTERS, centres)
        ]
    )
    shares /= shares.sum(axis=1, keepdims=True)
    wide = min(sum(float(one.unusual.sum()) for one in earlier) / _TRUSTED_UNUSUAL, 1.0)
    kinds = np.log(np.outer(_LAWS_PRIOR, np.tile(_exponentials(_MEANS, wide / 2) * _MEANS, len(_SCATTERS))))
    for one in earlier:
        p = np.clip(one.p_values, _LEAST_P, 1.0)
        told = np.array([_told(_two_groups(p, law, _SHARES_SAID)[0], one.unusual) for law in _LAWS])
        kinds += np.log(of_kind @ np.exp(told - told.max()) @ shares.T + np.finfo(float).tiny)
    kinds = np.exp(kinds - kinds.max())
    another = _ANOTHER / (_ANOTHER + len(earlier))
    return np.asarray(another * default + (1 - another) * (of_kind.T @ (kinds / kinds.sum()) @ shares))


def expected_share(belief: Array) -> tuple[Ratio, Ratio, Ratio]:
    """Mean of the share by (L, S) ``believed``, and between what it lies nine times in ten."""
    each = belief.sum(axis=0)
    low, high = np.interp((0.05, 0.95), np.cumsum(each), _SHARES_SAID)
    return float(each @ _SHARES_SAID), float(low), float(high)


def _exponentials(shares: Array, broad: Ratio) -> Array:
    """Density of the prior at ``shares``; ``broad``: of the wider of the two that it is made of."""
    narrow = _PRIOR * np.exp(-_PRIOR * shares)
    return np.asarray((1 - broad) * narrow + broad * _PRIOR_SAID * np.exp(-_PRIOR_SAID * shares))


def _by_answers(p: Array, said: Array, before: Array) -> Array:
    """The same where answers tell the share, and what p-values are worth here.

    Of the p-values no more is believed than the evidence of as many places as there are answers about these.
    """
    answers = int((~np.isnan(said)).sum())
    beliefs = np.log(before + np.finfo(float).tiny)
    for k, law in enumerate(_LAWS):
        given, likely = _two_groups(p, law, _SHARES_SAID)
        beliefs[k] += likely * answers / (answers + len(p)) + _told(given, said)
    beliefs = np.exp(beliefs - beliefs.max())
    each = zip(_LAWS, beliefs / beliefs.sum(), strict=True)  # told anew, for all at once are large
    told = sum((belief @ _two_groups(p, law, _SHARES_SAID)[0] for law, belief in each), np.zeros(len(p)))
    return np.where(np.isnan(said), told, said)


def _told(given: Array, said: Array) -> Array:
    """(S, N), (N,) → (S,) log likelihood of what was said."""
    sure = np.clip(given, _LEAST_DOUBT, 1 - _LEAST_DOUBT)
    return np.asarray(np.log(sure[:, said == 1]).sum(axis=1) + np.log(1 - sure[:, said == 0]).sum(axis=1))


def _two_groups(p: Array, law: tuple[float, float], shares: Array) -> tuple[Array, Array]:
    """(N,), (S,) → (S, N) probability of each place and (S,) log likelihood of all, at each share of unusual ones."""
    high, low = law
    unusual, ordinary, share = high * p ** (high - 1), low * p ** (low - 1), shares[:, None]
    either = (1 - share) * ordinary + share * unusual
    below = (1 - shares) * _FITTED**low + shares * _FITTED**high
    fitted = p < _FITTED
    likely = np.log(either[:, fitted]).sum(axis=1) + (len(p) - fitted.sum()) * np.log(1 - below)
    return share * unusual / either, likely
