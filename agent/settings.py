"""What a config can say about agents and skills."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from configs.load import Settings

Ratio: TypeAlias = float
Share = Annotated[Ratio, Field(ge=0, le=1)]


class RasterSettings(Settings):
    """Coarse to fine in serpentine order."""

    kind: Literal["raster"] = "raster"
    corner: Annotated[int, Field(ge=0, le=7)] | None = None
    """Where to start, and the fast axis; None = drawn from the seed."""
    overview: bool = True
    """Whether to look from above first."""
    by_atlas: bool = False
    """Details in order of the interest seen from above instead of in serpentine order (the "greedy atlas")."""
    refocus_every: NonNegativeInt = 60
    """Steps between refocusings; 0 = never."""


class RandomSettings(Settings):
    """Coarse to fine, targets at random."""

    kind: Literal["random"] = "random"
    refocus_every: NonNegativeInt = 60


class WarmSettings(Settings):
    """How an agent takes what earlier surveys of like specimens left, where it is given any."""

    alike_spreads: PositiveFloat = 0.3
    """Overviews whose quantiles differ by so many spreads count exp(−½) of one that is the same."""
    least_likeness: Share = 0.1
    """An earlier survey less like this one is not heard."""
    first_sites: PositiveInt = 64
    """Sites to be known from above before overviews are compared."""
    ridge: PositiveFloat = 30.0
    """Sites that a descriptor's weight of 0 is worth."""
    first_looks: Annotated[int, Field(ge=8)] = 8
    """Close looks from which they are held against what was expected of them, before the survey itself judges any."""


class PlannerSettings(Settings):
    """Interest × uncertainty ÷ cost on a belief map."""

    kind: Literal["planner"] = "planner"
    noteworthy: PositiveFloat = 3.0
    """Interest (robust spreads; 0 = ordinary) from which a site is remarkable: only the excess is worth a look."""
    plenty: PositiveFloat = 5.0
    """Interest beyond which more says nothing more."""
    trust: PositiveFloat = 0.5
    """Expected slope of the interest in detail against that from above, before any site was seen."""
    trust_around: PositiveFloat = 6.0
    """Expected slope against the share of remarkable sites around, on a specimen where those lie together."""
    trust_sd: PositiveFloat = 0.3
    """Relative standard deviation of both expectations: the smaller, the more sites it takes to change them."""
    spread: PositiveFloat = 1.0
    """Expected standard deviation of the interest that the view from above leaves unexplained."""
    clustering: Share = 0.05
    """Expected correlation of what is unexplained between neighbouring sites."""
    reach_sites: PositiveFloat = 4.0
    """How far a cluster reaches, in site widths."""
    optimism: NonNegativeFloat = 0.0
    """Standard deviations added to a prediction before it is weighed."""
    first_sites: PositiveInt = 64
    """Sites to be known from above before an unopened patch is compared with what the opened ones hold."""
    curiosity: PositiveFloat = 4.0
    """Worth of opening a patch over that of the sites it holds: it also tells where else to look."""
    exploration: Share = 0.0
    """Share of detail looks drawn at random among all sites."""
    lookahead: PositiveInt = 8
    """How many best sites are weighed together with what can be seen next to them afterwards."""
    refocus_below: Share = 0.8
    """Sharpness, relative to just after focusing, at which refocusing pays at once."""
    refocus_every: PositiveInt = 60
    """Steps after which refocusing pays even at full sharpness."""
    refocus_gap: PositiveInt = 8
    """Steps that must lie between two refocusings."""
    warm: WarmSettings = WarmSettings()
    """How earlier surveys count, where the survey hands any to it (``library.warm``)."""


class LearnedSettings(Settings):
    """A trained policy."""

    kind: Literal["learned"] = "learned"
    weights: str
    """FILE.safetensors, or the name of one that comes with adaptem (`adaptem policies list`)."""
    sample: bool = False
    """Draw by the policy's probabilities instead of taking the likeliest action."""
    refocus_every: NonNegativeInt | None = None
    """Refocus every so many steps, as the raster does, instead of when the policy wants to."""


