"""What each measure of quality means, in which unit, which way is better, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Better: TypeAlias = Literal["high", "low", "neither"]


@dataclass(frozen=True, slots=True)
class Term:
    """One measure."""

    unit: str
    better: Better
    definition: str
    source: str


_OURS = "adaptem"
FRAME_TERMS: Mapping[str, Term] = MappingProxyType({
    "snr": Term("1", "high", "structure over noise of one frame, as standard deviations: of a burst by the covariance "
                "of its halves, of a single frame by its noise at the finest scale",
                "Frank & Al-Ali, Nature 256 (1975) 376; Immerkær, CVIU 64 (1996) 300"),
    "frc_resolution_nm": Term("nm", "low", "period at which the Fourier ring correlation of a burst's halves falls "
                              "below 1/7; two pixels where it never does",
                              "Saxton & Baumeister, J. Microsc. 127 (1982) 127; Nieuwenhuizen et al., Nat. Methods 10 "
                              "(2013) 557"),
    "sharpness": Term("1", "high", "share of the structure's variance that is finer than 4 pixels", _OURS),
    "blur_ratio": Term("1", "low", "how little an image changes when it is blurred again, 0 sharp to 1 blurred",
                       "Crété-Roffet et al., SPIE 6492 (2007); scikit-image, measure.blur_effect"),
    "drift_nm_per_s": Term("nm/s", "low", "shift of a burst's last frame against its first, over the time between",
                           "phase of the windowed cross-correlation; " + _OURS),
    "saturated_ratio": Term("1", "low", "pixels at the detector's saturation, or else at the frame's maximum", _OURS),
    "fluence_e_per_A2": Term("e/Å²", "neither", "electrons of an exposure over the area of its frame", _OURS),
    "ctf_defocus_nm": Term("nm", "neither", "C10 of a wide beam by the rings of the power spectrum; < 0 is underfocus",
                           "Rohou & Grigorieff, J. Struct. Biol. 192 (2015) 216"),
    "ctf_resolution_nm": Term("nm", "low", "finest period down to which the rings correlate with the fit by 0.5",
                              "Rohou & Grigorieff 2015"),
    "ctf_score": Term("1", "high", "mean of that correlation down to there", "Rohou & Grigorieff 2015"),
})  # fmt: skip
SURVEY_TERMS: Mapping[str, Term] = MappingProxyType({
    "usable_ratio": Term("1", "high", "frames that are not blank, under 1 % saturated, structure above half the noise",
                         _OURS),
    "usable_per_hour": Term("1/h", "high", "usable close looks in an hour of the instrument", _OURS),
    "usable_per_1e9_electrons": Term("1", "high", "usable close looks for 10⁹ electrons onto the specimens, focusing "
                                     "included", _OURS),
    "coverage_ratio": Term("1", "high", "share of the areas that lies in a close look", _OURS),
    "seen_ratio": Term("1", "high", "share of the areas that lies in any look", _OURS),
    "recorded_ratio": Term("1", "high", "intended exposures that were committed", _OURS),
    "found_ratio": Term("1", "high", "flagged places that the policy looked at closely, over all that there are: "
                        "capture-recapture with the random controls as the second catch",
                        "Chapman, Univ. Calif. Publ. Stat. 1 (1951) 131"),
    "contamination_per_e_per_A2": Term("Å²/e", "low", "slope of a place's mean signal, relative to its first look, "
                                       "over the fluence given between looks of one kind: > 0 grows (contamination in "
                                       "dark field), < 0 is lost", _OURS),
})  # fmt: skip
TERMS: Mapping[str, Term] = MappingProxyType({**FRAME_TERMS, **SURVEY_TERMS})
