"""Defocus and two-fold astigmatism from the power spectra of one to three wide frames, by a small network.

It answers with a mixture of normal distributions, since one frame cannot tell over- from underfocus and noise leaves
more than one focus open; mean and covariance are the mixture's. Everything is told in pixels of blur, the convergence
times the coefficient over the pixel size, so one network serves cones and pixels of any size where ray optics holds.
Powers only are used: drift and brightness do no harm. ``python -m training.focus`` makes the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from configs.errors import ConfigError
from models.focus_spectra import RINGS, SECTORS, spectra_of
from models.weights_file import read_network, write_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from instruments.aberrations import Aperture

Array: TypeAlias = npt.NDArray[np.float64]

WEIGHTS = Path(__file__).parent / "weights" / "focus.safetensors"
FORMAT, VERSION = "adaptem focus network", "1"
FRAMES = 3
"""At most."""
PARTS = 4
"""Normal distributions in a mixture."""
WIDEST_PX = 8.0
"""Changes between frames up to this blur were trained on."""
_LOUD = 8.0
"""Spectra over this are of order 1."""
_TRIANGLE = ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))
SURE = 0.95
"""Least share of the mixture about its best part for an estimate to be settled."""
UNDETERMINED_PX = 1.2
"""A standard deviation of C10 above this blur is no finding."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """B mixtures of normal distributions of C10, C12a, C12b in pixels of blur."""

    log_share: torch.Tensor
    """(B, PARTS)"""
    mean: torch.Tensor
    """(B, PARTS, 3)"""
    root: torch.Tensor
    """(B, PARTS, 3, 3) lower triangle whose product with its transpose is the inverse of a covariance."""

    def log_density(self, value: torch.Tensor) -> torch.Tensor:
        """(B,) at values (B, 3)."""
        off = torch.einsum("bpji,bpj->bpi", self.root, value[:, None] - self.mean)
        told = self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * off.square().sum(-1)
        return torch.logsumexp(self.log_share + told, 1) - 1.5 * math.log(2 * math.pi)


class FocusNetwork(nn.Module):
    """Convolutions over rings and sectors, which close on themselves; then two layers."""

    def __init__(self) -> None:
        super().__init__()
        wide = (3 * FRAMES - 1, 24, 32, 48, 48)
        strides = ((1, 1), (2, 1), (2, 1), (2, 2))
        self.folds = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=stride, padding=(1, 0))
            for a, b, stride in zip(wide[:-1], wide[1:], strides, strict=True)
        )
        first, last = nn.Linear(48 * (RINGS // 8) * (SECTORS // 2), 96), nn.Linear(96, PARTS * 10)
        self.head = nn.Sequential(first, nn.GELU(), last)
        with torch.no_grad():  # parts that begin apart soon tell different foci
            last.bias.view(PARTS, 10)[:, 1] = torch.linspace(-0.8, 0.8, PARTS)
        self.inflation: torch.Tensor
        self.register_buffer("inflation", torch.ones(()))
        """Factor on standard deviations, fitted to worlds that were not trained on."""

    def forward(self, spectra: torch.Tensor, offsets_px: torch.Tensor, present: torch.Tensor) -> Mixture:
        """Of spectra (B, FRAMES, RINGS, SECTORS) by ``spectra_of``, 0 where a frame is not present (B, FRAMES).

        ``offsets_px`` (B, FRAMES): the change of C10 of each frame, in pixels of blur, from the mean of those present;
        the answer is for that mean. They ascend, so that what one end shows less of than the other tells the side of
        focus without any product of the two; frames that are not present come last.
        """
        planes = torch.cat([offsets_px / 5, present[:, 1:]], 1)
        seen = torch.cat([spectra / _LOUD, planes[:, :, None, None].expand(-1, -1, RINGS, SECTORS)], 1)
        for fold in self.folds:
            seen = nn.functional.gelu(fold(nn.functional.pad(seen, (1, 1, 0, 0), mode="circular")))
        told = self.head(seen.flatten(1)).reshape(-1, PARTS, 10)
        root = told.new_zeros(len(told), PARTS, 3, 3)
        for n, (row, column) in enumerate(_TRIANGLE):
            part = told[..., 4 + n]
            root[..., row, column] = torch.exp(part.clamp(-4, 6)) if row == column else part
        return Mixture(torch.log_softmax(told[..., 0], 1), 5 * told[..., 1:4], root / self.inflation)


@dataclass(frozen=True, slots=True)
class Guess:
    """Coefficients before any of the changes were applied, C10, C12a and C12b in nm."""

    share: Array
    """(P,) probability of each part of the mixture."""
    parts_nm: Array
    """(P, 3) their means."""
    spreads_nm2: Array
    """(P, 3, 3) their covariances."""
    settled: bool
    """False: do not act on it; ``reason`` says why."""
    reason: str

    @property
    def found_nm(self) -> Array:
        """(3,) mean of what is taken for one focus, where it is settled; else of all."""
        return np.asarray(self._weights() @ self.parts_nm)

    @property
    def covariance_nm2(self) -> Array:
        """(3, 3) of the same."""
        weights, off = self._weights(), self.parts_nm - self.found_nm
        between = np.einsum("p,pi,pj->ij", weights, off, off)
        return np.asarray(np.einsum("p,pij->ij", weights, self.spreads_nm2) + between)

    @property
    def std_nm(self) -> Array:
        return np.sqrt(np.diag(self.covariance_nm2))

    def _weights(self) -> Array:
        weights = np.where(_same(self.share, self.parts_nm, self.spreads_nm2), self.share, 0.0)
        return np.asarray(weights / weights.sum()) if self.settled else self.share


def _same(share: Array, parts_nm: Array, spreads_nm2: Array) -> npt.NDArray[np.bool_]:
    """(P,) which parts lie about the best, by C10."""
    best = int(np.argmax(share))
    std_nm = np.sqrt(spreads_nm2[:, 0, 0] + spreads_nm2[best, 0, 0])
    return np.asarray(np.abs(parts_nm[:, 0] - parts_nm[best, 0]) < 3 * std_nm)


def read_focus(network: FocusNetwork, images: npt.ArrayLike, changes_nm: npt.ArrayLike, aperture: Aperture) -> Guess:
    """What a network says of ``images`` (K, H, W) in counted electrons, K ≤ 3, with changes (K,) of C10.

    Raises ValueError for frames that do not fit, as ``spectra_of`` does, and for blurs beyond what it was trained on.
    """
    stack, changes = np.asarray(images, dtype=np.float64), np.asarray(changes_nm, dtype=np.float64)
    if changes.shape != stack.shape[:1] or not 1 <= len(changes) <= FRAMES or not np.isfinite(changes).all():
        raise ValueError(
            f"images {stack.shape} and changes {changes.shape}: give one to {FRAMES} and a finite one each"
        )
    px_per_nm = aperture.convergence_mrad * 1e-3 / aperture.pixel_nm
    order = np.argsort(changes, kind="stable")
    middle_nm = float(changes.mean())
    offsets = (changes[order] - middle_nm) * px_per_nm
    if np.ptp(offsets) > WIDEST_PX:
        raise ValueError(
            f"changes of {np.ptp(changes):.4g} nm blur by {np.ptp(offsets):.3g} pixels, {WIDEST_PX:g} were trained on: "
            "change less, or take larger pixels"
        )
    given = np.zeros((3, 1, FRAMES), dtype=np.float32)
    spectra = np.zeros((1, FRAMES, RINGS, SECTORS), dtype=np.float32)
    given[0, 0, : len(changes)], given[1, 0, : len(changes)] = offsets, 1.0
    spectra[0, : len(changes)] = spectra_of(stack)[order]
    with torch.no_grad():
        told = network(*(torch.from_numpy(each) for each in (spectra, given[0], given[1])))
        inverse = told.root @ told.root.transpose(-1, -2)
        spreads = torch.linalg.inv(inverse.double())[0].numpy() / px_per_nm**2
        share = told.log_share.double().exp()[0].numpy()
    parts = told.mean[0].double().numpy() / px_per_nm - np.array([middle_nm, 0.0, 0.0])
    same = _same(share, parts, spreads)
    others = "; ".join(f"C10 {part[0]:.0f} nm, {s:.2f}" for s, part in zip(share[~same], parts[~same], strict=True))
    settled = bool(share[same].sum() >= SURE)
    reason = "settled" if settled else f"more than one focus is likely ({others}): add a frame of another setting"
    found = Guess(share / share.sum(), parts, spreads, settled, reason)
    if settled and found.std_nm[0] * px_per_nm > UNDETERMINED_PX:
        reason = f"the frames say too little: C10 is uncertain by {found.std_nm[0]:.0f} nm; add one, or expose longer"
        return replace(found, settled=False, reason=reason)
    return found


def save_network(network: FocusNetwork, path: Path, about: Mapping[str, str]) -> None:
    """Weights and, beside them under the same name as JSON, how they were made."""
    write_weights(network.state_dict(), path, (FORMAT, VERSION), about)


def load_network(path: Path = WEIGHTS) -> FocusNetwork:
    """The network with these weights. Raises ConfigError for a file that is not there, or not such weights."""
    if not path.is_file():
        raise ConfigError(f"weights {path} are not there: make them with `python -m training.focus`")
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _loaded(path: Path, _changed_ns: int) -> FocusNetwork:
    again = "make them anew with `python -m training.focus`"
    return read_network(FocusNetwork(), path, (FORMAT, VERSION), again).eval()