class BayesianSettings(Settings):
    """Takes spectra where a property, as `scorer.property` reads it, is predicted to be high, or is least known."""

    kind: Literal["bayesian"] = "bayesian"
    seek: Literal["highest", "improvement", "map"] = "highest"
    """highest: as many as can be of the `share` of all sites where it is highest; improvement: the single highest;
    map: to know it everywhere."""
    share: Annotated[Ratio, Field(gt=0, lt=1)] = 0.01
    model: Literal["gp", "deep_kernel"] = "gp"
    """What tells likeness: gp, the scorer's descriptors; deep_kernel, a network over them, learning as it goes."""
    first: Annotated[int, Field(ge=2)] = 8
    """Measurements far from each other, before any is predicted."""
    patience: NonNegativeInt = 5
    """After so many in a row that were none of the highest, every second one goes far from all others; 0 = never."""
    components: PositiveInt = 6
    """Principal components of the descriptors."""
    reach_sites: PositiveFloat = 6.0
    """How far neighbours are expected to be alike, in site widths, before any value is known."""
    refit: PositiveInt = 3
    """Values after which the model's scales are chosen anew."""
    overview_share: Share = 0.5
    """Of the time and of the electrons, that overviews may take before spectra begin."""
    refocus_every: NonNegativeInt = 60
    """Steps between refocusings; 0 = never."""


class PluginSettings(Settings):
    """An agent of the user's own."""

    kind: Literal["plugin"] = "plugin"
    name: str
    """FILE.py:NAME, or an entry point of ``adaptem.agents``: ``(options, task, catalogue, skills, seed) -> Agent``."""
    options: dict[str, Any] = Field(default_factory=dict)


AgentSettings: TypeAlias = Annotated[
    PlannerSettings | RasterSettings | RandomSettings | LearnedSettings | BayesianSettings | PluginSettings,
    Field(discriminator="kind"),
]


class RefocusSettings(Settings):
    """A focus sweep with small, cheap bursts."""

    kind: Literal["sweep"] = "sweep"

    field_of_view_nm: PositiveFloat = 60.0
    pixels: Annotated[int, Field(ge=32)] = 192
    dwell_us: PositiveFloat = 1.0
    step_nm: PositiveFloat = 30.0
    """Between the defocus values tried."""
    max_travel_nm: PositiveFloat = 120.0
    """Farthest from where it started: beyond it a sweep is a runaway and gives up."""
    defocus_range_nm: tuple[float, float] = (-1000.0, 1000.0)
    """Never outside, however the sweeps of a night add up."""
    min_gain: NonNegativeFloat = 0.0
    """Relative gain of sharpness without which the old focus is kept."""
    settle_s: NonNegativeFloat = 0.2
    """Expected time per change of focus, for planning only."""


class EstimateSettings(Settings):
    """A few images under known changes of the defocus, and a model of the probe that explains all of them."""

    kind: Literal["estimate"] = "estimate"
    by: Literal["likelihood", "network", "rings", "ronchigram"] = "likelihood"
    """What tells the focus. likelihood, network: scanned images (the network: wide ones, and it needs torch); rings: a
    wide beam's images; ronchigram: a camera's patterns of a probe that is far out of focus at each of defoci_nm."""
    field_of_view_nm: PositiveFloat = 5.0
    """Narrow enough to show atoms, or wide (from 50 nm) to find the focus from far away."""
    pixels: Annotated[int, Field(ge=32)] = 128
    dwell_us: PositiveFloat = 8.0
    defoci_nm: Annotated[tuple[float, ...], Field(min_length=2, max_length=15)] = (-6.0, 0.0, 6.0)
    """Changes, one image each. Far from focus take wide ones: (-100, 0, 100)."""
    search_nm: PositiveFloat = 20.0
    """How far the defocus may be off, either way."""
    search_stig_nm: NonNegativeFloat = 5.0
    """Each component of the two-fold astigmatism; 0 leaves it alone."""
    thickness_nm: NonNegativeFloat = 5.0
    """Of the specimen, roughly: the focus goes to its middle."""
    source_size_nm: NonNegativeFloat = 0.04
    """Standard deviation of the source's image."""
    camera: str = "camera"
    """Name of the detector that gives patterns, for ronchigram."""
    ring_step_nm: PositiveFloat = 20.0
    """Between foci that are tried, for rings."""
    ring_highest_per_nm: PositiveFloat = 2.0
    """Rings beyond this frequency are left out."""
    ring_tile_px: Annotated[int, Field(ge=64)] = 256
    """Spectra are means over tiles of this side."""
    illumination_mrad: NonNegativeFloat = 0.05
    """Half the angle of a wide beam's cone."""
    amplitude_contrast: Share = 0.05
    """Of a wide beam's images, roughly: the part that focus does not change."""
    beside_nm: float = 0.0
    """Focus so far beside the place, along x, where the dose does no harm; 0: on it."""
    settle_s: NonNegativeFloat = 0.2

    @model_validator(mode="after")
    def _few_and_wide_for_the_network(self) -> EstimateSettings:
        if self.by == "network" and (len(self.defoci_nm) > 3 or self.pixels < 192):
            raise ValueError(
                f"by: network reads at most 3 images of 192 pixels a side at least; {len(self.defoci_nm)} of "
                f"{self.pixels} were asked"
            )
        return self


