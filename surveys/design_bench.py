"""The simulated instrument that looks at a posed feature, as a proposal says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError
from instruments.annuli import Annulus, mask
from instruments.simulated.column import Probe
from instruments.simulated.damage import FluenceMap
from instruments.simulated.detector_settings import (
    BrightDetectorSettings,
    CameraSettings,
    CtemSettings,
    DetectorSettings,
    EdsSettings,
    EelsSettings,
)
from instruments.simulated.features import dopants_nm, particles
from instruments.simulated.sample import Sample
from instruments.simulated.sample_settings import SampleSettings
from instruments.simulated.scenes import Sight
from instruments.simulated.settings import ColumnSettings, SimulatedSettings
from instruments.types import Exposure
from surveys.design_detectors import READ_ELECTRONS
from surveys.design_posed import posed
from surveys.design_question import ConcentrationFeature, DopantFeature, MeasuredFeature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from instruments.simulated.recipe import Recipe
    from surveys.design_proposal import Proposal
    from surveys.design_question import Question

Array: TypeAlias = npt.NDArray[np.float64]

_FULL = 50000.0
"""Counts that the brightest pixel may have of a detector's 65535."""
_OFFSET, _GAIN = 100.0, 20.0
_SPARSE = 12
"""Fields of view for each dopant, so that one is often alone."""
_SEARCHED = 60
"""Fields of view along and across in which lone features are looked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field of view lies, and where in it the feature is."""

    centre_nm: tuple[float, float]
    feature_px: tuple[float, float]
    """Row, column."""


class Bench:
    """Two specimens that differ by the feature, under one instrument."""

    def __init__(self, question: Question, proposal: Proposal, fields: int) -> None:
        """Raises ConfigError where no feature lies alone in a field of view."""
        self._question, self._proposal = question, proposal
        recipes = posed(question, *sparse(question, proposal))
        self._samples = {
            True: Sample(settings_for(question, proposal, recipes.with_feature), question.seed),
            False: Sample(settings_for(question, proposal, recipes.without), question.seed),
        }
        self._readers: dict[float, Sample] = {}
        self.places = _places(question, proposal, recipes.with_feature, fields)

    def look(self, place: Place, *, with_feature: bool) -> Mapping[str, npt.NDArray[np.float32]]:
        """What the detector is expected to get, as shares of the electrons."""
        question, proposal = self._question, self._proposal
        size = proposal.frame_px
        sight = Sight(
            exposure=Exposure(field_of_view_nm=proposal.field_nm, shape=(size, size), dwell_us=1.0),
            centre_nm=place.centre_nm,
            probe=Probe(
                defocus_nm=proposal.defocus_nm - question.specimen.thickness_nm / 2,
                stig_a_nm=0.0,
                stig_b_nm=0.0,
                convergence_mrad=question.instrument.convergence_mrad,
                source_size_nm=question.instrument.source_size_nm,
            ),
            fluence=FluenceMap(),
            number=0,
        )
        return self._samples[with_feature].look(sight, (proposal.detector,))

    def counted(self, shares: Mapping[str, npt.NDArray[np.float32]], fluence_e_per_A2: float, number: int) -> Array:
        """Electrons (H, W), of spectra (H, W, E), that one exposure counts; of a camera, those on the virtual ring."""
        proposal = self._proposal
        sent = fluence_e_per_A2 * 100.0 * proposal.pixel_nm**2
        share = shares[proposal.detector]
        if proposal.detector == "camera":  # a sum of Poisson numbers is one
            inner, outer = proposal.ring_mrad or (0.0, self._question.instrument.camera_reach_mrad)
            ring = _ring(self._question, inner, outer)
            share = np.asarray((share * ring).sum((-2, -1)), dtype=np.float32)
        most = float(share.max()) * sent
        gain = _GAIN * 2.0 ** min(0, math.floor(math.log2(_FULL / max(_GAIN * most, 1e-9))))
        sample = self._samples[True]
        if proposal.detector in ("camera", "EELS", "EDS"):
            return np.asarray(sample.read({"EELS": share}, sent, number)["EELS"], dtype=np.float64)
        counts = self._reader(gain).read({proposal.detector: share}, sent, number)[proposal.detector]
        return np.asarray((counts.astype(np.float64) - _OFFSET) / gain)

    def _reader(self, gain: float) -> Sample:
        """The detectors with a gain that does not saturate them."""
        if gain not in self._readers:
            told = settings_for(self._question, self._proposal, None, gain)
            self._readers[gain] = Sample(told, self._question.seed)
        return self._readers[gain]


