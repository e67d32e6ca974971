"""Signal over noise, resolution and CTF fits against what is known of simulated frames: how far off, and by their word.

Pairs: fields with a Gaussian transfer of known width, Poisson counts of known mean; signal over noise is the spread of
the noiseless field over the root of its mean, and the ring correlation is that of its power over power and noise, ring
by ring. CTF: one image of a weak phase object under a known lens (C30 = 1.2 mm, 200 kV), Poisson counts. A row is many
seeds; "pulls" are errors over stated uncertainties (1.48 · median of their size; 1 is right).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import arguments, print_table, write
from envs.frc import SEVENTH, expected_correlation, ring_correlation, split_dose, two_frame_snr
from envs.quality import frame_quality
from instruments.aberrations import NAMES, basis
from instruments.physics import wavelength_nm
from models.ctf import ctf_fit
from surveys.comparing import differing, random_effects

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

SIZE = 256
CONTRAST = 0.3
CS_nm, VOLTAGE_kV, PIXEL_nm = 1.2e6, 200.0, 0.1
FINEST = 2.5


def field(random: np.random.Generator, blur_px: float, mean: float, size: int = SIZE) -> Array:
    """A noiseless image (H, W): mean counts, relative spread ``CONTRAST``, Gaussian transfer of this width."""
    ky, kx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    transfer = np.exp(-2 * (np.pi * blur_px) ** 2 * (kx**2 + ky**2))
    made = np.fft.irfft2(np.fft.rfft2(random.normal(size=(size, size))) * transfer, s=(size, size))
    return np.clip(mean * (1 + CONTRAST * made / made.std()), 0, None)


def known_resolution_px(truth: Array) -> float | None:
    """Where the expected ring correlation of two Poisson frames of ``truth`` falls below 1/7, in pixels a period."""
    size = len(truth)
    window = np.outer(np.hanning(size), np.hanning(size))
    power = np.abs(np.fft.rfft2((truth - truth.mean()) * window)) ** 2
    ring = np.rint(np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) * size).astype(int).ravel()
    rings = np.bincount(ring, power.ravel())[1 : size // 2 + 1] / np.bincount(ring)[1 : size // 2 + 1]
    noise = float((truth * window**2).sum())
    curve = expected_correlation(rings, np.full(len(rings), noise))
    below = np.flatnonzero(np.convolve(curve, np.ones(5) / 5, "same") < SEVENTH)
    return None if not len(below) else size / float(below[0] + 1)


def pair_rows(seeds: int) -> list[dict[str, Any]]:
    """One for each blur and dose."""
    rows = []
    for blur_px in (0.7, 1.5, 3.0):
        for mean in (1.0, 10.0, 100.0, 1000.0):
            ratios, pulls, single, split, resolutions, resolution_pulls = [], [], [], [], [], []
            for seed in range(seeds):
                random = np.random.default_rng((seed, int(10 * blur_px), int(mean)))
                truth = field(random, blur_px, mean)
                one, two = random.poisson(truth), random.poisson(truth)
                known = float(truth.std() / math.sqrt(truth.mean()))
                found = two_frame_snr(one, two)
                ratios.append(found.snr / known)
                pulls.append((found.snr - known) / max(found.snr_std, 1e-12))
                single.append(frame_quality(one.astype(np.float32))["snr"] / known)
                halved = two_frame_snr(*split_dose(one, random))
                split.append(halved.snr * math.sqrt(2) / known)
                at = known_resolution_px(truth)
                ring = ring_correlation(one, two, 1.0)
                if at is not None:
                    resolutions.append(ring.resolution_nm() / at)
                    if (std := ring.resolution_std_nm()) is not None:
                        resolution_pulls.append((ring.resolution_nm() - at) / std)
            rows.append({
                "blur_px": blur_px, "counts_per_px": mean, "known_snr": CONTRAST * math.sqrt(mean),
                "two_frames": spread(ratios), "pull": pull(pulls), "split_dose": spread(split),
                "one_frame": spread(single), "frc_over_known": spread(resolutions),
                "frc_pull": pull(resolution_pulls), "seeds": seeds,
            })  # fmt: skip
    return rows


def spread(ratios: list[float]) -> str:
    """Median and 5 to 95 % of found over known."""
    if not ratios:
        return "no crossing"
    low, middle, high = np.percentile(ratios, (5, 50, 95))
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def pull(pulls: list[float]) -> float | str:
    return float(1.4826 * np.median(np.abs(pulls))) if pulls else ""


def film(random: np.random.Generator, c10_nm: float, electrons: float, size: int = 512) -> Array:
    """Counts (H, W) of a weak phase object without structure of its own, under a lens of this defocus."""
    ky, kx = np.fft.fftfreq(size, PIXEL_nm)[:, None], np.fft.rfftfreq(size, PIXEL_nm)[None, :]
    y, x = (np.broadcast_to(wavelength_nm(VOLTAGE_kV) * k, (size, size // 2 + 1)) for k in (ky, kx))
    thing = np.fft.rfft2(random.normal(size=(size, size))) * np.exp(-2 * np.pi**2 * 0.03**2 * (kx**2 + ky**2))
    known = np.zeros(len(NAMES))
    known[NAMES.index("C10")], known[NAMES.index("C30")] = c10_nm, CS_nm
    seen = np.fft.irfft2(thing * np.sin(np.tensordot(known, basis(x, y, VOLTAGE_kV), 1)), s=(size, size))
    return random.poisson(np.clip(electrons * (1 + 0.1 * seen), 0, None)).astype(np.float64)


def ctf_rows(seeds: int) -> list[dict[str, Any]]:
    """One for each defocus and dose; the last holds no rings at all."""
    rows = []
    for c10_nm, electrons in ((-300, 60), (-600, 60), (-1000, 60), (-600, 20), (-600, 5), (None, 60)):
        errors, pulls, resolutions, scores, settled = [], [], [], [], 0
        for seed in range(seeds):
            random = np.random.default_rng((seed, abs(c10_nm or 0), electrons))
            image = random.poisson(electrons, (512, 512)) if c10_nm is None else film(random, c10_nm, electrons)
            fit = ctf_fit(image, PIXEL_nm, VOLTAGE_kV, c30_nm=CS_nm, amplitude_contrast=0.0, highest_per_nm=FINEST)
            settled += fit.settled
            if fit.settled and c10_nm is not None:
                errors.append(abs(fit.defocus_nm - c10_nm))
                pulls.append((fit.defocus_nm - c10_nm) / fit.defocus_std_nm)
                resolutions.append(fit.resolution_nm or math.nan)
                scores.append(fit.score)
        rows.append({
            "c10_nm": "no rings" if c10_nm is None else str(c10_nm), "electrons_per_px": electrons, "images": seeds,
            "settled": settled, "error_nm": float(np.median(errors)) if errors else "",
            "worst_nm": float(max(errors)) if errors else "", "pull": pull(pulls),
            "resolution_nm": float(np.nanmedian(resolutions)) if resolutions else "",
            "score": float(np.median(scores)) if scores else "",
        })  # fmt: skip
    return rows


def like_rows(pairs: int) -> list[dict[str, Any]]:
    """How often two like surveys are told to differ in any of eight measures, by the frames of each."""
    random = np.random.default_rng(7)
    rows = []
    for frames in (3, 4, 10, 30):
        by_q = by_welch = 0
        for _ in range(pairs):
            values = random.normal(size=(8, 2, frames))
            means, stds = values.mean(axis=2), values.std(axis=2, ddof=1) / math.sqrt(frames)
            told = list(zip(means.tolist(), stds.tolist(), strict=True))
            by_welch += bool(differing([random_effects(m, s, [frames] * 2).p_value for m, s in told]))
            by_q += bool(differing([random_effects(m, s).p_value for m, s in told]))
        rows.append({"frames of each": frames, "pairs": pairs, "told to differ": f"{by_welch / pairs:.1%}",
                     "by Cochran's Q": f"{by_q / pairs:.1%}"})  # fmt: skip
    return rows


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    pairs, rings = pair_rows(2 if options.quick else 40), ctf_rows(1 if options.quick else 10)
    like = like_rows(50 if options.quick else 4000)
    note = " (quick: not a result)" if options.quick else ""
    print_table(
        pairs, title="Found over known, median (5-95 %): signal over noise, and ring-correlation resolution" + note
    )
    print_table(rings, title="One image's CTF fit" + note)
    print_table(like, title="Like surveys that `adaptem compare` tells to differ, 5 % are accepted" + note)
    write([*pairs, *rings, *like], options, title="Quality measures against known truth")


if __name__ == "__main__":
    main()