class HeightSettings(Settings):
    """A wobble of the stage in a wide, cheap view."""

    field_of_view_nm: PositiveFloat = 12000.0
    """Heights up to about a third of this, over twice the sine of the tilt, are found: ± 20 µm as it stands."""
    closer: Annotated[Ratio, Field(ge=1, le=10)] = 4.0
    """How much narrower the view is in which the rest is measured."""
    pixels: Annotated[int, Field(ge=64)] = 512
    dwell_us: PositiveFloat = 4.0
    tilt_deg: PositiveFloat = 4.0
    """Either way."""
    tolerance_nm: PositiveFloat = 200.0
    tilt_s: NonNegativeFloat = 4.0
    """Expected time per change of tilt, for planning only."""


class DriftSettings(Settings):
    """Bursts of two frames in a wide, cheap view."""

    field_of_view_nm: PositiveFloat = 400.0
    pixels: Annotated[int, Field(ge=64)] = 256
    dwell_us: PositiveFloat = 2.0
    interval_s: NonNegativeFloat = 3.0
    """Blanked wait between the two frames of a burst: the longer, the slower a drift is seen."""
    rate_nm_per_s: PositiveFloat = 1.0
    """Slow enough."""
    tolerance_nm: PositiveFloat = 60.0
    """What has moved farther is brought back: no less than the stage misses by."""
    bursts: Annotated[int, Field(ge=2)] = 20
    """At most."""


class ZoneSettings(Settings):
    """Patterns of a nearly parallel probe."""

    camera: str = "camera"
    """Name of the detector that gives patterns."""
    field_of_view_nm: PositiveFloat = 2.0
    dwell_us: PositiveFloat = 1000.0
    """Of each of 4 × 4 probe positions, whose patterns are added up."""
    patterns: PositiveInt = 6
    """At most."""
    tolerance_deg: PositiveFloat = 0.2
    tilt_s: NonNegativeFloat = 3.0
    """Expected time per change of tilt, for planning only."""


def _refocus(value: Any) -> Any:
    """By its kind; a sweep where none is named."""
    if not isinstance(value, dict):
        return value
    return (EstimateSettings if value.get("kind") == "estimate" else RefocusSettings).model_validate(value)


class OwnSkillSettings(Settings):
    """A skill of the user's own."""

    name: str
    """FILE.py:NAME, or an entry point of ``adaptem.skills``: ``(options) -> Skill``."""
    options: dict[str, Any] = Field(default_factory=dict)


class SkillSettings(Settings):
    """Which skills a survey may use; None leaves one out (a recorded image has no focus)."""

    refocus: Annotated[RefocusSettings | EstimateSettings | None, BeforeValidator(_refocus)] = RefocusSettings()
    """kind sweep: climbs to the sharpest; kind estimate: two images or more tell defocus and astigmatism."""
    eucentric_height: HeightSettings | None = None
    """Off by itself: it needs a holder that tilts, and limits that allow alpha_deg and z_nm."""
    wait_for_drift: DriftSettings | None = None
    """Off by itself: waits until the specimen is slow, and brings what has drifted back under the beam."""
    zone_axis: ZoneSettings | None = None
    """Off by itself: it needs a camera, a cone under 6 mrad, and limits that allow alpha_deg and beta_deg."""
    own: tuple[OwnSkillSettings, ...] = ()