def _ring(question: Question, inner_mrad: float, outer_mrad: float) -> Array:
    pixels, reach = question.instrument.camera_pixels, question.instrument.camera_reach_mrad
    step = 2 * reach / pixels
    middle = float(pixels // 2)
    return np.asarray(mask(Annulus(inner_mrad, outer_mrad), (pixels, pixels), (step, step), (middle, middle)))


def sparse(question: Question, proposal: Proposal) -> tuple[float, float]:
    """Share of the columns that hold the dopant and particles per µm², so that one is often alone in a frame."""
    if isinstance(question.feature, ConcentrationFeature | MeasuredFeature):
        return 1.0, 1.0
    sites = getattr(proposal.curve, "search", None)
    share = 1 / (_SPARSE * max(sites.places if sites is not None else 1.0, 1.0))
    return min(share, 0.5), 0.5e6 / (1.2 * proposal.field_nm) ** 2


def _places(question: Question, proposal: Proposal, recipe: Recipe, fields: int) -> list[Place]:
    """Fields of view with one feature each, not in their middle but off it by less than a pixel and some pixels."""
    wide = proposal.field_nm
    if isinstance(question.feature, ConcentrationFeature | MeasuredFeature):
        return [Place((n * 3 * wide, 0.0), (0.0, 0.0)) for n in range(fields)]
    half = _SEARCHED * wide / 2
    if isinstance(question.feature, DopantFeature):
        known = dopants_nm(recipe, question.seed, (-half, half), (-half, half))
    else:
        known = tuple((each.x_nm, each.y_nm) for each in particles(recipe, question.seed, (-half, half), (-half, half)))
    if not known:
        raise ConfigError(f"{question.name}: no feature lies where it was looked for; give another seed")
    all_of_them = np.array(known)
    rng, found = np.random.default_rng(question.seed), []
    free = proposal.frame_px / 2 - proposal.weights.shape[0]
    for x, y in known:
        away = np.abs(all_of_them - (x, y)).max(axis=1)
        if np.sum(away < 1.1 * wide) > 1 or max(abs(x), abs(y)) > half - wide:
            continue
        off_px = rng.uniform(-1, 1, 2) * max(min(free, proposal.frame_px / 6), 0.5)
        centre = (x + off_px[0] * proposal.pixel_nm, y + off_px[1] * proposal.pixel_nm)
        middle = (proposal.frame_px - 1) / 2
        found.append(Place(centre, (middle + off_px[1], middle + off_px[0])))
        if len(found) == fields:
            return found
    if not found:
        raise ConfigError(f"{question.name}: features lie too close together to be looked at one by one")
    return found


def settings_for(
    question: Question, proposal: Proposal, recipe: Recipe | None, gain: float = _GAIN
) -> SimulatedSettings:
    """The simulated instrument of a proposal, with a specimen that lies flat; None: any, for its detectors alone."""
    made = question.instrument
    specimen = SampleSettings(
        recipe=posed(question, 0.0).without if recipe is None else recipe,
        slope_nm_per_um=0.0,
        waviness_nm=0.0,
        contamination_nm=0.0,
    )
    column = ColumnSettings(
        voltage_kV=made.voltage_kV,
        convergence_mrad=made.convergence_mrad,
        source_size_nm=made.source_size_nm,
        current_pA=made.currents_pA[0],
    )
    told: dict[str, Any] = {
        "gain_counts_per_electron": gain,
        "offset_counts": _OFFSET,
        "read_noise_counts": READ_ELECTRONS * gain,
    }
    parts: dict[str, Any] = {"bf": None}
    if proposal.technique == "CTEM":
        parts = {
            "ctem": CtemSettings(
                objective_mrad=made.objective_mrad,
                focal_spread_nm=made.focal_spread_nm,
                **(told | {"read_noise_counts": 0.0}),
            )
        }
    elif proposal.technique == "HAADF":
        parts["haadf"] = DetectorSettings(angles_mrad=made.haadf_mrad, **told)
    elif proposal.technique == "BF":
        parts["bf"] = DetectorSettings(angles_mrad=made.bf_mrad, **told)
    elif proposal.technique == "ABF":
        parts["abf"] = BrightDetectorSettings(angles_mrad=made.abf_mrad, **told)
    elif proposal.technique == "4D-STEM":
        parts["camera"] = CameraSettings(pixels=made.camera_pixels, reach_mrad=made.camera_reach_mrad)
    elif proposal.channels is not None:
        axis: dict[str, Any] = {
            "offset_eV": proposal.offset_eV, "step_eV": proposal.step_eV, "channels": len(proposal.channels)
        }  # fmt: skip
        if proposal.technique == "EELS":
            parts["eels"] = EelsSettings(
                collection_mrad=made.eels_collection_mrad, resolution_eV=made.eels_resolution_eV, **axis
            )
        else:
            parts["eds"] = EdsSettings(solid_angle_sr=made.eds_solid_angle_sr, **axis)
    return SimulatedSettings(specimen=specimen, column=column, **parts)
